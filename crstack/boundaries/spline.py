"""Boundary of a spline that never decreases, moved up to the highest points."""

from dataclasses import dataclass

import numpy as np

from crstack.boundaries.base import BoundaryModel, FittedBoundary, check_fixed_points, points_in
from crstack.diagram import MMDiagram
from crstack.exceptions import InputError
from crstack.utils.validation import check_integer, check_number

__all__ = ["SplineBoundary"]

DEGREE = 3
#: samples of the curve between two knots
SAMPLES_PER_KNOT = 64


@dataclass(frozen=True)
class SplineBoundary(BoundaryModel):
    """Cubic least-squares spline through the simulated boundary points.

    The derivative is never negative. After a first fit the curve is extended
    upwards: in extension j the residuals of the points above the previous
    curve are multiplied by ``extension_weight**j``.

    Parameters
    ----------
    n_knots : int, optional
        Evenly spaced knots, both ends included; 2 or more.
    n_extensions : int, optional
        Number of extensions; 0 for the first fit only.
    extension_weight : float, optional
        Factor of weight of the points above the curve; greater than 1.
    fixed_points : sequence of (x, y) or (x, y, weight), optional
        Points the curve must approach: numbers in the unit of the exposures, or Quantities. The
        weight (default 10000) is in units of the largest weight of the others.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    The procedure is that of M.M.Cosmic (Cardiel et al. 2026, in preparation). The B-spline coefficients never
    decrease. So the derivative is never negative, and the fit is a bounded linear least-squares problem with one
    solution.
    """

    n_knots: int = 5
    n_extensions: int = 5
    extension_weight: float = 2.0
    fixed_points: tuple = ()

    def __post_init__(self) -> None:
        check_integer("n_knots", self.n_knots, minimum=2)
        check_integer("n_extensions", self.n_extensions, minimum=0)
        weight = check_number("extension_weight", self.extension_weight, minimum=1, exclusive=True)
        object.__setattr__(self, "extension_weight", weight)
        object.__setattr__(self, "fixed_points", check_fixed_points(self.fixed_points))

    def fit(self, diagram: MMDiagram) -> FittedBoundary:
        """Fit the boundary points of ``diagram``.

        Parameters
        ----------
        diagram : `~crstack.diagram.MMDiagram`
            The diagram, whose boundary points are fitted.

        Returns
        -------
        boundary : FittedBoundary
            The spline.

        Raises
        ------
        InputError
            If the diagram has fewer than two boundary points.
        """
        points = diagram.boundary_points()
        if len(points) < 2:
            raise InputError(
                f"diagram must have two or more boundary points for a spline; got {len(points)}: "
                "use more simulations, fewer min_neighbors or PiecewiseBoundary"
            )
        x, y = points.T
        fixed = np.array(points_in(self.fixed_points, getattr(diagram, "unit", None))).reshape(-1, 3)
        knots = np.linspace(min(x.min(), *fixed[:, 0], x.max()), max(x.max(), *fixed[:, 0], x.min()), self.n_knots)
        grid = np.linspace(knots[0], knots[-1], SAMPLES_PER_KNOT * (self.n_knots - 1) + 1)

        weights = np.ones(len(x))
        curves = []
        for extension in range(self.n_extensions + 1):
            spline = _rising_spline(knots, x, y, weights, fixed)
            curves.append(spline(grid))
            weights = np.where(y > spline(x), self.extension_weight ** (extension + 1), 1.0)
        return FittedBoundary(self, grid, curves[-1], points, tuple(curves[:-1]))


def _rising_spline(knots, x, y, weights, fixed):
    """Weighted least-squares cubic spline with coefficients that never decrease.

    ``weights`` multiply the residuals, as in the splines of scipy; ``fixed``
    holds rows of (x, y, weight in units of the largest of ``weights``).
    """
    # imported here, because the joint decision needs neither
    from scipy.interpolate import BSpline
    from scipy.optimize import lsq_linear

    all_x = np.concatenate([x, fixed[:, 0]])
    all_y = np.concatenate([y, fixed[:, 1]])
    weight = np.concatenate([weights, fixed[:, 2] * weights.max()])
    padded = np.concatenate([[knots[0]] * DEGREE, knots, [knots[-1]] * DEGREE])
    basis = BSpline.design_matrix(all_x, padded, DEGREE).toarray()
    # coefficient j is the first one plus j steps, and no step is negative
    steps = np.cumsum(basis[:, ::-1], axis=1)[:, ::-1]
    lower = np.zeros(steps.shape[1])
    lower[0] = -np.inf
    solution = lsq_linear(steps * weight[:, None], all_y * weight, bounds=(lower, np.inf), method="bvls")
    return BSpline(padded, np.cumsum(solution.x), DEGREE)
