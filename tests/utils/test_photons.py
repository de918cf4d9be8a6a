"""Tests of the distributions of photon counts."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from crstack.utils.photons import PhotonDistribution


@pytest.mark.parametrize("electrons", [0.0, 0.3, 5.0, 77.7, 2e4])
def test_poisson_as_in_scipy(electrons):
    found, wanted = PhotonDistribution(electrons), stats.poisson(electrons)
    counts = np.arange(int(1.5 * electrons) + 60)
    assert_array_equal(found.cdf(counts), wanted.cdf(counts))
    assert_array_equal(found.logpmf(counts), wanted.logpmf(counts))
    between = electrons + np.linspace(0, 30, 7)
    assert_array_equal(found.sf(between), wanted.sf(between))
    assert (found.mean(), found.std()) == (wanted.mean(), pytest.approx(wanted.std()))


def test_negative_binomial_as_in_scipy():
    found, wanted = PhotonDistribution(50.0, nbinom=(20.0, 20 / 70)), stats.nbinom(20.0, 20 / 70)
    counts = np.arange(300)
    assert_array_equal(found.cdf(counts), wanted.cdf(counts))
    assert (found.mean(), found.std()) == (wanted.mean(), wanted.std())
