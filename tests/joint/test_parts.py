"""Neighbourhoods, candidates, population and probabilities of the joint decision, against numbers computed by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.joint import (
    JointPosterior,
    candidates,
    cubes,
    hit_everywhere,
    posterior,
    posterior_signal,
)
from crstack.joint.candidates import Candidates, even_slices
from crstack.joint.charges import LOG_SIGMA, counts_as_hit
from crstack.joint.counts import Counts
from crstack.joint.field import Field
from crstack.joint.likelihood import hit_weights
from crstack.joint.neighbourhoods import CORNER, N_CLASSES, charges_kind, neighbour_class
from crstack.joint.population import HIGHEST_RATE, Population
from crstack.joint.posterior import joint_posterior
from crstack.statistics import order_statistics
from crstack.utils.threads import limited_threads, slices


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

    def find(counts, excess, sigma, detected, examined, unlike, signal):
        raise Stop(examined)

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


def test_results_do_not_depend_on_the_size_of_the_pieces(monkeypatch):
    simulated = make_stack("ifu", shape=(50, 60), n_exposures=9, seed=5)

    def found():
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
        result = stack.joint_posterior()
        return result.rounded, result.mask, result.signal_shift, result.signal_variance

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
