"""Normal equations of the fit of kernels, with weights that hits do not change."""

from dataclasses import dataclass, replace

import numpy as np

from crstack.equalize.fit.kernels.kernel_terms import DERIVATIVE, LARGEST_REACH, KernelTerms, split_kernel
from crstack.utils.medians import median_of_values
from crstack.utils.threads import map_threads

__all__ = ["NormalEquations", "drift_rows"]

#: prior standard deviation of a coefficient at a distance of one pixel; it falls as the square of the distance. It
#: limits coefficients that the image does not determine
PRIOR = 0.1
#: rounds of robust weights, and standard deviations above which the weight of a residual decreases
ROUNDS, HUBER = 3, 2.0
#: residual of the kernel in the first round, as a share of the contrast squared
FIRST_SHARE = 0.3**2
#: median of the square of a standard normal number
MEDIAN_OF_SQUARE = 0.455
#: quantile of the contrast above which pixels measure the residual of the kernel
OF_CONTRAST = 0.8
#: a value this number of standard deviations too high is hit and has no weight. The standard deviation includes this
#: share of the contrast or more; the second share is used if the first leaves out the cores of stars as hits
HIT, SHARE_OF_HIT, SHARE_OF_SHARP = 4.0, 0.05, 0.3
#: hits are as frequent where the contrast is highest as elsewhere, or less. With more than this factor, and this number
#: in addition, they may be cores of stars
AS_FREQUENT, FEW_HITS = 1.5, 5
#: they are, if the second moments of stars are smaller by this number (square pixels) than in the common image
SHARPER = 0.3


def drift_rows(surroundings, positions):
    """Effect (4, M) of shifts along x and y that change along x and y."""
    size = int(np.sqrt(len(surroundings)))
    middle, found = size * size // 2, []
    for step in (1, size):
        slope = sum(
            part * (surroundings[middle + k * step] - surroundings[middle - k * step])
            for k, part in enumerate(DERIVATIVE, start=1)
        )
        found += [slope * place for place in positions]
    return np.array(found)


def _design(surroundings, positions, rows_of_place):
    """Rows of the design: steps of the kernel, its changes over the image, and a constant."""
    one = np.ones((1, surroundings.shape[1]))
    of_place = [] if positions is None else [rows_of_place(surroundings, positions)]
    return np.concatenate([surroundings, *of_place, one]).astype(np.float64)


