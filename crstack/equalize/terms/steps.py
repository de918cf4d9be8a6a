"""Shifts of a pixel or more between exposures, to whole pixels."""

import itertools

import numpy as np

from crstack.utils.medians import of_rank, reflected_median
from crstack.utils.pixels import central_shift, contrast_of, dilate
from crstack.utils.threads import map_threads

__all__ = [
    "LARGEST",
    "confirmed_steps",
    "corners_of_one",
    "entered",
    "incomplete_edges",
    "moved",
    "shown_by_two",
    "steps_of",
    "whole_steps",
]

#: largest step in pixels
LARGEST = 16
#: no step is made along an axis if the correlation without it is at least this share of the highest
AS_GOOD = 0.98
#: the highest correlation must be at least this share of the correlation of each exposure with itself
LEAST_ALIKE = 0.3
#: pixels around the brightest structure that are left out when a step is tested without it
AROUND = 16
#: the correlation of the rest must be at least this share of the correlation of each exposure with itself
OF_REST = 0.15
#: number of sub-pixel positions of the common image that are tried
GRIDS = 20
#: shifts that differ by less than a pixel need no step, unless steps reduce their range to less than this share. With a
#: step, rows and columns enter at the edges, while terms along rows and columns stay at the pixels of the detector
RANGE_WITH_STEPS = 0.5
#: standard deviation (pixels) of the Gaussian that is subtracted where structures that stay may hide moving stars, and
#: least step (pixels) that is then taken
WIDE, LEAST_OF_SHARP = 2.0, 1.5
#: largest side (pixels) of the central part of the image that is compared
PIXELS = 1024
#: least contrast (standard deviations) of the pixels in which a step is confirmed, and limit of their residuals
STRUCTURE, CLIP = 5.0, 5.0
#: the sum of squared residuals with the steps must be less than this share of the sum without them. A trailed star
#: leaves about as much with a step to its middle as without
LOWERED = 1.02
#: this many pixels beside its maximum, the correlation of a field is less than the second number times the maximum
BESIDE, OF_TOP = 8, 0.8
#: share of the sides over which the window of a correlation rises from 0 to 1, and largest part of a pixel that is left
#: along an axis without a step
FADE, HALF = 0.1, 0.49
#: throughputs with which the exposures are compared
THROUGHPUTS = np.geomspace(1 / 8, 8, 61)


def moved(image, step):
    """An image, or a number, shifted by whole pixels (dx, dy); edge pixels are repeated."""
    dx, dy = step
    if (dx == 0 and dy == 0) or not np.ndim(image):
        return image
    rows = np.clip(np.arange(image.shape[0]) - dy, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - dx, 0, image.shape[1] - 1)
    return image[rows[:, None], columns]


def entered(step):
    """Slices of the rows and of the columns that enter where an image is moved by (dx, dy)."""
    return tuple(slice(0, one) if one >= 0 else slice(one, None) for one in step[::-1])


def shown_by_two(shape, steps):
    """Rows and columns of the scene that two or more exposures show.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    steps : sequence of (int, int)
        (dx, dy) of each of two or more exposures.

    Returns
    -------
    rows, columns : slice
        At the pixels of the scene. They are empty if the exposures do not overlap.
    """
    box = []
    for side, along in zip(shape, zip(*((dy, dx) for dx, dy in steps), strict=True), strict=True):
        starts = sorted(max(-one, 0) for one in along)
        ends = sorted(min(side - one, side) for one in along)
        box.append(slice(starts[1], max(ends[-2], starts[1])))
    return tuple(box)


def corners_of_one(shape, steps):
    """Pixels in the corners of what `shown_by_two` gives which fewer than two exposures show.

    One exposure may show the same rows as a first one, and another one the same columns, but none the same corner.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    steps : sequence of (int, int)
        (dx, dy) of each exposure.

    Returns
    -------
    rows, columns : `~numpy.ndarray` of int
        (M,) rows and columns of these pixels, at the pixels of the scene.
    inwards : `~numpy.ndarray` of int
        (M,) the closest column that two exposures show in the same row.
    """
    rows, columns = (np.arange(side.start, side.stop) for side in shown_by_two(shape, steps))
    found = [np.zeros((3, 0), int)]
    with_row, with_column = (
        np.array([(places + by >= 0) & (places + by < side) for by in along])
        for places, along, side in zip(
            (rows, columns), zip(*(one[::-1] for one in steps), strict=True), shape, strict=True
        )
    )
    # most rows are shown by all exposures
    for k in np.flatnonzero(~with_row.all(axis=0)):
        two = with_column[with_row[:, k]].sum(axis=0) >= 2
        if two.any() and not two.all():
            lacking, known = columns[~two], columns[two]
            found.append(np.stack([np.full(len(lacking), rows[k]), lacking, np.clip(lacking, known[0], known[-1])]))
    return tuple(np.concatenate(found, axis=1))


