"""Cosmic rays that survive the median of a few equivalent exposures."""

from importlib.metadata import version as _version

from crstack.boundaries import BoundaryModel, CalibratedBoundary, FittedBoundary, PiecewiseBoundary, SplineBoundary
from crstack.combine import Combination
from crstack.combine.files import read_combination as read
from crstack.detectors import (
    CosmicCoNNDetector,
    DeepCRDetector,
    Detection,
    Detector,
    LACosmicDetector,
    PyCosmicDetector,
    VotingDetector,
)
from crstack.joint import JointPosterior
from crstack.masks import Code, MaskSet
from crstack.noise import NoiseModel
from crstack.stack import CRStack

__version__ = _version("crstack")

__all__ = [
    "BoundaryModel",
    "CRStack",
    "CalibratedBoundary",
    "Code",
    "Combination",
    "CosmicCoNNDetector",
    "DeepCRDetector",
    "Detection",
    "Detector",
    "FittedBoundary",
    "JointPosterior",
    "LACosmicDetector",
    "MaskSet",
    "NoiseModel",
    "PiecewiseBoundary",
    "PyCosmicDetector",
    "SplineBoundary",
    "VotingDetector",
    "read",
]
