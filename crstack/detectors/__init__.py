"""Detectors of cosmic rays in one image.

`Detector` has one method to write, `~Detector.detect`; classes are plug-ins of
the entry-point group ``crstack.detectors``.
"""

from crstack.detectors.base import Detection, Detector
from crstack.detectors.conn import CosmicCoNNDetector
from crstack.detectors.deepcr import DeepCRDetector
from crstack.detectors.lacosmic import LACosmicDetector
from crstack.detectors.pycosmic import PyCosmicDetector
from crstack.detectors.two_pass import TwoPassDetector
from crstack.detectors.voting import VotingDetector

__all__ = [
    "CosmicCoNNDetector",
    "DeepCRDetector",
    "Detection",
    "Detector",
    "LACosmicDetector",
    "PyCosmicDetector",
    "TwoPassDetector",
    "VotingDetector",
]
