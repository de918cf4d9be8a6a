"""Lanes of dust in a galaxy that moves: light is missing in one exposure, but no column or row is dead."""

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack.exposures import load_exposures

SHAPE = (120, 160)
SHIFTS = ((0.0, 0.0), (0.4, 3.0), (-1.0, -1.3))


def galaxy(shift):
    """A galaxy seen edge-on, with a lane of dust along its middle, in a seeing of 2.2 pixels."""
    dx, dy = shift
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    x, y = x - 80 - dx, y - 50 - dy
    disc = 9000 * np.exp(-np.abs(x) / 70) / np.cosh(y / 8) ** 2
    disc *= 1 - 0.8 * np.exp(-((y / 1.6) ** 2))
    return ndimage.gaussian_filter(disc, 0.95) + 120


def exposures(n, seed, dead=()):
    rng = np.random.default_rng(seed)
    planes = [rng.poisson(galaxy(shift)) + 4 * rng.standard_normal(SHAPE) for shift in SHIFTS[:n]]
    for row in dead:
        planes[1][row] *= 0.3
    return load_exposures([plane * u.electron for plane in planes], readnoise=4 * u.electron)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lane_of_dust_that_moves_is_no_dead_row(n, seed):
    bad = exposures(n, seed).bad
    assert bad is None or np.count_nonzero(bad) < 10


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("dead", [(80,), (80, 81)])
def test_dead_rows_of_the_same_galaxy_are_bad(n, dead):
    bad = exposures(n, 4, dead).bad
    assert bad[1, list(dead)].mean() > 0.9
    assert np.count_nonzero(np.delete(bad[1], dead, axis=0)) < 10
    assert not bad[0].any()
