"""Boundary of straight lines through points given by the user."""

from dataclasses import dataclass

import numpy as np

from crstack.boundaries.base import BoundaryModel, FittedBoundary, check_fixed_points, points_in
from crstack.diagram import MMDiagram

__all__ = ["PiecewiseBoundary"]


@dataclass(frozen=True)
class PiecewiseBoundary(BoundaryModel):
    """Straight lines through fixed points, constant outside them.

    Parameters
    ----------
    fixed_points : sequence of (x, y) or (x, y, weight)
        Two or more, in the unit of the exposures or as Quantities, bias subtracted: x is
        min2d, y the boundary of T - min2d. Weights are ignored.

    Raises
    ------
    InputError
        If there are fewer than two points, or two of the same x.

    Examples
    --------
    >>> from crstack import PiecewiseBoundary
    >>> boundary = PiecewiseBoundary([(0, 30), (50, 60), (150, 80)]).fit(None)
    >>> print(boundary([-10, 0, 25, 100, 1000]))
    [30. 30. 45. 70. 80.]
    """

    fixed_points: tuple = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixed_points", check_fixed_points(self.fixed_points, minimum=2))

    def fit(self, diagram: MMDiagram | None) -> FittedBoundary:
        """Return the boundary; of ``diagram`` only the unit is used, for points with units.

        Parameters
        ----------
        diagram : `~crstack.diagram.MMDiagram` or None
            Its unit is that of the exposures. Points without units need no diagram.

        Returns
        -------
        boundary : FittedBoundary
            The straight lines.
        """
        points = np.array(points_in(self.fixed_points, getattr(diagram, "unit", None)))[:, :2]
        return FittedBoundary(self, points[:, 0], points[:, 1], points)
