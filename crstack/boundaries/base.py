"""Base classes of the boundary models in the median-minimum diagram."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import astropy.units as u
import numpy as np

from crstack.diagram import MMDiagram
from crstack.exceptions import InputError, PluginError
from crstack.utils.memory import empty_image
from crstack.utils.plugins import plugin_errors, protected
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.validation import check_choice, check_number, check_quantity

__all__ = [
    "DEFAULT_WEIGHT",
    "IMAGES",
    "BoundaryModel",
    "FittedBoundary",
    "boundary_values",
    "check_boundary_of",
    "check_fixed_points",
    "checked_fit",
    "model_in",
    "points_in",
]

#: kinds of images T for which there is a boundary of T - min2d
IMAGES = ("median", "mean", "exposure")

#: min2d at which a boundary must have values, also far outside its range
PROBES = np.array([[-1e6, 0.0], [100.0, 1e6]], dtype=np.float32)

#: weight of a fixed point over the largest weight of the other points
DEFAULT_WEIGHT = 10000.0


@dataclass(frozen=True, eq=False, repr=False)
class FittedBoundary:
    """A boundary: the largest T - min2d that noise explains, at each min2d.

    Call it with min2d (bias subtracted) to get the boundary at that min2d, in the same unit. Outside ``[x[0], x[-1]]``
    it stays constant.

    Attributes
    ----------
    model : BoundaryModel
        The model and its parameters.
    x, y : `~numpy.ndarray`
        The boundary sampled finely, in the unit of the exposures.
    points : `~numpy.ndarray`
        (n, 2): the points the model was fitted to.
    extensions : tuple of `~numpy.ndarray`
        The boundary at ``x`` before each extension, first fit first.
    diagram : `~crstack.diagram.MMDiagram` or None
        The diagram that the model was fitted to; set by `~crstack.CRStack`.
    """

    model: "BoundaryModel"
    x: np.ndarray
    y: np.ndarray
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    extensions: tuple = ()
    diagram: MMDiagram | None = field(default=None, kw_only=True)

    def __call__(self, min2d: Any) -> np.ndarray:
        """Return the boundary of T - min2d at ``min2d`` (array_like), float32."""
        shape = np.shape(min2d)
        if len(shape) < 2:
            return np.interp(min2d, self.x, self.y).astype(np.float32)
        boundary = empty_image(shape)

        def work(rows):
            boundary[rows] = np.interp(min2d[rows], self.x, self.y)

        map_threads(work, row_bands(*shape[:2]))
        return boundary

    def for_image(self, image: str) -> "FittedBoundary":
        """The boundary of T - min2d where T is the "median", the "mean" or one "exposure".

        It is the same for all of them, unless the model fits one for each.

        Parameters
        ----------
        image : {"median", "mean", "exposure"}
            The kind of image.

        Returns
        -------
        boundary : FittedBoundary
            That of the image.
        """
        check_choice("image", image, IMAGES)
        return self

    def __repr__(self) -> str:
        return (
            f"<FittedBoundary {self.model!r}: {self.y[0]:.4g} at min2d={self.x[0]:.4g} "
            f"to {self.y[-1]:.4g} at min2d={self.x[-1]:.4g}>"
        )


@dataclass(frozen=True)
class BoundaryModel(ABC):
    """Base class of the boundary models: subclass it as a frozen dataclass.

    The fields of the dataclass are the parameters. A subclass defines only `fit`. If a model has a field
    ``fixed_points``, the diagram shows these points and its vertical axis includes them.
    """

    @abstractmethod
    def fit(self, diagram: MMDiagram) -> FittedBoundary:
        """Fit the boundary to a diagram.

        Parameters
        ----------
        diagram : `~crstack.diagram.MMDiagram`
            Simulated and observed histograms of (min2d, median2d - min2d).

        Returns
        -------
        boundary : FittedBoundary
            A callable of min2d.
        """

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Names and defaults of the parameters, as a dict."""
        return {field.name: field.default for field in fields(cls) if field.init}


def check_fixed_points(points: Sequence[Any], minimum: int = 0) -> tuple[tuple[Any, Any, float], ...]:
    """Return fixed points as a tuple of (x, y, weight), sorted by x; x and y may be Quantities.

    Raises
    ------
    InputError
        If there are fewer than ``minimum``, one is not two or three numbers, or only some are Quantities.
    """
    coordinates = [
        value for point in points or () if isinstance(point, tuple | list | np.ndarray) for value in list(point)[:2]
    ]
    units = [value.unit for value in coordinates if isinstance(value, u.Quantity)]
    if units:
        if len(units) < len(coordinates):
            raise InputError(f"fixed points must all have a unit, or none; got {len(units)} of {len(coordinates)}")
        numbers = check_fixed_points(points_in(points, units[0]), minimum)
        return tuple((x * units[0], y * units[0], weight) for x, y, weight in numbers)
    checked = []
    for number, point in enumerate(points or (), start=1):
        if not isinstance(point, tuple | list | np.ndarray) or len(point) not in (2, 3):
            raise InputError(f"fixed point {number} must be [x, y] or [x, y, weight]; got {point!r}")
        x, y = (check_number(f"fixed point {number}", value) for value in point[:2])
        weight = point[2] if len(point) == 3 else DEFAULT_WEIGHT
        checked.append((x, y, check_number(f"weight of fixed point {number}", weight, minimum=0, exclusive=True)))
    if len({x for x, _, _ in checked}) < len(checked):
        raise InputError(f"fixed points must have different x; got {[list(point) for point in points]}")
    if len(checked) < minimum:
        raise InputError(f"fixed points must be {minimum} or more; got {len(checked)}")
    return tuple(sorted(checked))


