"""Exposures out of focus, and exposures that are all shifted by more than is measured: one warning with the cause."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.exposures.comparison.focus import _stars

SHAPE = (240, 260)
READNOISE = 4.0


def moffat(radius, fwhm):
    core = fwhm / 2 / np.sqrt(2 ** (1 / 3.5) - 1)
    return (1 + (radius / core) ** 2) ** -3.5 * 2.5 / (np.pi * core**2)


def disc(radius, outer):
    """A ring of light with soft edges, as a telescope with a central obstruction makes out of focus."""
    inner = outer / 3
    edges = 1 / (1 + np.exp(np.clip((radius - outer) / 0.4, -50, 50)))
    edges /= 1 + np.exp(np.clip((inner - radius) / 0.4, -50, 50))
    return edges / (np.pi * (outer**2 - inner**2))


def field(profile, *, shift=(0, 0), sky=200.0, seed=2, n_stars=110):
    """Expected light of a field of stars."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = np.full(SHAPE, sky)
    for x, y, logarithm in rng.uniform((-70, -70, 3), (SHAPE[1] + 70, SHAPE[0] + 70, 5), (n_stars, 3)):
        radius = np.hypot(columns - x - shift[0], rows - y - shift[1])
        near = radius < 25
        light[near] += 10**logarithm * profile(radius[near])
    return light


def exposed(fields, seed=5):
    rng = np.random.default_rng(seed)
    return [
        CCDData(rng.poisson(one) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, 0.01, rng), unit="electron")
        for one in fields
    ]


def messages(images, detect=False):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        if detect:
            CRStack(images, readnoise=READNOISE * u.electron).detect()
        else:
            load_exposures(images, readnoise=READNOISE * u.electron)
    return [str(one.message) for one in caught if issubclass(one.category, CRStackWarning)]


@pytest.mark.parametrize("outer", [3.0, 4.0, 7.0, 10.0])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_ring_is_out_of_focus(n, outer):
    sharp = field(lambda radius: moffat(radius, 3.0))
    (found,) = messages(exposed([sharp] * (n - 1) + [field(lambda radius: disc(radius, outer))]))
    assert found.startswith(f"exposure {n} is out of focus (its stars are ")
    own = float(found.split("its stars are ")[1].split()[0])
    # half of the light of a ring is within this diameter
    assert own == pytest.approx(2 * outer * np.sqrt(5) / 3, rel=0.1)
    assert ": leave it out" in found


@pytest.mark.parametrize("outer", [3.0, 7.0])
def test_it_is_the_only_warning(outer):
    sharp = field(lambda radius: moffat(radius, 3.0))
    images = exposed([sharp, sharp, field(lambda radius: disc(radius, outer))])
    (found,) = messages(images, detect=True)
    assert found.startswith("exposure 3 is out of focus")


def test_far_worse_seeing_is_reported_and_a_usual_change_is_not():
    sharp = field(lambda radius: moffat(radius, 3.0))
    assert messages(exposed([sharp, sharp, field(lambda radius: moffat(radius, 3.8))])) == []
    (found,) = messages(exposed([sharp, sharp, field(lambda radius: moffat(radius, 6.0))]))
    assert found.startswith("exposure 3 is out of focus, or its seeing was far worse (its stars are ")


@pytest.mark.parametrize("size", [8, 12, 20])
def test_light_that_one_exposure_has_more_is_no_defocus(size):
    """Fringes, or a light leak, widen the profile of faint stars more than that of bright ones."""
    sharp = field(lambda radius: moffat(radius, 3.0), sky=1000.0, n_stars=60)
    pattern = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=SHAPE), size)
    images = exposed([sharp, sharp, sharp + 200 * np.clip(pattern / pattern.std(), -3, None)])
    assert not any("focus" in one for one in messages(images))


@pytest.mark.parametrize("n", [3, 5])
def test_second_order_light_of_spectra_is_no_defocus(n):
    """Pieces of lines are longer than wide. Light beside them in one exposure is added, not spread."""
    lines, added = np.full(SHAPE, 100.0), np.zeros(SHAPE)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for y in range(30, SHAPE[0] - 30, 60):
        for x in range(40, SHAPE[1] - 30, 45):
            lines += 1500 * np.exp(-(((columns - x) / 1.6) ** 2) / 2 - (np.abs(rows - y) / 4) ** 4)
            added += 400 * np.exp(-(np.hypot(columns - x, rows - y) ** 4) / 2e4)
    assert messages(exposed([lines] * (n - 1) + [lines + added])) == []


def test_a_trail_is_not_out_of_focus():
    sharp = field(lambda radius: moffat(radius, 3.0))
    trail = np.mean([field(lambda radius: moffat(radius, 3.0), shift=(step, 0)) for step in range(-4, 5)], axis=0)
    assert not any("focus" in one for one in messages(exposed([sharp, sharp, trail])))


@pytest.mark.parametrize(
    ("shifts", "words"),
    [
        ([(0, 0), (30, 0), (0, 30)], "exposure 2 by (+30, +0), exposure 3 by (+0, +30)"),
        (
            [(0, 0), (-20, 5), (30, 8), (9, -40)],
            "exposure 2 by (-20, +5), exposure 3 by (+30, +8), exposure 4 by (+9, -40)",
        ),
        ([(0, 0), (30, 0), (30, 0), (0, 0)], "exposure 2 by (+30, +0), exposure 3 by (+30, +0)"),
    ],
)
def test_exposures_that_are_all_apart_have_one_warning(shifts, words):
    images = exposed([field(lambda radius: moffat(radius, 3.0), shift=one) for one in shifts])
    (found,) = messages(images)
    start = f"the exposures are shifted against exposure 1: {words} pixels, which is more than the 16 that are measured"
    assert found.startswith(start)
    if len(set(shifts)) == 2:
        (again,) = messages(images, detect=True)
        assert again == found


def test_hits_alone_are_no_shifted_exposures():
    """Groups of hits are structures of one exposure; without stars nothing is shifted."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        sky = [rng.poisson(20.0, SHAPE) + rng.normal(0, READNOISE, SHAPE) for _ in range(3)]
        assert messages([CCDData(one + make_hits(SHAPE, 0.05, rng), unit="electron") for one in sky]) == []


def test_stars_are_compact_structures_the_brightest_first():
    plane = np.zeros((60, 70))
    plane[5:9, 5:9], plane[6, 8] = 10, 30
    plane[20:23, 30:34], plane[21, 31] = 10, 50
    plane[40:43, 2:60] = 90  # a trace
    plane[45:59, 20:55] = 70  # a galaxy: 490 blocks
    found = _stars([plane, plane, plane], (120, 140))
    np.testing.assert_array_equal(found, [[42, 62], [12, 16]])
    assert _stars([np.zeros((60, 70))] * 3, (120, 140)).shape == (0, 2)
