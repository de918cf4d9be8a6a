"""Changes of a common image by shift and seeing, without what is only its noise."""

import numpy as np

from crstack.equalize.fit.kernels.drift import drift_of
from crstack.equalize.fit.kernels.edge_errors import error_by_edges
from crstack.equalize.fit.kernels.kernel_terms import SIZE
from crstack.equalize.fit.kernels.varying import varying_change
from crstack.equalize.terms.hot_pixels import hot_pixels, medians_around
from crstack.equalize.terms.steps import entered, moved
from crstack.utils.filters import convolved, mean_around
from crstack.utils.memory import zero_image
from crstack.utils.threads import map_threads, wide_bands

__all__ = [
    "change_by_kernel",
    "change_by_step",
    "largest_blur",
    "without_hot",
]

#: a change is compared with its noise in pixels and in means of larger boxes (sides, pixels), by its mean square in
#: windows (pixels); largest mean square that counts as noise
BOXES, WINDOWS, NOISE_LIMIT = (1, 3, 7), (7, 5, 9), 1.5
#: approximate number of pixels of a band whose change is computed at once
PIXELS_OF_BAND = 1 << 19
#: least value of a kernel that counts for the noise, as a share of the largest
LEAST_STEP = 0.02


def without_hot(common, variance, noise, moved_by_pixels):
    """A common image whose hot pixels are replaced by those around, because they do not move with the scene.

    Of exposures that are shifted by a pixel or more, the hot pixels were left out before. Two images of a faint star
    would look like a pair of hot pixels.

    Parameters
    ----------
    common, variance, noise : `~numpy.ndarray`
        (ny, nx) the image, the variance of one exposure, and that of the image, electrons and their squares.
    moved_by_pixels : bool
        Whether an exposure is shifted by a pixel or more.

    Returns
    -------
    scene : `~numpy.ndarray`
        (ny, nx) electrons.
    """
    scene = common.copy()
    # pixels beside a hot one may share its charge
    hot = hot_pixels(common, np.sqrt(variance if moved_by_pixels else noise), shared=not moved_by_pixels)
    scene[hot] = medians_around(common, *hot)
    return scene


