"""The integral over the signal reaches the true signal where noise has made the lowest value much too low."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy.stats import poisson

from crstack import CRStack
from crstack.joint.likelihood import NODE_REACH, nodes_of_groups, signal_nodes, widths_of


@pytest.mark.parametrize("lowest", [0, 5, 50, 1000])
def test_the_nodes_reach_every_signal_of_which_the_lowest_value_is_possible(lowest):
    """A signal is possible if its photons are as few as the lowest value with the chance of the reach, 8e-7."""
    possible = lowest + np.linspace(0, 400, 4001)
    highest = possible[poisson.cdf(lowest, possible) > 8e-7].max()
    nodes = signal_nodes(np.float32([lowest]), np.sqrt(np.float32([lowest + 1])), 3, slope=1)[:, 0]
    assert highest < nodes[-1] < 1.3 * highest + 6
    assert (np.diff(nodes) > 0).all()
    assert widths_of(nodes[:, None]).sum() == pytest.approx(nodes[-1] - nodes[0], rel=0.15)
    # noise that does not depend on the signal needs no more than its standard deviations
    even = signal_nodes(np.float32([lowest]), np.sqrt(np.float32([lowest + 1])), 3)[:, 0]
    assert even[-1] < lowest + (NODE_REACH + 1) * np.sqrt(lowest + 1)


def test_the_groups_of_unlike_noise_reach_as_far_as_each_alone():
    lowest, sigma = np.float32([[4.0], [0.0]]), np.float32([[2.2], [1.0]])
    nodes, widths = nodes_of_groups(lowest, sigma, (2, 2), slope=np.float32([[1.0], [1.0]]))
    alone = signal_nodes(lowest[0], sigma[0], 2, slope=1)
    assert nodes[-1, 0] == alone[-1, 0]
    assert widths.sum() == pytest.approx(nodes[-1, 0] - nodes[0, 0], rel=0.15)
    assert (widths > 0).all()


def test_few_photons_in_many_exposures_are_not_flagged():
    """Ten electrons of sky and a read noise of one: the lowest of eight values often has no photon."""
    rng = np.random.default_rng(281)
    data = rng.poisson(10.0, (8, 150, 200)) + rng.normal(0, 1, (8, 150, 200))
    masks = CRStack([CCDData(one, unit="electron") for one in data], readnoise=1 * u.electron).detect("joint")
    assert np.count_nonzero(masks.crmasks) <= 3
