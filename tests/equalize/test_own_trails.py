"""Oblique trails of one exposure in the fit of the differences."""

import numpy as np
import pytest

from crstack.equalize.fit.lines.own_trails import with_own_trails
from crstack.equalize.measure import measure_differences

SHAPE, SKY, READNOISE = (300, 320), 200.0, 5.0


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def exposures(seed, n=3, scene=0.0, **trails):
    """Exposures of a sky and stars; a trail is (slope, row at x = 0, amplitude, sigma) by name of the exposure."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    expected = np.full(SHAPE, SKY) + scene
    for peak, row, column in rng.uniform((50, 0, 0), (4000, *SHAPE), (130, 3)):
        expected += peak * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2.6)
    cube = np.repeat(expected[None], n, axis=0)
    for name, (slope, row, amplitude, sigma) in trails.items():
        distance = (y - slope * x - row) / np.hypot(1, slope)
        cube[int(name[-1])] += amplitude * np.exp(-0.5 * (distance / sigma) ** 2)
    return (rng.poisson(cube) + rng.normal(0, READNOISE, cube.shape)).astype(np.float32)


@pytest.mark.parametrize("slope", [0.4, -0.7, 1.6])
def test_a_wide_trail_changes_no_throughput_and_no_sky(slope):
    levels = exposures(1, of_1=(slope, 60 if slope > 0 else 260, 3000, 3))
    found = measure_differences(levels, variance_of)
    np.testing.assert_allclose(found.factors, 1, atol=0.01)
    assert not any(found.surfaces)


@pytest.mark.parametrize("n", [2, 5])
def test_all_of_the_light_of_a_trail_is_left_out(n):
    levels = exposures(2, n, of_0=(0.5, 40, 2000, 4))
    bad = with_own_trails(levels, variance_of, None)
    y, x = np.indices(SHAPE)
    distance = np.abs(y - 0.5 * x - 40) / np.hypot(1, 0.5)
    assert bad[0][distance < 4 * 3.3].all()
    assert not bad[0][distance > 40].any()
    assert not bad[1:].any()


def test_given_bad_values_stay():
    levels = exposures(3, of_2=(0.5, 40, 2000, 2))
    given = np.random.default_rng(3).random(levels.shape) < 0.01
    bad = with_own_trails(levels, variance_of, given)
    assert bad[given].all()
    assert bad[2].mean() > 0.03
    assert (given.mean(axis=(1, 2)) < 0.02).all()


def test_what_is_no_trail():
    """Stars, a moved trace of a spectrum, and a trace that is brighter in one exposure."""
    assert with_own_trails(exposures(4), variance_of, None) is None
    moved = exposures(5, of_0=(0.3, 60, 800, 2), of_1=(0.3, 90, 800, 2), of_2=(0.3, 120, 800, 2))
    assert with_own_trails(moved, variance_of, None) is None
    y, x = np.indices(SHAPE)
    trace = 800 * np.exp(-0.5 * ((y - 0.3 * x - 60) / 2) ** 2)
    assert with_own_trails(exposures(6, scene=trace, of_0=(0.3, 60, 400, 2)), variance_of, None) is None


@pytest.mark.parametrize(("n", "seed"), [(4, 5), (5, 2)])
def test_a_slope_of_the_sky_is_no_trail(n, seed):
    """The brightest corner of an exposure in the light of the moon is far above the other exposures."""
    y, x = np.indices((400, 500))
    sky = np.full((n, 400, 500), SKY)
    sky[-1] += 300 * x / 500 + 200 * (y / 400) ** 2
    rng = np.random.default_rng(seed)
    levels = (rng.poisson(sky) + rng.normal(0, READNOISE, sky.shape)).astype(np.float32)
    assert with_own_trails(levels, variance_of, None) is None