def incomplete_edges(steps, reach=0):
    """Places at the edges where some exposures do not show the scene, and those from which a kernel reaches them.

    What the detector has there, such as dark first rows, does not move with the scene. It looks like another
    throughput of the exposures that move.

    Parameters
    ----------
    steps : sequence of (int, int)
        (dx, dy) of each exposure.
    reach : int, optional
        Largest distance of the pixels on which an expected value depends.

    Returns
    -------
    edges : list of tuple of slice
        Rows and columns; empty where no exposure moves by a pixel.
    """
    across, down = (max(map(abs, along)) for along in zip(*steps, strict=True))
    edges = [(side, slice(None)) for side in _ends(down, reach)]
    return edges + [(slice(None), side) for side in _ends(across, reach)]


def _ends(most, reach):
    """First and last pixels along an axis, up to the largest step and a reach beyond it; none without a step."""
    return (slice(most + reach), slice(-most - reach, None)) if most else ()


def whole_steps(levels):
    """Shifts of the scene between exposures, in whole pixels.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures on a common level.

    Returns
    -------
    steps : tuple of (int, int)
        (dx, dy) of each exposure. Along each axis the median is 0. All 0 where no exposure moves by a pixel or more.
    """
    n = len(levels)
    if min(levels.shape[1:]) < 4 * LARGEST:
        return ((0, 0),) * n
    planes = map_threads(_structure, levels)
    spectra = map_threads(np.fft.rfft2, planes)
    own = np.array([np.sum(plane.astype(np.float64) ** 2) for plane in planes])

    def compared_with(middle):
        """Steps (N, 2) against an exposure, and shifts (N, 2) up to twice as far where these are beyond the limit."""

        def step_of(i):
            correlation = np.fft.irfft2(spectra[i] * spectra[middle].conj(), planes[0].shape)
            alike = np.sqrt(own[i] * own[middle])
            step = _step(correlation, alike)
            step = step if _holds(planes[i], planes[middle], step, alike) else (0, 0)
            if not any(map(round, step)):
                step = _step_of_sharp(spectra[i], spectra[middle], planes[0].shape) or step
            return step, _far_step(correlation, alike)

        return np.moveaxis(np.array(map_threads(step_of, range(n))), 1, 0)

    steps, far = compared_with(_middle(planes))
    if np.abs(far).max() > LARGEST:
        # all exposures may be closer to another one
        central, reach = central_shift(np.where(np.abs(far).max(axis=1, keepdims=True) > LARGEST, far, steps))
        if reach <= LARGEST + 0.5:
            steps, _ = compared_with(central)
    if not steps.round().any():
        return ((0, 0),) * n
    return steps_of(steps)


def _step_of_sharp(spectrum, of_middle, shape):
    """(dx, dy) of the sharp structures of an exposure, or None where they move by less than two pixels.

    Fringes, and other wide structures that belong to the detector, do not move with the stars. Traces that move alone
    are a nod of the target.
    """
    down, across = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    sharp = 1 - np.exp(-2 * (np.pi * WIDE) ** 2 * (down**2 + across**2))
    spectra = spectrum * sharp, of_middle * sharp
    correlation = np.fft.irfft2(spectra[0] * spectra[1].conj(), shape)
    # twice the half of a spectrum: the columns of frequency 0 have small weights
    alike = np.sqrt(np.prod([2 * np.sum(np.abs(one) ** 2) / np.prod(shape) for one in spectra]))
    step = _step(correlation, alike)
    if max(map(abs, step)) < LEAST_OF_SHARP or not _is_peak(correlation, *map(round, step)):
        return None
    return step if _holds(*(np.fft.irfft2(one, shape) for one in spectra), step, alike) else None


