"""The small parts of the boundary models."""

import astropy.units as u
import numpy as np
import pytest
from scipy.interpolate import make_lsq_spline

from crstack import CalibratedBoundary, SplineBoundary
from crstack.boundaries import FittedBoundary, spline
from crstack.boundaries.base import check_fixed_points
from crstack.boundaries.calibrated import _Tail
from crstack.diagram import DiagramSettings, EquivalentSets, MMDiagram
from crstack.noise import NoiseModel
from crstack.utils.threads import limited_threads


class Points:
    """A diagram with boundary points only."""

    def __init__(self, x, y):
        self.points = np.column_stack([x, y])

    def boundary_points(self):
        return self.points


def rising_points(seed=1):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 100, 60)
    return x, 10 + 0.5 * x + rng.normal(0, 2, x.size)


def test_a_spline_that_rises_by_itself_is_that_of_scipy():
    """A fit with weights, which multiply the residuals."""
    x, y = rising_points()
    weights = np.random.default_rng(2).uniform(0.2, 5, x.size)
    knots = np.array([0.0, 100.0])
    found = spline._rising_spline(knots, x, y, weights, np.empty((0, 3)))
    padded = np.concatenate([[0.0] * 3, knots, [100.0] * 3])
    expected = make_lsq_spline(x, y, padded, 3, w=weights)
    assert (np.diff(expected.c) > 0).all()
    np.testing.assert_allclose(found(x), expected(x), rtol=1e-6)
    even = make_lsq_spline(x, y, padded, 3)
    assert np.abs(found(x) - even(x)).max() > 0.05


def test_extensions_weigh_the_points_above():
    """Points above the curve have a weight that increases with each extension; others have weight 1."""
    x, y = rising_points()
    model = SplineBoundary(n_knots=2, n_extensions=2, extension_weight=3.0)
    fitted = model.fit(Points(x, y))
    knots = np.array([0.0, 100.0])
    nothing = np.empty((0, 3))
    first = spline._rising_spline(knots, x, y, np.ones(x.size), nothing)
    second = spline._rising_spline(knots, x, y, np.where(y > first(x), 3.0, 1.0), nothing)
    third = spline._rising_spline(knots, x, y, np.where(y > second(x), 9.0, 1.0), nothing)
    np.testing.assert_allclose(fitted.extensions[0], first(fitted.x), rtol=1e-9)
    np.testing.assert_allclose(fitted.extensions[1], second(fitted.x), rtol=1e-9)
    np.testing.assert_allclose(fitted.y, third(fitted.x), rtol=1e-9)
    assert len(fitted.extensions) == 2


def test_the_knots_are_among_the_samples_of_the_curve():
    fitted = SplineBoundary(n_knots=5).fit(Points(*rising_points()))
    np.testing.assert_allclose(fitted.x[:: spline.SAMPLES_PER_KNOT], [0, 25, 50, 75, 100], rtol=1e-12)


def test_the_weight_of_a_fixed_point_is_in_units_of_the_largest():
    x, y = rising_points()
    knots, fixed = np.array([0.0, 100.0]), np.array([[50.0, 37.0, 2.0]])
    weights = np.where(x < 50, 4.0, 1.0)
    found = spline._rising_spline(knots, x, y, weights, fixed)
    padded = np.concatenate([[0.0] * 3, knots, [100.0] * 3])
    order = np.argsort(np.append(x, 50.0), kind="stable")
    all_x, all_y, all_w = (
        np.append(one, more)[order] for one, more in ((x, 50.0), (y, 37.0), (weights, 2.0 * weights.max()))
    )
    expected = make_lsq_spline(all_x, all_y, padded, 3, w=all_w)
    np.testing.assert_allclose(found(x), expected(x), rtol=1e-6)


@pytest.mark.parametrize(("point", "ends"), [((-20.0, 5.0), (-20, 100)), ((130.0, 90.0), (0, 130))])
def test_the_curve_reaches_its_fixed_points(point, ends):
    fitted = SplineBoundary(fixed_points=[point]).fit(Points(*rising_points()))
    assert (fitted.x[0], fitted.x[-1]) == ends


def diagram_of_sky():
    noise = NoiseModel(2.0 * u.electron / u.adu, 4 * u.electron)
    edges, nothing = np.linspace(0, 500, 101), np.zeros((100, 100), int)
    return MMDiagram(nothing, nothing, edges, edges, DiagramSettings(), u.adu, sets=EquivalentSets(noise, 3, 2))


def test_the_seed_decides_the_draws():
    x = np.linspace(0, 400, 9)
    one, same, other = (CalibratedBoundary(1e-3, n_draws=10_000, seed=seed).fit(diagram_of_sky()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one(x), same(x))
    assert (one(x) != other(x)).all()
    np.testing.assert_allclose(one(x), other(x), rtol=0.1)


def test_draws_of_each_signal_are_their_own():
    """A signal that is listed twice has different draws."""
    model, sets = CalibratedBoundary(1e-3, n_draws=10_000), diagram_of_sky().sets
    first, again, second = (model._tails_at(sets, number, 50.0)["median"] for number in (0, 0, 1))
    np.testing.assert_array_equal(first.y, again.y)
    assert not np.array_equal(first.y, second.y)


def test_tails_by_hand():
    y = np.arange(2000.0)
    tail = _Tail.of(np.linspace(5, 6, 2000), y, np.full(2000, 1 / 2000), 1e-3)
    # the highest draws are kept, highest first
    assert tail.y[0] == 1999
    assert len(tail.y) == 1000
    moved = tail.in_unit(100.0, 2.0)
    np.testing.assert_allclose(moved.x, (tail.x + 100) / 2)
    np.testing.assert_allclose(moved.y, tail.y / 2)
    np.testing.assert_array_equal(moved.weight, tail.weight)
    # the highest 200 draws have a probability of 0.1
    assert tail.quantile(tail.y, 0.1) == pytest.approx(1799.5, abs=1)
    assert tail.place(1900.0) == pytest.approx(np.mean(tail.x[:100]))


def test_fixed_points_have_the_unit_of_the_first():
    thousand = u.Unit(1000 * u.electron)
    (point,) = check_fixed_points([(500 * u.electron, 2 * thousand)])
    assert point[0].unit == point[1].unit == u.electron
    assert (point[0].value, point[1].value) == (500, 2000)


def test_boundary_of_an_image_is_that_of_its_rows():
    boundary = FittedBoundary(SplineBoundary(), np.array([0.0, 10.0]), np.array([1.0, 5.0]))
    image = np.random.default_rng(5).uniform(-5, 15, (1500, 400)).astype(np.float32)
    image[3, 4] = np.nan
    with limited_threads(2):
        found = boundary(image)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack([boundary(row) for row in image]))
    assert boundary(5.0) == 3.0
