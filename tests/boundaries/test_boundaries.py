"""Boundary models."""

import astropy.units as u
import numpy as np
import pytest
from scipy.interpolate import BSpline

from crstack import PiecewiseBoundary, SplineBoundary
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.exceptions import InputError


@pytest.fixture
def diagram():
    """A diagram whose boundary points follow 4 sqrt(x + 25), with scatter."""
    x_edges, y_edges = np.linspace(-20, 400, 101), np.linspace(0, 150, 101)
    centres = (x_edges[1:] + x_edges[:-1]) / 2
    top = 4 * np.sqrt(np.maximum(centres, 0) + 25) * np.random.default_rng(0).uniform(0.9, 1.1, 100)
    counts = np.where(y_edges[None, 1:] < top[:, None], 100, 0)
    return MMDiagram(counts, counts, x_edges, y_edges, DiagramSettings(), u.adu)


@pytest.mark.parametrize("n_knots", [2, 3, 5, 12])
def test_spline_never_falls(diagram, n_knots):
    boundary = SplineBoundary(n_knots=n_knots).fit(diagram)
    assert np.all(np.diff(boundary.y) >= -1e-9)


def test_points_on_a_rising_spline_are_met_exactly():
    truth = BSpline([0, 0, 0, 0, 50, 100, 100, 100, 100], [5.0, 5.0, 30.0, 60.0, 61.0], 3)
    x = np.linspace(0.5, 99.5, 100)
    x[0], x[-1] = 0, 100

    class Exact:
        def boundary_points(self):
            return np.column_stack([x, truth(x)])

    boundary = SplineBoundary(n_knots=3).fit(Exact())
    np.testing.assert_allclose(boundary(x), truth(x), atol=0.02)
    assert len(boundary.extensions) == 5


def test_extensions_rise_to_the_highest_points(diagram):
    points = diagram.boundary_points()
    above = []
    for n_extensions in (0, 2, 5):
        boundary = SplineBoundary(n_extensions=n_extensions).fit(diagram)
        above.append(np.mean(points[:, 1] > boundary(points[:, 0])))
        assert len(boundary.extensions) == n_extensions
    assert 0.3 < above[0] < 0.7
    assert above[0] > above[1] > above[2]
    assert above[2] < 0.1


def test_fixed_points_are_approached(diagram):
    plain = SplineBoundary().fit(diagram)
    pulled = SplineBoundary(fixed_points=[(100, 90), (250, 120)]).fit(diagram)
    np.testing.assert_allclose(pulled([100, 250]), [90, 120], rtol=1e-3)
    assert plain(100) < 60
    light = SplineBoundary(fixed_points=[(100, 90, 1e-3)]).fit(diagram)
    np.testing.assert_allclose(light(100), plain(100), rtol=0.02)


def test_constant_outside_the_knots(diagram):
    boundary = SplineBoundary().fit(diagram)
    x = diagram.boundary_points()[:, 0]
    assert boundary(x[0] - 1e4) == boundary(x[0])
    assert boundary(x[-1] + 1e6) == boundary(x[-1])


def test_piecewise_goes_through_its_points():
    boundary = PiecewiseBoundary([(50, 60), (0, 30), (150, 80, 3)]).fit(None)
    np.testing.assert_allclose(boundary([-5, 0, 25, 50, 100, 150, 900]), [30, 30, 45, 60, 70, 80, 80])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SplineBoundary(n_knots=1), "n_knots must be an integer at least 2; got 1"),
        (lambda: SplineBoundary(n_extensions=-1), "n_extensions must be an integer at least 0; got -1"),
        (lambda: SplineBoundary(extension_weight=1), "extension_weight must be a number greater than 1; got 1"),
        (lambda: SplineBoundary(fixed_points=[(1, 2, 0)]), "weight of fixed point 1 must be .* greater than 0; got 0"),
        (
            lambda: SplineBoundary(fixed_points=[(1,)]),
            r"fixed point 1 must be \[x, y\] or \[x, y, weight\]; got \(1,\)",
        ),
        (lambda: SplineBoundary(fixed_points=[(1, "a")]), "fixed point 1 must be a finite number; got 'a'"),
        (lambda: PiecewiseBoundary([(1, 2)]), "fixed points must be 2 or more; got 1"),
        (lambda: PiecewiseBoundary([(1, 2), (1, 3)]), "fixed points must have different x"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_an_empty_diagram_is_refused(diagram):
    empty = MMDiagram(
        diagram.simulated * 0, diagram.observed, diagram.x_edges, diagram.y_edges, diagram.settings, u.adu
    )
    with pytest.raises(InputError, match="two or more boundary points"):
        SplineBoundary().fit(empty)
