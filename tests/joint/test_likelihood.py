"""Likelihoods of the values of a pixel, and their weights, against exact sums."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats
from support.joint import even_shapes

from crstack import JointPosterior
from crstack.joint import Counts, joint_posterior
from crstack.joint.candidates import Candidates, find_candidates
from crstack.joint.charges import CHARGE_EDGES, LOG_SIGMA, HitDensity, counts_as_hit, sigma_index
from crstack.joint.false_alarms import _tail_quantile
from crstack.joint.likelihood import hit_weights, log_clean
from crstack.joint.neighbourhoods import N_CLASSES, charges_kind
from crstack.joint.odds import log_odds_alone, log_ratio
from crstack.joint.population import Population


@pytest.mark.parametrize("signal", [0.0, 0.5, 3.0, 10.0, 30.0, 200.0])
@pytest.mark.parametrize("readnoise", [2.0, 4.0])
def test_saddle_point_equals_the_exact_sum(signal, readnoise):
    sigma = np.sqrt(signal + readnoise**2)
    values = np.linspace(signal - 5 * sigma, signal + 6 * sigma, 40)
    photons = np.arange(1000)
    exact = stats.poisson.pmf(photons, signal) @ stats.norm.pdf(values, photons[:, None], readnoise)
    np.testing.assert_allclose(log_clean(values, np.float64(signal), readnoise**2), np.log(exact), atol=0.005)


@pytest.mark.parametrize("signal", [0.05, 1.0, 10.0, 30.0])
@pytest.mark.parametrize("readnoise", [0.5, 0.8])
def test_values_below_zero_of_little_read_noise(signal, readnoise):
    """Without photons the noise is Gaussian, however many photons are expected."""
    values, photons = np.linspace(-6 * readnoise, 0, 25), np.arange(200)
    terms = stats.poisson.logpmf(photons, signal) + stats.norm.logpdf(values[:, None], photons, readnoise)
    found = log_clean(values, np.float64(signal), readnoise**2)
    np.testing.assert_allclose(found, special.logsumexp(terms, axis=1), atol=0.12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_weights_are_the_sum_over_all_sets(n):
    """The product over exposures equals the sum over every set of hit exposures but that of all."""
    rng = np.random.default_rng(n)
    clean, ratio = rng.normal(0, 2, (2, n, 5, 20))
    hit, rest = hit_weights(clean, ratio)
    wanted_hit, wanted_rest = np.zeros((2, n, 5, 20))
    for one in itertools.product([False, True], repeat=n):
        if not all(one):
            weight = np.exp(clean.sum(axis=0) + ratio[list(one)].sum(axis=0))
            for i in range(n):
                (wanted_hit if one[i] else wanted_rest)[i] += weight
    scale = wanted_hit + wanted_rest
    np.testing.assert_allclose(hit / (hit + rest), wanted_hit / scale, rtol=1e-5)
    ours, theirs = hit + rest, scale / scale.max(axis=1, keepdims=True)
    np.testing.assert_allclose(ours / ours.max(axis=1, keepdims=True), theirs, rtol=1e-5)


def test_weights_where_all_values_look_hit():
    """The share of the sets with a clean value is exact in float32, also where hits are e^60 times as probable."""
    rng = np.random.default_rng(5)
    ratio = rng.uniform(-20, 60, (3, 1, 4000))
    hit, rest = (one[:, 0] for one in hit_weights(*np.float32([np.zeros_like(ratio), ratio])))
    wanted = np.zeros((2, 3, 4000))
    for one in itertools.product([False, True], repeat=3):
        if not all(one):
            for i in range(3):
                wanted[int(one[i]), i] += np.exp(ratio[list(one), 0].sum(axis=0))
    np.testing.assert_allclose(rest / (hit + rest), wanted[0] / wanted.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(hit / (hit + rest), wanted[1] / wanted.sum(axis=0), rtol=1e-4)


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_density_of_hit_values_is_the_convolution(sigma):
    shapes = np.ones((2, len(CHARGE_EDGES) - 1)) / (len(CHARGE_EDGES) - 1)
    shapes[1] *= np.linspace(2, 0.01, shapes.shape[1])
    density = HitDensity(shapes)
    excess = np.array([-2.0, 0.0, 1.0, 3.0, 9.0, 14.0, 100.0, 3000.0], dtype=np.float32) * np.float32(sigma)
    charges = np.geomspace(0.5 * sigma, 2e5, 400_001)
    log_edges = np.log(CHARGE_EDGES)
    for kind, shape in enumerate(shapes):
        per_log = np.interp(np.log(charges), (log_edges[1:] + log_edges[:-1]) / 2, shape / np.diff(log_edges))
        weights = np.gradient(np.log(charges)) * per_log
        exact = [(weights * stats.norm.pdf(value, charges, sigma)).sum() for value in excess]
        found = density.log_density(np.int32(kind), HitDensity.index(excess, np.float32(sigma)))
        np.testing.assert_allclose(found - np.log(sigma), np.log(exact), atol=0.16)
        assert density.above(kind, np.float32(sigma)) == pytest.approx(weights.sum(), rel=0.06)


def test_charges_are_told_from_noise():
    """Expectation maximisation finds a rate and charges that were drawn, at three standard deviations of noise."""
    rng = np.random.default_rng(2)
    hits = np.where(rng.random(60_000) < 0.05, rng.lognormal(np.log(80), 0.7, 60_000), 0)
    cube = rng.normal(20, 6, (3, 200, 300)).astype(np.float32)
    cube[0] += hits.reshape(200, 300)
    result = joint_posterior(Counts(cube, np.float32(16)), JointPosterior(excess=False))
    assert result.probability[0].mean() == pytest.approx(0.05, abs=0.002)
    assert result.probability[1:].mean() < 0.002
    assert result.population.typical == pytest.approx(80, rel=0.1)


def test_small_charges_make_values_that_are_not_hit_higher():
    """Odds and densities of hits, of faint charges and of no charge, against sums over the charges."""
    sigma, rate = np.float32(8.0), 0.6
    population = Population(rate=np.full(N_CLASSES, rate), shapes=even_shapes())
    excess = np.array([-16.0, -4.0, 0.0, 8.0, 20.0], dtype=np.float32)
    charges = np.geomspace(CHARGE_EDGES[0], CHARGE_EDGES[-1], 200_001)
    weights = rate / len(charges) * stats.norm.pdf(excess[:, None], charges, sigma)
    faint = weights[:, charges < 0.5 * sigma].sum(axis=1)
    of_hits = weights.sum(axis=1) - faint
    none = (1 - rate) * stats.norm.pdf(excess, 0, sigma)
    log_hit, log_not_hit = population.log_ratios(np.int32(30), HitDensity.index(excess, sigma))
    np.testing.assert_allclose(
        log_hit, np.log(sigma * of_hits / (faint + none)) + stats.norm.logpdf(excess, 0, sigma), atol=0.1
    )
    above = (charges > 0.5 * sigma).mean() * rate
    np.testing.assert_allclose(
        log_not_hit, np.log((faint + none) / (1 - above)) - stats.norm.logpdf(excess, 0, sigma), atol=0.01
    )
    assert population.log_none(np.int32(30), sigma_index(sigma)) == pytest.approx(np.log(1 - above), abs=0.01)


def test_values_that_are_not_hit_have_the_density_of_no_and_of_faint_charge():
    values = np.array([[40.0, 60.0], [44.0, 48.0], [55.0, 52.0]], dtype=np.float32)
    bad = np.zeros((3, 1, 2), dtype=bool)
    bad[2, 0, 1] = True
    counts = Counts(values[:, None], np.float32(25), bad, poisson=(False,) * 3)
    pixels = find_candidates(counts, np.zeros((1, 2), np.float32), np.full((1, 2), 5, np.float32), ~bad)
    population = Population(rate=np.full(N_CLASSES, 0.6), shapes=even_shapes())
    nodes, clean, index, _ = pixels.at_nodes()
    classes = np.full((3, 2), 30, dtype=np.int32)
    ratio, not_hit = log_ratio(pixels, clean, index, classes, replace(population, detector_odds=2.0))
    excess = values[:, None] - nodes
    charges = np.geomspace(CHARGE_EDGES[0], CHARGE_EDGES[-1], 20_001)
    weights = 0.6 / len(charges) * stats.norm.pdf(excess[..., None], charges, 5)
    faint = weights[..., charges < 2.5].sum(axis=-1)
    none, none_counts = 0.4 * stats.norm.pdf(excess, 0, 5), 1 - 0.6 * (charges > 2.5).mean()
    known = np.broadcast_to(~bad[:, 0][:, None], excess.shape)
    np.testing.assert_allclose(not_hit[known], np.log(5 * (none + faint) / none_counts)[known], atol=0.02)
    wanted = np.log((weights.sum(axis=-1) - faint) / (none + faint)) + 2
    near = known & (np.abs(excess) < 15)
    np.testing.assert_allclose(ratio[near], wanted[near], atol=0.15)
    # a bad value adds the same factor to all sets, and is not the clean one of any
    assert (not_hit[~known] < -50).all()
    np.testing.assert_allclose(ratio[~known] + not_hit[~known], 0, atol=1e-6)


@pytest.mark.parametrize("off_grid", [-0.045, 0.0, 0.045])
def test_hits_are_weighed_with_the_noise_of_the_value_itself(off_grid):
    """The tables have a grid of noises. The odds have no error where the noise lies between two of them."""
    sigma = np.float32(np.exp(LOG_SIGMA[40] + off_grid))
    values = np.float32([np.linspace(0, sigma, 50), np.linspace(3, 4, 50) * sigma])
    one = np.ones((1, 1), np.float32)
    pixels = Candidates((np.zeros(50, int),) * 2, values, one, 0 * one, sigma**2 * one, 0 * one)
    population = Population(rate=np.full(N_CLASSES, 0.1), shapes=even_shapes())
    nodes, clean, index, prior = pixels.at_nodes()
    ratio, _ = log_ratio(pixels, clean, index, np.zeros((2, 50), np.int32), population)
    excess = values[0] - nodes
    charges = np.geomspace(CHARGE_EDGES[0], CHARGE_EDGES[-1], 4_001)
    weights = 0.1 / len(charges) * stats.norm.pdf(excess[..., None], charges, sigma)
    faint = weights[..., charges < sigma / 2].sum(axis=-1)
    rest = 0.9 * stats.norm.pdf(excess, 0, sigma) + faint
    wanted = np.log((weights.sum(axis=-1) - faint) / rest)
    near = np.abs(excess) < 4 * sigma
    assert (ratio[0] - wanted)[near].mean() == pytest.approx(0, abs=0.012)
    # the sum over the nodes is over densities per electron
    exact = stats.norm.logpdf(values[:, None] - nodes, 0, sigma).sum(axis=0)
    np.testing.assert_allclose(clean.sum(axis=0) + prior, exact, rtol=1e-4)


def test_nodes_reach_the_signal_where_an_exposure_of_low_throughput_is_the_lowest():
    """A level of -40 of an exposure of a fifth of the throughput has a noise of 30; the signal is 30."""
    values, scales = (
        np.array([[30.0], [28.0], [-8.0], [31.0]], np.float32),
        np.array([[1], [1], [0.2], [1]], np.float32),
    )
    one = np.ones((1, 1), np.float32)
    places = np.array([1]), np.array([1])
    pixel = Candidates(places, values, scales, 0 * one, 36 * one, 0 * one)
    nodes = pixel.at_nodes()[0]
    assert nodes.min() < 10
    assert nodes.max() > 45
    tables = pixel.tables()
    assert (log_odds_alone(pixel, tables, Population()) < -3).all()
    # the same noise for all: nodes around the lowest value
    alike = Candidates(places, values, one, 0 * one, 36 * one, 0 * one).at_nodes()[0]
    assert alike.max() < -8 + 6 * 6


@pytest.mark.parametrize("power", [-0.6, 0.0, 1.0])
def test_charges_hidden_by_noise_follow_those_that_are_seen(power):
    """Hits of a power of the charge, of which those above half a standard deviation are counted."""
    population, sigma = Population(shapes=even_shapes()), 10.0
    charges = np.sqrt(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1])
    true = np.minimum(charges, 200.0) ** power * (charges < 2000)
    totals = np.zeros((N_CLASSES, LOG_SIGMA.size))
    totals[:, sigma_index(np.float32(sigma))] = 1e6
    seen = true * counts_as_hit()[sigma_index(np.float32(sigma))]
    counts = np.broadcast_to(1e5 * seen / seen.sum(), population.shapes.shape)
    found = population.refitted(counts, np.full(N_CLASSES, 1e4), totals).shapes
    hidden, edge = charges < 5, (charges > 5) & (charges < 60)
    slope = np.polyfit(np.log(charges[hidden]), np.log(found[0, hidden]), 1)[0]
    assert slope == pytest.approx(power, abs=0.1)
    ratio = found[0, hidden].sum() / found[0, edge].sum()
    assert ratio == pytest.approx(true[hidden].sum() / true[edge].sum(), rel=0.15)


def test_a_class_may_be_hit_nearly_always():
    """However many of the charges noise hides: the chance of hits that count is what was found."""
    population, sigma = Population(shapes=even_shapes()), np.float32(10.0)
    totals = np.zeros((N_CLASSES, LOG_SIGMA.size))
    totals[:, sigma_index(sigma)] = 1e6
    counts = 1e6 * population.shapes * counts_as_hit()[sigma_index(sigma)]
    refitted = population.refitted(counts, np.full(N_CLASSES, 0.95e6), totals)
    classes = np.arange(N_CLASSES)
    chance = refitted.rate * refitted.density.above(charges_kind(classes), sigma)
    np.testing.assert_allclose(chance, 0.95, atol=0.01)
    np.testing.assert_allclose(
        refitted.log_odds(classes, np.full(N_CLASSES, sigma)), np.log(refitted.rate / (1 - chance)), rtol=1e-3
    )


@pytest.mark.parametrize("wanted", [0.5, 9.0, 50.0, 400.0])
def test_tail_is_carried_on_where_few_values_lie_beyond(wanted):
    n = 400_000
    values = np.random.default_rng(8).exponential(2.0, n)
    # three times the error of a tail of 300 values and of the scale that carries it on
    error = 3 * 2.0 * (1 + max(np.log(300 / wanted), 0)) / np.sqrt(300)
    assert _tail_quantile(values, wanted) == pytest.approx(2.0 * np.log(n / wanted), abs=error)
