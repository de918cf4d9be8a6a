"""Tests of the distributions of photon counts."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from crstack.utils.photons import PhotonDistribution


@pytest.mark.parametrize("electrons", [0.0, 0.3, 7.0, 812.5, 60000.0])
@pytest.mark.parametrize("shape", [None, 0.5, 30.0])
def test_values_of_scipy(electrons, shape):
    nbinom = None if shape is None else (shape, shape / (shape + electrons))
    frozen = stats.poisson(electrons) if shape is None else stats.nbinom(*nbinom)
    ours = PhotonDistribution(electrons, nbinom)
    counts = np.arange(int(electrons * 2) + 50)
    for name in ("sf", "cdf", "logpmf"):
        assert_array_equal(getattr(ours, name)(counts), getattr(frozen, name)(counts))
    with np.errstate(divide="ignore", invalid="ignore"):
        assert ours.mean() == frozen.mean() == pytest.approx(electrons)
        assert ours.std() == frozen.std()
