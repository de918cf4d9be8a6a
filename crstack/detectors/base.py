"""What a detector of cosmic rays in one image is, and what it answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures import image_with_noise

__all__ = ["Detection", "Detector"]


@dataclass(frozen=True, eq=False, repr=False)
class Detection:
    """What a detector found in one image.

    Attributes
    ----------
    mask : `~numpy.ndarray` of bool
        True where a cosmic ray hit the image; shape of the image.
    cleaned : `~numpy.ndarray` or None
        float32 image in the unit of the image, hits replaced.
    probability : `~numpy.ndarray` or None
        float32 probability of a hit, 0 to 1.
    found_by : `~numpy.ndarray` or None
        uint8, where several detectors took part: bit i is set where the i-th of
        them (from 0) flagged the pixel, in or out of ``mask``.
    """

    mask: np.ndarray
    cleaned: np.ndarray | None = None
    probability: np.ndarray | None = None
    found_by: np.ndarray | None = None

    def __repr__(self):
        extras = [name for name in ("cleaned", "probability") if getattr(self, name) is not None]
        with_words = f", with {' and '.join(extras)}" if extras else ""
        return f"<Detection: {np.count_nonzero(self.mask)} of {self.mask.size} pixels{with_words}>"


@dataclass(frozen=True)
class Detector(ABC):
    """Base class of the detectors: subclass it as a frozen dataclass.

    The fields of the dataclass are the parameters of the detector; a subclass
    writes `detect` and nothing else, and can be checked with
    `crstack.testing.check_detector`. A detector that can replace the hits says
    so with the class attribute ``cleans = True`` and returns
    ``Detection.cleaned``.
    """

    #: whether `detect` returns a cleaned image
    cleans = False

    @abstractmethod
    def detect(self, image, noise, mask=None):
        """Find the cosmic rays of one image.

        Parameters
        ----------
        image : `~numpy.ndarray`
            float32 (ny, nx), bias subtracted, in ``noise.unit``. Never modified.
        noise : `~crstack.noise.NoiseModel`
            The noise of this very image: a median of N exposures has less of
            it than one exposure.
        mask : `~numpy.ndarray` of bool, optional
            True at bad pixels, which are not used and never flagged.

        Returns
        -------
        detection : Detection
            Arrays of the shape of ``image``.
        """

    def __call__(self, ccd, noise, *, clean=False):
        """Find the cosmic rays of one image of astropy or ccdproc.

        Parameters
        ----------
        ccd : `~astropy.nddata.CCDData`
            Image (ny, nx), bias subtracted, in ``noise.unit``. Its mask is that of
            the bad pixels; its uncertainty, if any, is used in place of
            ``noise``. Never modified.
        noise : `~crstack.noise.NoiseModel`
            The noise of this very image.
        clean : bool, optional
            Replace the hits, with a detector that cleans.

        Returns
        -------
        flagged : `~astropy.nddata.CCDData`
            A copy with the hits added to ``mask``, and in ``flags`` (bool) the hits alone.

        Raises
        ------
        InputError
            If ``ccd`` is not a 2-D CCDData in the unit of the noise, or is to be
            cleaned by a detector that does not.
        """
        if clean and not self.cleans:
            raise InputError(f"clean must be False for {type(self).__name__}, which does not clean; got True")
        image, bad, noise = image_with_noise(ccd, noise)
        detection = self.detect(image, noise, bad)
        flagged = ccd.copy()
        flagged.mask = detection.mask.copy() if ccd.mask is None else detection.mask | ccd.mask
        flagged.flags = detection.mask
        if clean:
            flagged.data = np.where(detection.mask, detection.cleaned, ccd.data)
        return flagged

    @classmethod
    def parameters(cls):
        """Names and defaults of the parameters, as a dict."""
        return {field.name: field.default for field in fields(cls) if field.init}
