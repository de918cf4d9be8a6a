"""Throughput, shift and seeing of an exposure: the kernel from the common image to it.

Alard and Lupton (1998, ApJ 503, 325) match the seeing of two images with a kernel that is fitted by linear least
squares. Its sum is the throughput, its odd part a shift, its even part a change of seeing.
"""

from dataclasses import dataclass, replace

import numpy as np

from crstack.equalize.fit.kernel_terms import (
    DERIVATIVE,
    FLUX,
    FLUX_AND_SEEING,
    LARGEST_REACH,
    SIZE,
    KernelTerms,
    split_kernel,
)
from crstack.equalize.fit.varying import PARTS, POWERS, varying_rows
from crstack.utils.medians import median_of_values
from crstack.utils.threads import map_threads

__all__ = ["FittedKernels", "PixelsToFit", "drift_rows", "fit_kernels", "joined"]

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
#: least cross-validated decrease of chi squared by a kernel, by a seeing beside a throughput, and for each coefficient
LEAST_GAIN, GAIN_OF_SEEING, OF_COEFFICIENT = 60.0, 9.0, 1.5
#: share of the decrease by a seeing that changes over the image which the weights of another fit show at least
SHARE_OF_GAIN = 0.5
#: fewest pixels from which a kernel is fitted that changes over the image
FEWEST_OF_VARYING = 2_000
#: coefficients of a shift that changes over the image
DRIFTS = 4
#: the image has this number of cells along each axis; this share of them has at least this number of the pixels
CELLS, LEAST_COVERED, FEWEST_IN_CELL = 4, 0.7, 10


@dataclass(frozen=True, eq=False)
class FittedKernels:
    """Kernels of all exposures.

    Attributes
    ----------
    kernels : `~numpy.ndarray`
        (N, size, size), what is added to a kernel of 1 at the centre; 0 where nothing is needed.
    terms : KernelTerms or None
        Those that are needed.
    errors : `~numpy.ndarray`
        (N, size * size, size * size) covariance of the kernels.
    drifts : `~numpy.ndarray`
        (N, 2, 2) change of the shift (dx, dy), in pixels for a step of 1 of the position (x, y); 0 where it is not
        needed.
    varying : `~numpy.ndarray`
        (N, PARTS, POWERS) change of the kernel over the image, see `~crstack.equalize.fit.varying`; 0 where it is not
        needed. The drifts are then part of it.
    """

    kernels: np.ndarray
    terms: KernelTerms | None
    errors: np.ndarray
    drifts: np.ndarray
    varying: np.ndarray


