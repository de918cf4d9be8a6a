"""Lines of the sky in the orders of an echelle spectrum, which brighten while the star in the slit does not."""

import astropy.units as u
import numpy as np
import pytest

from crstack.datasets import make_stack
from crstack.equalize.fit.lines.slit_sky import sky_in_slits, slit_length
from crstack.equalize.measure import measure_differences

SHAPE = (300, 350)
READNOISE2 = np.float32(16)


def orders(skies, shape=SHAPE, **options):
    """Expected exposures of curved orders along x, and the lines of the sky in them where their factor is 1."""
    n = len(skies)
    options = {
        "flux_factors": (0.95, 1.0, 1.04)[:n],
        "response_jitter": 0.02,
        "gain": 1 * u.electron / u.adu,
        "seed": 1,
        **options,
    }
    expected, brighter = (
        np.array(make_stack("echelle", shape, n, sky_factors=some, **options).expected)
        for some in (skies, [one + 1 for one in skies])
    )
    return expected, (brighter - expected).mean(axis=0)


def exposed(expected, seed=2, rate=0.004):
    """Exposures (N, ny, nx) of expected ones, with noise and hits."""
    rng = np.random.default_rng(seed)
    cube = rng.poisson(expected) + np.sqrt(READNOISE2) * rng.standard_normal(expected.shape)
    hit = rng.random(expected.shape) < rate
    cube[hit] += rng.uniform(50, 3000, hit.sum())
    return cube.astype(np.float32)


def variance_of(signal, box=None):
    """Variance of an exposure."""
    return np.maximum(signal, 0) + READNOISE2


def left_by(found, expected):
    """What the differences leave of the expected exposures (N, ny, nx), in standard deviations of a value."""
    scales, added = (
        np.stack([one + np.zeros(expected[0].shape) for one in some]) for some in (found.scales, found.added)
    )
    common = (expected - added).sum(axis=0) / scales.sum(axis=0)
    return np.abs(scales * common + added - expected) / np.sqrt(expected + READNOISE2)


def slits_in(found):
    """The axes of the slits in which the sky was found to change."""
    return [line.axis for line in found.lines if line.setting == "slit"]


@pytest.mark.parametrize(
    ("skies", "turned"), [((1, 1.2), False), ((1, 1.2), True), ((1, 1.2, 0.9), False)], ids=["two", "turned", "three"]
)
def test_lines_in_orders_that_brighten_are_described(skies, turned):
    """Orders along either axis, of two and three exposures."""
    expected, lines = orders(skies)
    if turned:
        expected, lines = expected.transpose(0, 2, 1), lines.T
    found = measure_differences(exposed(expected), variance_of)
    assert slits_in(found) == ["x" if turned else "y"]
    bright = lines > 100
    left = left_by(found, expected)[:, bright]
    # without the term, 0.7 and more
    assert np.sqrt(np.mean(left**2)) < 0.35
    assert "brightness of the sky in slits" in str(found)


def test_lines_that_brighten_by_a_large_factor_are_no_hits():
    """They are as short as hits, and exceed all other exposures."""
    expected, lines = orders((1, 3))
    found = measure_differences(exposed(expected), variance_of)
    assert slits_in(found) == ["y"]
    left = left_by(found, expected)[:, lines > 100]
    # 4.3 if they were replaced as hits; the lines differ by 100 to 1000 electrons
    assert np.sqrt(np.mean(left**2)) < 2.7


@pytest.mark.parametrize("offsets", [((0, 0), (0.6, -0.4), (-0.8, 0.3)), ((0, 0), (0.6, -0.4), (2.2, 1.3))])
def test_lines_that_brighten_move_with_their_exposure(offsets):
    """By parts of a pixel, and by pixels."""
    expected, lines = orders((1, 1.6, 2.5), (130, 160), offsets=offsets, response_jitter=0)
    found = measure_differences(exposed(expected), variance_of)
    assert slits_in(found) == ["y"]
    left = left_by(found, expected)[:, lines > 100]
    # 3.3 and more if they stayed in their places
    assert np.sqrt(np.mean(left**2)) < 2.7


def test_noise_beside_the_lines_is_no_sky():
    """Faint light counts only beside a clear line: elsewhere it is noise of the trace."""
    expected, lines = orders((1, 1))
    image = np.random.default_rng(3).poisson(expected[0]).astype(np.float32)
    sky = sky_in_slits(image, np.sqrt(image + 1), "y", 7)
    # 0.012 without the condition
    assert np.mean(sky[lines < 5] > 0) < 0.004


def test_a_sky_that_stays_is_not_changed():
    """Orders that differ in their throughputs only."""
    expected, _ = orders((1, 1))
    assert not slits_in(measure_differences(exposed(expected), variance_of))


def test_the_sky_in_slits_is_that_without_the_star():
    """The lines of the sky are found at their height, also where they cross the star, which is not part of them."""
    expected, lines = orders((1, 1))
    image = expected[0]
    image = np.random.default_rng(3).poisson(image).astype(np.float32)
    sky = sky_in_slits(image, np.sqrt(image + 1), "y", 7)
    core = lines > 150
    assert sky[core].sum() == pytest.approx(lines[core].sum(), rel=0.12)
    assert sky[lines < 1].mean() < 2
    turned = sky_in_slits(image.T, np.sqrt(image + 1).T, "x", 7)
    assert np.array_equal(turned, sky.T)


def test_lines_along_the_whole_image_are_not_in_slits():
    """Those of a long slit are described by other terms."""
    x = np.arange(SHAPE[1])
    image = np.tile(20 + 500 * np.exp(-0.5 * ((x % 40 - 20) / 1.5) ** 2), (SHAPE[0], 1)).astype(np.float32)
    assert not sky_in_slits(image, np.sqrt(image), "y", 9).any()


@pytest.mark.parametrize("width", [7, 260])
def test_narrow_images_have_a_level_around_their_lines(width):
    """Images of any width, also one that is no multiple of the steps of the level around."""
    image = np.ones((50, width), np.float32)
    assert not sky_in_slits(image, np.ones_like(image), "y", 9).any()


def test_a_change_in_one_place_is_not_one_of_the_sky():
    """A single bright line that changes does not give the length of the slits: a star may, too."""
    expected, lines = orders((1, 1))
    image = expected[0]
    variance = (image + READNOISE2).astype(np.float32)
    left = np.sqrt(variance) * np.random.default_rng(5).standard_normal((2, *SHAPE)).astype(np.float32)
    left -= left.mean(axis=0)
    assert slit_length(left, image, variance, "y") == 0
    shared = np.array([-0.1, 0.1], np.float32)[:, None, None] * lines.astype(np.float32)
    assert slit_length(left + shared, image, variance, "y") in (7, 9, 13)
    shared[:, :, :100], shared[:, :, 120:] = 0, 0
    assert slit_length(left + 0.3 * shared, image, variance, "y") == 0
