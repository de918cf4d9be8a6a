"""Choice of the boundary model by instance or by name."""

from crstack._plugins import check_comparable
from crstack._registry import BOUNDARIES
from crstack.boundaries.base import BoundaryModel
from crstack.exceptions import InputError

__all__ = ["as_boundary_model"]


def as_boundary_model(model):
    """Return the boundary model that is given or named."""
    if isinstance(model, str):
        model = BOUNDARIES.make(model)
    if isinstance(model, BoundaryModel):
        check_comparable(model)
        return model
    raise InputError(f"boundary must be a BoundaryModel, the name of one, a FittedBoundary or None; got {model!r}")
