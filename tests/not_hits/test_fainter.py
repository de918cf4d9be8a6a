"""Faint stars of exposures whose times differ look like sources that only some show: the cause is named."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning
from crstack.not_hits.fainter import fainter_exposures, words_of_fainter
from crstack.not_hits.sources import find_sources

SHAPE = (150, 160)
SKY = 5.0


def field(positions, fluxes, light, moved=(0.0, 0.0), rng=None):
    """One exposure in electrons of faint stars."""
    rows, columns = np.indices(SHAPE)
    stars = sum(
        flux / (2 * np.pi * 1.5**2) * np.exp(-((rows - y - moved[1]) ** 2 + (columns - x - moved[0]) ** 2) / 4.5)
        for (x, y), flux in zip(positions, fluxes, strict=True)
    )
    return rng.poisson(light * (stars + SKY)) + rng.normal(0, 4, SHAPE) + make_hits(SHAPE, 0.004, rng)


def exposures_of(lights, moved=None, n_stars=12, seed=3):
    rng = np.random.default_rng(seed)
    positions, fluxes = rng.uniform(10, 140, (n_stars, 2)), rng.uniform(1200, 2500, n_stars)
    moved = moved or [(0.0, 0.0)] * len(lights)
    planes = [field(positions, fluxes, light, shift, rng) for light, shift in zip(lights, moved, strict=True)]
    return [CCDData(one.astype(np.float32), unit="electron") for one in planes]


def flagged_stars(exposures):
    """What a decision flags that takes the exposures as equal."""
    cube = exposures.data
    low = np.sort(cube, axis=0)[(len(cube) - 1) // 2]
    planes = [one - low > 6 * np.sqrt(np.maximum(low, 0) + 16) for one in cube]
    return find_sources(lambda i: planes[i], exposures)[0]


@pytest.mark.parametrize(("lights", "shown"), [((0.1, 0.1, 1), 3), ((1, 0.1), 1)])
def test_unlike_light_is_named(lights, shown):
    """Exposures without times: stars looked like asteroids, and throughputs of 1 were taken."""
    exposures = CRStack(exposures_of(lights), readnoise=4 * u.electron).exposures
    table = flagged_stars(exposures)
    assert len(table) > 3
    assert set(table["exposure"]) == {shown}
    fainter = fainter_exposures(table, exposures)
    assert [one.exposure + 1 for one in fainter] == [i for i in range(1, len(lights) + 1) if i != shown]
    for one in fainter:
        assert one.light == pytest.approx(0.1, abs=4 * one.error)
    words = words_of_fainter(fainter, exposures.names)
    measured = {one.exposure: f"{one.light:.2g}" for one in fainter}
    factors = ", ".join(measured.get(i, "1") for i in range(len(lights)))
    assert "of their light at these places. Do exposure times differ, or were there clouds? " in words
    assert f"flux_factors=({factors})" in words


@pytest.mark.parametrize(
    ("lights", "moved"),
    [
        ((0, 1), None),
        ((1, 0, 0), None),
        ((1, 1, 1), [(0, 0), (0, 0), (4, -3)]),
        ((1, 1, 1), [(0, 0), (5, 0), (-4, 4)]),
    ],
)
def test_other_causes_are_not_unlike_light(lights, moved):
    """Stars that one exposure does not show, and stars that have moved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        exposures = CRStack(exposures_of(lights, moved), readnoise=4 * u.electron).exposures
    assert fainter_exposures(flagged_stars(exposures), exposures) == []


def test_the_warning_has_the_cause():
    stack = CRStack(exposures_of((0.1, 0.1, 1), n_stars=5), readnoise=4 * u.electron)
    with pytest.warns(CRStackWarning) as caught:
        stack.detect("joint")
    texts = [str(one.message) for one in caught]
    assert any(
        "shape of a source that only some exposures show, in exposure 3: exposure 1 has 0." in one for one in texts
    ), texts
