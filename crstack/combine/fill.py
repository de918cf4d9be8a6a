"""Values for pixels without a clean measurement, from their neighbours."""

import numpy as np

from crstack.utils.pixels import some_true

__all__ = ["fill_from_neighbours"]

#: standard deviation (pixels) of the weights; it is doubled until enough neighbours are in reach
KERNEL = 1.0
#: terms of surfaces of degree 0, 1 and 2
TERMS = (1, 3, 6)
#: number of standard deviations at which the weights are cut
REACH = 2
#: largest noise of a fitted value relative to that of one pixel
MOST_NOISE = 1.0
#: most usable pixels that calibrate the errors, and fewest for a calibration
PIXELS_TO_CALIBRATE, FEWEST = 10_000, 100
#: larger pulls are due to hits and bad pixels
CLIP = 6.0
#: upper limit of the factor of the errors
HIGHEST = 100.0
#: number of values of neighbours that are processed at a time, so that they fit into the caches
VALUES_AT_ONCE = 1 << 18


def fill_from_neighbours(image, variance, where, unusable):
    """Interpolate pixels from their neighbours.

    Parameters
    ----------
    image, variance : `~numpy.ndarray`
        (ny, nx) values and their variances.
    where : `~numpy.ndarray` of bool
        (ny, nx), the pixels to fill.
    unusable : `~numpy.ndarray` of bool
        (ny, nx), other pixels whose values are excluded.

    Returns
    -------
    value, error : `~numpy.ndarray`
        float64 (n,), values at ``where`` and their variances; NaN if there is
        no usable pixel in the image.

    Notes
    -----
    The value is that of a quadratic surface, fitted to the neighbours with Gaussian weights (Cleveland and Devlin
    1988, J. Am. Stat. Assoc. 83, 596). If the neighbours do not determine it, as at an edge, a plane or their mean is
    used. The variance of the signal of the pixel is the noise of the fit plus the structure that the surface does not
    describe. The structure is estimated from the residuals of the neighbours. Its scale is calibrated by filling usable
    pixels of the image in the same way.
    """
    holes = where | unusable
    rows, columns = np.nonzero(where)
    if holes.all():
        return np.full((2, len(rows)), np.nan)
    surroundings = _Surroundings(image, variance, ~holes)
    value, noise, structure = surroundings.fitted(rows, columns)
    n_usable = holes.size - np.count_nonzero(holes)
    sample = some_true(~holes, np.arange(0, n_usable, max(n_usable // PIXELS_TO_CALIBRATE, 1)))
    place = np.unravel_index(sample, holes.shape)
    sample_value, sample_noise, sample_structure = surroundings.fitted(*place)
    scale = _structure_scale(image[place] - sample_value, sample_noise + variance[place], sample_structure)
    return value, noise + scale * structure


def _structure_scale(residual, noise, structure):
    """Factor of ``structure`` for which the residuals agree with their stated variance."""
    some = np.isfinite(residual)
    if np.count_nonzero(some) < FEWEST:
        return 1.0
    square, noise, structure = residual[some] ** 2, noise[some], structure[some]

    def excess(scale):
        pull2 = square / np.maximum(noise + scale * structure, np.finfo(float).tiny)
        return pull2[pull2 < CLIP**2].mean() - 1

    if excess(0.0) <= 0:
        return 0.0
    if excess(HIGHEST) > 0:
        return HIGHEST
    from scipy.optimize import brentq

    return brentq(excess, 0.0, HIGHEST, xtol=1e-3)


class _Surroundings:
    """Estimates of a pixel from its neighbours."""

    def __init__(self, image, variance, usable):
        self.usable, self.image, self.variance = usable, image, variance

    def fitted(self, rows, columns):
        """Value, variance by noise and by structure (n,) of some pixels, from their neighbours only."""
        answer = np.full((3, len(rows)), np.nan)
        width, left = KERNEL, np.arange(len(rows))
        while len(left) and width < 2 * max(self.usable.shape):
            at_once = max(int(VALUES_AT_ONCE / (2 * REACH * width + 1) ** 2), 1)
            for degree in (2, 1, 0):
                for start in range(0, len(left), at_once):
                    part = left[start : start + at_once]
                    answer[:, part] = self._fit(rows[part], columns[part], width, degree)
                left = left[np.isnan(answer[0, left])]
            width *= 2
        return answer

    def _fit(self, rows, columns, width, degree):
        """Surfaces of one degree; NaN where the neighbours do not determine them."""
        values, variance, weight, design = self._windows(rows, columns, width, degree)
        normal = np.einsum("mk,ki,kj->mij", weight, design, design)
        # a very small ridge: the solution of a singular system then has a large noise
        normal += 1e-9 * np.eye(design.shape[1])
        inverse = np.linalg.inv(normal)
        # the weights that give the value at the centre, and the residuals
        share = np.einsum("mi,ki,mk->mk", inverse[:, 0], design, weight)
        level = (values * weight).sum(axis=1, keepdims=True) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
        rest = np.where(weight > 0, values - level, 0)
        coefficients = np.einsum("mij,kj,mk->mi", inverse, design, weight * rest)
        residual = rest - coefficients @ design.T
        used = np.einsum("ki,mij,kj->mk", design, inverse, design) * weight
        total = weight.sum(axis=1)
        expected = (weight * variance * (1 - used)).sum(axis=1)
        structure = np.maximum((weight * residual**2).sum(axis=1) - expected, 0) / np.maximum(total, 1e-30)
        held = (total > 0) & ((share**2).sum(axis=1) <= MOST_NOISE) & (np.abs(share.sum(axis=1) - 1) < 1e-3)
        answer = np.stack([coefficients[:, 0] + level[:, 0], (share**2 * variance).sum(axis=1), structure])
        return np.where(held, answer, np.nan)

    def _windows(self, rows, columns, width, degree):
        """Values, variances and weights (m, k) around pixels, and the terms (k, p) of the surface."""
        reach = int(np.ceil(REACH * width))
        dy, dx = (one.ravel() for one in np.mgrid[-reach : reach + 1, -reach : reach + 1])
        beside = (dy != 0) | (dx != 0)
        dy, dx = dy[beside], dx[beside]
        row, column = rows[:, None] + dy, columns[:, None] + dx
        ny, nx = self.usable.shape
        inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
        place = np.where(inside, row, 0), np.where(inside, column, 0)
        usable = self.usable[place]
        values, variance = (np.where(usable, one[place], 0).astype(np.float64) for one in (self.image, self.variance))
        weight = (inside & usable) * np.exp(-(dy**2 + dx**2) / (2 * width**2))
        y, x = dy / width, dx / width
        terms = [np.ones_like(x), x, y, x**2, y**2, x * y][: TERMS[degree]]
        return values, variance, weight, np.stack(terms, axis=1)