class NormalEquations:
    """Normal equations of each half of the image, for steps of the kernel, its changes over the image, and a constant.

    The changes over the image are those of the shift, or those of other ``rows_of_place(surroundings, positions)``. If
    ``allows_sharp`` is set, an exposure may be much sharper than the common image: the cores of all stars then look
    hit. A fit without them does not describe them, so that they look hit again. The ``weights`` (N, M) of the pixels
    are those of a robust fit if they are not given.
    """

    def __init__(self, pixels, least_share, allows_sharp=False, rows_of_place=drift_rows, weights=None):
        size = pixels.size
        designs = [_design(one, pixels.positions, rows_of_place) for one in pixels.surroundings]
        self.n_drifts = len(designs[0]) - size**2 - 1
        rows = self._rows(KernelTerms(LARGEST_REACH).basis(size), pixels.positions is not None)
        # rows of the design in each half of the image, for one design or for that of each exposure
        parts = [[(one, design[:, one]) for one in (pixels.folds, ~pixels.folds)] for design in designs]
        if len(designs) == 1:
            designs, parts = designs * len(pixels.targets), parts * len(pixels.targets)
        square = pixels.structure.astype(np.float64) ** 2
        robust = _RobustFit(*rows, square, square > np.quantile(square, OF_CONTRAST), least_share)

        def sums_of(target, variance, design, halves):
            weight, hit = robust.weights(target, variance, design, SHARE_OF_HIT)
            sums = _sums(target, weight, halves)
            if allows_sharp and _more_on_contrast(hit, np.isfinite(target), robust.highest):
                of_sharp = robust.weights(target, variance, design, SHARE_OF_SHARP)[0]
                sums_of_sharp = _sums(target, of_sharp, halves)
                if self._is_sharper(*sums_of_sharp, size):
                    weight, sums = of_sharp, sums_of_sharp
            return weight, *sums

        if weights is None:
            each = zip(pixels.targets, pixels.variances, designs, parts, strict=True)
            found = map_threads(lambda one: sums_of(*one), each)
        else:
            each = zip(pixels.targets, weights, parts, strict=True)
            found = map_threads(lambda one: (one[1], *_sums(*one)), each)
        self.weights, self.matrices, self.vectors = zip(*found, strict=True)

    def _is_sharper(self, matrices, vectors, size):
        """Whether the stars of an exposure are much sharper than those of the common image, by a fit."""
        basis = KernelTerms(LARGEST_REACH, True, False, True, round=True).basis(size)
        rows, prior = self._rows(basis)
        found = np.linalg.solve(rows @ sum(matrices) @ rows.T + prior, rows @ sum(vectors))
        xx, yy = split_kernel((found[:-1] @ basis.reshape(len(basis), -1)).reshape(size, size))[3:5]
        return (xx + yy) / 2 < -SHARPER

    def _rows(self, basis, drifting=False):
        """Values of the design that each coefficient multiplies, and inverse variances of the prior."""
        used, size = self.n_drifts * drifting, basis.shape[1] ** 2
        rows = np.zeros((len(basis) + used + 1, size + self.n_drifts + 1))
        rows[: len(basis), :size] = basis.reshape(len(basis), size)
        rows[len(basis) : -1, size : size + used] = np.eye(used)
        rows[-1, -1] = 1
        prior = np.full(len(rows), 1 / PRIOR**2)
        prior[: len(basis)] *= _farthest(basis) ** 4
        prior[-1] = 1e-12
        return rows, np.diag(prior)

    def gain(self, basis, drifting=False):
        """Decrease of chi squared of all exposures in each half, by the fit to the other half."""
        total = 0.0
        some, none = self._rows(basis, drifting), self._rows(basis[:0])
        for matrices, vectors in zip(self.matrices, self.vectors, strict=True):
            for one, other in ((0, 1), (1, 0)):
                halves = matrices, vectors, one, other
                total += _decrease_of_chi2(*halves, *some) - _decrease_of_chi2(*halves, *none)
        return total

    def solution(self, i, basis, drifting=False):
        """Kernel of exposure ``i``, its covariance, and the coefficients of its changes over the image."""
        rows, prior = self._rows(basis, drifting)
        matrix, vector = sum(self.matrices[i]), sum(self.vectors[i])
        inverse = np.linalg.inv(rows @ matrix @ rows.T + prior)
        coefficients = inverse @ (rows @ vector)
        size, n = basis.shape[1], len(basis)
        wide = basis.reshape(n, -1)
        kernel = (coefficients[:n] @ wide).reshape(size, size)
        return kernel, wide.T @ inverse[:n, :n] @ wide, coefficients[n:-1]

    def with_wide_seeing(self, terms, kernels):
        """Covariance (N, size * size, size * size) of kernels, because the seeing may change more than they describe.

        It is estimated from the differences to kernels with a seeing of the largest reach. A kernel of a short reach
        does not describe the light that a worse seeing moves into the wings of stars. In its sum, which is the
        throughput, a part of this light is missing.
        """
        same = terms.round or not terms.seeing  # in all directions
        basis = replace(terms, reach=LARGEST_REACH, seeing=True, round=same).basis(kernels.shape[1])
        missing = np.stack([self.solution(i, basis)[0] for i in range(len(kernels))]) - kernels
        missing = (missing - missing.mean(axis=0)).reshape(len(kernels), -1)
        return missing[:, :, None] * missing[:, None, :]


