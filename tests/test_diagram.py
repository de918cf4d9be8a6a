"""The median-minimum diagram and its simulations."""

import astropy.units as u
import numpy as np
import pytest
from scipy import stats
from support.stacks import stack_of

from crstack import CRStack, MMCosmic, NoiseModel, SplineBoundary
from crstack.diagram import DiagramSettings, MMDiagram, without_lonely_bins
from crstack.exceptions import InputError
from crstack.simulation import LevelSampler, PixelSampler, histogram
from crstack.simulation.photon_tables import photon_table, poisson_of_normal

GAIN = 2.0 * u.electron / u.adu
NOISE = NoiseModel(GAIN, 5 * u.electron)
X_EDGES = np.linspace(-20, 400, 101)
Y_EDGES = np.linspace(0, 120, 101)


def diagram_of(counts, min_neighbors=0):
    counts = np.asarray(counts)
    nx, ny = counts.shape
    settings = DiagramSettings(min_neighbors=min_neighbors)
    return MMDiagram(counts, counts, np.arange(nx + 1.0), np.arange(ny + 1.0), settings, u.adu)


def test_histogram_equals_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(100, 90, 5000).astype(np.float32), rng.normal(60, 50, 5000).astype(np.float32)
    x[:2], y[:2] = [400, -20], [120, 0]
    x[2] = np.nan
    expected, _, _ = np.histogram2d(x[3:], y[3:], bins=(X_EDGES, Y_EDGES))
    expected[99, 99] += 1
    expected[0, 0] += 1
    result = histogram(x, y, X_EDGES, Y_EDGES)
    assert result.sum() == expected.sum()
    # float32 values beside an edge may fall to either side
    assert np.abs(result - expected).sum() <= 4


@pytest.mark.parametrize("table_draws", [0, 10**9])
def test_levels_and_pixels_draw_the_same_diagram(table_draws, monkeypatch):
    monkeypatch.setattr("crstack.simulation.level_sampler.TABLE_DRAWS", table_draws)
    rng = np.random.default_rng(1)
    expected = rng.uniform(0, 150, (300, 400)).astype(np.float32)
    used = np.ones(expected.shape, bool)
    by_level = LevelSampler(expected, NOISE, 3, 2, 7).histogram(4, X_EDGES, Y_EDGES)
    by_pixel = PixelSampler([expected] * 3, [NOISE] * 3, used, 2, 7).histogram(4, X_EDGES, Y_EDGES)
    assert by_level.sum() == pytest.approx(480_000, rel=1e-4)
    for axis in (0, 1):
        a, b = by_level.sum(axis=axis), by_pixel.sum(axis=axis)
        many = a + b > 200
        chi2 = ((a - b)[many] ** 2 / (a + b)[many]).mean()
        assert 0.4 < chi2 < 1.7


@pytest.mark.parametrize(
    "distribution", [stats.poisson(0.0), stats.poisson(0.3), stats.poisson(4000), stats.nbinom(2, 0.01)]
)
def test_tables_invert_the_distribution(distribution):
    uniform = np.concatenate([np.random.default_rng(1).random(20_000), [0.0, 1e-12, 1 - 1e-12, np.nextafter(1, 0)]])
    counts = photon_table(distribution)(uniform)
    # the smallest count whose cumulative probability reaches u
    assert (distribution.cdf(counts) >= uniform - 1e-15).all()
    assert (distribution.cdf(counts - 1) <= uniform + 1e-15).all()


@pytest.mark.parametrize("electrons", [60.0, 300.0, 5000.0])
def test_poisson_counts_of_normal_numbers(electrons):
    counts = poisson_of_normal(electrons, np.random.default_rng(2).standard_normal(2_000_000))
    exact = stats.poisson(electrons)
    for probability in (1e-4, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-4):
        limit = exact.ppf(probability)
        share, expected = np.mean(counts <= limit), exact.cdf(limit)
        error = np.sqrt(expected * (1 - expected) / 2_000_000)
        assert share == pytest.approx(expected, abs=5 * error + 0.01 * min(expected, 1 - expected))


def test_levels_spread_less_than_the_noise():
    sampler = LevelSampler(np.array([0.0]), NOISE, 3, 2, 1)
    electrons = np.geomspace(0.1, 1e5, 2000)
    rounded = sampler._signal_of(sampler._level_of(electrons))
    assert np.all(np.abs(rounded - electrons) <= 0.03 * np.sqrt(electrons + 25))


@pytest.mark.parametrize("scene", ["ifu", "slit"])
def test_adu_and_electrons_give_the_same_diagram(scene, simulated):
    adu = stack_of(simulated).mm_diagram(n_simulations=2)
    gain = simulated.gain.value
    planes = [(ccd.data.astype(float) - 500) * gain * u.electron for ccd in simulated.exposures]
    electrons = CRStack(planes, readnoise=simulated.readnoise).mm_diagram(n_simulations=2)
    np.testing.assert_allclose(adu.x_edges * gain, electrons.x_edges, rtol=1e-5, atol=1e-3)
    assert np.abs(adu.simulated - electrons.simulated).sum() < 1e-3 * adu.simulated.sum()


def test_seed_decides(stack, simulated):
    one = stack.mm_diagram(n_simulations=1, seed=5)
    assert stack.mm_diagram(n_simulations=1, seed=5) is one
    again = stack_of(simulated).mm_diagram(n_simulations=1, seed=5)
    np.testing.assert_array_equal(one.simulated, again.simulated)
    other = stack.mm_diagram(n_simulations=1, seed=6)
    assert not np.array_equal(one.simulated, other.simulated)


