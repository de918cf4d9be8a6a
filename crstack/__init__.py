"""Find cosmic rays in stacks of exposures of one field, and combine the exposures."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crstack.boundaries import BoundaryModel, CalibratedBoundary, FittedBoundary, PiecewiseBoundary, SplineBoundary
    from crstack.combine import Combination, read
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
    from crstack.mosaic import Mosaic, read_mosaic
    from crstack.noise import NoiseModel
    from crstack.stack import CRStack

    __version__: str

__all__ = [
    "BoundaryModel",
    "CRStack",
    "CalibratedBoundary",
    "Code",
    "Combination",
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
    "Mosaic",
    "NoiseModel",
    "PiecewiseBoundary",
    "PyCosmicDetector",
    "SplineBoundary",
    "VotingDetector",
    "read",
    "read_mosaic",
]

#: public names are imported at first use, because the command's --help needs none of them
_PLACES = {
    "boundaries": ("BoundaryModel", "CalibratedBoundary", "FittedBoundary", "PiecewiseBoundary", "SplineBoundary"),
    "combine": ("Combination", "read"),
    "detectors": (
        *("CosmicCoNNDetector", "DeepCRDetector", "Detection", "Detector"),
        *("LACosmicDetector", "PyCosmicDetector", "VotingDetector"),
    ),
    "joint": ("JointPosterior",),
    "masks": ("Code", "MaskRules", "MaskSet"),
    "methods": ("Decision", "Method"),
    "mmcosmic": ("MMCosmic",),
    "mosaic": ("Mosaic", "read_mosaic"),
    "noise": ("NoiseModel",),
    "stack": ("CRStack",),
}
_ROOMS = ("datasets", "equalize", "exceptions", "exposures", "io", "plotting", "simulation", "testing")


def __getattr__(name):
    if name == "__version__":
        from crstack.utils.version import crstack_version

        return crstack_version()
    for place, names in _PLACES.items():
        if name in names:
            value = getattr(_import_module(f"crstack.{place}"), name)
            globals()[name] = value
            return value
    if name in _PLACES or name in _ROOMS or name == "statistics":
        return _import_module(f"crstack.{name}")
    raise AttributeError(f"module 'crstack' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, *_PLACES, *_ROOMS, "statistics", "__version__"])
