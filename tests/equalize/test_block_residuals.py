"""Variance from what is left of the exposures in blocks of pixels."""

import numpy as np
import pytest

from crstack.equalize.variance import block_residuals
from crstack.equalize.variance.block_residuals import raise_to_block_residuals

SHAPE, NOISE = (90, 150), 10.0
PLACES = (np.s_[40:64, 80:104], np.s_[33], np.s_[:, 77])


def variance_of(signal, box):
    assert signal.shape == np.empty(SHAPE)[box].shape
    return np.full(signal.shape, np.float32(NOISE**2))


def raised(cube):
    variance = np.zeros(SHAPE, np.float32)
    raise_to_block_residuals(variance, cube, variance_of)
    return variance


def noise(n, seed=1):
    return np.random.default_rng(seed).normal(100, NOISE, (n, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_noise_and_hits_raise_nothing(n):
    cube = noise(n)
    cube[np.random.default_rng(2).random(cube.shape) < 0.03] += 500
    cube[0, 40:43, 20:50] += 900
    assert np.mean(raised(cube) > 0) < 0.01


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("place", PLACES, ids=["wings", "along x", "along y"])
@pytest.mark.parametrize("step", [12, 40])
def test_what_is_left_below_the_noise_of_a_pixel_counts(n, place, step):
    cube = noise(n)
    cube[n - 1][place] += step
    variance = raised(cube)
    # from the mean of the exposures; at most a part of the noise
    expected = (step * (1 - 1 / n)) ** 2
    limit = block_residuals.MOST if place == PLACES[0] else block_residuals.MOST_OF_LONG
    assert np.median(variance[place]) == pytest.approx(min(expected, limit * NOISE**2), rel=0.6)
    assert variance.max() <= NOISE**2
    elsewhere = np.ones(SHAPE, bool)
    elsewhere[place] = False
    assert np.mean(variance[elsewhere] > 0) < 0.2


def test_a_small_image_has_no_blocks():
    variance = np.zeros((5, 6), np.float32)
    raise_to_block_residuals(variance, np.ones((3, 5, 6), np.float32), lambda signal, box: signal)
    assert not variance.any()
