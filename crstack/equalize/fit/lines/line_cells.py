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
#: approximate number of pixels whose deviations are computed at once
PIXELS = 1 << 18


class LineCells:
    """Cells of a row: halves of each, to test one with the other."""

    def __init__(self, size, length):
        n = max(round(size / length), 1)
        edges = np.linspace(0, size, 2 * n + 1).round().astype(int)
        self.starts, self._widths = edges[:-1], np.diff(edges)
        self.weights = np.float32(linear_weights((edges[2::2] + edges[:-2:2] - 1) / 2, size))
        # pixels before the first centre, and beyond the last one, with the part of the weights that extrapolates there
        ends = (slice(0, edges[1]), slice(edges[-2], size)) if n > 1 else ()
        self._ends = [(end, self.weights[end] - np.clip(self.weights[end], 0, 1)) for end in ends]

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
        for share, (end, beyond) in zip(slopes, self._ends, strict=False):
            image[:, end] -= (1 - share)[:, None] * (values @ beyond.T)
        return image


def deviations_in(residuals, regressor, variance, cells, bounds, share=None):
    """Deviations (N, ny, n, 2) of the halves of cells from the mean of the exposures, and their information.

    A ``share`` (N, ny, nx) of the regressor is subtracted from the residuals before, if it is given. Rows of all arrays
    are contiguous in memory. The information is the same for all exposures, (1, ny, n, 2), unless some residuals are
    not known.
    """
    ny, nx = regressor.shape
    found, unknown = np.empty((len(residuals), ny, len(cells.starts) // 2, 2)), np.isnan(residuals).any()
    information = np.empty_like(found) if unknown else np.empty((1, *found.shape[1:]))

    def work(rows):
        left = residuals[:, rows]
        if share is not None:
            left = left - share[:, rows] * regressor[rows]
        found[:, rows], information[:, rows] = _deviations_of_rows(
            left, regressor[rows], variance[rows], cells, bounds, unknown
        )

    map_threads(work, row_bands(ny, nx, PIXELS))
    if not unknown:
        return found - found.mean(axis=0), information
    known = information > 0
    return known * (found - found.sum(axis=0) / np.maximum(known.sum(axis=0), 1)), information


def _deviations_of_rows(residuals, regressor, variance, cells, bounds, unknown):
    """Deviations (N, k, n, 2) of the halves of cells in k rows, and their information; 0 where nothing is known.

    The information is that of all exposures, (1, k, n, 2), unless some residuals are ``unknown``.
    """
    weight = regressor / variance
    noise = CLIP * np.sqrt(variance)
    limits = {bound: _both_signs(noise + np.float32(bound) * regressor if bound else noise) for bound in {*bounds, 0.0}}
    of_all = _sums_of(weight, regressor, noise, cells)
    found = np.empty((len(residuals), len(regressor), len(cells.starts) // 2, 2))
    information = np.empty_like(found[: len(found) if unknown else 1])
    information[:] = of_all[0]
    for i, left in enumerate(residuals):
        own, sums, missing = weight, of_all, np.isnan(left) if unknown else np.False_
        if missing.any():
            own, left = np.where(missing, np.float32(0), weight), np.where(missing, np.float32(0), left)
            sums = _sums_of(own, regressor, noise, cells)
            information[i] = sums[0]
        found[i] = _Regression(regressor, own, cells, *sums[1:]).steps(left, limits, bounds)
    return found, information


def _both_signs(limit):
    """The limit below and the one above."""
    return -limit, limit


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

    def steps(self, left, limits, bounds):
        """Deviations (k, n, 2) of the halves of cells, in one step for each of the ``bounds`` of the residuals.

        The ``limits`` of the residuals are given by bound; those of the bound 0 are those of the noise.
        """
        sums = self._sums(left, limits[0.0])
        total = self._far(sums, left, limits[0.0])
        if total.any():
            left, sums = self._without(total, left), None
        for number, bound in enumerate(bounds):
            if number or bound or sums is None:
                sums = self._sums(left, limits[bound])
            step = sums * self.inverse
            total += step
            if number < len(bounds) - 1:
                left = self._without(step, left)
        return total

    def _sums(self, residual, limit, some=slice(None)):
        """Weighted sums (k, n, 2) of the residuals of ``some`` rows, which count up to a limit."""
        clipped = np.minimum(residual, limit[1])
        np.maximum(clipped, limit[0], out=clipped)
        return self.cells.halves(np.multiply(self.weight[some], clipped, out=clipped))

    def _without(self, deviations, residual, some=slice(None)):
        """Residuals of ``some`` rows without deviations (k, n, 2) of the halves of cells."""
        left = self.cells.spread_out(deviations)
        left *= self.regressor[some]
        return np.subtract(residual, left, out=left)

    def _far(self, sums, residual, limit):
        """Deviations (k, n, 2) of the halves of cells most of whose residuals are beyond a limit; 0 for others.

        The ``sums`` (k, n, 2) are those of residuals up to this limit. Residuals that count up to a limit reach a large
        deviation only slowly. So the limit is first a multiple of it.
        """
        found = np.zeros(self.inverse.shape)
        far = np.abs(sums) > self.large
        rows = far.any(axis=(1, 2)).nonzero()[0]
        if len(rows):
            left, most = residual[rows], [one[rows] for one in limit]
            for multiple in np.float32(MULTIPLES):
                of_rows = self._sums(left, [multiple * one for one in most], rows)
                step = np.where(far[rows], of_rows * self.inverse[rows], 0)
                found[rows] += step
                left = self._without(step, left, rows)
        return found