def _decrease_of_chi2(matrices, vectors, one, other, rows, prior):
    """Decrease of chi squared in the half ``other`` of the image by the fit to the half ``one``."""
    found = np.linalg.solve(rows @ matrices[one] @ rows.T + prior, rows @ vectors[one])
    found = found @ rows
    return 2 * found @ vectors[other] - found @ matrices[other] @ found


def _farthest(basis):
    """Distance (pixels) of the farthest step of each kernel, at least 1: the prior of distant steps is small."""
    size = basis.shape[1]
    dy, dx = np.mgrid[:size, :size] - size // 2
    return np.sqrt(np.where(basis != 0, dx**2 + dy**2, 1).max(axis=(1, 2), initial=1))


def _sums(target, weight, halves):
    """Matrices and vectors of the normal equations of both halves of the image."""
    known = np.where(np.isfinite(target), target, 0)
    matrices = [_weighted_square(half, weight[one]) for one, half in halves]
    return matrices, [half @ (weight * known)[one] for one, half in halves]


def _weighted_square(design, weight):
    """The matrix ``design @ diag(weight) @ design.T``, as a product with its own transpose, which is faster."""
    scaled = design * np.sqrt(weight)
    return scaled @ scaled.T


def _more_on_contrast(hit, known, highest):
    """Whether hits are more frequent where the contrast is highest than in the other known pixels (bool arrays)."""
    expected = np.count_nonzero(hit & ~highest) * np.count_nonzero(known & highest)
    expected /= max(np.count_nonzero(known & ~highest), 1)
    return np.count_nonzero(hit & highest) > AS_FREQUENT * expected + FEW_HITS


@dataclass(frozen=True, eq=False)
class _RobustFit:
    """A fit that hits do not change, for the weights of the pixels.

    Attributes
    ----------
    rows, prior : `~numpy.ndarray`
        Values of the design that each coefficient multiplies, and inverse variances of the prior.
    square : `~numpy.ndarray`
        Square of the contrast in each pixel.
    highest : `~numpy.ndarray` of bool
        Pixels where it is highest.
    least_share : float
        Least residual of the kernel, as a share of the contrast.
    """

    rows: np.ndarray
    prior: np.ndarray
    square: np.ndarray
    highest: np.ndarray
    least_share: float

    def weights(self, target, variance, design, share_of_hit):
        """Weights of the pixels: Huber's, and 0 for hits; the variance includes the residual of the kernel. And the
        hits, which exceed a share of the contrast or more."""
        known = np.isfinite(target)
        value = np.where(known, target, 0.0)
        left = FIRST_SHARE
        weight, hit = self._weights_of(value, known, variance, left, share_of_hit)
        for _ in range(ROUNDS - 1):
            residual = self._residual(value, weight, design)
            share = _structure_share(residual, variance, self.square, known & self.highest)
            left = max(min(share, left), self.least_share**2)
            weight, hit = self._weights_of(residual, known, variance, left, share_of_hit)
        return weight, hit

    def _weights_of(self, residual, known, variance, left, share_of_hit):
        """Weights of residuals, and the hits, where the kernel leaves a share ``left`` of the squared contrast."""
        sigma = np.sqrt(variance + left * self.square)
        # a residual in the core of a star is not a hit
        hit = known & (residual > HIT * np.sqrt(variance + max(left, share_of_hit**2) * self.square))
        return np.where(known & ~hit, 1 / np.maximum(np.abs(residual / sigma) / HUBER, 1), 0) / sigma**2, hit

    def _residual(self, value, weight, design):
        """Values (M,) minus the fit of some weights to them."""
        rows, side = self.rows, _weighted_square(design, weight)
        found = np.linalg.solve(rows @ side @ rows.T + self.prior, rows @ (design @ (weight * value)))
        return value - (found @ rows) @ design


def _structure_share(residual, variance, square, some):
    """Residual variance over the square of the contrast, in some pixels."""
    if not some.any():
        return 0.0
    over = residual[some] ** 2 / MEDIAN_OF_SQUARE - variance[some]
    return float(max(median_of_values(over / square[some]), 0.0))
