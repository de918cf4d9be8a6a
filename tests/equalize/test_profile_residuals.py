"""Variance from the light that an exposure lacks on a structure."""

import numpy as np
import pytest

from crstack.equalize.variance.profile_residuals import raise_to_profile_residuals

SHAPE, READNOISE = (90, 150), 4.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
#: emission lines: places and peaks, electrons
LINES = [(20, 30, 2000.0), (60, 45, 600.0), (45, 110, 2000.0), (70, 120, 300.0)]


def variance_of(signal, box):
    assert signal.shape == np.empty(SHAPE)[box].shape
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def profile(y, x):
    return np.exp(-0.5 * (((Y - y) / 1.6) ** 2 + ((X - x) / 1.3) ** 2))


def exposures(shares, seed=1):
    """Exposures whose lines have some shares of their light each."""
    rng, lines = np.random.default_rng(seed), sum(peak * profile(y, x) for y, x, peak in LINES)
    return np.stack([
        rng.poisson(10 + share * lines) + rng.normal(0, READNOISE, SHAPE) for share in shares
    ]).astype(np.float32)  # fmt: skip


def raised(cube):
    variance = np.zeros(SHAPE, np.float32)
    raise_to_profile_residuals(variance, cube, variance_of)
    return variance


@pytest.mark.parametrize("n", [3, 4, 5, 10])
def test_noise_and_hits_raise_hardly_anything(n):
    cube = exposures(np.ones(n))
    cube[np.random.default_rng(2).random(cube.shape) < 0.03] += 500
    cube[0, 18:23, 26:34] += 900
    assert np.mean(raised(cube)[10:] > 0) < 0.01


@pytest.mark.parametrize("n", [3, 5])
def test_an_exposure_that_is_too_faint_on_a_line_counts(n):
    # each pixel is too faint by some three standard deviations at most
    shares = np.ones(n)
    shares[1] = 0.93
    variance = raised(exposures(shares))
    for y, x, peak in LINES[::2]:
        assert 0.04 * peak < np.sqrt(variance[y, x]) < 0.12 * peak
        assert variance[y, x] > 10 * variance[y, x + 3]
    assert not variance[:8, 50:].any()


def test_an_exposure_that_is_brighter_may_be_hit():
    shares = np.array([1, 1.1, 1.0])
    assert np.mean(raised(exposures(shares)) > 0) < 0.01


def test_of_two_exposures_the_brighter_one_may_be_hit():
    assert not raised(exposures([1, 0.8])).any()


def test_a_larger_variance_stays():
    variance = np.full(SHAPE, np.float32(1e9))
    raise_to_profile_residuals(variance, exposures([1, 0.9, 1]), variance_of)
    np.testing.assert_array_equal(variance, np.float32(1e9))
