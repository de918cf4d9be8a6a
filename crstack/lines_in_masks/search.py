"""Straight lines of flagged pixels: candidates from counts in blocks, and their fit."""

import numpy as np

from crstack.lines_in_masks.radon import lengths_of_lines, sums_of_lines

__all__ = [
    "BLOCK",
    "FILLED",
    "MOST",
    "fitted_line",
    "in_blocks",
    "lengths_in_blocks",
    "line_of_most",
    "lines_near_axes",
]

#: side (pixels) of the blocks in which flagged pixels are counted, and fewest flagged pixels of a block that counts
BLOCK, IN_BLOCK = 4, 4
#: least fraction of the larger side of the image that a trail crosses, and least fraction of its blocks that count
CROSSES, FILLED = 0.6, 0.7
#: standard deviations by which this fraction exceeds that of all blocks, and blocks in sequence that one hit may fill
OVER_CHANCE, OF_ONE_HIT = 6.0, 3
#: shortest trail (pixels), because tracks of hits may be shorter
SHORTEST = 100
#: largest number of trails in an exposure
MOST = 5
#: parts along a line whose sums are shifted against each other
PARTS = 16
#: refinements of the line
ROUNDS = 4


def lines_near_axes(flagged: np.ndarray, slope: float, filled: float) -> list[tuple[float, float, float, float]]:
    """Ends (x1, y1, x2, y2; pixels from 0) of lines along rows or columns with many flagged pixels.

    Parameters
    ----------
    flagged : `~numpy.ndarray`
        Flagged pixels of an exposure, bool (ny, nx).
    slope : float
        Largest slope of a line against the rows or columns.
    filled : float
        Least fraction of the blocks of a line that have four flagged pixels or more. It is larger where hits fill many
        blocks.
    """
    blocks, found = in_blocks(flagged) >= IN_BLOCK, []
    for turned in (False, True):
        image = (blocks.T if turned else blocks).copy()
        if min(image.shape) < PARTS:
            continue
        # lines fill few rows, and hits all of them
        share = float(np.median(image.mean(axis=1)))
        least = max(filled, _over_chance(share, image.shape[1]))
        for _ in range(MOST):
            line = _line_along(image, slope, least)
            if line is None:
                break
            found.append((line[1], line[0], line[3], line[2]) if turned else line)
            rows = np.rint(np.linspace(line[1], line[3], image.shape[1])).astype(int)
            for step in (-1, 0, 1):
                image[np.clip(rows + step, 0, len(image) - 1), np.arange(image.shape[1])] = False
    return [_refined(tuple((one + 0.5) * BLOCK - 0.5 for one in line), flagged) for line in found]


def _refined(line, flagged):
    """Ends of a line after a fit to the flagged pixels near it."""
    point, direction = fitted_line(line, flagged)
    point = point + ((np.array(line[:2]) + line[2:]) / 2 - point) @ direction * direction
    half = np.hypot(line[2] - line[0], line[3] - line[1]) / 2
    return (*(point - half * direction).tolist(), *(point + half * direction).tolist())


def _line_along(image, slope, filled):
    """Ends (x1, y1, x2, y2) of the line along the rows of a bool image with most pixels; None if none has enough.

    The image is divided into parts along the rows, whose sums are shifted against each other.
    """
    ny, nx = image.shape
    parts = np.stack([part.sum(axis=1) for part in np.array_split(image, PARTS, axis=1)])
    steepest, best = int(slope * nx), (filled * nx, None)
    for rise in range(-steepest, steepest + 1):
        shifts = np.rint(rise * ((np.arange(PARTS) + 0.5) / PARTS - 0.5)).astype(int)
        total = np.zeros(ny)
        for part, shift in zip(parts, shifts.tolist(), strict=True):
            if abs(shift) >= ny:
                continue  # the line lies outside the image there
            to, source = slice(max(-shift, 0), ny - max(shift, 0)), slice(max(shift, 0), ny + min(shift, 0))
            total[to] += part[source]
        row = int(np.argmax(total))
        if total[row] >= best[0]:
            best = (total[row] + 0.5, (0, row - rise / 2, nx - 1, row + rise / 2))
    return best[1]


