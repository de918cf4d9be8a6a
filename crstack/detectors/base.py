"""Base class of detectors of cosmic rays in one image, and their result."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from astropy.nddata import CCDData

from crstack.exceptions import InputError, PluginError
from crstack.exposures import image_with_noise
from crstack.noise import NoiseModel
from crstack.utils.plugins import plugin_errors, protected

__all__ = ["Detection", "Detector", "checked_detection"]


@dataclass(frozen=True, eq=False, repr=False)
class Detection:
    """Result of a detector on one image.

    Attributes
    ----------
    mask : `~numpy.ndarray` of bool
        True where a cosmic ray hit the image; shape of the image.
    cleaned : `~numpy.ndarray` or None
        float32 image in the unit of the image, hits replaced.
    probability : `~numpy.ndarray` or None
        float32 probability of a hit, 0 to 1.
    found_by : `~numpy.ndarray` or None
        uint8, if several detectors voted: bit i is set where the i-th of them (from 0) flagged the pixel, inside or
        outside of ``mask``.
    """

    mask: np.ndarray
    cleaned: np.ndarray | None = None
    probability: np.ndarray | None = None
    found_by: np.ndarray | None = None

    def __repr__(self) -> str:
        extras = [name for name in ("cleaned", "probability") if getattr(self, name) is not None]
        with_words = f", with {' and '.join(extras)}" if extras else ""
        return f"<Detection: {np.count_nonzero(self.mask)} of {self.mask.size} pixels{with_words}>"


@dataclass(frozen=True)
class Detector(ABC):
    """Base class of the detectors: subclass it as a frozen dataclass.

    The fields of the dataclass are the parameters of the detector. A subclass defines only `~Detector.detect`.
    `crstack.testing.check_detector` checks it. A detector that can replace the hits sets the class attribute ``cleans
    = True`` and returns ``Detection.cleaned``.
    """

    #: whether `~Detector.detect` returns a cleaned image
    cleans = False
    #: memory that a search needs for each pixel of the image, bytes; None if it is not known. Where ``mem_limit``
    #: keeps the exposures in files, a detector of unknown memory is refused.
    bytes_per_pixel: ClassVar[float | None] = None
    #: whether several images may be searched at the same time, each in a thread of its own
    in_threads: ClassVar[bool] = False

    @abstractmethod
    def detect(self, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None) -> Detection:
        """Find the cosmic rays of one image.

        Parameters
        ----------
        image : `~numpy.ndarray`
            Image, float32 (ny, nx), bias subtracted, in ``noise.unit``. Never modified.
        noise : `~crstack.noise.NoiseModel`
            The noise of this image. A median of N exposures has less noise than one exposure.
        mask : `~numpy.ndarray` of bool, optional
            True at bad pixels, which are not used and never flagged.

        Returns
        -------
        detection : Detection
            Arrays of the shape of ``image``.
        """

    def __call__(self, ccd: CCDData, noise: NoiseModel, *, clean: bool = False) -> CCDData:
        """Find the cosmic rays of one image of astropy or ccdproc.

        Parameters
        ----------
        ccd : `~astropy.nddata.CCDData`
            Image (ny, nx), bias subtracted, in ``noise.unit``. Its mask is that of
            the bad pixels; its uncertainty, if any, is used in place of
            ``noise``. Never modified.
        noise : `~crstack.noise.NoiseModel`
            The noise of this image.
        clean : bool, optional
            Replace the hits. Only for detectors that clean.

        Returns
        -------
        flagged : `~astropy.nddata.CCDData`
            A copy with the hits added to ``mask``, and in ``flags`` (bool) the hits alone.

        Raises
        ------
        InputError
            If ``ccd`` is not a 2-D CCDData in the unit of the noise, if ``noise`` is no
            `~crstack.noise.NoiseModel`, or if ``clean`` is True for a detector that does not clean.
        PluginError
            As ``checked_detection``.
        """
        if clean and not self.cleans:
            raise InputError(f"clean must be False for {type(self).__name__}, which does not clean; got True")
        image, bad, noise = image_with_noise(ccd, noise)
        detection = checked_detection(self, image, noise, bad)
        flagged = ccd.copy()
        flagged.mask = detection.mask.copy() if ccd.mask is None else detection.mask | ccd.mask
        flagged.flags = detection.mask
        if clean:
            flagged.data = np.where(detection.mask, detection.cleaned, ccd.data)
        return flagged

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Names and defaults of the parameters, as a dict."""
        return {field.name: field.default for field in fields(cls) if field.init}