def points_in(points: Sequence[Any], unit: u.UnitBase | None) -> tuple[tuple[Any, ...], ...]:
    """Fixed points as numbers in the unit of the exposures.

    Parameters
    ----------
    points : sequence of (x, y, weight)
        Numbers, or Quantities x and y.
    unit : `~astropy.units.Unit` or None
        The unit of the exposures.

    Returns
    -------
    points : tuple of (x, y, weight)

    Raises
    ------
    InputError
        If they are Quantities and have another unit, or the unit of the exposures is not known.
    """

    def number(value: Any) -> Any:
        if not isinstance(value, u.Quantity):
            return value
        if unit is None:
            raise InputError(f"fixed points must be numbers for a fit without a diagram; got {value}")
        return check_quantity("fixed points", value, unit, shape=())

    return tuple((number(point[0]), number(point[1]), *point[2:]) for point in points)


def model_in(model: Any, unit: u.UnitBase) -> Any:
    """The model with its fixed points, if it has any with units, as numbers in the unit of the exposures."""
    points = getattr(model, "fixed_points", ()) or ()
    if not any(isinstance(value, u.Quantity) for point in points for value in point):
        return model
    return replace(model, fixed_points=points_in(points, unit))


def checked_fit(model: BoundaryModel, diagram: MMDiagram) -> FittedBoundary:
    """Call `BoundaryModel.fit` with read-only arrays, and check the result.

    Parameters
    ----------
    model : BoundaryModel
        Of crstack or of a plug-in.
    diagram : `~crstack.diagram.MMDiagram`
        The diagram to fit.

    Returns
    -------
    boundary : FittedBoundary

    Raises
    ------
    PluginError
        If the model raises an error or exits, or returns anything but a `FittedBoundary` with finite values.
    """
    with plugin_errors(model, "fit"):
        boundary = model.fit(protected(diagram))
    if not isinstance(boundary, FittedBoundary):
        raise PluginError(f"fit of {type(model).__name__} must return a FittedBoundary; got {type(boundary).__name__}")
    check_boundary_of(boundary)
    return boundary


def check_boundary_of(boundary: FittedBoundary) -> None:
    """Raise `PluginError` unless a boundary has finite values for each kind of image, and can be drawn."""
    name = _name_of(boundary)
    for axis in ("x", "y"):
        values = getattr(boundary, axis)
        if not (isinstance(values, np.ndarray) and values.ndim == 1 and values.size and _are_numbers(values)):
            raise PluginError(
                f"{axis} of the boundary of {name} must be a 1-D array of finite numbers; got {_in_words(values)}"
            )
    if boundary.x.shape != boundary.y.shape or (np.diff(boundary.x) < 0).any():
        raise PluginError(f"x of the boundary of {name} must not decrease, and have as many values as y")
    for image in IMAGES:
        with plugin_errors(boundary.model, f"give a boundary for the {image}"):
            own = boundary.for_image(image)
        boundary_values(own, PROBES)


def boundary_values(boundary: Callable[[np.ndarray], np.ndarray], min2d: np.ndarray) -> np.ndarray:
    """Values of a boundary, called with a read-only array.

    Parameters
    ----------
    boundary : callable
        `FittedBoundary`, of crstack or of a plug-in.
    min2d : `~numpy.ndarray`
        The min2d of each pixel; NaN where no exposure is valid.

    Returns
    -------
    values : `~numpy.ndarray`
        Of the shape of ``min2d``.

    Raises
    ------
    PluginError
        If the boundary raises an error or exits, or returns anything but finite numbers, 0 or more, where min2d is
        finite.
    """
    with plugin_errors(getattr(boundary, "model", boundary), "give its boundary"):
        values = boundary(protected(min2d))
    name = _name_of(boundary)
    if not isinstance(values, np.ndarray) or values.shape != np.shape(min2d):
        got = getattr(values, "shape", type(values).__name__)
        raise PluginError(f"the boundary of {name} must have the shape {np.shape(min2d)} of min2d; got {got}")
    where = np.isfinite(min2d)
    if not _are_numbers(values[where]):
        raise PluginError(f"the boundary of {name} must be finite numbers everywhere; got {values.dtype} with others")
    if (values[where] < 0).any():
        raise PluginError(
            f"the boundary of {name} must be finite and 0 or more everywhere, because it is the largest T - min2d of "
            f"noise; got {values[where].min():.4g}"
        )
    return values


def _name_of(boundary):
    return type(getattr(boundary, "model", boundary)).__name__


def _in_words(values):
    """A description of what is no 1-D array of finite numbers."""
    if not isinstance(values, np.ndarray):
        return type(values).__name__
    words = f"{values.dtype} of the shape {values.shape}"
    if values.dtype.kind == "f" and values.size:
        words += f", {np.count_nonzero(~np.isfinite(values))} of them not finite"
    return words


def _are_numbers(values):
    """Whether an array has real numbers, all finite."""
    return values.dtype.kind in "fiu" and bool(np.isfinite(values).all())