def test_threads_do_not_change_the_diagram(simulated, monkeypatch):
    one = stack_of(simulated).mm_diagram(n_simulations=1)
    monkeypatch.setattr("crstack.utils.threads.n_threads", lambda: 1)
    np.testing.assert_array_equal(one.simulated, stack_of(simulated).mm_diagram(n_simulations=1).simulated)


def test_the_y_axis_holds_fixed_points(stack):
    automatic = stack.mm_diagram(n_simulations=1).y_edges[-1]
    assert stack.mm_diagram(n_simulations=1, y_floor=2 * automatic).y_edges[-1] > 2 * automatic
    assert stack.mm_diagram(n_simulations=1, y_floor=automatic / 2).y_edges[-1] == automatic
    assert stack.mm_diagram(n_simulations=1, y_max=7.0).y_edges[-1] == 7
    in_electrons = 7 * stack.exposures.noise.electrons_per_unit * u.electron
    assert stack.mm_diagram(n_simulations=1, y_max=7.0 * u.adu).y_edges[-1] == 7
    with pytest.raises(InputError, match="y_max must be in adu; got electron"):
        stack.mm_diagram(n_simulations=1, y_max=in_electrons)


@pytest.mark.filterwarnings("ignore:the exposures scatter")
def test_known_variances_widen_the_diagram(flat_exposures):
    from astropy.nddata import CCDData, StdDevUncertainty

    planes = flat_exposures(shape=(100, 100))
    options = {"gain": GAIN, "readnoise": 5 * u.electron}
    model = CRStack(planes, **options).mm_diagram(n_simulations=2)
    sigma = 3 * np.sqrt(100 / 2 + 2.5**2)
    ccds = [CCDData(p.value, unit=p.unit, uncertainty=StdDevUncertainty(np.full(p.shape, sigma))) for p in planes]
    known = CRStack(ccds, **options).mm_diagram(n_simulations=2)
    assert known.y_edges[-1] == pytest.approx(3 * model.y_edges[-1], rel=0.25)


def test_overdispersion_widens_the_diagram(stack):
    poisson = stack.mm_diagram(n_simulations=1)
    nbinom = stack.mm_diagram(n_simulations=1, nbinom_shape=10)
    assert nbinom.y_edges[-1] > 1.5 * poisson.y_edges[-1]


def test_pixels_of_the_auxiliary_detector_are_left_out(stack):
    everything = stack.mm_diagram(n_simulations=1)
    without = stack.mm_diagram(n_simulations=1, aux="pycosmic")
    assert everything.simulated.sum() - without.simulated.sum() > 200


def test_boundary_points_leave_one_pixel_above():
    counts = np.zeros((4, 6), int)
    counts[0] = [9, 5, 4, 0, 0, 0]
    counts[1] = [9, 1, 0, 0, 0, 0]
    counts[2] = [9, 1, 1, 1, 0, 0]
    counts[3] = [9, 1, 1, 0, 0, 1]
    points = diagram_of(counts).boundary_points()
    # column 0: three of the four in bin 2 lie below, the fourth above 2.75; column 1 has one pixel a
    # simulation; columns 2 and 3: half way from the edge under the highest pixel to its bin
    np.testing.assert_allclose(points, [[0.5, 2.75], [2.5, 3.25], [3.5, 4.25]])


def test_lonely_bins_are_emptied():
    counts = np.zeros((6, 6), int)
    counts[1:4, 1:4] = 9
    counts[5, 5] = 7
    kept = without_lonely_bins(counts, 1)
    assert kept[5, 5] == 0
    assert kept[1:4, 1:4].all()
    assert without_lonely_bins(counts, 8).sum() == 9
    assert without_lonely_bins(counts, 0) is counts
    assert len(diagram_of(counts, 1).boundary_points()) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_simulations": 0}, "n_simulations must be an integer at least 1; got 0"),
        ({"n_simulations": 1.5}, "n_simulations must be an integer; got 1.5"),
        ({"seed": -1}, "seed must be an integer at least 0; got -1"),
        ({"min_neighbors": 9}, "min_neighbors must be an integer at least 0 and at most 8; got 9"),
        ({"y_max": -1}, "y_max must be a number at least 0; got -1"),
        ({"nbinom_shape": 0}, "nbinom_shape must be a number greater than 0; got 0"),
        ({"synthetic": "mean"}, "synthetic must be one of median, single; got 'mean'"),
        ({"synthetic": "single"}, 'aux must be a detector that cleans, such as "lacosmic", for synthetic="single"'),
    ],
)
def test_bad_settings(stack, settings, message):
    with pytest.raises(InputError, match=message):
        stack.mm_diagram(**settings)


def test_single_uses_the_cleaned_exposures(stack):
    def mean_y(diagram):
        centres = (diagram.y_edges[1:] + diagram.y_edges[:-1]) / 2
        return (diagram.simulated.sum(axis=0) @ centres) / diagram.simulated.sum()

    single = stack.mm_diagram(n_simulations=1, aux="pycosmic", synthetic="single")
    median = stack.mm_diagram(n_simulations=1, aux="pycosmic")
    # exposures that carry their own noise scatter more, by about sqrt(2)
    assert 1.2 < mean_y(single) / mean_y(median) < 1.6


def test_the_diagram_reaches_the_highest_fixed_point(flat_exposures):
    stack = CRStack(flat_exposures(), gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    points = [(20, 80), (100, 900), (200, 120)]
    method = MMCosmic(boundary=SplineBoundary(fixed_points=points), diagram=DiagramSettings(n_simulations=1))
    diagram = stack.detect(method, aux=None).decision.diagram
    assert diagram.settings.y_floor == 900
    assert diagram.y_edges[-1] > 900
