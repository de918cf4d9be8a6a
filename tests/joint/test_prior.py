"""The prior of the signal of a pixel."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack, JointPosterior
from crstack.joint.candidates import Candidates, find_candidates
from crstack.joint.charges import HitDensity
from crstack.joint.clean_surroundings import WithoutHits, with_hits_left_out
from crstack.joint.counts import Counts
from crstack.joint.even_noise import EvenNoise
from crstack.joint.field import Field
from crstack.joint.likelihood import hit_weights, log_clean
from crstack.joint.local_prior import LocalPrior, local_prior
from crstack.joint.measured_signals import MeasuredSignals
from crstack.joint.odds import log_ratio
from crstack.joint.population import Population
from crstack.joint.predicted_signal import clean_places, places_around, prediction_weights
from crstack.joint.scatter import scatter_of
from crstack.joint.signal_prior import SignalPrior, middles, signal_prior
from crstack.joint.sweeps import sweep

#: places are signals, in electrons: nearly, where the noise does not come from photons
LINEAR = EvenNoise(1e14)
UNIT = 1e7


def of_everywhere(prior):
    """A prior whose places are signals over `UNIT`, for all pixels."""
    return LocalPrior(np.zeros(0), (prior,), np.zeros(1, np.float32), LINEAR)


def prior_everywhere(signal, below):
    """The same distribution for all pixels: arguments of `Candidates`."""
    return of_everywhere(SignalPrior(np.array(signal) / UNIT, np.array(below)))


def measured(levels, noise):
    """The prior of values (N, M) of a constant ``noise`` in electrons, for all pixels."""
    flat = levels.reshape(len(levels), -1)
    prior = signal_prior(middles(flat, np.full(flat.shape[1], noise, np.float32)) / noise, len(levels))
    return of_everywhere(SignalPrior(prior.place * noise / UNIT, prior.below))


def at_nodes(prior, nodes):
    """What a prior that is the same everywhere gives at ``nodes`` (J, M)."""
    return prior(nodes, np.zeros(nodes.shape[1], np.float32))


def test_the_prior_is_the_distribution_of_the_signal():
    """Two levels: the medians scatter by 0.67 of the noise, the deconvolved distribution by much less."""
    rng = np.random.default_rng(1)
    signal = np.where(rng.random((300, 300)) < 0.25, 200.0, 100.0)
    levels = (signal + rng.normal(0, 10, (3, 300, 300))).astype(np.float32)
    prior = measured(levels, 10)
    nodes = np.linspace(40, 260, 221)[:, None]
    density = np.exp(at_nodes(prior, nodes)[1])[:, 0]
    assert density.sum() == pytest.approx(1, abs=0.02)
    assert density[nodes[:, 0] > 150].sum() == pytest.approx(0.25, abs=0.02)
    below = density[nodes[:, 0] < 150] / density[nodes[:, 0] < 150].sum()
    mean = (below * nodes[nodes[:, 0] < 150, 0]).sum()
    spread = np.sqrt((below * (nodes[nodes[:, 0] < 150, 0] - mean) ** 2).sum())
    assert mean == pytest.approx(100, abs=1)
    assert spread < 4.5


def test_the_prior_of_two_exposures_is_not_shifted_by_hits():
    rng = np.random.default_rng(2)
    levels = rng.normal(50, 5, (2, 200, 200)).astype(np.float32)
    levels[rng.random(levels.shape) < 0.06] += 500
    prior = measured(levels, 5)
    nodes = np.linspace(20, 80, 121)[:, None]
    density = np.exp(at_nodes(prior, nodes)[1])[:, 0]
    assert (density * nodes[:, 0]).sum() / density.sum() == pytest.approx(50, abs=1)


def test_sums_over_wide_intervals_are_those_of_a_narrow_prior():
    """Signals of 99 to 101 electrons, and intervals of 8: the place of the one that holds them is their mean."""
    prior = prior_everywhere([99.0, 101.0, 300.0], [0, 0.9, 1.0])
    nodes = (71.5 + 8 * np.arange(9.0))[:, None] + np.array([0.0, 3.0])
    signal, log_density = at_nodes(prior, nodes)
    weight = np.exp(log_density) * 8
    number = np.argmax(weight[:, 0])
    # of the interval from 99.5 to 107.5: 0.75 of the 90 % up to 101, and 6.5 electrons of the rest
    parts = np.array([0.9 * 0.75, 0.1 * 6.5 / 199])
    assert weight[number, 0] == pytest.approx(parts.sum(), rel=1e-4)
    assert signal[number, 0] == pytest.approx((parts * [100.25, 104.25]).sum() / parts.sum(), abs=1e-3)
    inside = np.abs(signal - nodes) <= 4.001
    assert inside.all()
    # the mean of the signals below the last edge
    assert (weight * signal).sum(axis=0)[1] == pytest.approx(0.9 * 100 + 0.1 * 41.5 / 199 * (101 + 142.5) / 2, rel=1e-4)


def test_probabilities_where_all_pixels_have_one_signal():
    """They are those of the exact sum for this signal, though the nodes of the integral are further apart."""
    rng = np.random.default_rng(6)
    values = (rng.poisson(100, (3, 400)) + rng.normal(0, 4, (3, 400))).astype(np.float32)
    values[0] += rng.uniform(0, 80, 400).astype(np.float32)
    column = np.ones((1, 1), np.float32)
    prior = prior_everywhere([99.99, 100.01], [0.0, 1.0])
    where = (np.zeros(400, int), np.arange(400))
    pixels = Candidates(
        where, values, column, 0 * column, 16 * column, column, prior=prior, around=np.zeros(400, np.float32)
    )
    population = Population()
    field = Field((3, 1, 400))
    sweep(field, pixels, pixels.tables(), population)
    # exact: one node
    signal = np.full((1, 400), 100, np.float32)
    sigma = np.float32(np.sqrt(116))
    clean = np.stack([log_clean(one, signal, np.float32(16)) for one in values]) + np.log(sigma)
    index = np.stack([HitDensity.index(one - signal, sigma + 0 * signal) for one in values])
    ratio, not_hit = log_ratio(pixels, clean, index, np.zeros((3, 400), int), population)
    hit, rest = (one[:, 0] for one in hit_weights(not_hit, ratio))
    exact = hit / (hit + rest)
    some = (exact[0] > 0.05) & (exact[0] < 0.95)
    assert some.sum() > 50
    assert np.abs(field.chance - exact)[:, some].max() < 0.02


def test_few_pixels_have_no_prior():
    assert signal_prior(np.zeros(100, np.float32), 3) is None
    where = np.array([3]), np.array([4])
    assert local_prior(MeasuredSignals(np.zeros((3, 10, 10), np.float32), np.ones((10, 10), np.float32)), where) == (
        None,
        None,
    )


def test_equal_nodes_have_one_interval():
    """Groups of exposures of the same noise have equal nodes where no value is known."""
    prior = prior_everywhere([0.0, 100.0], [0.0, 1.0])
    nodes = np.array([[10.0], [10.0], [20.0], [30.0]])
    with np.errstate(all="raise"):
        signal, density = at_nodes(prior, nodes)
    assert np.isfinite(density).all()
    weight = np.exp(density[:, 0])
    assert weight[0] == 0
    np.testing.assert_allclose(weight[1:], 0.01, rtol=1e-3)
    assert ((signal >= 0) & (signal <= 40)).all()


def test_the_prior_of_a_pixel_depends_on_those_around_it():
    """Two halves, of 100 and of 150 electrons: within one, the other level does not occur."""
    rng = np.random.default_rng(3)
    signal = np.full((200, 300), 100.0)
    signal[:, 200:] = 150
    levels = (signal + rng.normal(0, 10, (3, *signal.shape))).astype(np.float32)
    where = np.array([50, 50]), np.array([80, 250])
    prior, predicted = local_prior(MeasuredSignals(levels, np.full(signal.shape, 10, np.float32)), where)
    nodes = np.linspace(60, 190, 131)[:, None] + np.zeros(2)
    density = np.exp(prior(nodes, predicted)[1])
    mean = (density * nodes).sum(axis=0) / density.sum(axis=0)
    np.testing.assert_allclose(mean, [100, 150], atol=3)
    high = nodes[:, 0] > 125
    assert density[high, 0].sum() < 0.02
    assert density[~high, 1].sum() < 0.02


def test_what_is_around_a_pixel_does_not_depend_on_itself_or_on_a_track():
    levels = np.full((3, 9, 9), 50, np.float32)
    changed = levels.copy()
    changed[:, 4, 4] = 9000
    changed[0, 5] = changed[1, 3] = 800
    where = np.array([4]), np.array([4])
    noise, coordinate = np.ones((9, 9), np.float32), EvenNoise(9.0)
    found, expected = (places_around(clean_places(one, noise, coordinate), where) for one in (changed, levels))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found[1:], coordinate.place_of(50), rtol=1e-6)


def column_of(bad):
    bad[:, 3] = True


def ring_of(bad):
    bad[3:6, 3:6] = True


def frame_of(bad):
    bad[:] = True


@pytest.mark.parametrize("level", [0, 50_000])
@pytest.mark.parametrize("mark", [column_of, ring_of, frame_of])
def test_bad_values_do_not_predict_a_signal(mark, level):
    """Bad in every exposure: a column, the pixels around a good one, and all others of a frame."""
    bad = np.zeros((9, 9), bool)
    mark(bad)
    bad[4, 4] = False
    levels = np.broadcast_to(np.where(bad, level, 50), (3, 9, 9)).astype(np.float32)
    where, coordinate = (np.array([4]), np.array([4])), EvenNoise(9.0)
    image = clean_places(levels, np.ones((9, 9), np.float32), coordinate, np.broadcast_to(bad, levels.shape))
    found = places_around(image, where, all_known=False)
    np.testing.assert_allclose(found[1:], coordinate.place_of(50), rtol=1e-6)


def test_pixels_with_one_good_value_do_not_measure_the_prior():
    """Of two exposures, one has no values in the upper half. The other is hit there and would be taken as signal."""
    rng = np.random.default_rng(8)
    levels = (100 + rng.normal(0, 10, (2, 200, 200))).astype(np.float32)
    bad = np.zeros(levels.shape, bool)
    bad[1, 100:] = True
    levels[0, 100:][rng.random((100, 200)) < 0.2] += 60
    levels[1, 100:] = levels[0, 100:]
    where = np.array([50, 150]), np.array([80, 80])
    signals = MeasuredSignals(levels, np.full((200, 200), 10, np.float32), bad=bad)
    prior, predicted = local_prior(signals, where)
    nodes = np.linspace(60, 200, 141)[:, None] + np.zeros(2)
    density = np.exp(prior(nodes, predicted)[1])
    assert density[nodes[:, 0] > 140].sum() < 0.02


def test_a_cube_without_hits_is_the_same_in_rows_and_at_pixels():
    rng = np.random.default_rng(10)
    cube = rng.normal(100, 10, (3, 20, 30)).astype(np.float32)
    where = np.nonzero(rng.random((20, 30)) < 0.2)
    chance = rng.random((3, len(where[0]))).astype(np.float32)
    clean = rng.normal(100, 1, len(where[0])).astype(np.float32)
    expected = cube.copy()
    expected[:, *where] = chance * clean + (1 - chance) * cube[:, *where]
    found = WithoutHits(cube, where, chance, clean)
    np.testing.assert_allclose(found[:, 7:16], expected[:, 7:16], rtol=1e-6)
    rows, columns = np.array([8, 8, 12]), np.array([3, 20, 29])
    np.testing.assert_allclose(found[[0, 2], rows, columns], expected[[0, 2]][:, rows, columns], rtol=1e-6)
    np.testing.assert_array_equal(found[:, :0], expected[:, :0])


def test_hits_found_before_do_not_predict_a_signal():
    """A wide track of faint hits beside a pixel: the prediction is that of the values without it."""
    rng = np.random.default_rng(9)
    signal = 200 + 150 * np.sin(np.arange(60)[:, np.newaxis] / 5) * np.ones((3, 1, 80))
    clean = (rng.poisson(signal) + rng.normal(0, 3, signal.shape)).astype(np.float32)
    hits = np.zeros(clean.shape, bool)
    hits[0, 5:55, 30:33] = True
    counts = Counts(np.where(hits, clean + 2 * np.sqrt(signal), clean).astype(np.float32), np.float32(9))
    scatter = scatter_of(counts)
    sigma = np.sqrt(counts.mean_variance(scatter.signal))
    candidates = find_candidates(counts, scatter.of_pixels, sigma, examined=0.5)
    found = with_hits_left_out(candidates, hits[:, *candidates.where].astype(np.float32), counts, sigma)
    rows, columns = candidates.where
    beside = (rows > 5) & (rows < 54) & ((columns == 29) | (columns == 33))
    assert beside.sum() > 30
    error = [
        (one.around - one.prior.coordinate.place_of(signal[0][candidates.where]))[beside].mean()
        for one in (candidates, found)
    ]
    # known to 0.05
    assert error[0] > 0.2
    assert abs(error[1]) < 0.12
    # the pixels far from it are predicted as before
    np.testing.assert_allclose(found.around[columns > 45], candidates.around[columns > 45], atol=0.1)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1), (2, 2)])
def test_narrow_images_have_surroundings(shape):
    levels = np.full((3, *shape), 50, np.float32)
    where = tuple(index.ravel() for index in np.indices(shape))
    found = places_around(clean_places(levels, np.ones(shape, np.float32), EvenNoise(9.0)), where)
    np.testing.assert_allclose(found[1:], EvenNoise(9.0).place_of(50), rtol=1e-6)


def narrow_traces(rng, shape):
    """Expected electrons of traces along the rows, of a FWHM of 2.4 pixels, whose light changes along them."""
    y, x = np.indices(shape)
    found = np.full(shape, 10.0)
    for middle in range(6, shape[0] - 5, 11):
        light = 300 * rng.random() * (1 + 0.5 * np.sin(x / 20 + rng.uniform(0, 6)))
        found += light * np.exp(-((y - middle - 0.002 * x) ** 2) / 2.1)
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_on_a_trace_are_predicted_by_those_along_it(turned):
    """The median of the eight pixels around a peak is below it. Their noise gives an error of .3."""
    rng = np.random.default_rng(4)
    signal = narrow_traces(rng, (150, 400))
    signal = signal.T if turned else signal
    levels = (rng.poisson(signal, (3, *signal.shape)) + rng.normal(0, 3, (3, *signal.shape))).astype(np.float32)
    levels[rng.random(levels.shape) < 0.01] += 500
    noise, coordinate = np.sqrt(signal + 9).astype(np.float32), EvenNoise(9.0)
    where = tuple(index.ravel() for index in np.indices(signal.shape))
    around = places_around(clean_places(levels, noise, coordinate), where)
    target = coordinate.place_of(np.median(levels, axis=0)).ravel()
    true = coordinate.place_of(signal).ravel()
    error = prediction_weights(target.astype(np.float32), around) @ around - true
    bright = true > 15
    assert bright.sum() > 3000
    assert np.std(around[1][bright] - true[bright]) > 1.5
    assert np.std(error[bright]) < 0.4
    assert abs(np.mean(error[bright])) < 0.1


def test_the_prior_follows_the_prediction_on_a_slope_and_not_on_the_sky():
    """On the sky the pixels around have the noise, but no information."""
    rng = np.random.default_rng(5)
    signal = np.full((200, 300), 100.0)
    signal[:, 150:] = 400 + 2 * np.arange(150)
    levels = (signal + rng.normal(0, 1, (3, *signal.shape)) * np.sqrt(signal + 9)).astype(np.float32)
    where = np.array([50, 50]), np.array([80, 250])
    noise = np.sqrt(signal + 9).astype(np.float32)
    prior, predicted = local_prior(MeasuredSignals(levels, noise), where)
    slopes = prior.slopes[prior.edges.searchsorted(predicted, side="right")]
    assert slopes[0] < 0.2
    assert slopes[1] > 0.7


def field_of_faint_stars(rng, shape):
    """Expected electrons: a sky of 100, and a faint star on each 15 x 15 pixels."""
    y, x = np.indices(shape)
    sky = np.full(shape, 100.0)
    for peak, row, column in rng.uniform((20, 0, 0), (150, *shape), (sky.size // 222, 3)):
        part = tuple(slice(max(int(at) - 8, 0), int(at) + 9) for at in (row, column))
        sky[part] += peak * np.exp(-((y[part] - row) ** 2 + (x[part] - column) ** 2) / 2.6)
    return sky


@pytest.mark.parametrize(("n", "most"), [(2, 10), (3, 20)])
def test_noise_on_faint_stars_is_not_taken_for_hits(n, most):
    """With one prior for the whole image, 61 values of two exposures were flagged, and 45 of three."""
    rng = np.random.default_rng(12)
    sky = field_of_faint_stars(rng, (400, 500))
    data = rng.poisson(sky, (n, *sky.shape)) + rng.normal(0, 3, (n, *sky.shape))
    hits = rng.random(data.shape) < 0.003
    data[hits] += 30 * (1 - rng.random(hits.sum())) ** -0.7
    ccds = [CCDData(one, unit="electron") for one in data]
    found = CRStack(ccds, readnoise=3 * u.electron, differences=None).detect(method=JointPosterior()).crmasks
    strong = hits & (data > sky + 6 * np.sqrt(sky + 9))
    assert (found & ~hits & (sky > 108)).sum() <= most
    assert (found & strong).sum() >= 0.97 * strong.sum()
