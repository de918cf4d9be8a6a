"""The start for throughputs that differ by large factors comes from light, and not from hits that coincide."""

import numpy as np
import pytest

from crstack.equalize.terms.first_factors import first_factors

SHAPE, READNOISE = (160, 180), 3.0


def tracks(rng, share):
    """Charge (ny, nx) of straight tracks two pixels wide, until a share of the pixels is hit."""
    charge = np.zeros(SHAPE)
    while np.count_nonzero(charge) < share * charge.size:
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(3, 14)
        along = np.arange(0, length, 0.3)
        rows = rng.uniform(0, SHAPE[0]) + along * np.sin(angle)
        columns = rng.uniform(0, SHAPE[1]) + along * np.cos(angle)
        for side in (0, 1):
            places = np.int64(np.round(rows)) % SHAPE[0], np.int64(np.round(columns) + side) % SHAPE[1]
            charge[places] += rng.lognormal(4.5, 1.0)
    return charge


def stars(places, peaks, shift=(0, 0), width=1.1):
    """Stars (ny, nx) of the profile of Gauss."""
    rows, columns = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for (row, column), peak in zip(places, peaks, strict=True):
        square = (rows - row - shift[1]) ** 2 + (columns - column - shift[0]) ** 2
        image += peak * np.exp(-square / 2 / width**2)
    return image


def exposures(rng, expected, share):
    """float32 (N, ny, nx) values with hits in a share of the pixels of each."""
    return np.float32([rng.poisson(one + tracks(rng, share)) + rng.normal(0, READNOISE, SHAPE) for one in expected])


@pytest.mark.parametrize(("n", "share"), [(2, 0.02), (2, 0.05), (3, 0.06)])
def test_hits_that_coincide_in_a_dark_are_no_light(n, share):
    """Some pixels are hit in all exposures, and the ratios of their charges are far from 1."""
    found = []
    for seed in range(10):
        rng = np.random.default_rng([seed, n, int(1000 * share)])
        found.append(first_factors(exposures(rng, np.zeros((n, *SHAPE)), share)))
    assert found == [None] * 10


@pytest.mark.parametrize("share", [0.005, 0.03])
@pytest.mark.parametrize("light", [(1, 0.3), (1, 0.9, 0.2)])
def test_three_stars_are_light(light, share):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = stars([(40, 50), (120, 70), (80, 140)], [3000, 5000, 2000])
        found = first_factors(exposures(rng, [one * (scene + 20) for one in light], share))
        truth = np.array(light) / np.mean(light)
        assert np.abs(np.log(found / truth)).max() < 0.3


def test_many_faint_stars_that_moved_are_light():
    """Their images overlap, but have no common shape: their ratios agree."""
    rng = np.random.default_rng(5)
    places, peaks = rng.uniform(5, 155, (60, 2)), rng.uniform(300, 900, 60)
    scenes = [stars(places, peaks, (shift, 0), 2.5) for shift in (0, 5)]
    found = first_factors(exposures(rng, [scenes[0], 0.25 * scenes[1]], 0.005))
    assert found[0] / found[1] == pytest.approx(4, rel=0.4)


def test_an_image_without_sky_around_its_structures():
    """All pixels of a small image are then structure."""
    rng = np.random.default_rng(3)
    trace = 80 + 300 * np.exp(-0.5 * ((np.arange(12) - 6) / 2) ** 2)[:, None] * np.ones(12)
    factors = first_factors(rng.poisson([trace, 3 * trace, trace]).astype(np.float32))
    assert factors is None or abs(factors[1] / factors[0] - 3) < 0.3
