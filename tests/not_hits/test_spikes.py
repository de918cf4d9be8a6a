"""Diffraction spikes that turn between exposures are no trails, and the core of their star stays."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import Code, CRStack
from crstack.datasets.hits import make_hits
from crstack.exposures import load_exposures
from crstack.not_hits.spikes import find_spikes

SHAPE = (200, 220)
X, Y = 110, 96
ROWS, COLUMNS = np.indices(SHAPE)


def spikes_at(angle):
    """Light (ny, nx) of four spikes, of which the first points at an angle (degrees)."""
    light = np.zeros(SHAPE)
    for one in np.radians(angle + 90 * np.arange(4)):
        along = (COLUMNS - X) * np.cos(one) + (ROWS - Y) * np.sin(one)
        across = (ROWS - Y) * np.cos(one) - (COLUMNS - X) * np.sin(one)
        light += np.where(along > 2, 6000 / (np.abs(along) + 3) * np.exp(-0.5 * across**2), 0)
    return light


def exposures_with(angles, n_stars=20):
    rng = np.random.default_rng(3)
    light = np.full(SHAPE, 80.0)
    stars = [(X, Y, 3e5), *((x, y, 2e4) for x, y in rng.uniform(10, 190, (n_stars, 2)))]
    for x, y, flux in stars:
        light += flux / (2 * np.pi * 1.4) * np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / 2.8)
    cube = np.stack([light + (0 if angle is None else spikes_at(angle)) for angle in angles])
    noisy = rng.poisson(cube) + rng.normal(0, 4, cube.shape)
    return [CCDData(plane, unit="electron") for plane in noisy], cube


@pytest.mark.parametrize("n", [2, 3])
def test_spikes_that_turn(n):
    images, light = exposures_with(12 + 4 * np.arange(n))
    stack = CRStack(images, readnoise=4 * u.electron)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        masks = stack.detect("joint")
    words = " ".join(str(one.message) for one in found)
    assert re.search(rf"diffraction spikes .* the star at \({X + 1}, {Y + 1}\) in exposure 1, ", words)
    assert "trail" not in words
    assert masks.trails == ()
    assert all((masks.codes[f"CRMASK{i + 1}"] != Code.TRAIL).all() for i in range(n))
    core = np.hypot(COLUMNS - X, ROWS - Y) < 6
    combined = stack.combine("meanjoint")
    assert not combined.mask[core].any()
    assert combined.data[core].sum() == pytest.approx(light.mean(axis=0)[core].sum(), rel=0.01)


@pytest.mark.parametrize("angles", [[30], [30, 75]])
def test_trails_through_a_star_are_no_spikes(angles):
    """One trail through the star of each of some exposures."""
    images, _ = exposures_with([None] * 3)
    exposures = load_exposures(images, readnoise=4 * u.electron)
    planes = np.zeros((3, *SHAPE), bool)
    for plane, angle in zip(planes, np.radians(angles), strict=False):
        plane |= np.abs((ROWS - Y) * np.cos(angle) - (COLUMNS - X) * np.sin(angle)) < 3
    assert find_spikes(lambda i: planes[i], exposures) == []
    # neither are two trails that cross in one exposure; spikes cross in two
    planes[0] |= np.abs((ROWS - Y) * np.cos(2.1) - (COLUMNS - X) * np.sin(2.1)) < 3
    assert find_spikes(lambda i: planes[i], exposures) == []
    (one,) = find_spikes(lambda i: planes[0], exposures)
    assert (one.x, one.y, one.exposures) == (X + 1, Y + 1, (1, 2, 3))


def test_tracks_that_end_beside_a_star_are_no_spikes():
    """Two tracks in each exposure, on one side of the star; a vane has spikes on both sides."""
    images, _ = exposures_with([None] * 3)
    exposures = load_exposures(images, readnoise=4 * u.electron)

    def with_tracks(*angles):
        plane = np.zeros(SHAPE, bool)
        for angle in np.radians(angles):
            along, across = np.cos(angle) * (COLUMNS - X), np.sin(angle) * (ROWS - Y)
            beside = np.abs((ROWS - Y) * np.cos(angle) - (COLUMNS - X) * np.sin(angle))
            plane |= (beside < 2) & (along + across > 8) & (along + across < 45)
        return plane

    planes = [with_tracks(20, 100), with_tracks(250, 310), with_tracks()]
    assert find_spikes(lambda i: planes[i], exposures) == []
    planes = [with_tracks(20, 100, 200), with_tracks(250, 310, 70), with_tracks()]
    (one,) = find_spikes(lambda i: planes[i], exposures)
    assert one.exposures == (1, 2)


def test_a_flagged_halo_has_no_spikes():
    images, _ = exposures_with([None] * 3)
    exposures = load_exposures(images, readnoise=4 * u.electron)
    halo = np.hypot(COLUMNS - X, ROWS - Y) < 45
    assert find_spikes(lambda i: halo, exposures) == []


@pytest.mark.parametrize("population", ["thin", "worms", "cosmic"])
@pytest.mark.parametrize("turned", [None, 12])
def test_spikes_among_many_hits(population, turned):
    """Where 15 per cent of the pixels are hit, some directions from each star are flagged by chance."""
    images, _ = exposures_with([None] * 3)
    exposures = load_exposures(images, readnoise=4 * u.electron)
    rng = np.random.default_rng(9)
    for _ in range(4):
        flagged = np.stack([make_hits(SHAPE, 0.15, rng, population) > 0 for _ in range(3)])
        assert find_spikes(lambda i, flagged=flagged: flagged[i], exposures) == []
    if turned is not None:
        rare = np.stack([make_hits(SHAPE, 0.02, rng, population) > 0 for _ in range(3)])
        rare |= np.stack([spikes_at(turned * i) > 100 for i in range(3)])
        assert (X + 1, Y + 1) in [(one.x, one.y) for one in find_spikes(lambda i: rare[i], exposures)]


def test_a_trace_that_crosses_sky_lines_has_no_spikes():
    rng = np.random.default_rng(6)
    light = 80 + 2e4 * (np.exp(-0.5 * (ROWS - Y) ** 2) + np.exp(-0.5 * (COLUMNS - X) ** 2))
    images = [CCDData(rng.poisson(light) + rng.normal(0, 4, SHAPE), unit="electron") for _ in range(3)]
    lines = (np.abs(ROWS - Y) < 3) | (np.abs(COLUMNS - X) < 3)
    assert find_spikes(lambda i: lines, load_exposures(images, readnoise=4 * u.electron)) == []
