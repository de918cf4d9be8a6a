"""A smooth sky whose gradient changes between the exposures, as in twilight, and the throughputs."""

import numpy as np
import pytest

from crstack.equalize.measure import measure_differences
from crstack.exceptions import CRStackWarning

SHAPE, READ_NOISE = (200, 220), 6.0


def twilight(seed, fluxes, throughputs=(1, 1, 1), shifts=((0, 0),) * 3):
    """Exposures (3, ny, nx) in electrons: stars, hits of single pixels, and a gradient that grows as 1 : 2 : 3."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = rng.uniform(0, 1, (len(fluxes), 2)) * SHAPE
    exposures = []
    for i, (throughput, (dx, dy)) in enumerate(zip(throughputs, shifts, strict=True)):
        stars = np.zeros(SHAPE)
        for flux, (row, column) in zip(fluxes, places, strict=True):
            square = (y - row - dy) ** 2 + (x - column - dx) ** 2
            stars += flux / (2 * np.pi * 1.2**2) * np.exp(-square / (2 * 1.2**2))
        level = throughput * (stars + 200) + (i + 1) * (300 + 1.5 * x + 0.8 * y)
        exposure = rng.poisson(level) + rng.normal(0, READ_NOISE, SHAPE)
        exposure[rng.uniform(0, 1, SHAPE) < 0.004] += 900
        exposures.append(exposure)
    return np.float32(exposures)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READ_NOISE**2)


BRIGHT = np.geomspace(600, 60_000, 40)


@pytest.mark.parametrize("seed", [830, 833])
@pytest.mark.parametrize("throughputs", [(1, 1, 1), (1, 0.7, 0.5)])
def test_a_gradient_of_the_sky_is_no_throughput(seed, throughputs):
    found = measure_differences(twilight(seed, BRIGHT, throughputs), variance_of)
    assert np.array(found.factors) == pytest.approx(np.array(throughputs) / np.mean(throughputs), abs=0.05)
    # the surfaces have the rest: their gradient along x is 1.5 electrons per pixel and exposure
    across = [np.mean(one[:, -1] - one[:, 0]) for one in map(lambda one: np.broadcast_to(one, SHAPE), found.added)]
    expected = 1.5 * (SHAPE[1] - 1) * (np.arange(1, 4) - 2 * np.array(found.factors))
    assert across - np.mean(across) == pytest.approx(expected - np.mean(expected), abs=25)


def test_steps_are_found_under_a_gradient():
    found = measure_differences(twilight(833, BRIGHT, shifts=((0, 0), (3.3, 2.1), (-4.2, 0.4))), variance_of)
    assert np.diff(found.shifts, axis=0)[:, 0] == pytest.approx([3.3, -7.5], abs=0.4)
    assert np.array(found.factors) == pytest.approx(1, abs=0.05)


def test_few_faint_stars_do_not_determine_the_throughputs():
    with pytest.warns(CRStackWarning, match=r"sky .* gradient.* too few stars .* Give flux_factors="):
        found = measure_differences(twilight(833, np.geomspace(300, 1500, 12)), variance_of)
    assert np.array(found.factors) == pytest.approx(1, abs=0.05)


def test_exposures_that_are_not_comparable_have_no_warning_on_throughputs():
    """They have a warning of their own: they are rotated, or of another field."""
    levels = twilight(833, np.geomspace(300, 1500, 12))
    found = measure_differences(levels, variance_of, comparable=False)
    assert np.array(found.factors) == pytest.approx(1, abs=0.05)
