"""Cosmic rays that survive the median of a few equivalent exposures."""

from importlib.metadata import version as _version

from crstack.boundaries import BoundaryModel, CalibratedBoundary, FittedBoundary, PiecewiseBoundary, SplineBoundary
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
from crstack.masks import Code, MaskRules, MaskSet
from crstack.methods import Decision, Method
from crstack.mmcosmic import MMCosmic
from crstack.noise import NoiseModel
from crstack.stack import CRStack

__version__ = _version("crstack")

__all__ = [
    "BoundaryModel",
    "CRStack",
    "CalibratedBoundary",
    "Code",
    "CosmicCoNNDetector",
    "Decision",
    "DeepCRDetector",
    "Detection",
    "Detector",
    "FittedBoundary",
    "JointPosterior",
    "LACosmicDetector",
    "MMCosmic",
    "MaskRules",
    "MaskSet",
    "Method",
    "NoiseModel",
    "PiecewiseBoundary",
    "PyCosmicDetector",
    "SplineBoundary",
    "VotingDetector",
]