def steps_of(shifts):
    """Whole pixels of shifts, with the least rests for one position of the common image.

    Parameters
    ----------
    shifts : array_like
        (N, 2) dx and dy of each exposure, pixels.

    Returns
    -------
    steps : tuple of (int, int)
        (dx, dy) of each exposure. Along each axis the median is 0, or within half a pixel of it for an even number.
    """
    steps = np.stack([_least_rest(one) for one in np.asarray(shifts, dtype=float).T], axis=1)
    steps -= _middle_step(steps)
    return tuple((int(dx), int(dy)) for dx, dy in steps)


def _middle_step(steps):
    """Median (2,) of steps (N, 2). Where it lies between two whole pixels, it is the step that most exposures have.

    Two groups of exposures would otherwise both be moved, and the noise of the common image would be in all of them.
    """
    median = np.median(steps, axis=0)
    choices = itertools.product(*(sorted({int(np.floor(one)), int(np.ceil(one))}, key=abs) for one in median))
    return np.array(max(choices, key=lambda one: np.count_nonzero((steps == one).all(axis=1))))


def confirmed_steps(steps, levels, variance_of):
    """The steps, if they describe the structures of the whole image better than none.

    A correlation follows the source that dominates a part of the image. If this source moves and the rest does not,
    such as a galaxy that drifts along a slit while the sky lines stay, a step is wrong.

    Parameters
    ----------
    steps : tuple of (int, int)
        (dx, dy) of each exposure, see `whole_steps`.
    levels : sequence of `~numpy.ndarray`
        (ny, nx) exposures on a common level, electrons.
    variance_of : callable
        Mean variance of the exposures at a signal (image).

    Returns
    -------
    steps : tuple of (int, int)
        The same, or (0, 0) for all exposures.
    """
    if not any(map(any, steps)):
        return steps
    planes = map_threads(reflected_median, levels)
    back = [moved(plane, (-dx, -dy)) for plane, (dx, dy) in zip(planes, steps, strict=True)]
    inside = np.s_[LARGEST:-LARGEST, LARGEST:-LARGEST]
    with_steps = without = 0.0
    for i in (i for i, step in enumerate(steps) if any(step)):
        stepped = moved(_median_of_others(back, i), steps[i])
        still = _median_of_others(planes, i)
        sigma = np.sqrt(variance_of(still))
        some = np.max([contrast_of(one) for one in (planes[i], stepped, still)], axis=0) > STRUCTURE * sigma
        some = dilate(some, 1)[inside]
        one, sigma = planes[i][inside][some], sigma[inside][some]
        with_steps += _left(one, stepped[inside][some], sigma)
        without += _left(one, still[inside][some], sigma)
    return steps if with_steps < LOWERED * without else ((0, 0),) * len(steps)


