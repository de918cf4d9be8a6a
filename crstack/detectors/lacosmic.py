"""L.A.Cosmic: hits have sharper edges than the point spread function."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.stats import gaussian_fwhm_to_sigma
from scipy import ndimage

from crstack.detectors._astroscrappy import gausskernel, gaussxkernel, gaussykernel
from crstack.detectors._bad_pixels import bad_pixels, fill
from crstack.detectors._lacosmic_search import Limits, Searched, search
from crstack.detectors.base import Detection, Detector
from crstack.detectors.two_pass import is_paired, split_pairs
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.utils.medians import median_of_values
from crstack.utils.pixels import at_pixels, features_holding
from crstack.utils.validation import check_boolean, check_choice, check_integer, check_number

__all__ = ["LACosmicDetector"]

CLEAN_TYPES = ("median", "medmask", "meanmask", "idw")
FINE_STRUCTURE_MODES = ("median", "convolve")
PSF_MODELS = ("gauss", "moffat", "gaussx", "gaussy", "gaussxy")

#: a block of bad pixels this many sigma above the median of the image is the core of a source
SOURCE_SIGMA = 10


@dataclass(frozen=True)
class LACosmicDetector(Detector):
    """L.A.Cosmic (van Dokkum 2001), with the results of ``astroscrappy.detect_cosmics``.

    ``sigclip``, ``sigfrac``, ``objlim``, ``satlevel`` and ``niter`` may be pairs. The first value is for a pass that
    finds certain hits, the second for a pass that finds their tails. The result holds the connected features of the
    second pass that contain a pixel of the first. If both values are equal, one pass is run.

    Parameters
    ----------
    sigclip : float or pair of float
        Laplacian-to-noise limit of a hit.
    sigfrac : float or pair of float
        Fraction, 0 to 1, of ``sigclip`` that applies next to a hit.
    objlim : float or pair of float
        Least contrast between the Laplacian and the fine structure image; larger values flag fewer cores of stars.
    satlevel : float or pair of float
        Saturation level in the unit of the image (ADU, or electrons for images in electrons). Bright regions that
        reach it are not searched. The level is compared with images without their bias.
    niter : int or pair of int
        Largest number of iterations.
    sepmed : bool
        Use separable medians: nearly the same result, much faster.
    cleantype : {'meanmask', 'medmask', 'idw', 'median'}
        Replacement of a hit, from the 5 x 5 pixels around it: mean, median or inverse-distance mean of those that are
        not flagged, or the median of all of them.
    fsmode : {'convolve', 'median'}
        Fine structure image: median filter, as in the paper, or convolution with the PSF, as in the reference program.
        The convolution finds few of the hits in an image with sharp stars or lines.
    psfmodel : {'gauss', 'moffat', 'gaussx', 'gaussy', 'gaussxy'}
        PSF where ``fsmode`` is 'convolve'. 'gauss' and 'moffat' are round and
        use the mean of the two FWHM; 'gaussx' and 'gaussy' vary along one axis
        only, with the FWHM of that axis; 'gaussxy' is an elliptical Gaussian.
    psffwhm : float or pair of float
        FWHM of the PSF in pixels; a pair is (x, y), not one for each pass.
    psfsize : int
        Size of the PSF kernel in pixels, odd.
    psfbeta : float
        Exponent of the Moffat PSF.
    padwidth : int
        Number of pixels mirrored around the image before the search; without them hits in the outer pixels are missed.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Masks and cleaned images are those of ``detect_cosmics`` of astroscrappy 1.3, computed faster: both passes share
    the first iteration, later iterations search only near the newest hits, and images are smoothed in less time. The
    result does not depend on the number of threads (``CRSTACK_NUM_THREADS``).

    The input differs from a plain call of ``detect_cosmics``:

    * The variance comes from the noise model. Negative signal counts as 0, read noise and gain may be images, and a
      known variance or an excess over Poisson noise is included.
    * Bad pixels are filled with a median of their neighbours. As a mask, ``detect_cosmics`` would grow them and lose
      hits next to them. Only blocks of 2 x 2 and more on bright sources (a masked core of a star) are masked, because
      a median cannot fill a peak. The pixels that touch such a block are not searched.
    * ``cleantype='median'`` is the median of the 25 pixels around. In astroscrappy 1.3 it reads uninitialised
      memory.

    References
    ----------
    van Dokkum, P. G. 2001, PASP, 113, 1420; McCully, C. et al., astroscrappy,
    https://doi.org/10.5281/zenodo.1482018
    """

    sigclip: float | tuple[float, float] = (5.0, 3.0)
    sigfrac: float | tuple[float, float] = 0.3
    objlim: float | tuple[float, float] = 5.0
    satlevel: float | tuple[float, float] = 65535.0
    niter: int | tuple[int, int] = 4
    sepmed: bool = True
    cleantype: str = "meanmask"
    fsmode: str = "median"
    psfmodel: str = "gaussxy"
    psffwhm: float | tuple[float, float] = 2.5
    psfsize: int = 11
    psfbeta: float = 4.765
    padwidth: int = 10

    cleans = True
    bytes_per_pixel = 105.0

    def __post_init__(self) -> None:
        checked = {
            "sigclip": _check_each("sigclip", self.sigclip, check_number, minimum=0, exclusive=True),
            "sigfrac": _check_each("sigfrac", self.sigfrac, check_number, minimum=0, maximum=1),
            "objlim": _check_each("objlim", self.objlim, check_number, minimum=0),
            "satlevel": _check_each("satlevel", self.satlevel, check_number, minimum=0, exclusive=True),
            "niter": _check_each("niter", self.niter, check_integer, minimum=1),
            "sepmed": check_boolean("sepmed", self.sepmed),
            "cleantype": check_choice("cleantype", self.cleantype, CLEAN_TYPES),
            "fsmode": check_choice("fsmode", self.fsmode, FINE_STRUCTURE_MODES),
            "psfmodel": check_choice("psfmodel", self.psfmodel, PSF_MODELS),
            "psffwhm": _check_each("psffwhm", self.psffwhm, check_number, minimum=0, exclusive=True),
            "psfsize": check_integer("psfsize", self.psfsize, minimum=3),
            "psfbeta": check_number("psfbeta", self.psfbeta, minimum=0, exclusive=True),
            "padwidth": check_integer("padwidth", self.padwidth, minimum=0),
        }
        if self.psfsize % 2 == 0:
            raise InputError(f"psfsize must be odd; got {self.psfsize}")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def detect(self, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None) -> Detection:
        """Find and replace the cosmic rays of one image.

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
            ``mask``, and ``cleaned`` in the unit of the image, float32, equal to
            the image where nothing is flagged.

        Raises
        ------
        InputError
            If ``image`` is not two-dimensional or ``mask`` has another shape.
        """
        image = np.asarray(image)
        bad = bad_pixels(image, noise, mask)
        cleaned = image.astype(np.float32)
        if bad.all():
            return Detection(np.zeros(image.shape, dtype=bool), cleaned)
        scene = _make_scene(image, noise, bad, self.padwidth)
        high, low = split_pairs(
            sigclip=self.sigclip, sigfrac=self.sigfrac, objlim=self.objlim, satlevel=self.satlevel, niter=self.niter
        )
        passes = self._passes(scene, [low] if high == low else [high, low])
        found, replaced = passes[-1]
        if len(passes) > 1:
            found = features_holding(found, passes[0][0] & ~bad)
        # at the end, because a tail may lie behind a bad pixel
        found = found & ~bad
        # every flagged pixel was flagged and replaced in the second pass
        cleaned[found] = replaced[found] / at_pixels(noise.electrons_per_unit, found)
        return Detection(found, cleaned)

    def _passes(self, scene, settings):
        """Mask and cleaned electrons (ny, nx) of one pass or two."""
        marked = [_mark_saturated(scene, each["satlevel"]) for each in settings]
        limits = [Limits(**{**each, "satlevel": level}) for each, (_, level) in zip(settings, marked, strict=True)]

        def searched(electrons):
            return Searched(
                electrons=electrons,
                variance=scene.variance,
                floor=scene.floor,
                hidden=scene.hidden,
                psf=self._psf(),
                separable=self.sepmed,
                cleantype=self.cleantype,
            )

        if np.ndim(scene.electrons_per_unit) and len({each["satlevel"] for each in settings}) > 1:
            # saturated pixels were set to different levels: the passes search different images
            found = [
                search(searched(electrons), [each])[0] for (electrons, _), each in zip(marked, limits, strict=True)
            ]
        else:
            found = search(searched(marked[0][0]), limits)
        inside = tuple(slice(scene.padwidth, size - scene.padwidth) for size in scene.electrons.shape)
        return [(mask[inside], replaced[inside]) for mask, replaced in found]

    def _psf(self):
        """PSF of the fine structure image, float32 (psfsize, psfsize); None where that is a median."""
        if self.fsmode == "median":
            return None
        fwhm_x, fwhm_y = self.psffwhm if is_paired(self.psffwhm) else (self.psffwhm, self.psffwhm)
        match self.psfmodel:
            case "gaussxy":
                return _elliptical_gaussian(fwhm_x, fwhm_y, self.psfsize)
            case "gaussx":
                return gaussxkernel(fwhm_x, self.psfsize)
            case "gaussy":
                return gaussykernel(fwhm_y, self.psfsize)
            case "gauss":
                return gausskernel((fwhm_x + fwhm_y) / 2, self.psfsize)
        return _moffat((fwhm_x + fwhm_y) / 2, self.psfbeta, self.psfsize)


class _Scene(NamedTuple):
    """The image to search, in electrons and mirrored at the edges; see `_make_scene`."""

    electrons: np.ndarray
    variance: np.ndarray
    floor: np.ndarray | None
    hidden: np.ndarray | None
    electrons_per_unit: float | np.ndarray
    padwidth: int


def _check_each(name, value, check, **bounds):
    """Return a checked number, or a tuple of two."""
    if not is_paired(value):
        return check(name, value, **bounds)
    if len(value) != 2:
        raise InputError(f"{name} must be a number or a pair of numbers; got {value!r}")
    return tuple(check(name, number, **bounds) for number in value)


def _elliptical_gaussian(fwhm_x, fwhm_y, size):
    """Return a float32 (size, size) Gaussian of sum 1; x runs along the rows."""
    offset = np.arange(size) - size // 2
    along_x, along_y = (np.exp(-0.5 * (offset / (fwhm * gaussian_fwhm_to_sigma)) ** 2) for fwhm in (fwhm_x, fwhm_y))
    kernel = np.outer(along_y, along_x)
    return (kernel / kernel.sum()).astype(np.float32)


def _moffat(fwhm, beta, size):
    """Return a float32 (size, size) Moffat profile of sum 1, computed as astroscrappy does."""
    offset = np.arange(size) - size // 2
    r = np.sqrt(offset**2.0 + offset[:, None] ** 2.0)
    fwhm, beta = float(np.float32(fwhm)), float(np.float32(beta))
    alpha = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    kernel = ((1 + r * r / alpha / alpha) ** -beta).astype(np.float32)
    return kernel / kernel.sum()


def _hidden_sources(electrons, variance, bad):
    """True at blocks of bad pixels that hide the core of a source (ny, nx), None if there are none."""
    block = ndimage.binary_opening(bad, structure=np.ones((2, 2), dtype=bool))
    if not block.any():
        return None
    limit = median_of_values(electrons) + SOURCE_SIGMA * np.sqrt(median_of_values(variance))
    hidden = block & (electrons > limit)
    return hidden if hidden.any() else None


def _mirrored(values, padwidth):
    """Contiguous ``values`` mirrored at the edges; a number or None is returned unchanged."""
    if np.ndim(values) == 0:
        return values
    return np.ascontiguousarray(np.pad(values, padwidth, mode="reflect"))


def _make_scene(image, noise, bad, padwidth):
    """Make the `_Scene` to search from an image and its noise.

    ``floor`` is the part of the variance that has structure of its own, the square of a read-noise image. It is not
    smoothed with the rest. ``hidden`` marks the masked cores of sources.
    """
    filled = fill(image, bad) if bad.any() else image.astype(np.float32, copy=False)
    gain = noise.electrons_per_unit
    variance = noise.variance(filled)
    floor = None
    if noise.known_variance is not None:
        variance = fill(variance, bad) if bad.any() else variance
    elif np.ndim(noise.readnoise_electrons):
        floor = (noise.readnoise_electrons**2).astype(np.float32)
    electrons = (filled * gain).astype(np.float32, copy=False)
    variance = (variance * gain**2).astype(np.float32, copy=False)
    hidden = _hidden_sources(electrons, variance, bad) if bad.any() else None
    layers = (_mirrored(values, padwidth) for values in (electrons, variance, floor, hidden, gain))
    return _Scene(*layers, padwidth=padwidth)


def _mark_saturated(scene, satlevel):
    """Electrons and the saturation level in electrons, one number for all pixels."""
    level = satlevel * scene.electrons_per_unit
    if np.ndim(level) == 0:
        return scene.electrons, float(level)
    # with a gain image each pixel saturates at its own level: set saturated pixels to the highest level
    highest = np.max(level)
    return np.where(scene.electrons >= level, np.maximum(scene.electrons, highest), scene.electrons), float(highest)
