"""Tables of the densities of hits at the places that the values of a sample use."""

import numpy as np
import pytest

from crstack.joint.charges import CHARGE_EDGES, LOG_SIGMA, HitDensity
from crstack.joint.neighbourhoods import N_CLASSES, N_KINDS, charges_kind
from crstack.joint.population import Population
from crstack.joint.used_places import numbered

N_BINS = len(CHARGE_EDGES) - 1
#: two parts of the values
PARTS = [slice(0, 40), slice(40, 70)]


def values_at_nodes(seed, noises, highest=300):
    """Classes (3, 70) for the probabilities and for the counts, and places (3, 5, M) of two parts."""
    rng = np.random.default_rng(seed)
    asked, classes = rng.choice([0, 8, 15, 16, 30, N_CLASSES - 1], (2, 3, 70)).astype(np.int32)
    sigma = np.exp(LOG_SIGMA[rng.integers(noises.start, noises.stop, (3, 5, 70))]).astype(np.float32)
    excess = (sigma * rng.choice([-3, 0.5, 4, 12, highest], sigma.shape)).astype(np.float32)
    index = HitDensity.index(excess, sigma)
    return asked, classes, [index[..., part] for part in PARTS]


def population_of(seed, noises=None):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(1e-4, 0.4, N_CLASSES)
    return Population(rate=rate, shapes=rng.dirichlet(np.ones(N_BINS), N_KINDS), noises=noises)


@pytest.mark.parametrize("noises", [None, slice(20, 31)])
def test_logs_at_used_places_are_those_of_all_tables(noises):
    asked, classes, indices = values_at_nodes(1, slice(20, 31))
    population = population_of(2, noises)
    places = numbered(asked, classes, PARTS, indices, noises)
    logs = places.used.logs(population, places.used.density(population))
    for which, found in ((asked, places.asked), (classes, places.classes), (classes, places.settled().asked)):
        for part, index, numbers in zip(PARTS, indices, found, strict=True):
            log_hit, log_not_hit = population.log_ratios(which[:, None, part], index)
            np.testing.assert_allclose(logs.take(numbers).real, log_hit, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(logs.take(numbers).imag, log_not_hit, rtol=1e-5, atol=1e-6)
    # far fewer than all places
    assert len(places.used) <= 2 * 3 * 5 * 70


def test_classes_that_are_the_same_are_numbered_once():
    _, classes, indices = values_at_nodes(3, slice(20, 31))
    places = numbered(classes, classes, PARTS, indices)
    for one, other in zip(places.asked, places.classes, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        np.unique(np.concatenate([one.ravel() for one in places.asked])), range(len(places.used))
    )


@pytest.mark.parametrize("one_class", [False, True])
def test_counts_are_those_of_each_value_by_itself(one_class):
    """A value adds to each charge the share of its density that this charge has."""
    noises = slice(24, 26)
    asked, classes, indices = values_at_nodes(4, noises, highest=200)
    if one_class:  # few rows of the tables
        asked[...] = classes[...] = 0
    population = population_of(5, noises)
    places = numbered(asked, classes, PARTS, indices, noises)
    density = places.used.density(population)
    weights = [np.random.default_rng(6).random(index.shape, np.float32) for index in indices]
    found = density.expected_counts(
        sum(places.used.histogram(*one) for one in zip(places.classes, weights, strict=True))
    )
    # by hand: densities of hits that have the charges of one bin only
    alone = HitDensity(np.eye(N_BINS), noises)
    wanted = np.zeros((N_KINDS, N_BINS))
    for part, index, weight in zip(PARTS, indices, weights, strict=True):
        kinds = np.broadcast_to(charges_kind(classes[:, None, part]), index.shape).ravel()
        of_bin = np.exp([alone.log_density(np.int32(one), index.ravel()) for one in range(N_BINS)])
        share = population.shapes[kinds].T * of_bin
        np.add.at(wanted, kinds, (weight.ravel() * share / share.sum(axis=0)).T)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4)
    assert found.sum() == pytest.approx(sum(one.sum() for one in weights), rel=1e-4)


def test_the_range_of_the_noises_does_not_change_which_places_are_used():
    _, classes, indices = values_at_nodes(7, slice(24, 26))
    some, every = (numbered(classes, classes, PARTS, indices, noises) for noises in (slice(24, 26), None))
    assert len(some.used) == len(every.used)
    for one, other in zip(some.classes, every.classes, strict=True):
        np.testing.assert_array_equal(one, other)
