"""Lines along rows or columns that only one exposure has, such as trails. They are no terms along rows and columns."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_along_rows, median_of_values
from crstack.utils.memory import zero_image
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads

__all__ = ["OwnLine", "copied_bad", "lines_of_one_exposure", "with_own_lines"]

#: pixels along a line of a cell whose median is used; window (pixels) across a line in which its height is measured
CELL, ACROSS = 64, 51
#: least height of a line, in standard deviations of a pixel: fainter ones may be noise of the readout of whole rows
CLEAR = 3.0
#: first search: every so many pixels along and across, and least height; all pixels are used only if it finds a line
STEP, NEARLY_CLEAR = 5, 2.0
#: largest width (pixels) of a line, and least share of the cells that it crosses
WIDEST, CROSSES = 20, 0.5
#: the other exposures have the line too if its height in them is this share of its height, and this number of standard
#: errors. The share is that of a line of the sky that brightens
ALSO_IN_OTHERS, SEEN = 0.05, 5.0
#: rows on either side where the others may have the line, because exposures are shifted
SHIFTED = 2
#: least height in units of the scatter of the cells, and largest share of cells as low as the line is high: noise of
#: the readout of rows has both signs
OF_SCATTER, AS_LOW = 6.0, 0.5
#: an exposure that has a line of this share of the height elsewhere shows an object that was moved; this share of such
#: a line is one of both exposures
OF_MOVED, OF_BOTH = 0.3, 0.5
#: least height in the differences of the pixels, as a share of that of the medians
OF_PIXELS = 0.7
#: most lines of an exposure along one axis
MOST = 5
#: standard error of a median over that of a mean
OF_MEDIAN = 1.25
#: least height at the edges, in standard errors, and pixels that are added at each edge
EDGE, MARGIN = 3.0, 2


@dataclass(frozen=True, eq=False)
class OwnLine:
    """A line of light along the rows or columns that only one exposure has.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 0.
    axis : {"x", "y"}
        Axis along which it lies.
    height : float
        Height over the rows or columns beside it, electrons.
    pixels : tuple of (slice, slice)
        Boxes (rows, columns) that contain it.
    """

    exposure: int
    axis: str
    height: float
    pixels: tuple[tuple[slice, slice], ...]


def with_own_lines(levels, variance_of, bad):
    """The bad values together with the lines that only one exposure has.

    Parameters
    ----------
    levels, variance_of, bad
        As for `~crstack.equalize.measure_differences`.

    Returns
    -------
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx); the same object if there is no such line.
    """
    lines = lines_of_one_exposure(levels, variance_of)
    if not lines:
        return bad
    found = copied_bad(bad, levels.shape)
    for line in lines:
        for box in line.pixels:
            found[line.exposure, *box] = True
    return found


def copied_bad(bad, shape):
    """A copy of bad values (N, ny, nx), or of None, that may be changed."""
    found = zero_image(shape, bool)
    if bad is not None:
        for i in range(len(found)):
            found[i] = bad[i]
    return found


def lines_of_one_exposure(levels, variance_of):
    """Lines of light along rows or columns that only one exposure has, such as trails of satellites.

    Parameters
    ----------
    levels, variance_of
        As for `~crstack.equalize.measure_differences`.

    Returns
    -------
    lines : list of OwnLine

    Notes
    -----
    A line is a chain of cells of 64 pixels along a row or column that crosses half of the image. The median of a cell
    exceeds that of the cells beside it by 3 standard deviations of a pixel. The chain is narrow, and no line of another
    exposure is at its place, as lines of the sky are, or elsewhere with a similar height, as the traces of a nod are.
    The rows of an exposure whose readout has noise scatter, and many of them are too low.
    """
    if min(levels.shape[1:]) < ACROSS:
        return []
    some = _heights(levels, variance_of, STEP)
    if not any(_chains(one, i, NEARLY_CLEAR) for one in some for i in range(len(levels))):
        return []
    return [
        line
        for axis, heights in zip("xy", _heights(levels, variance_of), strict=True)
        for line in _lines_along(axis, heights, levels)
    ]


@dataclass(frozen=True, eq=False)
class _Heights:
    """Heights of cells over those beside them; rows are along the axis.

    Attributes
    ----------
    values : `~numpy.ndarray`
        (N, rows, cells) electrons.
    sigma : `~numpy.ndarray`
        (rows, cells) standard deviation of a pixel.
    starts : list of int
        First pixel of each cell, and the end of the last one.
    """

    values: np.ndarray
    sigma: np.ndarray
    starts: list[int]

    def error_of(self, rows, cells):
        """Standard error of the mean of the heights of some cells."""
        number = np.diff(self.starts)[cells]
        return OF_MEDIAN * float(np.sqrt((self.sigma[rows, cells] ** 2 / number).mean() / len(cells)))

    def beside(self, rows, cells):
        """Largest mean height (N,) of some cells, also if they are moved by a few rows together."""
        last = len(self.sigma) - 1
        moved = [np.clip(rows + step, 0, last) for step in range(-SHIFTED, SHIFTED + 1)]
        return np.max([self.values[:, one, cells].mean(axis=1) for one in moved], axis=0)


def _heights(levels, variance_of, step=1):
    """The `_Heights` along x and along y, from every so many pixels of a cell."""
    _, ny, nx = levels.shape
    of_rows, of_columns = (_starts(side) for side in (ny, nx))

    def work(k):
        rows = slice(of_rows[k], of_rows[k + 1])
        band = np.asarray(levels[:, rows])
        variance = np.broadcast_to(variance_of(band.min(axis=0), (rows, slice(None))), band.shape[1:])
        both = np.concatenate([band, variance[None].astype(band.dtype)])
        return _medians(both, of_columns, step), median_of_values(both[:, ::step], axis=1)

    parts = map_threads(work, range(len(of_rows) - 1))
    along_x = np.concatenate([one for one, _ in parts], axis=1)
    along_y = np.stack([one for _, one in parts], axis=2)
    return [
        _Heights(_over_beside(one[:-1], step), np.sqrt(one[-1]), starts)
        for one, starts in ((along_x, of_columns), (along_y, of_rows))
    ]


def _starts(side):
    """First pixel of each cell along a side, and its end."""
    return np.linspace(0, side, max(side // CELL, 1) + 1).round().astype(int).tolist()


def _medians(images, starts, step):
    """Medians (N, rows, cells) of images (N, rows, columns) in cells along the rows."""
    return np.stack([median_of_values(images[..., a:b:step], axis=-1) for a, b in pairwise(starts)], axis=-1)


def _over_beside(medians, step):
    """Medians (N, rows, cells) minus the medians of those across the axis, of every so many rows."""
    beside = median_along_rows(medians[:, ::step].swapaxes(1, 2), ACROSS // step | 1).swapaxes(1, 2)
    return medians - np.repeat(beside, step, axis=1)[:, : medians.shape[1]]


def _lines_along(axis, heights, levels):
    """The `OwnLine` of all exposures along an axis."""
    found = []
    for i in range(len(heights.values)):
        chains = [one for one in _chains(heights, i) if _is_own(heights, i, *one)]
        if len(chains) <= MOST:
            lines = [
                (_line(axis, heights, i, *one), _height_in_pixels(axis, heights, i, *one, levels)) for one in chains
            ]
            found += [line for line, height in lines if height > OF_PIXELS * line.height]
    return found


def _height_in_pixels(axis, heights, i, rows, cells, levels):
    """Height of a chain of cells in the differences of its pixels from those of the other exposures.

    The median of a cell with two levels, as one across the traces of spectra, changes a lot from one exposure to
    another.
    """
    found = []
    for row, cell in zip(rows.tolist(), cells.tolist(), strict=True):
        first = max(row - ACROSS // 2, 0)
        across = slice(first, min(row + ACROSS // 2 + 1, len(heights.sigma)))
        along = slice(heights.starts[cell], heights.starts[cell + 1])
        some = np.asarray(levels[:, across, along] if axis == "x" else levels[:, along, across].transpose(0, 2, 1))
        difference = median_of_values(some[i] - _middle_of_others(some, i), axis=-1)
        found.append(difference[row - first] - median_of_values(difference))
    return float(np.mean(found))


def _middle_of_others(values, i):
    """Median of the other exposures; the lower of two values in the middle."""
    others = np.delete(values, i, axis=0)
    return np.sort(others, axis=0)[(len(others) - 1) // 2]


def _chains(heights, i, least_height=CLEAR):
    """Rows and columns of the highest cells of the chains of an exposure along the axis, one for each column."""
    own, others = heights.values[i], np.delete(heights.values, i, axis=0)
    clear = (own > least_height * heights.sigma) & (others.max(axis=0) < own / 2)
    if not clear.any():
        return []
    # a line that is a little tilted goes on two rows beside
    labels, _ = ndimage.label(ndimage.binary_dilation(clear, np.ones((3, 1), bool)), np.ones((3, 3)))
    least, chains = _fewest_cells(own), []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        some = clear[box] & (labels[box] == number)
        cells = np.flatnonzero(some.any(axis=0))
        if len(cells) >= least and some.sum(axis=0).max() <= WIDEST:
            rows = np.where(some, own[box], -np.inf).argmax(axis=0)[cells]
            chains.append((rows + box[0].start, cells + box[1].start))
    return chains


def _fewest_cells(own):
    """Fewest cells of a line: one is enough only where there is no other."""
    n = own.shape[1]
    return max(CROSSES * n, min(n, 2))


def _is_own(heights, i, rows, cells):
    """Whether a chain of cells is no line of the others, no object that was moved, and no noise of the readout."""
    own = heights.values[i]
    height = float(own[rows, cells].mean())
    others = np.delete(heights.values, i, axis=0)
    beside = np.delete(heights.beside(rows, cells), i)
    if (beside > max(ALSO_IN_OTHERS * height, SEEN * heights.error_of(rows, cells))).any():
        return False
    near = ndimage.maximum_filter1d(own, 2 * SHIFTED + 1, axis=0, mode="nearest")
    least = _fewest_cells(own)
    for other in others:
        elsewhere = (other > OF_MOVED * height) & (other > CLEAR * heights.sigma) & (near < OF_BOTH * other)
        if elsewhere.sum(axis=1).max() >= least:
            return False
    excess = own - _middle_of_others(heights.values, i)
    scatter = SIGMA_PER_MAD * median_of_values(np.abs(excess - median_of_values(excess)))
    low = np.count_nonzero((excess < -height / 2) & (excess < -CLEAR * heights.sigma))
    return bool(height > OF_SCATTER * scatter and low <= AS_LOW * len(cells))


def _line(axis, heights, i, rows, cells):
    """The `OwnLine` along a chain of cells, to its faint edges."""
    own = heights.values[i]
    height = float(own[rows, cells].mean())
    error = heights.error_of(rows, cells)
    first, last = (_edge(own, rows, cells, step, EDGE * error) for step in (-1, 1))
    n, boxes = own.shape[1], []
    for k in range(n):
        # between and beyond the cells of the chain it goes on straight
        places = rows[np.abs(cells - k) <= max(np.abs(cells - k).min(), 1)]
        across = slice(max(int(places.min()) - first - MARGIN, 0), int(places.max()) + last + MARGIN + 1)
        along = slice(heights.starts[k], heights.starts[k + 1])
        boxes.append((across, along) if axis == "x" else (along, across))
    return OwnLine(i, axis, height, tuple(boxes))


def _edge(own, rows, cells, step, least):
    """Number of rows on one side of a chain of cells to which its light reaches."""
    for distance in range(1, WIDEST + 1):
        place = rows + step * distance
        inside = (place >= 0) & (place < len(own))
        if not inside.any() or own[place[inside], cells[inside]].mean() < least:
            return distance - 1
    return WIDEST
