"""Throughput, shift and seeing of an exposure: the kernel from the common image to it.

Alard and Lupton (1998, ApJ 503, 325) match the seeing of two images with a kernel that is fitted by linear least
squares. Its sum is the throughput, its odd part a shift, its even part a change of seeing.
"""

from dataclasses import dataclass, replace

import numpy as np

from crstack.equalize.fit.kernels.kernel_equations import NormalEquations
from crstack.equalize.fit.kernels.kernel_terms import FLUX, FLUX_AND_SEEING, SIZE, KernelTerms
from crstack.equalize.fit.kernels.varying import PARTS, POWERS, varying_rows

__all__ = ["FittedKernels", "PixelsToFit", "fit_kernels", "joined"]

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
        (N, PARTS, POWERS) change of the kernel over the image, see `~crstack.equalize.fit.kernels.varying`; 0 where it
        is not needed. The drifts are then part of it.
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
    full = NormalEquations(pixels, least_share, allows_sharp)
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
    first = NormalEquations(pixels, least_share, allows_sharp, varying_rows, full.weights)
    if not _change_over_image(first, basis, number, first.gain(basis), SHARE_OF_GAIN):
        return None
    other = NormalEquations(pixels, least_share, allows_sharp, varying_rows)
    return other if _change_over_image(other, basis, number, other.gain(basis)) else None


def _change_over_image(normal, basis, number, gain, share=1.0):
    """Whether the kernels change over the image, by ``number`` coefficients; ``gain`` is that without the changes.

    A ``share`` of the usual decrease of chi squared suffices.
    """
    return normal.gain(basis, True) > gain + share * (LEAST_GAIN + OF_COEFFICIENT * number)