def lengths_in_blocks(shape):
    """Lengths of the lines of the image of blocks, and of the same transposed, for `line_of_most`."""
    ny, nx = (side // BLOCK for side in shape)
    return [lengths_of_lines(one) for one in ((ny, nx), (nx, ny))]


def in_blocks(mask):
    """Number of pixels of a mask in each block."""
    ny, nx = (side // BLOCK for side in mask.shape)
    part = mask[: ny * BLOCK, : nx * BLOCK].view(np.uint8).reshape(ny, BLOCK, nx * BLOCK)
    # bytes are added much faster than bool
    rows = part.sum(axis=1, dtype=np.uint8)
    return np.add.reduce([rows[:, k::BLOCK] for k in range(BLOCK)], dtype=np.int32)


def line_of_most(counts, lengths):
    """Ends (x1, y1, x2, y2) in pixels of the line with most blocks that count; None if none has enough.

    ``counts`` are the flagged pixels of each block, and ``lengths`` those of `lengths_in_blocks`.
    """
    blocks, best, most = counts >= IN_BLOCK, None, 0
    least = max(CROSSES * max(blocks.shape), SHORTEST / BLOCK)
    if np.count_nonzero(blocks) < FILLED * least:
        return None
    for turned in (False, True):
        image, length = (blocks.T, lengths[1]) if turned else (blocks, lengths[0])
        if image.shape[1] < least:
            continue
        long_enough, filled = length >= least, _least_filled(blocks, length) * length
        for falling in (False, True):
            sums = sums_of_lines(image[::-1] if falling else image)
            good = np.where(long_enough & (sums >= filled), sums, 0)
            rise, start = np.unravel_index(np.argmax(good), good.shape)
            if good[rise, start] > most:
                most, n = good[rise, start], len(sums)
                y1, y2 = start - n, start - n + rise * (image.shape[1] - 1) / (n - 1)
                if falling:
                    y1, y2 = len(image) - 1 - y1, len(image) - 1 - y2
                ends = (0, y1, image.shape[1] - 1, y2)
                best = (ends[1], ends[0], ends[3], ends[2]) if turned else ends
    return None if best is None else tuple((one + 0.5) * BLOCK - 0.5 for one in best)


def _least_filled(blocks, length):
    """Least fraction of the blocks of a line that count: larger where hits fill a large part of all blocks.

    Parameters
    ----------
    blocks : `~numpy.ndarray`
        Blocks that count, bool.
    length : int or `~numpy.ndarray`
        Number of blocks of the line.
    """
    return np.maximum(FILLED, _over_chance(float(np.mean(blocks)), length))


def _over_chance(share, length):
    """Fraction of the blocks of a line that hits do not fill, if they fill a ``share`` of all blocks."""
    return share + OVER_CHANCE * np.sqrt(share * (1 - share) * OF_ONE_HIT / np.maximum(length, 1))


def fitted_line(line, flagged, widest=2 * BLOCK):
    """Point and direction of a line, fitted to the flagged pixels near it, from the widest distance inwards."""
    x1, y1, x2, y2 = line
    point, direction = np.array([x1 + x2, y1 + y2]) / 2, np.array([x2 - x1, y2 - y1])
    direction = direction / np.hypot(*direction)
    rows, columns = np.nonzero(flagged)
    for reach in np.linspace(widest, widest / 2, ROUNDS):
        dx, dy = columns - point[0], rows - point[1]
        near = np.abs(dx * direction[1] - dy * direction[0]) < reach
        if np.count_nonzero(near) < BLOCK:
            break
        x, y = columns[near], rows[near]
        point = np.array([x.mean(), y.mean()])
        covariance = np.cov(x, y)
        axis = np.linalg.eigh(covariance)[1][:, 1]
        direction = axis if axis @ direction > 0 else -axis
    return point, direction