def change_by_kernel(scene, noise, kernel, drift, varying, positions):
    """Change of a scene by seeing and by a shift of less than a pixel.

    Parameters
    ----------
    scene, noise : `~numpy.ndarray`
        (ny, nx) the scene and its variance.
    kernel : `~numpy.ndarray`
        (SIZE, SIZE) what the seeing and the shift add to one pixel of light.
    drift : `~numpy.ndarray`
        (2, 2) change of the shift over the image.
    varying : `~numpy.ndarray`
        (PARTS, POWERS) change of the kernel over the image, see `~crstack.equalize.fit.kernels.varying`.
    positions : tuple of `~numpy.ndarray`
        (nx,) x and (ny, 1) y of the pixels, from -1 to 1 over the whole image.

    Returns
    -------
    blur, own, by_edges : `~numpy.ndarray` or float
        (ny, nx) the change, its variance, and its variance because the scene beyond the edges is not known; 0 where
        there is none.
    """
    rest = kernel.copy()
    rest[SIZE // 2, SIZE // 2] -= kernel.sum()
    blur = own = np.float32(0)
    if rest.any():
        blur = _convolved(scene, rest.astype(np.float32))
        own = _through(noise, rest)
    if drift.any():
        # where the mean shift has brought the scene
        more, of_drift = drift_of(scene + blur, noise, drift, positions)
        blur, own = blur + more, own + of_drift
    if varying.any():
        more, of_place = varying_change(scene, noise, varying, positions)
        blur, own = blur + more, own + of_place
    if np.ndim(blur) == 0:
        return blur, own, np.float32(0)
    return *_without_noise(blur, own), error_by_edges(scene, rest, varying, positions)


def change_by_step(scene, noise, blur, own, factor, step):
    """Change of a scene by seeing and by a shift of whole pixels.

    Parameters
    ----------
    scene, noise : `~numpy.ndarray`
        (ny, nx) the scene and its variance.
    blur, own : `~numpy.ndarray` or float
        Of `change_by_kernel`; the variance is the sum of both.
    factor : float
        Throughput of the exposure.
    step : tuple of int
        Whole pixels (dx, dy).

    Returns
    -------
    change, own : `~numpy.ndarray`
        (ny, nx) the change at the pixels of the exposure, and its variance.
    """
    change = moved(blur + factor * scene, step) - factor * scene
    return _without_noise(change, moved(own, step) + (moved(noise, step) + noise) * factor**2)


def largest_blur(blurs, changes, steps):
    """Largest absolute change by a kernel, at the pixels of the exposures.

    A shift by whole pixels needs no interpolation. Therefore it has no part in the error of a model, except at the
    edges where the scene enters, because the kernel reaches beyond the common image there.

    Parameters
    ----------
    blurs : sequence of `~numpy.ndarray` or float
        N changes (ny, nx) at the pixels of the common image, electrons; numbers where there is no kernel.
    changes : sequence of `~numpy.ndarray` or float
        The same at the pixels of the exposures, with the shift by whole pixels.
    steps : sequence of (int, int)
        Whole pixels (dx, dy) by which each exposure is shifted.

    Returns
    -------
    change : `~numpy.ndarray` or None
        (ny, nx); None if no exposure is shifted, and no kernel is needed.
    """
    shape = next((one.shape for one in changes if np.ndim(one)), None)
    if shape is None:
        return None
    images = [(one, step) for one, step in zip(blurs, steps, strict=True) if np.ndim(one)]
    largest, margin = zero_image(shape), max((abs(dy) for _, (_, dy) in images), default=0)

    def work(band):
        rows, wide, inner = band
        for one, step in images:
            np.maximum(largest[rows], np.abs(moved(one[wide], step)[inner]), out=largest[rows])

    map_threads(work, wide_bands(*shape, margin))
    for one, step in zip(changes, steps, strict=True):
        rows, columns = entered(tuple(part + np.sign(part) * (SIZE // 2) for part in step))
        for edge in ((rows, slice(None)), (slice(None), columns)) if np.ndim(one) else ():
            np.maximum(largest[edge], np.abs(one[edge]), out=largest[edge])
    return largest


def _without_noise(change, own):
    """A change (ny, nx) and its variance, less what is noise.

    Where the change of single pixels is mostly noise, its mean in boxes may not be: the faint light of stars and large
    sources moves with the scene too. What is noise in pixels is replaced by means in boxes, as far as these exceed
    their noise.
    """
    found, variance = np.empty_like(change), np.empty_like(change)

    def work(band):
        rows, wide, inner = band
        of_band = _without_noise_in(change[wide], own[wide])
        found[rows], variance[rows] = (one[inner] for one in of_band)

    reach = sum(box // 2 + window // 2 for box, window in zip(BOXES, WINDOWS, strict=True))
    map_threads(work, wide_bands(*change.shape, reach, PIXELS_OF_BAND))
    return found, variance


def _without_noise_in(change, own):
    """The same of a band of rows."""
    rest, left = change, np.float32(1)
    found, variance = np.zeros_like(change), np.zeros_like(change)
    for box, window in zip(BOXES, WINDOWS, strict=True):
        wide = mean_around(rest, box)
        of_wide = mean_around(own, box) / np.float32(box**2)
        share = _more_than(of_wide, wide, window)
        found += share * wide
        # of a shrunken mean: its noise, and what the shrinkage removes (Wiener filter)
        variance += left**2 * share * of_wide
        rest, left = (1 - share) * rest, (1 - share) * left
    return found, variance


def _through(noise, kernel):
    """Variance of an image of some variance (ny, nx) after a kernel."""
    used = np.abs(kernel) > LEAST_STEP * np.abs(kernel).max()
    reach = max(np.abs(np.argwhere(used) - SIZE // 2).max(), 1)
    middle = slice(SIZE // 2 - reach, SIZE // 2 + reach + 1)
    return _convolved(noise, (kernel[middle, middle] ** 2).astype(np.float32))


def _convolved(image, kernel):
    """An image (ny, nx) after a kernel; its edge pixels continue beyond it."""
    found = np.empty_like(image)

    def work(band):
        rows, wide, inner = band
        found[rows] = convolved(image[wide], kernel)[inner]

    map_threads(work, wide_bands(*image.shape, len(kernel) // 2, PIXELS_OF_BAND))
    return found


def _more_than(noise, change, window):
    """Share of a change that is not noise, measured by its mean square in a window around each pixel."""
    return np.clip(1 - NOISE_LIMIT * noise / np.maximum(mean_around(change**2, window), 1e-30), 0, 1)
