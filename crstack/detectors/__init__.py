"""Detectors of cosmic rays in one image.

`Detector` has one method to write, `~Detector.detect`; classes are plug-ins of
the entry-point group ``crstack.detectors``.
"""

from crstack.detectors.base import Detection, Detector
from crstack.detectors.lacosmic import LACosmicDetector
from crstack.detectors.pycosmic import PyCosmicDetector
from crstack.detectors.two_pass import TwoPassDetector

__all__ = ["Detection", "Detector", "LACosmicDetector", "PyCosmicDetector", "TwoPassDetector"]
