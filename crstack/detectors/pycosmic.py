"""PyCosmic: cosmic rays of single exposures, also of fibre-fed integral-field spectrographs."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.detectors._bad_pixels import bad_pixels
from crstack.detectors._pycosmic_frame import filled_inwards, make_frame
from crstack.detectors._pycosmic_kernels import WorkingImage
from crstack.detectors.base import Detection, Detector
from crstack.detectors.two_pass import is_paired, split_pairs
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.utils.pixels import EIGHT_CONNECTED, at_pixels, features_holding
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.validation import check_boolean, check_integer, check_number

__all__ = ["PyCosmicDetector"]

log = logging.getLogger("crstack.detectors")


@dataclass(frozen=True)
class PyCosmicDetector(Detector):
    """PyCosmic (Husemann et al. 2012): edges sharper than the point spread function, above the noise.

    The Laplacian of the image, in units of its noise, finds sharp edges. The Laplacian of the ratio of the image to a
    Gaussian smoothed copy selects pixels that are sharper than the point spread function. It excludes the traces of
    fibres and the profiles of stars. Hits are replaced by the median of their neighbours, and the search continues
    with the pixels next to them.

    Parameters
    ----------
    sigma_det : float or pair of floats
        Least height of the Laplacian over its surroundings in units of the
        noise. A pair (high, low) makes two passes: the result is each connected
        feature of the second that holds a pixel of the first.
    rlim : float or pair of floats
        Least Laplacian of the ratio to the smoothed image, or a pair, as above.
    iterations : int or pair of ints
        Number of iterations, or a pair, as above.
    fwhm_gauss : float or pair of floats
        FWHM in pixels of the smoothing Gaussian, slightly less than that of the point spread function. A pair is (x,
        y).
    replace_box : int or pair of ints
        Size in pixels of the window whose median replaces a hit. A pair is (x, y).
    replace_error : float or pair of floats
        Error of replaced pixels in the image of errors of the original. It has no effect on the mask or on the cleaned
        image. It is accepted to read parameter files written for the original.
    increase_radius : int
        Number of pixels by which the final mask grows in all directions.
    original : bool
        If True, reproduce version 0.6 of the original: the replacement window is 2 * ceil(replace_box / 2) + 1 pixels
        wide (7 for 5), and the values of the last row and the last column of the image are never used. If False, the
        window is exactly ``replace_box`` pixels (which must be odd) and the last row and column are used like any
        others.

    Raises
    ------
    InputError
        If a parameter is of a wrong kind or out of range.

    Notes
    -----
    The noise is sqrt(signal + readnoise**2) in electrons, with the signal from a 5 x 5 median; a known variance of the
    noise model replaces it, and a shape of its photon distribution adds to it. Pixels beyond the edges have the values
    of their nearest pixels in the image.

    Use ``original=True`` to compare with published work, and ``original=False`` otherwise. With ``original=False``,
    replacements come from closer pixels, also at the last row and column. The difference is largest beside the traces
    of fibres. There, medians of the wider window are too low, and make new edges that are flagged.

    References
    ----------
    Husemann et al. 2012, A&A 545, A137, doi:10.1051/0004-6361/201220102

    Examples
    --------
    >>> from crstack.detectors.pycosmic import PyCosmicDetector
    >>> PyCosmicDetector(sigma_det=5.0, rlim=0.8, fwhm_gauss=(2.0, 3.0)).iterations
    5
    """

    sigma_det: float | tuple = (5.0, 3.0)
    rlim: float | tuple = 1.2
    iterations: int | tuple = 5
    fwhm_gauss: float | tuple = 2.5
    replace_box: int | tuple = 5
    replace_error: float | tuple = 1e6
    increase_radius: int = 0
    original: bool = True

    cleans = True
    bytes_per_pixel = 80.0
    in_threads = True

    def __post_init__(self) -> None:
        for value in _values("sigma_det", self.sigma_det):
            check_number("sigma_det", value, minimum=0, exclusive=True)
        for value in _values("rlim", self.rlim):
            check_number("rlim", value, minimum=0)
        for value in _values("iterations", self.iterations):
            check_integer("iterations", value, minimum=1)
        for value in _values("fwhm_gauss", self.fwhm_gauss):
            check_number("fwhm_gauss", value, minimum=0, exclusive=True)
        for value in _values("replace_error", self.replace_error):
            check_number("replace_error", value, minimum=0)
        check_integer("increase_radius", self.increase_radius, minimum=0)
        check_boolean("original", self.original)
        for value in _values("replace_box", self.replace_box):
            check_integer("replace_box", value, minimum=1)
            if not self.original and value % 2 == 0:
                raise InputError(f"replace_box must be odd where original is False; got {value}")

    def detect(self, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None) -> Detection:
        """Find the cosmic rays of one image.

        Parameters
        ----------
        image : `~numpy.ndarray`
            Image, float32 (ny, nx), bias subtracted, in ``noise.unit``.
        noise : `~crstack.noise.NoiseModel`
            Noise of this image.
        mask : `~numpy.ndarray` of bool, optional
            True at bad pixels (ny, nx). Pixels that are not finite are bad too.

        Returns
        -------
        detection : Detection
            Mask, and the cleaned image in the unit of ``image`` (float32), with unchanged bad pixels.

        Raises
        ------
        InputError
            If ``image`` is not two-dimensional or ``mask`` has another shape.
        """
        image = np.asarray(image)
        frame = self._frame(image, noise, mask)
        hits = _search(frame, *split_pairs(sigma=self.sigma_det, rlim=self.rlim, iterations=self.iterations))
        if self.increase_radius:
            hits = ndimage.binary_dilation(hits, structure=EIGHT_CONNECTED, iterations=self.increase_radius)
            hits &= frame.inside(frame.weight) > 0
        return Detection(mask=hits, cleaned=_cleaned(image, frame, hits, noise.electrons_per_unit))

    def _frame(self, image, noise, mask):
        """The image in electrons with its noise, bad pixels filled."""
        bad = bad_pixels(image, noise, mask)
        scale = np.float32(1) * noise.electrons_per_unit
        floor_is_variance = noise.known_variance is not None
        if floor_is_variance:
            floor = np.broadcast_to(noise.known_variance * scale**2, image.shape).astype(np.float32)
            floor = np.where(bad, 0, np.maximum(floor, 0))
        else:
            floor = np.float32(1) * noise.readnoise_electrons**2
        electrons = np.multiply(np.where(bad, 0, image), scale, dtype=np.float32)
        box_x, box_y = _both(self.replace_box)
        half = (-(-box_y // 2), -(-box_x // 2)) if self.original else (box_y // 2, box_x // 2)
        return make_frame(
            electrons,
            bad,
            floor,
            floor_is_variance=floor_is_variance,
            dispersion=0.0 if noise.nbinom_shape is None else 1 / (noise.nbinom_shape * noise.n_averaged),
            fwhm=_both(self.fwhm_gauss)[::-1],
            half_window=half,
            lose_last=self.original,
        )


def _values(name, value):
    """The values of a parameter given as a number or as a pair."""
    if not is_paired(value):
        return (value,)
    if len(value) != 2:
        raise InputError(f"{name} must be a number or a pair; got {value!r}")
    return tuple(value)


def _both(value):
    return tuple(value) if is_paired(value) else (value, value)


def _cleaned(image, frame, hits, electrons_per_unit):
    """``image`` as float32 with ``hits`` replaced by medians of their neighbours."""
    cleaned = image.astype(np.float32)
    pixels = frame.pixels(hits)
    usable = frame.usable & ~np.pad(hits, frame.pad)
    scale = at_pixels(electrons_per_unit, hits)
    cleaned[hits] = filled_inwards(frame, frame.electrons, usable, pixels, frame.half_window) / scale
    return cleaned


def _search(frame, high, low):
    """Mask of the hits of one pass, or of two where ``high`` and ``low`` differ."""
    least = {name: min(high[name], low[name]) for name in ("sigma", "rlim")}
    # the first iteration is the same for both passes
    first = _hits_of_image(WorkingImage(frame), map_threads, **least)
    passes = [high] if high == low else [high, low]
    masks = map_threads(lambda settings: _one_pass(frame, first, **settings), passes)
    return masks[0] if len(masks) == 1 else features_holding(masks[1], masks[0])


def _hits_of_image(working, mapping, sigma, rlim):
    """Hits of the whole image as (pixels, S - median(S), L2), by bands of rows."""

    def hits_of_band(rows):
        return working.confirmed(working.sharp_pixels(rows.start, rows.stop, sigma, rlim), sigma, rlim)

    bands = row_bands(*working.frame.shape)
    return tuple(np.concatenate(parts) for parts in zip(*mapping(hits_of_band, bands), strict=True))


def _report(working, sigma, number):
    """Log the number of pixels that a pass has flagged so far."""
    if log.isEnabledFor(logging.INFO):
        inside = working.frame.inside(working.flagged)
        n_flagged = np.count_nonzero(inside)
        log.info("PyCosmic, sigma_det %g: %d of %d pixels up to iteration %d", sigma, n_flagged, inside.size, number)


def _one_pass(frame, first, sigma, rlim, iterations, plain=False):
    """Mask of the hits at one setting, continued from the ``first`` iteration.

    ``plain`` searches the whole image in each iteration, to check the search around the newest hits.
    """
    working = WorkingImage(frame)
    pixels, significance, sharpness = first
    new = pixels[(significance > sigma) & (sharpness > rlim)]
    for number in range(1, iterations):
        if not len(new):
            break
        touched = working.flag(new)
        _report(working, sigma, number)
        found = _hits_of_image(working, map, sigma, rlim) if plain else working.confirmed(touched, sigma, rlim)
        new = found[0]
    working.flagged.ravel()[new] = True
    _report(working, sigma, iterations)
    return frame.inside(working.flagged).copy()