def _median_of_others(planes, i):
    """Median (ny, nx) of all exposures but one; the lower of two middle values, because hits raise values."""
    others = np.stack([plane for k, plane in enumerate(planes) if k != i])
    return of_rank(others, (len(others) - 1) // 2)


def _left(values, expected, sigma):
    """Least sum of the squared residuals of some values (M,), in standard deviations, over several throughputs.

    Each square has a limit, so that hits count little. A fit of the throughput by least squares would depend on hits.
    """
    level = np.median(expected) if len(expected) else 0.0
    over, above = (expected - level) / sigma, (values - level) / sigma
    rests = (np.minimum((above - throughput * over) ** 2, CLIP**2).sum(dtype=np.float64) for throughput in THROUGHPUTS)
    return float(min(rests))


def _holds(plane, middle, step, alike):
    """Whether a step is still better than none without the brightest structure that coincides after the step.

    A step may bring two bright tracks of hits together, whose correlation exceeds that of all faint stars.
    """
    step = tuple(round(one) for one in step)
    if not any(step):
        return True
    product = plane * moved(middle, step)
    row, column = np.unravel_index(np.argmax(product), product.shape)
    around = tuple(slice(max(one - AROUND, 0), one + AROUND + 1) for one in (row, column))
    rest = product.sum() - product[around].sum()
    without = np.sum(plane * middle) - np.sum(plane[around] * middle[around])
    return rest > max(without, OF_REST * alike)


def _least_rest(shifts):
    """Whole numbers (N,) closest to shifts (N,), for the best sub-pixel position of the common image."""
    grids = np.linspace(0, 1, GRIDS, endpoint=False)[:, None]
    rests = np.abs(shifts - grids - np.round(shifts - grids))
    best = grids[np.argmin((rests**2).sum(axis=1) + rests.max(axis=1) ** 2)]
    steps = np.round(shifts - best).astype(int)
    needed = np.ptp(shifts) >= 1 or np.ptp(shifts - steps) < RANGE_WITH_STEPS * np.ptp(shifts)
    return steps if needed else np.zeros_like(steps)


def _structure(plane):
    """Square root of the structures without small hits and hot pixels, times a window that is 0 at the edges."""
    ny, nx = plane.shape
    rows, columns = (slice(max((side - PIXELS) // 2, 0), (side + PIXELS) // 2) for side in (ny, nx))
    plane = reflected_median(plane[rows, columns])
    low = np.percentile(plane[::4, ::4], [16, 50])
    over = plane - low[1]
    noise = max(low[1] - low[0], 1e-6)
    over = np.sign(over) * np.sqrt(np.maximum(np.abs(over) - 2 * noise, 0))
    fade = [np.minimum(np.minimum(np.arange(side), np.arange(side)[::-1]) / (FADE * side), 1) for side in over.shape]
    return (over * np.outer(*fade)).astype(np.float32)


def _middle(planes):
    """The exposure to compare with: of middle brightness."""
    total = [float(plane.sum()) for plane in planes]
    return int(np.argsort(total)[len(total) // 2])


def _step(correlation, alike):
    """(dx, dy) of the highest correlation, pixels; 0 along an axis where that is as good."""
    ny, nx = correlation.shape
    near = np.arange(-LARGEST - 1, LARGEST + 2)
    some = correlation[np.ix_(near % ny, near % nx)]
    top = some.max()
    # a correlation that still increases at the limit has no maximum there
    if not top > LEAST_ALIKE * alike or top > some[1:-1, 1:-1].max():
        return 0, 0
    some = some[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(some), some.shape)
    shift = [_peak(some[row], column), _peak(some[:, column], row)]
    if some[LARGEST, LARGEST] > AS_GOOD * top:
        row, column = LARGEST, LARGEST
    elif some[LARGEST, column] > AS_GOOD * top:
        row = LARGEST
    elif some[row, LARGEST] > AS_GOOD * top:
        column = LARGEST
    # less than a pixel stays
    return tuple(
        min(max(one, -HALF), HALF) if k == LARGEST else one for one, k in zip(shift, (column, row), strict=True)
    )


def _far_step(correlation, alike):
    """(dx, dy) of the highest correlation up to twice the limit of a step; (0, 0) if it is within the limit.

    It is (0, 0) too where the correlation hardly falls along an axis: traces that move alone are a nod of the target.
    """
    reach = [min(2 * LARGEST, side // 4) for side in correlation.shape]
    down, across = (np.arange(-one, one + 1) for one in reach)
    some = correlation[np.ix_(down, across)]
    row, column = np.unravel_index(np.argmax(some), some.shape)
    step = int(across[column]), int(down[row])
    far = max(map(abs, step)) > LARGEST and _is_peak(correlation, *step)
    return step if far and some.max() > LEAST_ALIKE * alike else (0, 0)


def _is_peak(correlation, dx, dy):
    """Whether a correlation falls along both axes from its maximum at (dx, dy), as that of a field of stars does."""
    ny, nx = correlation.shape
    beside = [correlation[dy, (dx + one) % nx] for one in (-BESIDE, BESIDE)]
    beside += [correlation[(dy + one) % ny, dx] for one in (-BESIDE, BESIDE)]
    return max(beside) < OF_TOP * correlation[dy, dx]


def _peak(values, k):
    """Place of a maximum between the steps, by a parabola."""
    if k in (0, len(values) - 1):
        return float(k - LARGEST)
    before, top, after = values[k - 1 : k + 2]
    curvature = before - 2 * top + after
    return float(k - LARGEST + (np.clip((before - after) / (2 * curvature), -0.5, 0.5) if curvature < 0 else 0))
