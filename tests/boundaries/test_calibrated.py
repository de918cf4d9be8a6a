"""The boundary at a known rate of false alarms."""

import astropy.units as u
import numpy as np
import pytest
from scipy import integrate, stats

from crstack import CalibratedBoundary, CRStack, MMCosmic, SplineBoundary
from crstack.boundaries.calibrated import _Curve, _signals, _Tail
from crstack.datasets import make_stack
from crstack.diagram import DiagramSettings, EquivalentSets, MMDiagram
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.statistics import order_statistics

IMAGES = ("median", "mean", "exposure")
QUICK = {"n_draws": 40_000}
UNLIMITED = MMCosmic(threshold_rnoise=0, minimum_max2d_rnoise=0, mm_dilation=0)


def diagram_of(n, readnoise, top=6e4, gain=2.5, k=2, shape=None, **options):
    """A diagram without counts, up to ``top`` electrons."""
    noise = NoiseModel(gain * u.electron / u.adu, readnoise * u.electron, nbinom_shape=shape, **options)
    edges, nothing = np.linspace(0, top / gain, 101), np.zeros((100, 100), int)
    return MMDiagram(nothing, nothing, edges, edges, DiagramSettings(), u.adu, sets=EquivalentSets(noise, n, k))


def rates(boundary, cube, k=2):
    """Fraction of the pixels over each boundary."""
    statistics = order_statistics(cube.astype(np.float32), k)
    values = dict(zip(IMAGES, (statistics.median2d, statistics.mean2d, cube), strict=True))
    limits = [boundary.for_image(name)(statistics.min2d) for name in IMAGES]
    return [np.mean(values[name] - statistics.min2d > limit) for name, limit in zip(IMAGES, limits, strict=True)]


@pytest.mark.parametrize(("n", "rate"), [(3, 1e-4), (5, 1e-3)])
def test_clean_pixels_exceed_it_at_the_rate_asked_for(n, rate):
    """The rate holds at each signal separately, so that it holds for any scene."""
    boundary = CalibratedBoundary(rate, **QUICK).fit(diagram_of(n, 3.4))
    for number, signal in enumerate((0.0, 2.0, 10.0, 300.0, 5e4)):
        rng = np.random.default_rng([n, number])
        cube = np.zeros((n, 500, 1000), np.float32)
        cube += rng.poisson(signal, cube.shape) + 3.4 * rng.standard_normal(cube.shape, dtype=np.float32)
        found = np.array(rates(boundary, cube / 2.5)) / rate
        # within a factor of 1.5, and the scatter of 50 false alarms
        margin = 1.5 + 2.5 * np.sqrt(1 / (rate * 500_000))
        assert (found < margin).all(), (signal, found)
        assert (found > 1 / margin).all(), (signal, found)


def test_masks_have_the_rate_asked_for():
    """A stack without hits, from bare sky to bright fibres, through all the rules."""
    simulated = make_stack("ifu", shape=(500, 600), hit_rate=0, seed=8)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    boundary = stack.fit_boundary(CalibratedBoundary(1e-3, **QUICK))
    masks = stack.detect(UNLIMITED, aux=None, boundary=boundary)
    for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3"):
        seeds = masks.steps[name]["M.M.Cosmic, before dilation"]
        assert 1 / 1.3 < seeds / (500 * 600 * 1e-3) < 1.3, (name, seeds)
    # a hit of an exposure counts only where the mean is flagged too
    assert masks["CRMASK1"].mean() < 1e-3


def test_each_image_has_a_boundary_of_its_own():
    boundary = CalibratedBoundary(1e-3, **QUICK).fit(diagram_of(3, 4))
    median, mean, exposure = (boundary.for_image(name)(1000.0) for name in IMAGES)
    assert mean < median < exposure
    assert boundary(1000.0) == median
    spline = SplineBoundary(n_knots=2)
    one = CRStack([plane * u.electron for plane in np.random.default_rng(0).normal(9, 3, (3, 90, 90))],
                  readnoise=1 * u.electron).fit_boundary(spline)  # fmt: skip
    assert all(one.for_image(name) is one for name in IMAGES)
    with pytest.raises(InputError, match="image must be one of median, mean, exposure; got 'min'"):
        boundary.for_image("min")


def test_exact_where_an_integral_is_known():
    """At large signals T - min2d of one exposure of three is that of normal values, whose tail is an integral."""
    signal, rate = 4e4, 1e-6
    boundary = CalibratedBoundary(rate, n_draws=100_000).fit(diagram_of(3, 0, gain=1.0)).for_image("exposure")
    sigma = np.sqrt(signal)
    height = boundary(signal - 0.85 * sigma) / sigma
    grid = np.linspace(-9, 9, 4001)
    # an exposure exceeds the lowest one by t unless both others are above its value minus t
    chance = integrate.trapezoid(stats.norm.pdf(grid) * (1 - stats.norm.sf(grid - height) ** 2), grid)
    assert chance == pytest.approx(rate, rel=0.25)


