"""Nodes of the common signal, and the tables of the needed noises only."""

import astropy.units as u
import numpy as np
import pytest
from scipy.stats import norm

import crstack.joint.likelihood as likelihood
from crstack import CRStack
from crstack.datasets import make_stack
from crstack.joint.candidates import Candidates, fewest_known
from crstack.joint.charges import LOG_SIGMA, HitDensity, noise_of
from crstack.joint.field import Field
from crstack.joint.likelihood import NODE_REACH, nodes_of_groups, reach_below, signal_nodes
from crstack.joint.neighbourhoods import N_KINDS
from crstack.joint.population import Population
from crstack.joint.posterior_signal import posterior_signal


@pytest.mark.parametrize("n", [4, 5, 8, 15, 25])
def test_reach_below_has_the_probability_of_the_reach_of_one_value(n):
    clean = (n - 1) / 2
    assert norm.sf(reach_below(n)) ** clean == pytest.approx(norm.sf(NODE_REACH), rel=1e-6)
    assert reach_below(n) < reach_below(n - 1) <= NODE_REACH
    nodes = signal_nodes(np.zeros(1), np.ones(1), n)[:, 0]
    assert -reach_below(n) - 1.25 / np.sqrt(n) <= nodes[0] <= -reach_below(n)
    assert nodes[-1] >= NODE_REACH


@pytest.mark.parametrize("n", [1, 2, 3])
def test_up_to_three_values_reach_as_far_on_both_sides(n):
    nodes = signal_nodes(np.zeros(1), np.ones(1), n)[:, 0]
    assert nodes[0] == np.float32(-NODE_REACH)


def test_bad_values_do_not_shorten_the_reach():
    whole, some, few = (signal_nodes(np.zeros(1), np.ones(1), 9, known)[:, 0] for known in (None, 6, 2))
    assert whole[0] > some[0] > few[0] == np.float32(-NODE_REACH)
    # the same steps, so that all nodes of the shorter range are among those of the longer one
    assert set(whole) < set(some) < set(few)
    groups = [nodes_of_groups(np.zeros((2, 1)), np.array([[1.0], [3.0]]), (8, 4), known)[0] for known in (None, 6)]
    assert groups[0][0, 0] > groups[1][0, 0]
    unknown = np.zeros((9, 4), bool)
    unknown[:3, 1] = unknown[:, 2] = True  # one pixel has no value at all
    assert fewest_known(unknown) == 6
    assert fewest_known(None) is None


@pytest.mark.parametrize("n", [5, 11])
def test_nodes_far_below_the_lowest_of_many_values_do_not_matter(n, monkeypatch):
    simulated = make_stack("imaging", n_exposures=n, shape=(90, 100), hit_rate=0.03, seed=12)
    data = [one.data.copy() for one in simulated.exposures]
    for number, image in enumerate(data[:3]):
        image[10 * number : 10 * number + 5] = np.nan
    noise = {"gain": simulated.gain, "readnoise": simulated.readnoise, "unit": u.adu}

    def found():
        return CRStack(data, **noise).joint_posterior()

    usual = found()
    monkeypatch.setattr(likelihood, "reach_below", lambda n: NODE_REACH)
    far = found()
    # a value whose probability is close to 0.5 may change the rate that is assumed beside it, by rounding alone
    assert np.count_nonzero(usual.mask != far.mask) <= 5
    assert usual.mask.sum() > 500
    for name, most in (("probability", 2e-3), ("signal_shift", 2e-2)):
        difference = np.abs(getattr(usual, name) - getattr(far, name))
        assert np.quantile(difference, 0.99) < most
        assert np.mean(difference) < most / 10


def candidates_of(**more):
    simulated = make_stack("ifu", shape=(60, 80), seed=6, gain=1 * u.electron / u.adu)
    cube = np.stack([ccd.data for ccd in simulated.exposures]).astype(np.float32)
    scale = np.array([[0.8], [1.0], [1.3]], np.float32)
    where = tuple(index[::7] for index in np.nonzero(np.ptp(cube, axis=0) > 15))
    values = cube[:, *where]
    fixed = {"scales": scale, "shifts": 0 * scale, "variance": 11.6 + 0 * scale, "poisson": np.ones((1, 1), np.float32)}
    return Candidates(where, values, **(fixed | more))


@pytest.mark.parametrize(
    "more", [{}, {"variance": np.array([[4.0], [90.0], [4.0]], np.float32), "groups": ((0, 2), (1,))}]
)
def test_noises_are_those_of_the_tables(more):
    candidates = candidates_of(**more)
    index = candidates.at_nodes()[2]
    first, last = candidates.noises()
    assert (first, last) == (noise_of(index.min()), noise_of(index.max()))
    assert last > first + 3


def test_the_posterior_signal_needs_the_tables_of_its_own_noises_only(monkeypatch):
    candidates = candidates_of()
    population = Population(shapes=np.random.default_rng(4).dirichlet(np.ones(45), N_KINDS))
    field = Field((3, 60, 80))
    field.set(candidates.where, *np.random.default_rng(5).random((2, *candidates.values.shape), np.float32))
    which = np.arange(len(candidates)) % 3 > 0
    found = posterior_signal(field, candidates, population, which)
    monkeypatch.setattr(Candidates, "noises", lambda self: (0, LOG_SIGMA.size - 1))
    np.testing.assert_allclose(found, posterior_signal(field, candidates, population, which), rtol=1e-6)
    assert (found[:, ~which] == 0).all()
    assert (found[:, which] > 0).all()


def test_a_posterior_signal_that_is_not_needed_and_one_of_a_single_noise():
    candidates = candidates_of(poisson=np.zeros((1, 1), np.float32), variance=np.full((1, 1), 11.6, np.float32))
    first, last = candidates.noises()
    assert first == last
    field, population = Field((3, 60, 80)), Population()
    assert not posterior_signal(field, candidates, population, np.zeros(len(candidates), bool)).any()
    assert (posterior_signal(field, candidates, population) > 0).all()


def test_tables_of_some_noises_are_those_of_all():
    shapes = np.random.default_rng(3).dirichlet(np.ones(45), N_KINDS)
    every, some = HitDensity(shapes), HitDensity(shapes, slice(30, 40))
    sigma = np.float32(np.exp(LOG_SIGMA[[31, 36, 39]]))[:, None]
    index = HitDensity.index(np.float32(np.linspace(-5, 400, 301)), sigma)
    for kind in (0, 7, N_KINDS - 1):
        wanted = every.log_density(np.int32(kind), index)
        np.testing.assert_allclose(some.log_density(np.int32(kind), index), wanted, rtol=1e-5)
