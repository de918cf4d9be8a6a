"""Seeing that the user gives: the kernel from the common image to each exposure, by the widths of the stars."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import erf

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.kernels.kernel_terms import SIZE, KernelTerms
from crstack.utils.normal import FWHM_PER_SIGMA

__all__ = ["seeing_changes", "seeing_kernels"]

#: side (pixels) of the images of a star, over the largest width
EXTENT = 5.0
#: largest step (pixels) of a kernel, and penalty on the sum of its squares, over that of a star
REACH, PENALTY = 2, 3e-3
#: rounds of the common image and the changes
ROUNDS = 3


def seeing_kernels(fwhm: Sequence[float]) -> np.ndarray:
    """What is added to a kernel of 1 at the centre that gives each exposure its seeing.

    Parameters
    ----------
    fwhm : sequence of float
        Full widths at half maximum of a star in the exposures, pixels.

    Returns
    -------
    kernels : `~numpy.ndarray`
        (N, 7, 7), from a star of the mean second moments to that of each exposure; the sums are 0.

    Notes
    -----
    The stars are Gaussians, integrated over pixels. A kernel of pairs of steps up to two pixels is fitted to them by
    linear least squares. It may also make a star sharper. A penalty on the sum of its squares limits the noise that it
    adds.
    """
    variances = (np.array(fwhm, dtype=float) / FWHM_PER_SIGMA) ** 2
    half = int(np.ceil(EXTENT * np.sqrt(variances.max()))) + SIZE
    common = _star(np.sqrt(variances.mean()), half)
    basis = KernelTerms(REACH, flux=False, shift=False, seeing=True).basis(SIZE)
    steps = np.arange(SIZE) - SIZE // 2
    moved = np.stack([np.roll(common, (dy, dx), axis=(0, 1)).ravel() for dy in steps for dx in steps])
    terms = basis.reshape(len(basis), -1)
    design = terms @ moved
    normal = design @ design.T + PENALTY * (common**2).sum() * terms @ terms.T
    targets = np.stack([(_star(np.sqrt(variance), half) - common).ravel() for variance in variances])
    return np.tensordot(np.linalg.solve(normal, design @ targets.T).T, basis, axes=1)


def _star(sigma, half):
    """A round Gaussian of sum 1 in the middle of an image, integrated over pixels."""
    edges = (np.arange(2 * half + 2) - half - 0.5) / (np.sqrt(2) * sigma)
    profile = np.diff(erf(edges)) / 2
    return np.outer(profile, profile)


def seeing_changes(
    levels: np.ndarray,
    variance_of: Callable[[np.ndarray], np.ndarray],
    bad: np.ndarray | None,
    kernels: np.ndarray,
    *,
    with_levels: bool,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The common image, and the change of each exposure by its seeing.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        float32 (N, ny, nx) electrons, at the common level as far as it is known.
    variance_of : callable
        Mean variance of the exposures at a signal (image).
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx) excluded values; their levels are those of the others.
    kernels : `~numpy.ndarray`
        (N, 7, 7), see `seeing_kernels`, times the flux factors that the exposures still have.
    with_levels : bool
        Whether the exposures may have different added levels.

    Returns
    -------
    common : `~numpy.ndarray`
        (ny, nx) electrons.
    changes : list of `~numpy.ndarray`
        (ny, nx) electrons.
    """
    model = ExpectedExposures(levels, variance_of, bad, {"backgrounds"} if with_levels else set())
    model.kernels = kernels
    for _ in range(ROUNDS):
        common = model.common(CONTRAST[-1])
        model.change(common, variance_of(common))
    return common, [np.broadcast_to(one, common.shape) for one in model.changes]
