"""Several detectors that vote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crstack.detectors.base import Detection, Detector, checked_detection
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.utils.validation import check_integer

__all__ = ["VotingDetector"]

#: one bit each in ``Detection.found_by``
MOST_DETECTORS = 8
#: bytes for each pixel of the votes and of the image whose hits are replaced
OF_VOTES = 12


@dataclass(frozen=True)
class VotingDetector(Detector):
    """Several detectors: a pixel is flagged if any, all or a given number of them flag it.

    Parameters
    ----------
    detectors : sequence of Detector
        Two to eight.
    vote : {'any', 'all'} or int
        Number of detectors that must flag a pixel.

    Raises
    ------
    InputError
        If an item is not a detector, or ``vote`` exceeds the number of detectors.

    Notes
    -----
    Votes are counted pixel by pixel. If the detectors agree on the core of a hit but not on its tails, only the core
    has all votes.

    A hit is replaced by the value of the first detector that flagged it and cleans. ``cleans`` is True if every
    flagged pixel has such a value; with 'any', if all detectors clean.

    Examples
    --------
    >>> from crstack import LACosmicDetector, PyCosmicDetector, VotingDetector
    >>> VotingDetector([LACosmicDetector(), PyCosmicDetector()], vote="all").votes_needed
    2
    """

    detectors: Sequence[Any]
    vote: str | int = "any"

    def __post_init__(self) -> None:
        detectors = tuple(self.detectors)
        if not 2 <= len(detectors) <= MOST_DETECTORS:
            raise InputError(f"detectors must be 2 to {MOST_DETECTORS}; got {len(detectors)}")
        for number, detector in enumerate(detectors, start=1):
            if not isinstance(detector, Detector) or isinstance(detector, VotingDetector):
                raise InputError(f"detector {number} must be a single Detector; got {detector!r}")
        object.__setattr__(self, "detectors", detectors)
        if isinstance(self.vote, str) and self.vote not in ("any", "all"):
            raise InputError(f"vote must be any, all or a number of detectors; got {self.vote!r}")
        if not isinstance(self.vote, str):
            check_integer("vote", self.vote, minimum=1, maximum=len(detectors))

    @property
    def votes_needed(self) -> int:
        """Number of detectors that must flag a pixel."""
        if self.vote == "all":
            return len(self.detectors)
        return 1 if self.vote == "any" else int(self.vote)

    @property
    def cleans(self) -> bool:  # type: ignore[override]
        """Whether at least one detector that flags a pixel always cleans."""
        return self.votes_needed > sum(not detector.cleans for detector in self.detectors)

    @property
    def bytes_per_pixel(self) -> float | None:  # type: ignore[override]
        """Memory of the largest search, and the masks of the others; None if that of a detector is not known."""
        each = [detector.bytes_per_pixel for detector in self.detectors]
        if None in each:
            return None
        return max(one for one in each if one is not None) + OF_VOTES

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the detectors, in the order of the bits of ``Detection.found_by``."""
        return tuple(type(detector).__name__ for detector in self.detectors)

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
            The pixels of the vote.
        """
        return self.combine(image, [checked_detection(one, image, noise, mask) for one in self.detectors])

    def combine(self, image: np.ndarray, detections: Sequence[Detection]) -> Detection:
        """One detection from the detections of all detectors.

        Parameters
        ----------
        image : `~numpy.ndarray`
            (ny, nx), the searched image.
        detections : list of Detection
            In the order of ``detectors``.

        Returns
        -------
        detection : Detection
            With ``found_by``, and ``cleaned`` where `cleans` is True.
        """
        found_by = np.zeros(np.shape(image), dtype=np.uint8)
        votes = np.zeros_like(found_by)
        for number, detection in enumerate(detections):
            found_by |= detection.mask.view(np.uint8) << np.uint8(number)
            votes += detection.mask
        mask = votes >= self.votes_needed
        cleaned = None
        if self.cleans:
            cleaned = np.array(image, dtype=np.float32)
            # in reverse order, so that the first detector has priority
            for detection in reversed(detections):
                if detection.cleaned is not None:
                    replaced = mask & detection.mask
                    cleaned[replaced] = detection.cleaned[replaced]
        return Detection(mask, cleaned, found_by=found_by)