def test_tails_beyond_the_draws_are_continued():
    rng = np.random.default_rng(1)
    y = np.abs(rng.normal(0, 3, 200_000))
    tail = _Tail.of(np.zeros_like(y), y, np.full(len(y), 1 / len(y)), 1e-9)
    for rate in (1e-4, 1e-6, 1e-8):
        assert tail.quantile(tail.y, rate) == pytest.approx(3 * stats.norm.isf(rate / 2), rel=0.03)


def test_the_curve_as_a_whole_is_solved_for():
    """min2d scatters, so that a height for each signal, placed at one min2d, does not give the rate."""
    model, sets = CalibratedBoundary(1e-5, n_draws=40_000), diagram_of(3, 3.4).sets
    tails = [model._tails_at(sets, i, signal)["exposure"] for i, signal in enumerate(_signals(sets.noise, 2e4))]
    boundary = model._solve(tails)
    factors = [tail.quantile(tail.y / boundary(tail.x), 1e-5) for tail in tails]
    assert np.abs(np.log(factors)).max() < 0.045
    assert np.abs(np.log(factors[8:])).max() < 0.01


def test_curve_slopes():
    curve = _Curve(np.array([0.0, 10.0, 40.0]), np.array([3.0, 5.0, 9.0]))
    x = np.array([-5.0, 4.0, 25.0, 60.0])
    for i in range(3):
        raised = _Curve(curve.x, curve.y * np.exp(1e-6 * np.eye(3)[i]))
        np.testing.assert_allclose(curve.slopes(x)[:, i], np.log(raised(x) / curve(x)) / 1e-6, atol=1e-5)


def test_overdispersed_photons_and_amplifiers():
    wide = CalibratedBoundary(1e-3, **QUICK).fit(diagram_of(3, 4, shape=50.0))
    poisson = CalibratedBoundary(1e-3, **QUICK).fit(diagram_of(3, 4))
    assert wide(400.0) > 2 * poisson(400.0)
    flat = np.random.default_rng(1).poisson(900, (3, 60, 70))
    stack = CRStack([plane * u.electron for plane in flat], readnoise=4 * u.electron)
    stack.mm_diagram(n_simulations=1, nbinom_shape=50.0)
    model = CalibratedBoundary(1e-3, n_draws=10_000)
    assert stack.fit_boundary(model)(900.0) > 2 * model.fit(diagram_of(3, 4, gain=1.0))(900.0)
    rng = np.random.default_rng(0)
    readnoise = np.where(np.arange(400) < 200, 3.0, 9.0) * np.ones((300, 1))
    cube = rng.poisson(30, (3, 300, 400)) + rng.normal(0, 1, (3, 300, 400)) * readnoise
    stack = CRStack([plane * u.electron for plane in cube], readnoise=readnoise * u.electron)
    masks = stack.detect(UNLIMITED, aux=None, boundary=CalibratedBoundary(1e-3, **QUICK))
    for half in (np.s_[:, :200], np.s_[:, 200:]):
        # only their variances set the scale between the two
        assert 1 / 2.2 < masks["MEDIANCR"][half].mean() / 1e-3 < 2.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CalibratedBoundary(0), "false_alarm must be a number greater than 0 and at most 0.01; got 0"),
        (lambda: CalibratedBoundary(n_draws=10), "n_draws must be an integer at least 10000; got 10"),
        (lambda: CalibratedBoundary(seed=-1), "seed must be an integer at least 0; got -1"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_exposures_with_uncertainties_of_their_own_are_refused():
    simulated = make_stack("ifu", shape=(60, 80), with_uncertainty=True)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    with pytest.raises(InputError, match="exposures must share one gain and read noise for CalibratedBoundary"):
        stack.fit_boundary("calibrated")


def test_it_is_drawn_like_others(simulated):
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    stack.detect("mmcosmic", aux=None, boundary=CalibratedBoundary(n_draws=10_000))
    fig = stack.plot.diagram()
    lines = {line.get_label(): line for line in fig.axes[0].get_lines()}
    boundary = stack.detect("mmcosmic", aux=None, boundary=CalibratedBoundary(n_draws=10_000)).decision.boundary
    np.testing.assert_allclose(lines["boundary"].get_ydata()[1:-1], boundary.y)
    np.testing.assert_array_equal(lines["boundary points"].get_xdata(), boundary.points[:, 0])
    kinds = {"MEDIANCR": "median", "MEANCRT": "mean", "CRMASK2": "exposure"}
    for name, kind in kinds.items():
        assert stack.plot.mask_view(name).boundary is boundary.for_image(kind)
