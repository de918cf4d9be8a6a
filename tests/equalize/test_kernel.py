"""Robust fits of kernels: which residuals of structure belong to the model."""

import numpy as np
import pytest

from crstack.equalize.fit.kernels.kernel_equations import _structure_share


def test_the_share_of_structure_is_that_beyond_the_noise():
    """Half of normal residuals exceed 0.674 standard deviations, whose square is 0.455."""
    rng = np.random.default_rng(5)
    square, variance = np.full(40_000, 1e6), np.full(40_000, 400.0)
    residual = np.sqrt(variance + 0.03**2 * square) * rng.standard_normal(40_000)
    every = np.ones(40_000, dtype=bool)
    assert np.sqrt(_structure_share(residual, variance, square, every)) == pytest.approx(0.03, rel=0.03)
    # noise alone has none of it
    assert _structure_share(20 * rng.standard_normal(40_000), 2 * variance, square, every) == 0
    assert _structure_share(residual, variance, square, ~every) == 0