def checked_detection(
    detector: Detector, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None
) -> Detection:
    """Call `Detector.detect` with read-only arrays, and check the result.

    Parameters
    ----------
    detector : Detector
        Of crstack or of a plug-in.
    image, noise, mask
        As for `Detector.detect`.

    Returns
    -------
    detection : Detection
        Nothing is flagged at pixels of ``mask``; ``cleaned`` and ``probability`` are float32.

    Raises
    ------
    PluginError
        If the detector raises an error or exits, or returns anything but a `Detection` with arrays of the shape of the
        image. Its mask must be bool, and its probabilities from 0 to 1. Its ``cleaned`` image must be finite where the
        image is valid, and there must be one if ``cleans`` is True.
    """
    with plugin_errors(detector, "detect"):
        found = detector.detect(protected(image), protected(noise), protected(mask))
    name = type(detector).__name__
    if not isinstance(found, Detection):
        raise PluginError(f"detect of {name} must return a Detection; got {type(found).__name__}")
    flagged = _checked(name, "mask", found.mask, image.shape, np.bool_, "bool")
    if mask is not None and (flagged & mask).any():
        flagged = flagged & ~mask
    if found.found_by is not None:
        _checked(name, "found_by", found.found_by, image.shape, np.uint8, "uint8")
    cleaned = _checked_cleaned(detector, found.cleaned, image, mask)
    return Detection(flagged, cleaned, _checked_probability(name, found.probability, image.shape), found.found_by)


def _checked_cleaned(detector, cleaned, image, mask):
    """The cleaned image of a detector as float32, or None; `PluginError` if it is not as promised."""
    name = type(detector).__name__
    if cleaned is None:
        if detector.cleans:
            raise PluginError(f"detect of {name} must return a cleaned image, as it says cleans = True; got None")
        return None
    cleaned = _checked(name, "cleaned", cleaned, image.shape, np.floating, "float32").astype(np.float32, copy=False)
    wrong = ~np.isfinite(cleaned)
    if wrong.any():
        wrong &= np.isfinite(image) if mask is None else np.isfinite(image) & ~mask
        if wrong.any():
            raise PluginError(
                f"cleaned of {name} must be finite where the image is valid; got {np.count_nonzero(wrong)} other pixels"
            )
    return cleaned


def _checked_probability(name, probability, shape):
    """The probabilities of a detector as float32, or None; `PluginError` if they are not from 0 to 1."""
    if probability is None:
        return None
    probability = _checked(name, "probability", probability, shape, np.floating, "float32")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise PluginError(f"probability of {name} must be 0 to 1; got {probability.min():g} to {probability.max():g}")
    return probability.astype(np.float32, copy=False)


def _checked(name, part, array, shape, kind, in_words):
    """An array of a detection, if shape and type are right."""
    if not isinstance(array, np.ndarray):
        raise PluginError(f"{part} of {name} must be an array of {in_words}; got {type(array).__name__}")
    if array.shape != shape:
        raise PluginError(f"{part} of {name} must have the shape {shape} of the image; got {array.shape}")
    if not np.issubdtype(array.dtype, kind):
        raise PluginError(f"{part} of {name} must be an array of {in_words}; got {array.dtype}")
    return array
