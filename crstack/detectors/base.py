"""What a detector of cosmic rays in one image is, and what it answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np

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
    """

    mask: np.ndarray
    cleaned: np.ndarray | None = None
    probability: np.ndarray | None = None

    def __repr__(self):
        extras = [name for name in ("cleaned", "probability") if getattr(self, name) is not None]
        with_words = f", with {' and '.join(extras)}" if extras else ""
        return f"<Detection: {np.count_nonzero(self.mask)} of {self.mask.size} pixels{with_words}>"


@dataclass(frozen=True)
class Detector(ABC):
    """Base class of the detectors: subclass it as a frozen dataclass.

    The fields of the dataclass are the parameters of the detector; a subclass
    writes `detect` and nothing else. A detector that can replace the hits says
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

    @classmethod
    def parameters(cls):
        """Names and defaults of the parameters, as a dict."""
        return {field.name: field.default for field in fields(cls) if field.init}
