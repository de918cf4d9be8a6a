"""Models of the boundary in the median-minimum diagram.

A subclass of `BoundaryModel` defines one method, `~BoundaryModel.fit`. Classes are plug-ins of the entry-point group
``crstack.boundaries``.
"""

from crstack.boundaries.base import BoundaryModel, FittedBoundary
from crstack.boundaries.calibrated import CalibratedBoundary, CalibratedFit
from crstack.boundaries.piecewise import PiecewiseBoundary
from crstack.boundaries.spline import SplineBoundary

__all__ = [
    "BoundaryModel",
    "CalibratedBoundary",
    "CalibratedFit",
    "FittedBoundary",
    "PiecewiseBoundary",
    "SplineBoundary",
]