@dataclass(frozen=True, eq=False)
class PixelsToFit:
    """The pixels of N exposures to which kernels are fitted.

    Attributes
    ----------
    targets : `~numpy.ndarray`
        (N, M) each exposure minus the common image at M pixels; NaN where it is not known.
    variances : `~numpy.ndarray`
        (N, M) of these.
    surroundings : `~numpy.ndarray`
        (1 or N, size * size, M) the image that a kernel changes, at the steps of a kernel around the pixels. It is one
        image for all exposures, or one for each.
    structure : `~numpy.ndarray`
        (M,) contrast of the image around each pixel; the residual of the kernel is a part of it.
    folds : `~numpy.ndarray` of bool
        (M,) half of the image.
    positions : `~numpy.ndarray` or None
        (2, M) places (x, y), from -1 to 1 over the image. The shift may then change linearly over the image: the
        field turns, or its scale changes.
    """

    targets: np.ndarray
    variances: np.ndarray
    surroundings: np.ndarray
    structure: np.ndarray
    folds: np.ndarray
    positions: np.ndarray | None = None

    @property
    def size(self):
        """Side of the kernels in pixels."""
        return int(np.sqrt(self.surroundings.shape[1]))

    def cover_the_image(self):
        """Whether there are pixels in most parts of the image, so that changes over it can be fitted."""
        if len(self.structure) < FEWEST_OF_VARYING or len(self.surroundings) > 1:
            return False
        numbers, *_ = np.histogram2d(*self.positions, bins=CELLS, range=[(-1, 1)] * 2)
        return np.mean(numbers >= FEWEST_IN_CELL) >= LEAST_COVERED

    def around(self, start):
        """The same pixels with other targets: the exposures minus the common image times their throughputs (N,)."""
        centre = self.surroundings[:, self.size**2 // 2]
        return replace(self, targets=self.targets - (start - 1)[:, None] * centre)


def joined(parts):
    """The `PixelsToFit` of several parts of an image, with positions, as those of one."""
    one = {"targets": 1, "variances": 1, "surroundings": 2, "structure": 0, "folds": 0, "positions": 1}
    arrays = {name: np.concatenate([getattr(part, name) for part in parts], axis) for name, axis in one.items()}
    return PixelsToFit(**arrays)


def fit_kernels(pixels, ladder, least_share, start=None, *, varies=False):
    """Fit the kernels of all exposures, with the terms that the data require.

    Parameters
    ----------
    pixels : PixelsToFit
        The data.
    ladder : list of KernelTerms
        Terms to try, simplest first.
    least_share : float
        Least residual of the kernel, as a share of the contrast, so that the cores of stars are not flagged as hits.
    start : `~numpy.ndarray`, optional
        (N,) throughputs around which the kernels are fitted, where these are far from 1. The values of an exposure
        that is three times as bright as the common image would be taken for hits.
    varies : bool, optional
        Whether the seeing may change over the image, too.

    Returns
    -------
    fitted : FittedKernels
    """
    if start is not None:
        pixels = pixels.around(start)
    # beside throughputs far from 1, whose start may be wrong, what is too bright may be hit
    allows_sharp = start is None and any(one.seeing for one in ladder)
    full = _Normal(pixels, least_share, allows_sharp)
    n, size, with_seeing = len(pixels.targets), pixels.size, any(one.seeing for one in ladder)
    gain, terms, turns = _chosen(full, ladder, n, None if start is None else FLUX, pixels.positions is not None)
    kernels, errors = np.zeros((n, size, size)), np.zeros((n, size * size, size * size))
    drifts, varying = np.zeros((n, 2, 2)), np.zeros((n, PARTS, POWERS))
    if terms is not None:
        basis = terms.basis(size)
        normal, changes = full, None
        if pixels.positions is not None and terms.reach > 0:
            if terms.shift and (turns or _change_over_image(full, basis, drifts.size, gain)):
                changes = drifts
            if varies and terms.seeing and pixels.cover_the_image():
                other = _seeing_over_image(pixels, least_share, allows_sharp, full, basis)
                if other is not None:
                    normal, changes = other, varying
        for i in range(n):
            kernels[i], errors[i], of_place = normal.solution(i, basis, changes is not None)
            if changes is not None:
                changes[i] = of_place.reshape(changes[i].shape)
        if with_seeing:
            errors += full.with_wide_seeing(terms, kernels)
        if start is not None:
            kernels[:, size // 2, size // 2] += start - 1
    return FittedKernels(kernels, terms, errors, drifts, varying)


def _chosen(full, ladder, n, terms, may_turn):
    """The terms of the kernels, at least the given ``terms``, their gain, and whether the field surely turns."""
    gain, terms = _needed(full, ladder, n, terms)
    if terms == FLUX and any(one.seeing for one in ladder):
        gain, terms = _flux_or_seeing(full, gain, n)
    turning = _around_centre(full, ladder, n, gain, terms) if may_turn else None
    return (gain, terms, False) if turning is None else (*turning, True)


def _needed(full, ladder, n, terms):
    """The terms of a ladder that the data of ``n`` exposures require, and their gain; at least the given ``terms``."""
    best, fewer = (0.0, terms), 0
    for one in ladder:
        basis = one.basis(SIZE)
        gain, number = full.gain(basis), len(basis) * n
        if gain > best[0] + LEAST_GAIN + OF_COEFFICIENT * max(number - fewer, 0):
            best, fewer = (gain, one), number
    return best


def _flux_or_seeing(full, gain, n):
    """A throughput alone, of a known gain, or one with a seeing, and the gain.

    A change of the seeing of a few faint stars must not be taken for one of their throughput. That the exposures differ
    is known here. How they differ is decided by a smaller gain.
    """
    basis = FLUX_AND_SEEING.basis(SIZE)
    other, added = full.gain(basis), (len(basis) - 1) * n
    if other > gain + GAIN_OF_SEEING + OF_COEFFICIENT * added:
        return other, FLUX_AND_SEEING
    return gain, FLUX


def _around_centre(full, ladder, n, gain, terms):
    """Terms with a shift, and their gain, of a field that turns around the centre of the image; None if not needed.

    Such a field has no mean shift, nor has one whose scale changes. The ``terms`` of the known ``gain`` then have none.
    """
    if not any(one.shift for one in ladder) or (terms is not None and terms.shift):
        return None
    fewer = 0 if terms is None else len(terms.basis(SIZE))
    first = next(one for one in ladder if one.shift)
    moved = first if terms is None else replace(terms, reach=max(terms.reach, 1), shift=True)
    basis = moved.basis(SIZE)
    if not _change_over_image(full, basis, (len(basis) - fewer + DRIFTS) * n, gain):
        return None
    return full.gain(basis), moved


def _seeing_over_image(pixels, least_share, allows_sharp, full, basis):
    """Normal equations of kernels whose seeing changes over the image, too; None if it does not.

    The weights of the pixels in the fit ``full`` without such changes show most of the decrease of chi squared.
    """
    number = len(pixels.targets) * PARTS * POWERS
    first = _Normal(pixels, least_share, allows_sharp, varying_rows, full.weights)
    if not _change_over_image(first, basis, number, first.gain(basis), SHARE_OF_GAIN):
        return None
    other = _Normal(pixels, least_share, allows_sharp, varying_rows)
    return other if _change_over_image(other, basis, number, other.gain(basis)) else None


def _change_over_image(normal, basis, number, gain, share=1.0):
    """Whether the kernels change over the image, by ``number`` coefficients; ``gain`` is that without the changes.

    A ``share`` of the usual decrease of chi squared suffices.
    """
    return normal.gain(basis, True) > gain + share * (LEAST_GAIN + OF_COEFFICIENT * number)


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


class _Normal:
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
