"""Terms that vary slowly along the rows or the columns: throughput of traces and fibres, and lines of the sky.

A term is a number for each cell of one row (or column) and a given length: an additional part of the common image in
an exposure, or an added level.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.lines.bad_cells import complete
from crstack.equalize.fit.lines.line_cells import LineCells, deviations_in
from crstack.utils.threads import contiguous, map_threads, row_bands

__all__ = ["LENGTHS", "LINES", "LineTerm", "fit_lines", "fit_whole", "lines_gain"]

#: lengths (pixels) of the cells after that of the whole row, longest first
LENGTHS = (512, 128, 32)
#: difference of a value beyond the noise that counts in full, as a share of the signal: in the rounds of the first
#: length, and in those of the others
FIRST_BOUNDS, BOUNDS = (0.5, 0.15, 0.04, 0.0), (0.0, 0.0)
#: rows over which the spread is averaged, on either side
NEARBY = 1
#: mean weight of the value of a cell in its own pixels, which are interpolated between cells
OWN_WEIGHT = 0.75
#: least spread of a row in standard errors
SIGNIFICANCE = 4.0
#: largest decrease of chi squared in a cell that counts, relative to the mean of the others of its row
MOST_OF_CELL = 3.0
#: number of pixels with light in a row below which a hit may cover most of them, and share of such rows that may be hit
FEW, HIT_ROWS = 24, 0.05


@dataclass(frozen=True)
class LineTerm:
    """A term that varies slowly along the rows or the columns.

    Parameters
    ----------
    axis : {"x", "y"}
        Axis along which it is smooth.
    setting : {"response", "whole", "object", "backgrounds", "sky", "slit"}
        Whether it is a throughput, one throughput of all light but the lines that cross the axis, one throughput of all
        of the object that crosses the axis, an added level, a change of the lines that are straight along the axis, or
        one of the light that fills slits along the axis.
    length : int, optional
        Length of the slits, pixels.
    """

    axis: str
    setting: str
    length: int = 0

    @property
    def name(self):
        """The parameter of the user that it belongs to."""
        return "response" if self.setting in ("response", "whole", "object") else "backgrounds"

    @property
    def crosses(self):
        """Axis that it is not smooth along."""
        return "y" if self.axis == "x" else "x"

    @property
    def words(self):
        """Readable text."""
        if self.setting == "slit":
            return f"brightness of the sky in slits of {self.length} pixels along {self.axis}"
        if self.setting == "whole":
            return "response of the whole object"
        if self.setting == "object":
            return f"response of the object in each {'row' if self.axis == 'x' else 'column'}"
        what = {"response": "response", "backgrounds": "added level", "sky": "brightness of the sky"}[self.setting]
        return f"{what} of each {'row' if self.axis == 'x' else 'column'} along {self.axis}"

    def arrays(self, residuals, regressor, variance, course=None):
        """Residuals, regressor and variance with the rows along the axis, or along the course of its lines.

        An object may cover few pixels of a row, so that the halves of its row are every other pixel.
        """
        arrays = residuals, regressor, variance
        if self.axis == "y":
            arrays = residuals.transpose(0, 2, 1), regressor.T, variance.T
        if course is not None:
            # beyond the edges of the image there is no light of the term
            arrays = tuple(
                course.taken(one.swapaxes(-2, -1), beyond).swapaxes(-2, -1)
                for one, beyond in zip(arrays, (0, 0, 1), strict=True)
            )
        if self.setting == "object":
            arrays = tuple(np.concatenate((one[..., ::2], one[..., 1::2]), axis=-1) for one in arrays)
        return arrays

    def fit(self, residuals, regressor, variance, course=None):
        """Additional share of a regressor in each exposure, and the effective number of fitted values."""
        arrays = self.arrays(residuals, regressor, variance, course)
        if self.setting in ("slit", "whole"):
            return fit_whole(*arrays)
        lengths = () if self.setting == "object" else LENGTHS
        share, freedom = fit_lines(*arrays, lengths=lengths, continued=course is not None)
        if course is not None:
            share = np.stack([course.bent(one.T).T for one in share])
        return contiguous(share.transpose(0, 2, 1)) if self.axis == "y" else share, freedom


LINES = tuple(LineTerm(axis, setting) for axis in "xy" for setting in ("response", "backgrounds", "sky"))


def _whole(halves, information):
    """Values of cells from those of their halves."""
    return (halves * information).sum(axis=-1) / np.maximum(information.sum(axis=-1), 1e-30)


def _spread(deviations, information):
    """Variance (ny,) of the true deviations in each row, from the covariance of the halves of cells; 0 if
    uncertain."""
    both = information[..., 0] * information[..., 1]
    both = np.where(both > 0, both / np.maximum(information.sum(axis=-1), 1e-30), 0)
    products, n = deviations[..., 0] * deviations[..., 1], len(deviations)
    noise = np.where(both > 0, 1 / np.maximum(information.prod(axis=-1), 1e-30), 0)
    # the exposures of one information count N times
    times, size = n / len(information), 2 * NEARBY + 1
    total, error2, sums = (
        size * ndimage.uniform_filter1d(one.sum(axis=(0, -1)), size, mode="nearest")
        for one in (both * products / (n - 1), both**2 * noise * (times / (n * (n - 1))), both * (times / n))
    )
    spread = np.where(sums > 0, total / np.maximum(sums, 1e-30), 0)
    return np.where(total > SIGNIFICANCE * np.sqrt(np.maximum(error2, 0)), np.maximum(spread, 0), 0)


def _slopes_beyond(deviations, information):
    """Shares (2, ny) of the slopes between the two first and the two last cells that continue to the edges.

    Where a tilted line leaves the image, its level changes beyond the last centre as well. If a slope between two cells
    is noise, it does not continue. The halves of the last cell show this, because the noise of their difference is
    independent of that of their mean. A share that is not significant is 0.
    """
    whole = _whole(deviations, information)
    shares = np.zeros((2, information.shape[-3]))
    if whole.shape[-1] == 1:
        return shares
    size = 2 * NEARBY + 1
    for share, (end, next_one), (outer, inner) in zip(shares, ((0, 1), (-1, -2)), ((0, 1), (1, 0)), strict=True):
        of_halves = information[..., end, :]
        weight = of_halves.prod(axis=-1) / np.maximum(of_halves.sum(axis=-1), 1e-30)
        # the centres of the halves are half a cell apart
        expected = 0.5 * (whole[..., end] - whole[..., next_one])
        found = deviations[..., end, outer] - deviations[..., end, inner]
        product, square = (
            size * ndimage.uniform_filter1d((weight * one).sum(axis=0), size, mode="nearest")
            for one in (found * expected, expected**2)
        )
        square = np.maximum(square, 1e-30)
        share[:] = np.where(product > SIGNIFICANCE * np.sqrt(square), np.minimum(product / square, 1), 0)
    return shares


def _continued(values, information):
    """Values (N, ny, n) of cells, of which those without information, (1 or N, ny, n), take that of the nearest."""
    cells = np.arange(values.shape[-1])
    distances = np.abs(cells[:, None] - cells) + np.where(information > 0, 0.0, np.inf)[..., None, :]
    nearest = np.broadcast_to(distances.argmin(axis=-1), values.shape)
    return np.take_along_axis(values, nearest, axis=-1)


def fit_whole(residuals, regressor, variance):
    """Additional share (N, 1, 1) of a regressor in each exposure, the same in all of the image; see `fit_lines`."""
    arrays = (np.ascontiguousarray(one).reshape(*one.shape[:-2], 1, -1) for one in (residuals, regressor, variance))
    share, freedom = fit_lines(*arrays, lengths=())
    return share[:, :, :1], freedom


def lines_gain(residuals, regressor, variance, length):
    """Decrease of chi squared in one half of each cell with the fit to the other half.

    Parameters
    ----------
    residuals : `~numpy.ndarray`
        (N, ny, nx) exposures minus their expected images; NaN where they are not known.
    regressor, variance : `~numpy.ndarray`
        (ny, nx) the fitted term, and variance of a residual.
    length : float
        Length of the cells, pixels along the rows.

    Returns
    -------
    gain, along : float
        In all cells, and where the largest decrease of a cell counts up to three times the mean of the other cells of
        its row.

    Notes
    -----
    A star between the halves of a cell shows the same residual in both. This decrease is in one cell of its rows, while
    that of a trace, a fibre or a line of the sky goes on along them. Where few pixels of the rows have light, as across
    a trace, the rows with the largest decreases do not count, because they may be hit.
    """
    residuals, regressor, variance = map(contiguous, (residuals, regressor, variance))
    cells = LineCells(regressor.shape[1], length)
    deviations, information = deviations_in(residuals, regressor, variance, cells, FIRST_BOUNDS)
    spread = _spread(deviations, information)[:, None, None]
    shrunk = deviations * (spread * information / (1 + spread * information))
    other = shrunk[..., ::-1]
    of_cells = (information * (2 * other * deviations - other**2)).sum(axis=(0, -1))
    of_cells = _without_hits(of_cells, regressor, variance, cells)
    total = float(of_cells.sum())
    if of_cells.shape[-1] == 1:
        return total, total
    largest = of_cells.max(axis=-1)
    others = of_cells.sum(axis=-1) - largest
    most = MOST_OF_CELL * np.maximum(others, 0) / (of_cells.shape[-1] - 1)
    return total, float((others + np.minimum(largest, most)).sum())


def _without_hits(gains, regressor, variance, cells):
    """Decreases of chi squared in cells (ny, n), without the largest ones of rows in which few pixels have light.

    There, a hit that covers these pixels looks like a change of the row.
    """
    weight = regressor**2 / variance
    square = cells.halves(weight**2).sum(axis=(1, 2))
    pixels = np.where(square > 0, cells.halves(weight).sum(axis=(1, 2)) ** 2 / np.maximum(square, 1e-30), np.inf)
    short = np.flatnonzero(pixels < FEW)
    if not len(short):
        return gains
    kept, of_rows = gains.copy(), gains.sum(axis=1)[short]
    kept[short[np.argsort(of_rows)[len(short) - int(np.ceil(HIT_ROWS * len(short))) :]]] = 0
    return kept


def fit_lines(residuals, regressor, variance, lengths=LENGTHS, *, continued=False):
    """Additional share of a regressor in each exposure.

    Parameters
    ----------
    residuals, regressor, variance
        As for `lines_gain`.
    lengths : sequence of float, optional
        Of cells after the whole row, longest first.
    continued : bool, optional
        Whether cells without light take the value of the nearest cell of their row that has some, as where a line goes
        on beyond the edge of the image.

    Returns
    -------
    share : `~numpy.ndarray`
        float32 (N, ny, nx), smooth along the rows; the mean of the exposures is 0.
    freedom : float
        Effective number of fitted values: the trace of the matrix that gives the share from the residuals.

    Notes
    -----
    Each length measures the residual of the longer ones. A deviation of variance 1 / info is multiplied by
    t / (t + 1 / info). The spread t of the true deviations of a row is the covariance of the halves of its cells.
    Beyond the first and the last centre, a slope continues as far as the halves of these cells show it.
    Cells in which an exposure has no valid values take its deviation from the rows beside them.
    """
    nx = regressor.shape[1]
    # the rows may be columns of the image
    residuals, regressor, variance = map(contiguous, (residuals, regressor, variance))
    share, freedom = np.empty(residuals.shape, np.float32), np.zeros(len(regressor))
    bounds, changed = FIRST_BOUNDS, False
    for length in (nx, *(one for one in lengths if one < nx)):
        cells = LineCells(nx, length)
        deviations, information = deviations_in(
            residuals, regressor, variance, cells, bounds, share if changed else None
        )
        spread = _spread(deviations, information)[:, None]
        if len(information) > 1:
            most = spread[..., None] * information.max(axis=0)
            deviations, information = complete(deviations, information, most / (1 + most))
        both = information.sum(axis=-1)
        whole = _whole(deviations, information)
        if spread.any():
            factors = spread * both / (1 + spread * both)
            slopes, values_of = _slopes_beyond(deviations, information), whole * factors
            if continued:
                values_of = _continued(values_of, both)
            _add_interpolated(share, cells, values_of, slopes, changed)
            changed = True
            # short cells also describe what longer ones do
            factors = factors.mean(axis=0)
            freedom = freedom * (1 - factors.mean(axis=1)) + factors.sum(axis=1)
        bounds = BOUNDS
    if not changed:
        share[...] = 0
    # the mean of the deviations of the exposures is 0
    return share, (len(residuals) - 1) * OWN_WEIGHT * float(freedom.sum())


def _add_interpolated(share, cells, values_of, slopes, to_others):
    """Fill shares (N, ny, nx) with the values (N, ny, n) of cells, or add these ``to_others``, in place."""

    def work(rows):
        for one, values in zip(share, values_of, strict=True):
            image = cells.interpolate(values[rows], slopes[:, rows])
            if to_others:
                one[rows] += image
            else:
                one[rows] = image

    map_threads(work, row_bands(*share.shape[1:]))
