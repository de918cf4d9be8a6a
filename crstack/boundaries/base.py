"""What a model of the boundary in the median-minimum diagram is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from crstack._validation import check_choice, check_number
from crstack.exceptions import InputError

if TYPE_CHECKING:
    from crstack.mmcosmic.diagram import MMDiagram

__all__ = ["IMAGES", "BoundaryModel", "FittedBoundary", "check_fixed_points"]

#: kinds of images T that a boundary of T - min2d is for
IMAGES = ("median", "mean", "exposure")

#: weight of a fixed point over the largest weight of the other points
DEFAULT_WEIGHT = 10000.0


@dataclass(frozen=True, eq=False, repr=False)
class FittedBoundary:
    """A boundary: the largest T - min2d that noise explains, at each min2d.

    Call it with min2d (bias subtracted) to get the boundary there, in the
    same unit. Outside ``[x[0], x[-1]]`` it stays constant.

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
    diagram : `~crstack.mmcosmic.diagram.MMDiagram` or None
        The diagram that the model was fitted to; set by `~crstack.CRStack`.
    """

    model: "BoundaryModel"
    x: np.ndarray
    y: np.ndarray
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    extensions: tuple = ()
    diagram: "MMDiagram | None" = field(default=None, kw_only=True)

    def __call__(self, min2d):
        """Return the boundary of T - min2d at ``min2d`` (array_like), float32."""
        return np.interp(min2d, self.x, self.y).astype(np.float32)

    def for_image(self, image):
        """The boundary of T - min2d where T is the "median", the "mean" or one "exposure".

        The same for all of them, unless a model makes one for each.
        """
        check_choice("image", image, IMAGES)
        return self

    def __repr__(self):
        return (
            f"<FittedBoundary {self.model!r}: {self.y[0]:.4g} at min2d={self.x[0]:.4g} "
            f"to {self.y[-1]:.4g} at min2d={self.x[-1]:.4g}>"
        )


@dataclass(frozen=True)
class BoundaryModel(ABC):
    """Base class of the boundary models: subclass it as a frozen dataclass.

    The fields of the dataclass are the parameters; a subclass writes `fit`
    and nothing else. A model with a field ``fixed_points`` has them shown in
    the diagram, whose vertical axis is raised to hold them.
    """

    @abstractmethod
    def fit(self, diagram):
        """Fit the boundary to a diagram.

        Parameters
        ----------
        diagram : `~crstack.mmcosmic.diagram.MMDiagram`
            Simulated and observed histograms of (min2d, median2d - min2d).

        Returns
        -------
        boundary : FittedBoundary
            A callable of min2d.
        """

    @classmethod
    def parameters(cls):
        """Names and defaults of the parameters, as a dict."""
        return {field.name: field.default for field in fields(cls) if field.init}


def check_fixed_points(points, minimum=0):
    """Return fixed points as a tuple of (x, y, weight), sorted by x.

    Raises
    ------
    InputError
        If there are fewer than ``minimum``, or one is not two or three numbers.
    """
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
