"""Choice of the boundary model by instance or by name."""

from crstack.boundaries.base import BoundaryModel
from crstack.utils.registry import BOUNDARIES

__all__ = ["as_boundary_model"]


def as_boundary_model(model: BoundaryModel | str) -> BoundaryModel:
    """Return the boundary model that is given or named."""
    return BOUNDARIES.instance(model, "boundary must be a BoundaryModel, the name of one, a FittedBoundary or None")
