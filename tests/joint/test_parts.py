"""The small parts of the joint decision, against numbers worked out by hand or by another way."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, ndimage, stats

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.datasets.hits import make_hits
from crstack.joint import (
    JointPosterior,
    candidates,
    cubes,
    false_alarms,
    hit_everywhere,
    measure,
    posterior,
    posterior_signal,
)
from crstack.joint.candidates import Candidates, even_slices
from crstack.joint.charges import LOG_SIGMA, counts_as_hit
from crstack.joint.counts import Counts
from crstack.joint.excess import (
    ExcessVariance,
    _bins,
    _excess_of_bins,
    _measured_faint,
    _pairs,
    _ratio,
    _ratio_without_hits,
    _robust_ratio,
    _solve,
    _wide_enough,
    fit_excess_variance,
    squared_gradient,
)
from crstack.joint.false_alarms import CleanNoise
from crstack.joint.field import Field
from crstack.joint.likelihood import hit_weights
from crstack.joint.neighbourhoods import CORNER, N_CLASSES, charges_kind, neighbour_class
from crstack.joint.population import HIGHEST_RATE, Population
from crstack.joint.posterior import joint_posterior
from crstack.joint.scatter import _median_of
from crstack.statistics import order_statistics
from crstack.utils.threads import limited_threads, slices

# excess variance


def test_excess_variance_by_hand():
    excess = ExcessVariance(relative=0.02, shift=0.1, constant=3.0)
    assert excess.of(1000.0, 400.0) == pytest.approx(20**2 + 0.01 * 400 + 3)
    # a negative signal has no response
    assert excess.of(-1000.0, 0.0) == 3
    assert str(excess) == "2 % of the signal, shift of 0.1 pixel, 1.7 electron"
    assert str(ExcessVariance()) == "none"


def test_gradient_of_a_plane_less_that_of_its_noise():
    y, x = np.mgrid[:6, :8].astype(np.float32)
    found = squared_gradient(3 * x + 4 * y, np.float32(5))
    np.testing.assert_allclose(found[1:-1, 1:-1], 3**2 + 4**2 - 5)
    # at an edge the difference spans one pixel
    np.testing.assert_allclose(found[0, 1:-1], 3**2 + 2**2 - 5)
    assert squared_gradient(x, np.float32(5)).max() == 0


def test_ratio_of_variances_of_all_pairs_and_without_hits():
    rng = np.random.default_rng(1)
    sigmas = (3.0, 4.0, 12.0)
    cube = np.stack([rng.normal(0, one, 100_000) for one in sigmas])
    known = [np.full(100_000, np.float32(9)), np.full(100_000, np.float32(16)), np.full(100_000, np.float32(144))]
    cube[0, :1000] += 500
    found, variance = _ratio(cube, known, np.arange(100_000))
    assert found == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(variance, (9 + 16 + 144) / 3)
    # one variance for all is that of each
    found, variance = _ratio(cube, known[1:2], np.arange(50_000))
    pairs = ((9 + 16) / 32, (9 + 144) / 32, (16 + 144) / 32)
    assert found == pytest.approx(np.mean(pairs), rel=0.02)
    np.testing.assert_array_equal(variance, np.full(50_000, 16))
    assert _robust_ratio(cube[1] - cube[2], np.full(100_000, 80.0)) == pytest.approx(1, abs=0.01)


def test_terms_that_count():
    rows = np.array([[1e4, 0.0], [4e4, 100.0], [9e4, 400.0], [1.0, 900.0]])
    errors = np.full(4, 0.01)
    assert _solve(rows, rows @ [0.02**2, 0.3**2], errors) == pytest.approx((0.02, 0.3), rel=1e-3)
    assert _solve(rows, rows @ [0.02**2, 0.0], errors) == pytest.approx((0.02, 0.0), rel=1e-3)
    assert _solve(rows, rows @ [0.0, 0.3**2], errors) == pytest.approx((0.0, 0.3), rel=1e-3)
    # where the errors are as large nothing counts, and where there is no gradient the other term does
    assert _solve(rows, rows @ [0.02**2, 0.3**2], np.full(4, 1e3)) == (0.0, 0.0)
    flat = rows * [1, 0]
    assert _solve(flat, flat @ [0.02**2, 0.3**2], errors) == pytest.approx((0.02, 0.0), rel=1e-3)
    # bins with small errors decide
    targets = rows @ [0.02**2, 0.0]
    targets[0] += 50
    assert _solve(rows, targets, np.array([1e3, 0.01, 0.01, 0.01])) == pytest.approx((0.02, 0.0), rel=1e-3)


def test_intervals_hold_enough_pixels():
    assert list(_wide_enough([0, 50, 100, 250, 260, 400])) == [(0, 100), (100, 250), (250, 400)]
    assert list(_wide_enough([0, 150, 190])) == [(0, 190)]


def test_bins_hold_each_of_the_brighter_pixels_once():
    rng = np.random.default_rng(1)
    signal, gradient2 = rng.uniform(1, 500, 6401).astype(np.float32), rng.uniform(0, 9, 6401)
    bins = _bins(signal, gradient2)
    brighter = np.flatnonzero(signal >= np.sort(signal)[3200])
    np.testing.assert_array_equal(np.sort(np.concatenate(bins)), brighter)
    highest = 0.0
    for flat, steep in zip(bins[::2], bins[1::2], strict=True):
        assert 0 <= len(steep) - len(flat) <= 1
        assert len(flat) >= 50
        assert gradient2[flat].max() <= gradient2[steep].min()
        both = signal[[*flat, *steep]]
        assert highest < both.min()
        highest = both.max()
    # too few pixels
    assert _bins(signal[:99], gradient2[:99]) == []


def test_pixels_that_take_no_part_in_the_excess():
    """Those with any bad value, and those that are left out, are the same as no pixels."""
    rng = np.random.default_rng(2)
    signal = np.repeat(np.geomspace(200, 5000, 80, dtype=np.float32)[:, None], 120, axis=1)
    variance, gradient2 = signal + 25, np.zeros_like(signal)
    sigma = np.sqrt(variance + (0.05 * signal) ** 2)
    cube = signal + (rng.standard_normal((3, *signal.shape)) * sigma).astype(np.float32)
    bad = np.zeros(cube.shape, bool)
    bad[1, :, :80] = True
    cube[1, :, :80] += 0.3 * signal[:, :80] * rng.standard_normal((80, 80))
    everything, with_bad, left_out = (
        fit_excess_variance(cube, signal, [variance], gradient2, **options).excess
        for options in ({}, {"bad": bad}, {"left_out": bad[1]})
    )
    assert with_bad == left_out
    assert with_bad.relative == pytest.approx(0.05, rel=0.1)
    assert everything.of(np.float32(1000), 0.0) > 1.5 * with_bad.of(np.float32(1000), 0.0)


# false alarms


def test_value_that_a_number_of_draws_exceed():
    values = np.random.default_rng(1).permutation(np.arange(10_000.0))
    # the values that 100 and 2000 others exceed
    assert false_alarms._tail_quantile(values, 100) == 10_000 - 101
    assert false_alarms._tail_quantile(values, 2000.7) == 10_000 - 2001
    # beyond, as an exponential
    draws = -2 * np.log((np.arange(1_000_000) + 0.5) / 1_000_000)
    for wanted in (50, 1, 1e-3):
        expected = 2 * np.log(len(draws) / wanted)
        assert false_alarms._tail_quantile(draws, wanted) == pytest.approx(expected, rel=0.01)


def test_clean_values_as_they_are_drawn():
    excess = ExcessVariance(relative=0.1)
    noise = CleanNoise(np.array([9.0, 16.0]), np.array([1.0, 2.0]), np.array([True, False]), excess)
    drawn = noise.draw(100.0, 200_000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.values.mean(axis=1), [100, 200], atol=0.3)
    # photons, read noise and a tenth of the signal; the other has no photons
    np.testing.assert_allclose(drawn.values.var(axis=1), [100 + 9 + 100, 16 + 400], rtol=0.02)
    assert len(drawn) == 200_000
    np.testing.assert_allclose(drawn.variance[:, 0], [109, 416])
    np.testing.assert_array_equal(drawn.scales[:, 0], [1, 2])


@pytest.mark.parametrize(("lowest", "simulated"), [(-3.0, 5), (0.0, 5), (59.0, 4), (60.0, 3), (150.0, 3), (1e9, 1)])
def test_thresholds_are_simulated_from_the_lowest_signal_on(monkeypatch, lowest, simulated):
    monkeypatch.setattr(false_alarms, "DRAWS", 2_000)
    monkeypatch.setattr(false_alarms, "FEW", (0.0, 20.0, 60.0))
    noise = CleanNoise(np.array([9.0, 9.0]), np.ones(2), np.array([True, True]), ExcessVariance())
    drawn, draw = [], CleanNoise.draw
    monkeypatch.setattr(
        CleanNoise, "draw", lambda self, signal, *rest: drawn.append(signal) or draw(self, signal, *rest)
    )
    whole, part = (
        false_alarms.calibrated_threshold(1e-2, noise, Population(), 500.0, lowest=one) for one in (0.0, lowest)
    )
    assert drawn == [0, 20, 60, 180, 540, *[0, 20, 60, 180, 540][5 - simulated :]]
    signals = np.maximum([-3.0, 0.0, 10.0, 59.0, 60.0, 150.0, 540.0, 1e9], lowest)
    np.testing.assert_array_equal(part(signals), whole(signals))


def test_the_seed_of_the_threshold_decides_the_draws(monkeypatch):
    monkeypatch.setattr(false_alarms, "DRAWS", 5_000)
    monkeypatch.setattr(false_alarms, "FEW", (0.0, 60.0))
    noise = CleanNoise(np.array([9.0, 9.0]), np.ones(2), np.array([True, True]), ExcessVariance())
    population = Population()
    one, same, other = (
        false_alarms.calibrated_threshold(1e-2, noise, population, 50.0, seed=seed)(np.array([0.0, 60.0]))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    np.testing.assert_allclose(one, other, atol=0.8)


# hits in every exposure


def test_heights_over_the_lower_neighbours():
    signal = np.full((5, 6), 10, np.float32)
    signal[2, 2:5] = [20, 100, 40]
    signal[1, 3] = 14
    variance = np.full(signal.shape, 9, np.float32)
    expected, usual, height = hit_everywhere._heights(signal, variance, (np.array([2, 0]), np.array([3, 0])))
    # of 10 (5 times), 14, 20 and 40 the third lowest, and the spread from the lowest to the fourth
    np.testing.assert_array_equal(expected, [10, 10])
    np.testing.assert_array_equal(usual, [3, 3])
    np.testing.assert_array_equal(height, [30, 0])
    signal[1, 2:5] = signal[3, 2] = 16
    expected, usual, height = hit_everywhere._heights(signal, variance, (np.array([2]), np.array([3])))
    # 10, 10, 16, 16, 16, 16, 20, 40
    assert expected[0] == 16
    assert usual[0] == pytest.approx(np.sqrt(9 + 36))
    assert height[0] == pytest.approx(84 / np.sqrt(45))
    signal[1:4, 2:5] = [[11, 12, 14], [17, 100, 23], [30, 38, 47]]
    expected, usual, height = hit_everywhere._heights(signal, variance, (np.array([2]), np.array([3])))
    assert (expected[0], usual[0]) == (14, pytest.approx(np.sqrt(9 + 36)))


def test_frequency_of_pixels_as_high():
    height = np.concatenate([np.zeros(970), np.full(10, 4.0), np.full(15, 8.0), np.full(5, 20.0)]).reshape(10, 100)
    # over 0.7 of 10 are twenty pixels, over 0.7 of 5 are thirty, and one more than were counted
    found = hit_everywhere._frequency_above(height, np.array([10.0, 5.0, 0.5]))
    np.testing.assert_allclose(found, [21 / 1000 / 10, 31 / 1000 / 5, 31 / 1000])


def test_density_of_two_clean_values():
    values = np.float32([[30.0], [75.0]])
    some = Candidates(
        (np.array([0]), np.array([0])), values, *(np.float32([[a], [b]]) for a, b in ((1, 2), (0, 5), (9, 16), (1, 1)))
    )
    assert some.lowest[0] == 30
    for i, (mean, variance) in enumerate([(30, 9 + 30), (65, 16 + 65)]):
        sigma = some.sigma(some.lowest)[i, 0]
        assert sigma == pytest.approx(np.sqrt(variance), rel=1e-3)
        expected = stats.norm.logpdf(values[i, 0], mean, np.sqrt(2) * sigma)
        assert hit_everywhere._log_agree(some, i, values[i])[0] == pytest.approx(expected, rel=1e-5)


def normal_hit(some, i, value, signal, classes, population):
    """In place of the density of a hit value: normal, 50 above the signal."""
    return stats.norm.logpdf(value, signal + 50, 30)


def two_values(values):
    """`Candidates` of two exposures without scales and shifts."""
    values = np.float32(values)
    columns = (np.float32([[a], [b]]) for a, b in ((1, 1), (0, 0), (9, 16), (1, 1)))
    return Candidates((np.zeros(values.shape[1], int),) * 2, values, *columns)


def test_chance_of_all_values_hit_is_an_integral_over_the_signal(monkeypatch):
    monkeypatch.setattr(hit_everywhere, "_log_hit", normal_hit)
    some, nearby, width = two_values([[160, 210], [190, 240]]), np.array([100.0, 120.0]), np.array([10.0, 40.0])
    found = hit_everywhere._log_all_hit(some, np.zeros((2, 2), int), nearby, width, None)
    for pixel in range(2):
        values = some.values[:, pixel]

        def density(step, values=values, level=nearby[pixel], sigma=width[pixel]):
            return stats.norm.pdf(step) * stats.norm.pdf(values, level + step * sigma + 50, 30).prod()

        expected = np.log(integrate.quad(density, -3, 3)[0])
        assert found[pixel] == pytest.approx(expected, abs=0.01)


def test_where_the_lowest_value_is_clean_the_others_are_hit_or_as_low(monkeypatch):
    monkeypatch.setattr(hit_everywhere, "_log_hit", normal_hit)
    some = two_values([[100, 300, 200], [160, 100, 202]])
    found = hit_everywhere._log_others_hit(some, np.zeros((2, 3), int), None)
    agree = hit_everywhere._log_agree(some, 1, some.values[1])[2]
    hit = [stats.norm.logpdf(60, 50, 30), stats.norm.logpdf(200, 50, 30), stats.norm.logpdf(2, 50, 30)]
    np.testing.assert_allclose(found, [hit[0], hit[1], max(hit[2], agree)], rtol=1e-5)
    assert agree > hit[2]


def test_pixels_that_may_be_hit_in_every_exposure(monkeypatch):
    """All values have hits beside them and are known, and the image rises there."""
    signal = np.full((30, 40), 100, np.float32)
    for row, column in ((4, 5), (9, 20), (25, 30)):
        signal[row, column] = 400
    beside, none = N_CLASSES - 1, 0
    where = np.array([4, 9, 15, 25]), np.array([5, 20, 20, 30])
    classes = np.array([[beside, beside, beside, beside], [none, beside, beside, beside]], np.int32)
    candidates = replace(
        two_values([[400, 400, 100, 400]] * 2), where=where, unknown=np.array([[False, True, False, False]] * 2)
    )
    monkeypatch.setattr(hit_everywhere, "clean_signal", lambda *_: signal.copy())
    monkeypatch.setattr(hit_everywhere, "_log_all_hit", lambda *_: -6.0)
    monkeypatch.setattr(hit_everywhere, "_log_others_hit", lambda *_: -3.0)
    field = SimpleNamespace(classes_at=lambda where: classes, chance=None, add_hits=lambda *_: None)
    counts = Counts(np.stack([signal] * 2), np.float32(25))
    which, chance = hit_everywhere.hit_everywhere(counts, candidates, field, None)
    # neither beside a hit in one exposure only, nor with a bad value, nor flat
    np.testing.assert_array_equal(which, [3])
    _, _, heights = hit_everywhere._heights(signal, signal + 25, tuple(one.ravel() for one in np.indices((30, 40))))
    height = heights.reshape(30, 40)[25, 30]
    frequency = hit_everywhere._frequency_above(heights, np.array([height]))[0]
    # the usual deviation there is that of its noise, as its neighbours are equal
    odds = np.exp(-6.0 + 3.0) * np.sqrt(425.0) / frequency
    assert chance[0] == pytest.approx(odds / (1 + odds), rel=1e-5)


# sweeps


def test_classes_of_some_pixels_are_those_of_the_image():
    rng = np.random.default_rng(1)
    field = Field((2, 20, 30))
    everywhere = tuple(index.ravel() for index in np.indices((20, 30)))
    probability = rng.random((2, 600)) * (rng.random((2, 600)) < 0.2)
    charge = rng.uniform(0, 3000, (2, 20, 30))
    field.set(everywhere, probability, charge.reshape(2, 600))
    np.testing.assert_allclose(field.probability, probability.reshape(2, 20, 30).astype(np.float32))
    found = field.classes_at(everywhere)
    assert len(np.unique(found)) > 5
    # the neighbours of each value are summed by another way
    kernel = np.array([[CORNER, 1, CORNER], [1, 0, 1], [CORNER, 1, CORNER]])
    likely = np.where(probability > 0.5, probability, 0).reshape(2, 20, 30)
    for i in range(2):
        sums = [ndimage.correlate(one[i], kernel, mode="constant") for one in (likely, likely * charge)]
        np.testing.assert_array_equal(found[i].reshape(20, 30), neighbour_class(*sums))


def test_only_likely_neighbours_count():
    field = Field((1, 5, 5))
    everywhere = tuple(index.ravel() for index in np.indices((5, 5)))
    middle = np.array([2]), np.array([2])
    field.set(middle, np.float32([[0.5]]), np.float32([[1e4]]))
    assert not field.classes_at(everywhere).any()
    field.set(middle, np.float32([[0.51]]), np.float32([[1e4]]))
    around = field.classes_at(everywhere).reshape(5, 5) > 0
    assert around.sum() == 8
    assert not around[2, 2]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_pixels_beside_hits_are_those_of_the_dilated_image(monkeypatch, n_threads):
    rng = np.random.default_rng(3)
    shape = 2, 23, 31
    field = Field(shape)
    everywhere = tuple(index.ravel() for index in np.indices(shape[1:]))
    hit = rng.random(shape) < 0.01
    hit[0, [0, -1], [0, -1]] = True  # in the corners, beside the rim
    field.set(everywhere, hit.reshape(2, -1).astype(np.float32), np.ones((2, hit[0].size), np.float32))
    # several bands of rows
    monkeypatch.setattr("crstack.joint.field.row_bands", lambda n_rows, _: slices(n_rows, 5))
    with limited_threads(n_threads):
        rows, columns = field.beside_hits()
    expected = np.nonzero(ndimage.binary_dilation(hit.any(axis=0), np.ones((3, 3))))
    np.testing.assert_array_equal((rows, columns), expected)


def test_parts_are_in_their_places():
    parts = slices(50, 7)
    with limited_threads(2):
        first, second = cubes.by_parts(lambda part: (np.arange(100.0).reshape(2, 50)[:, part],) * 2, parts, 50)
    np.testing.assert_array_equal(first, np.arange(100.0).reshape(2, 50))
    np.testing.assert_array_equal(second, first)


# counts


def counts_of_two():
    rng = np.random.default_rng(1)
    return Counts(
        rng.uniform(10, 90, (2, 4, 5)).astype(np.float32),
        (np.float32(9), np.full((4, 5), 16, np.float32)),
        scales=(1.0, np.full((4, 5), 2.0)),
        shifts=(3.0, 0.0),
        poisson=(True, False),
        worth=(1.0, 0.5),
    )


def test_variances_and_levels_of_counts():
    counts = counts_of_two()
    np.testing.assert_allclose(counts.variance_of(0, np.float32(40)), 9 + 43)
    np.testing.assert_allclose(counts.variance_of(1, np.float32(40)), np.full((4, 5), 16 / 4))
    np.testing.assert_allclose(counts.mean_variance(np.float32(40)), np.full((4, 5), (52 + 4) / 2))
    # no photons below 0
    np.testing.assert_allclose(counts.variance_of(0, np.float32(-40)), 9)
    np.testing.assert_allclose(counts.levels, [counts.data[0] - 3, counts.data[1] / 2])
    level, variance, poisson = counts.expected(1, np.float32(40), np.float32(5))
    np.testing.assert_allclose(level, np.full((4, 5), 80))
    np.testing.assert_allclose(variance, np.full((4, 5), 16 + 4 * 5))
    assert not poisson


def test_values_as_they_are_combined():
    counts = counts_of_two()
    where = np.array([1, 3]), np.array([0, 4])
    values, expected = counts.combined_at(where, np.array([10.0, 20.0]))
    np.testing.assert_allclose(values, [counts.data[0][where], counts.data[1][where] / 2])
    np.testing.assert_allclose(expected, [[13, 23], [10, 20]])


def test_parts_of_counts():
    counts = counts_of_two()
    part = counts.rows((slice(1, 3), slice(2, 5)))
    np.testing.assert_array_equal(part.data, counts.data[:, 1:3, 2:5])
    assert part.variance[1].shape == part.scales[1].shape == (2, 3)
    assert part.worth == counts.worth
    turned = counts.ordered([1, 0])
    np.testing.assert_array_equal(turned.data, counts.data[::-1])
    assert turned.poisson == (False, True)
    assert turned.shifts == (0.0, 3.0)
    assert turned.worth == (0.5, 1.0)


def test_bad_values_have_the_level_of_the_others():
    data = np.float32([[[1.0]], [[np.nan]], [[5.0]]])
    counts = Counts(data, 9.0, bad=np.isnan(data))
    np.testing.assert_array_equal(counts.levels, np.float32([[[1.0]], [[3.0]], [[5.0]]]))
    # beside it no value is bad, two are, and all are
    data = np.float32([[[1, np.nan, 4, np.nan]], [[np.nan, np.nan, 5, np.nan]], [[5, 8, 9, np.nan]]])
    expected = np.float32([[[1, 8, 4, 0]], [[3, 8, 5, 0]], [[5, 8, 9, 0]]])
    np.testing.assert_array_equal(Counts(data, 9.0, bad=np.isnan(data)).levels, expected)


def test_odds_of_a_population_by_its_rate():
    """The rate of hits over the chance of none: charges too small to see leave a value clean."""
    population = Population()
    classes, sigma = np.arange(len(population.rate), dtype=np.int32), np.full(len(population.rate), np.float32(5))
    above = population.density.above(charges_kind(classes), sigma)
    odds = np.exp(population.log_odds(classes, sigma))
    np.testing.assert_allclose(odds, population.rate / (1 - population.rate * above), rtol=1e-4)
    # where nearly all values are hit the chance of none stays above 0
    sure = Population(rate=np.full(len(population.rate), 1.2), shapes=population.shapes)
    np.testing.assert_allclose(np.exp(sure.log_odds(classes, sigma)).max(), 1.2 / (1 - HIGHEST_RATE), rtol=1e-4)


def test_the_highest_rate_is_that_of_all_values():
    """More hits than are examined: all values are hit, where not all hits are seen as many more."""
    totals = np.full((N_CLASSES, LOG_SIGMA.size), 0.0)
    totals[:, 20] = 1000.0
    population = Population()
    counts = np.ones_like(population.shapes)
    fitted = population.refitted(counts, np.full(N_CLASSES, 5e4), totals)
    seen = (totals @ counts_as_hit() * fitted.shapes[charges_kind(np.arange(N_CLASSES))]).sum(axis=1)
    assert (seen < 1000).all()
    np.testing.assert_allclose(fitted.rate, HIGHEST_RATE * 1000 / seen, rtol=1e-6)


@pytest.mark.parametrize(("false_alarm", "share"), [(None, 0.03), (1e-4, 0.03), (0.005, 0.05), (0.01, 0.1)])
def test_share_of_the_pixels_that_is_examined(monkeypatch, false_alarm, share):
    """Ten times the rate of false alarms, but 3 per cent at least."""

    class Stop(Exception):
        pass

    def find(counts, excess, sigma, detected, looked_at, unlike):
        raise Stop(looked_at)

    monkeypatch.setattr(posterior, "find_candidates", find)
    counts = Counts(np.random.default_rng(1).normal(100, 10, (3, 20, 30)).astype(np.float32), np.float32(9))
    settings = JointPosterior(false_alarm=false_alarm, excess=False)
    with pytest.raises(Stop) as stopped:
        posterior.joint_posterior(counts, settings)
    assert stopped.value.args[0] == pytest.approx(share)


def test_order_statistics_by_hand():
    cube = np.float32([[[4.0]], [[1.0]], [[9.0]], [[2.0]], [[7.0]]])
    found = order_statistics(cube, 2)
    assert (found.mean2d[0, 0], found.median2d[0, 0], found.min2d[0, 0]) == pytest.approx((4.6, 4, 7 / 3))
    found = order_statistics(cube[:4], 2, np.arange(4)[:, None, None] == 3)
    assert (found.mean2d[0, 0], found.median2d[0, 0], found.min2d[0, 0]) == pytest.approx((14 / 3, 4, 1))


def test_weights_do_not_depend_on_the_scale_of_the_densities():
    """Densities of hundreds of values are far from 1: only their ratios at the nodes of a pixel count."""
    rng = np.random.default_rng(1)
    clean, ratio = rng.normal(0, 2, (2, 3, 5, 20))
    hit, rest = hit_weights(clean, ratio)
    for shift in (-300.0, 300.0):
        for one, same in zip(hit_weights(clean + shift, ratio), (hit, rest), strict=True):
            np.testing.assert_allclose(one, same, rtol=1e-6)
    # at the likeliest node of each pixel the weight is 1
    softplus = np.logaddexp(0, ratio)
    total = (clean + softplus).sum(axis=0)
    np.testing.assert_allclose(rest, np.exp(-softplus) * np.exp(total - total.max(axis=0)), rtol=1e-6)


def test_excess_of_bins_and_its_errors():
    rng = np.random.default_rng(1)
    cube = np.stack([rng.normal(0, 6, (1, 40_000)) for _ in range(3)])
    bins = [np.arange(10_000), np.arange(10_000, 40_000)]
    targets, errors = _excess_of_bins(cube, [np.full((1, 40_000), np.float32(25))], bins, 4.0)
    # 36 where 25 are known, less the constant; the error falls with the root of the number of pixels
    np.testing.assert_allclose(targets, 36 - 25 - 4, atol=0.8)
    ratios = (targets + 25) / 25
    np.testing.assert_allclose(errors, (2.3 * ratios / np.sqrt([10_000, 30_000]) + 0.02) * 25, rtol=1e-6)


@pytest.mark.parametrize("true", [1.0, 1.3])
@pytest.mark.parametrize("population", ["single", "worms"])
def test_faint_hits_are_no_noise(population, true):
    """6 % of the values hit, many of them by two standard deviations: they raise the clipped variance by 18 %."""
    rng = np.random.default_rng(8)
    shape, noise = (300, 330), 10.0
    hits = [make_hits(shape, 0.06, rng, population) for _ in range(2)]
    first, second = (rng.normal(100, noise * np.sqrt(true), shape) + one for one in hits)
    difference = (first - second).ravel()
    assert _robust_ratio(difference, noise**2) > 1.12 * true
    assert _ratio_without_hits(difference, noise**2) == pytest.approx(true, rel=0.055)


@pytest.mark.parametrize("n", [2, 5, 6, 9, 15, 25])
def test_pairs_of_exposures_are_as_far_apart_as_all(n):
    """As many as exposures need, not as many as there are pairs; independent of their order."""
    rng = np.random.default_rng(n)
    level = rng.permutation(np.linspace(0, 10, n))
    values = rng.normal(0, 0.01, (n, 50)) + level[:, None]
    pairs = _pairs(values)
    assert len({tuple(one) for one in pairs}) == len(pairs) == min(n * (n - 1) // 2, 2 * n if n > 5 else 10)
    assert np.bincount(np.ravel(pairs)).tolist() == [2 * len(pairs) // n] * n
    apart = np.mean([(level[i] - level[j]) ** 2 for i, j in pairs])
    assert apart == pytest.approx(2 * level.var(ddof=1), rel=0.15)
    other = rng.permutation(n)
    renamed = {tuple(sorted((other[i], other[j]))) for i, j in _pairs(values[other])}
    assert renamed == {tuple(int(k) for k in sorted(one)) for one in pairs}


@pytest.mark.parametrize("sigma", [0.8, 3.0])
def test_noise_of_whole_numbers_without_hits(sigma):
    rng = np.random.default_rng(9)
    difference = np.subtract(*np.rint(rng.normal(100, sigma, (2, 100_000))))
    wanted = difference.var() / 2
    assert _ratio_without_hits(difference, 1.0) == pytest.approx(wanted, rel=0.03)
    # as clean as can be
    assert _ratio_without_hits(np.zeros(100), 1.0) == 0


def test_a_constant_counts_where_it_is_dark_and_clear():
    rng = np.random.default_rng(2)
    usable = np.ones((100, 100), dtype=bool)

    def constant(level, known, sigma):
        cube = np.stack([rng.normal(0, sigma, usable.shape) for _ in range(3)])
        signal = np.full(usable.shape, np.float32(level))
        return _measured_faint(cube, signal, [np.full(usable.shape, np.float32(known))], usable)[1]

    assert constant(5.0, 25, 6) == pytest.approx(36 - 25, rel=0.1)
    # the noise is as stated; then photons make most of the noise; then too few pixels
    assert constant(5.0, 25, 5) == 0
    assert constant(20.0, 25, 6) == 0
    usable[:] = False
    usable[0, :40] = True
    assert constant(5.0, 25, 6) == 0


# differences between exposures


class Measured:
    """Differences that are given, in place of measured ones: by exposure a factor, a level and a variance."""

    def __init__(self, scales, added, noises, differ=True):
        self.scales, self.added, self.noises, self.differ = scales, added, noises, differ

    def __bool__(self):
        return self.differ

    def ordered(self, order):
        return Measured(*([one[i] for i in order] for one in (self.scales, self.added, self.noises)), self.differ)


def test_differences_are_part_of_the_expected_values(monkeypatch):
    """An exposure that is s * x + b of a stack at t + f * s is t + f * b over it, and f * s of it."""
    data = np.float32([np.full((4, 5), 30.0), np.full((4, 5), 10.0), np.full((4, 5), 20.0)])
    asked = {}

    def measured(levels, variance_of, bad, names, noises, steps, comparable):
        asked.update(levels=levels, names=names, noises=noises, comparable=comparable)
        image = np.full((4, 5), 0.5)
        # for the faintest first
        return Measured([2.0, image, 4.0], [7.0, 0.0, 3.0], [1.0, 0.0, image])

    monkeypatch.setattr(measure, "measure_differences", measured)
    counts = Counts(data, np.float32(9), scales=(1.0, 2.0, 5.0), shifts=(6.0, 0.0, 0.0))
    found, differences = measure.with_measured_differences(counts, {"level"}, comparable=False)
    assert asked["comparable"] is False
    np.testing.assert_array_equal(asked["levels"], [data[1] / 2, data[2] / 5, data[0] - 6])
    assert asked["names"] == {"level"}
    # the variances of the levels at their median, 5
    noises = np.array([(9 + 10) / 2**2, (9 + 25) / 5**2, 9 + 5 + 6])
    np.testing.assert_allclose(asked["noises"], noises / noises.mean(), rtol=1e-5)
    assert differences.added == [3, 7, 0]
    for ours, expected in ((found.scales, [4, 4, 2.5]), (found.shifts, [9, 14, 0]), (found.variance, [9.5, 10, 9])):
        np.testing.assert_allclose([np.mean(one) for one in ours], expected)
    np.testing.assert_array_equal(found.data, data)
    # without scales and shifts of their own, and without noise
    monkeypatch.setattr(measure, "measure_differences", lambda *_, **__: Measured([2.0, 1.0], [7.0, 0.0], [0.0, 0.0]))
    found, _ = measure.with_measured_differences(Counts(data[:2], np.float32(9)), {"level"})
    assert (found.scales, found.shifts, found.variance) == ((1, 2), (0, 7), 9)
    # nothing differs
    equal = Measured([2.0, 1.0], [7.0, 0.0], [0.0, 0.0], False)
    monkeypatch.setattr(measure, "measure_differences", lambda *_, **__: equal)
    counts = Counts(data[:2], np.float32(9))
    assert measure.with_measured_differences(counts, {"level"})[0] is counts


@pytest.mark.parametrize("places", [[], [0], [59], [3, 17, 18, 40, 59]])
def test_values_of_single_pixels_band_by_band(monkeypatch, places):
    monkeypatch.setattr(cubes, "PIXELS_PER_BAND", 10)
    image = np.arange(2 * 60.0).reshape(2, 6, 10)
    places = np.array(places, dtype=int)
    found = cubes.taken(lambda where: image[:, *where], places, (6, 10))
    np.testing.assert_array_equal(found, image.reshape(2, 60)[:, places])


def test_results_do_not_depend_on_the_size_of_the_pieces(monkeypatch):
    simulated = make_stack("ifu", shape=(50, 60), n_exposures=9, seed=5)

    def found():
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
        result = stack.joint_posterior()
        return result.rounded, result.mask, result.signal_shift

    usual = found()
    for values in (1 << 12, 1 << 30):
        monkeypatch.setattr(candidates, "NODES_AT_ONCE", values)
        monkeypatch.setattr(posterior_signal, "VALUES_AT_ONCE", values)
        monkeypatch.setattr(candidates, "VALUES_AT_ONCE", values)
        for one, other in zip(usual, found(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("number", "most"), [(0, 5), (1, 5), (3, 2), (7, 0), (7, 3), (10, 100), (8192, 1000)])
def test_even_slices_cover_a_number_and_leave_no_single_one(number, most):
    slices = even_slices(number, most)
    covered = np.concatenate([np.arange(number)[one] for one in slices])
    np.testing.assert_array_equal(covered, np.arange(number))
    assert number < 2 or min(one.stop - one.start for one in slices) > 1


def test_values_that_are_all_surely_hit_have_probabilities():
    """Where every value is far from every node, one of them is clean, and none of the weights is lost."""
    ratio = np.float32([120, 150, 200])[:, None, None] + np.zeros((3, 4, 1), np.float32)
    for ratios in (ratio, ratio[::-1], np.full_like(ratio, 3e4)):
        hit, rest = hit_weights(-ratios, ratios)
        chance = hit.sum(axis=1) / (hit + rest)[0].sum(axis=0)
        assert np.isfinite(chance).all()
        assert (chance >= 0).all()
        assert (chance <= 1).all()
        assert (1 - chance).sum() > 0.5


def test_probabilities_of_values_without_a_common_signal():
    """Exposures of which the noise and the values are unlike give probabilities."""
    rng = np.random.default_rng(2)
    cube = np.float32(rng.normal(0, [[[300]], [[1]], [[1]]], (3, 40, 50)) + rng.uniform(0, 1e6, (3, 40, 50)))
    counts = Counts(cube, (np.float32(9e4), np.float32(1), np.float32(1)), poisson=(False,) * 3)
    found = joint_posterior(counts, JointPosterior(excess=False))
    assert (found.rounded >= 0).all()
    assert (found.rounded <= 1).all()


def test_expected_counts_by_hand():
    """a s + d; variance plus a^2 times the excess."""
    signal, excess = np.full((2, 3), 10.0), np.full((2, 3), 3.0)
    data = np.zeros((2, 2, 3), np.float32)
    counts = Counts(data, (np.float32(4), np.full((2, 3), 5.0)), scales=(2.0, 0.5), shifts=(1.0, -2.0))
    for i, (level, variance) in enumerate(((21.0, 4 + 4 * 3.0), (3.0, 5 + 0.25 * 3.0))):
        found = counts.expected(i, signal, excess)
        np.testing.assert_allclose(found[0], np.full((2, 3), level))
        np.testing.assert_allclose(found[1], np.full((2, 3), variance))
        assert found[2] is True
    plain = replace(counts, variance=7.0, scales=None, shifts=None, poisson=(True, False))
    for i, poisson in enumerate((True, False)):
        found = plain.expected(i, signal, excess)
        np.testing.assert_allclose(found[0], signal)
        np.testing.assert_allclose(found[1], np.full((2, 3), 10.0))
        assert found[2] is poisson


def test_median_of_two_exposures_is_the_lower_one_where_they_differ():
    """Of values that differ by more than noise; else their mean."""
    one = np.array([[100.0, 100.0], [900.0, 101.0]], np.float32)
    other = np.array([[102.0, 900.0], [100.0, 99.0]], np.float32)
    counts = Counts(np.stack([one, other]), np.float32(16))
    np.testing.assert_array_equal(_median_of(counts), [[101.0, 100.0], [100.0, 100.0]])
    three = Counts(np.stack([one, other, other]), np.float32(16))
    np.testing.assert_array_equal(_median_of(three), [[102.0, 900.0], [100.0, 99.0]])


def test_the_density_of_a_hit_value_is_that_of_its_excess_over_the_expected_counts():
    """A level that is added to an exposure moves the value, and nothing else if there are no photons."""

    class Density:
        def log_density(self, kind, index):
            return np.asarray(index, float)

    population = SimpleNamespace(density=Density(), log_odds=lambda classes, sigma: 0 * sigma)

    def of(value, shift):
        value_of = {"scales": 0.8, "shifts": shift, "variance": 25.0, "poisson": 0.0}
        some = Candidates((), np.array([[value]]), **{name: np.array([[one]]) for name, one in value_of.items()})
        return hit_everywhere._log_hit(some, 0, np.array([value]), np.array([[100.0]]), np.array([0]), population)

    np.testing.assert_allclose(of(190.0, 30.0), of(160.0, 0.0))
    assert (of(190.0, 30.0) != of(190.0, 0.0)).all()
