"""Detectors of cosmic rays in one image.

A subclass of `Detector` defines one method, `~Detector.detect`. Classes are plug-ins of the entry-point group
``crstack.detectors``.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from crstack.detectors.base import Detection, Detector
from crstack.detectors.two_pass import TwoPassDetector
from crstack.detectors.voting import VotingDetector

if TYPE_CHECKING:
    from crstack.detectors.conn import CosmicCoNNDetector
    from crstack.detectors.deepcr import DeepCRDetector
    from crstack.detectors.lacosmic import LACosmicDetector
    from crstack.detectors.pycosmic import PyCosmicDetector

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

#: detectors are imported when they are first used, with the libraries that they need
_PLACES = {
    "CosmicCoNNDetector": "conn",
    "DeepCRDetector": "deepcr",
    "LACosmicDetector": "lacosmic",
    "PyCosmicDetector": "pycosmic",
}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        value = getattr(_import_module(f"crstack.detectors.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'crstack.detectors' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
