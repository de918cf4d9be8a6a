"""Order statistics of normal samples against known values and draws."""

import numpy as np
import pytest
from scipy.stats import studentized_range

from crstack.normal_samples import normal_order_moments, normal_range_exceeded


def test_normal_order_moments():
    # closed forms: Jones 1948, Biometrika 35, 282
    mean, covariance = normal_order_moments(2)
    np.testing.assert_allclose(mean, [-1 / np.sqrt(np.pi), 1 / np.sqrt(np.pi)], rtol=1e-9)
    np.testing.assert_allclose(covariance[0, 0], 1 - 1 / np.pi, rtol=1e-9)
    mean, covariance = normal_order_moments(3)
    np.testing.assert_allclose(mean[2], 1.5 / np.sqrt(np.pi), rtol=1e-9)
    np.testing.assert_allclose(covariance[1, 1], 1 - np.sqrt(3) / np.pi, rtol=1e-9)
    sample = np.sort(np.random.default_rng(0).normal(size=(6, 300_000)), axis=0)
    np.testing.assert_allclose(normal_order_moments(6)[1], np.cov(sample), atol=0.004)


@pytest.mark.parametrize("n", [2, 3, 5, 25])
@pytest.mark.parametrize("share", [0.2, 0.03, 0.001])
def test_range_that_a_share_exceeds(share, n):
    wanted = studentized_range.isf(share, n, np.inf)
    assert normal_range_exceeded(share, n) == pytest.approx(wanted, abs=1e-9)
