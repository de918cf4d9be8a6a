"""Two passes of one detector: first certain peaks, then the tails that touch them."""

from dataclasses import dataclass

import numpy as np

from crstack.detectors.base import Detection, Detector, checked_detection
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.utils.pixels import features_holding

__all__ = ["TwoPassDetector", "is_paired", "split_pairs"]


def is_paired(value):
    """Whether a parameter is given as a pair, one value for each pass."""
    return isinstance(value, tuple | list)


def split_pairs(**parameters):
    """Split parameters that may be pairs into those of the two passes.

    Returns
    -------
    high, low : dict
        The parameters of the first pass (peaks) and of the second (tails).
        Equal where no parameter is a pair of two different values.
    """
    high = {name: value[0] if is_paired(value) else value for name, value in parameters.items()}
    low = {name: value[1] if is_paired(value) else value for name, value in parameters.items()}
    return high, low


@dataclass(frozen=True)
class TwoPassDetector(Detector):
    """Two detectors as two passes: certain peaks from one, their tails from the other.

    `LACosmicDetector` and `PyCosmicDetector` accept pairs of thresholds themselves, which is faster. Use this class
    for all other parameters.

    Parameters
    ----------
    high : Detector
        Finds the peaks.
    low : Detector
        Finds the tails: each connected feature of its mask that holds a pixel
        found by ``high`` is kept. Its cleaned values are used.

    Raises
    ------
    InputError
        If either is not a `Detector`.

    Examples
    --------
    >>> from crstack import PyCosmicDetector
    >>> from crstack.detectors import TwoPassDetector
    >>> detector = TwoPassDetector(PyCosmicDetector(fwhm_gauss=2.5), PyCosmicDetector(fwhm_gauss=2.0))
    """

    high: Detector
    low: Detector

    def __post_init__(self) -> None:
        for name in ("high", "low"):
            if not isinstance(getattr(self, name), Detector):
                raise InputError(f"{name} must be a Detector; got {getattr(self, name)!r}")

    @property
    def cleans(self) -> bool:  # type: ignore[override]
        """Whether the second pass returns a cleaned image."""
        return self.low.cleans

    def detect(self, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None) -> Detection:
        """Find the cosmic rays of one image.

        Parameters
        ----------
        image : `~numpy.ndarray`
            Image, float32 (ny, nx), bias subtracted, in ``noise.unit``.
        noise : `~crstack.noise.NoiseModel`
            Noise of this image.
        mask : `~numpy.ndarray` of bool, optional
            True at bad pixels (ny, nx).

        Returns
        -------
        detection : Detection
            The features of the low mask that hold a pixel of the high mask.
        """
        sure = checked_detection(self.high, image, noise, mask).mask
        tails = checked_detection(self.low, image, noise, mask)
        found = features_holding(tails.mask, sure)
        cleaned = None if tails.cleaned is None else np.where(found, tails.cleaned, image).astype(np.float32)
        return Detection(found, cleaned, tails.probability)
