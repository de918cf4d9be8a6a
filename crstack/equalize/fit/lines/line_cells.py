"""Cells along the rows of an image, and the deviations of the exposures in them."""

from dataclasses import dataclass

import numpy as np

from crstack.equalize.fit.surfaces import linear_weights
from crstack.utils.threads import map_threads, row_bands

__all__ = ["LineCells", "deviations_in"]

#: standard deviations of noise up to which a value counts in full
CLIP = 3.0
#: the deviation of a cell is large if the sum of its residuals reaches this share of the limit; the limit is then first
#: raised by these factors
FAR, MULTIPLES = 0.6, (64.0, 16.0, 4.0)
#: approximate number of pixels whose deviations are computed at once, in the caches
PIXELS = 1 << 15


class LineCells:
    """Cells of a row: halves of each, to test one with the other."""

    def __init__(self, size, length):
        n = max(round(size / length), 1)
        edges = np.linspace(0, size, 2 * n + 1).round().astype(int)
        self.starts, self._widths = edges[:-1], np.diff(edges)
        self.weights = np.float32(linear_weights((edges[2::2] + edges[:-2:2] - 1) / 2, size))
        # pixels before the first centre, and beyond the last one
        self.ends = slice(0, edges[1]), slice(edges[-2], size)

    def halves(self, image):
        """Sums (ny, n, 2) over the halves of the cells."""
        # sums of pairs, so that the rounding of single precision is small
        sums = np.add.reduceat(image, self.starts, axis=1)
        return sums.reshape(len(image), -1, 2).astype(np.float64)

    def spread_out(self, halves):
        """Images of values (ny, n, 2) of the halves of cells."""
        return np.repeat(halves.reshape(len(halves), -1).astype(np.float32), self._widths, axis=1)

    def interpolate(self, values, slopes):
        """Images of values (ny, n) at the centres of the cells.

        Beyond the first and the last centre, the slopes between the two cells of that end continue with some shares
        (2, ny).
        """
        values, slopes = np.float32(values), np.float32(slopes)
        image = values @ self.weights.T
        for share, end in zip(slopes, self.ends, strict=True):
            weights = self.weights[end]
            image[:, end] -= (1 - share)[:, None] * (values @ (weights - np.clip(weights, 0, 1)).T)
        return image


def deviations_in(residuals, regressor, variance, cells, bounds):
    """Deviations (N, ny, n, 2) of the halves of cells from the mean of the exposures, and their information.

    The information is the same for all exposures, (1, ny, n, 2), unless some residuals are not known.
    """
    ny, nx = regressor.shape
    found = np.empty((len(residuals), ny, len(cells.starts) // 2, 2))
    information = np.empty_like(found) if np.isnan(residuals).any() else np.empty((1, *found.shape[1:]))

    def work(rows):
        # contiguous in memory, also where the rows are columns of the image
        some = [np.ascontiguousarray(one[..., rows, :]) for one in (residuals, regressor, variance)]
        found[:, rows], information[:, rows] = _deviations_of_rows(*some, cells, bounds)

    map_threads(work, row_bands(ny, nx, PIXELS))
    if len(information) == 1:
        return found - found.mean(axis=0), information
    known = information > 0
    return known * (found - found.sum(axis=0) / np.maximum(known.sum(axis=0), 1)), information


def _deviations_of_rows(residuals, regressor, variance, cells, bounds):
    """Deviations (N, k, n, 2) of the halves of cells in k rows, and their information; 0 where nothing is known."""
    weight = regressor / variance
    noise = CLIP * np.sqrt(variance)
    limits = [noise + np.float32(bound) * regressor if bound else noise for bound in bounds]
    of_all = _sums_of(weight, regressor, noise, cells)
    found = np.empty((len(residuals), len(regressor), len(cells.starts) // 2, 2))
    information, known = np.empty_like(found), True
    for left, total, each in zip(residuals, found, information, strict=True):
        own, sums, missing = weight, of_all, np.isnan(left)
        if missing.any():
            known = False
            own, left = np.where(missing, np.float32(0), weight), np.where(missing, np.float32(0), left)
            sums = _sums_of(own, regressor, noise, cells)
        each[...], inverse, far = sums
        total[...] = _Regression(regressor, own, cells, inverse, far).steps(left, limits, noise)
    return found, information[:1] if known else information


def _sums_of(weight, regressor, noise, cells):
    """Information of the halves of cells, its inverse, and the sums of residuals above which a deviation is large."""
    information = cells.halves(weight * regressor)
    known = information > 0
    inverse = np.where(known, 1 / np.where(known, information, 1), 0)
    return information, inverse, FAR * cells.halves(weight * noise)


@dataclass(frozen=True, eq=False)
class _Regression:
    """Linear regression of the residuals of one exposure in the halves of cells.

    Attributes
    ----------
    regressor, weight : `~numpy.ndarray`
        (k, nx) the term, and its weight: 0 where the residual is not known.
    cells : LineCells
        The cells.
    inverse : `~numpy.ndarray`
        (k, n, 2) inverse of the information of each half.
    large : `~numpy.ndarray`
        (k, n, 2) sums of residuals above which a deviation is large.
    """

    regressor: np.ndarray
    weight: np.ndarray
    cells: LineCells
    inverse: np.ndarray
    large: np.ndarray

    def steps(self, left, limits, noise):
        """Deviations (k, n, 2) of the halves of cells, in one step for each limit of the residuals."""
        clipped = np.empty_like(self.regressor)
        total = self._far(left, noise)
        if total.any():
            left = left - self.cells.spread_out(total) * self.regressor
        for number, limit in enumerate(limits):
            _clipped(left, limit, out=clipped)
            step = self.cells.halves(np.multiply(self.weight, clipped, out=clipped)) * self.inverse
            total += step
            if number < len(limits) - 1:
                left = left - self.cells.spread_out(step) * self.regressor
        return total

    def _far(self, residual, limit):
        """Deviations (k, n, 2) of the halves of cells most of whose residuals are beyond a limit; 0 for others.

        Residuals that count up to a limit reach a large deviation only slowly. So the limit is first a multiple of it.
        """
        found = np.zeros(self.inverse.shape)
        far = np.abs(self.cells.halves(self.weight * _clipped(residual, limit))) > self.large
        rows = far.any(axis=(1, 2)).nonzero()[0]
        if len(rows):
            left, most = residual[rows], limit[rows]
            for multiple in np.float32(MULTIPLES):
                clipped = _clipped(left, multiple * most)
                step = np.where(far[rows], self.cells.halves(self.weight[rows] * clipped) * self.inverse[rows], 0)
                found[rows] += step
                left = left - self.cells.spread_out(step) * self.regressor[rows]
        return found


def _clipped(values, limit, out=None):
    """`numpy.clip` to a limit of either sign, several times faster for arrays."""
    return np.maximum(np.minimum(values, limit, out=out), -limit, out=out)
