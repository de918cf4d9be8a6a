"""Nodes of the common signal, and the tables of the needed noises only."""

import astropy.units as u
import numpy as np
import pytest
from scipy.stats import norm

import crstack.joint.likelihood as likelihood
from crstack import CRStack
from crstack.datasets import make_stack
from crstack.joint.candidates import fewest_known
from crstack.joint.charges import LOG_SIGMA, HitDensity
from crstack.joint.likelihood import NODE_REACH, nodes_of_groups, reach_below, signal_nodes
from crstack.joint.population import N_KINDS


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
    np.testing.assert_array_equal(usual.mask, far.mask)
    assert usual.mask.sum() > 500
    np.testing.assert_allclose(usual.probability, far.probability, atol=2e-3)
    np.testing.assert_allclose(usual.signal_shift, far.signal_shift, atol=2e-3)


def test_tables_of_some_noises_are_those_of_all():
    shapes = np.random.default_rng(3).dirichlet(np.ones(45), N_KINDS)
    every, some = HitDensity(shapes), HitDensity(shapes, slice(30, 40))
    sigma = np.float32(np.exp(LOG_SIGMA[[31, 36, 39]]))[:, None]
    index = HitDensity.index(np.float32(np.linspace(-5, 400, 301)), sigma)
    for kind in (0, 7, N_KINDS - 1):
        wanted = every.log_density(np.int32(kind), index)
        np.testing.assert_allclose(some.log_density(np.int32(kind), index), wanted, rtol=1e-5)
