"""Shifts that change over the image: the field turns from exposure to exposure."""

import numpy as np
import pytest

from crstack.equalize import measure_differences
from crstack.equalize.fit.kernels.drift import drift_of, positions_of
from crstack.equalize.variance.place_variance import place_variance

SHAPE, SKY, READNOISE = (260, 300), 150.0, 6.0
#: shifts (dx, dy) at the centre, and their change along x and y
SHIFTS = ((0.05, -0.1), (-0.1, 0.05), (0.05, 0.05))
TURNS = (0.0, 0.12, -0.12)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def field(shift, turn):
    """Stars at places that are shifted and turned."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(12, SHAPE[1] - 12, 40), rng.uniform(12, SHAPE[0] - 12, 40)
    along, up = (2 * one / (side - 1) - 1 for one, side in zip((x, y), SHAPE[::-1], strict=True))
    x, y = x + shift[0] - turn * up, y + shift[1] + turn * along
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, SKY)
    for a, b, flux in zip(x, y, 10 ** rng.uniform(4.3, 5.2, 40), strict=True):
        box = np.s_[max(int(b) - 9, 0) : int(b) + 11, max(int(a) - 9, 0) : int(a) + 11]
        image[box] += flux / 14 * np.exp(-((columns[box] - a) ** 2 + (rows[box] - b) ** 2) / 4.5)
    return image


@pytest.fixture(scope="module")
def turned():
    """Expected exposures of a field that turns, pairs of hot pixels in it, and the differences."""
    rng = np.random.default_rng(6)
    hot = np.zeros(SHAPE)
    for row, column in rng.integers(5, 250, (150, 2)):
        hot[row, column : column + 2] += 3000, 1500
    expected = np.array([field(shift, turn) + hot for shift, turn in zip(SHIFTS, TURNS, strict=True)])
    cube = (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)).astype(np.float32)
    return expected, hot, measure_differences(cube, variance_of)


def test_a_field_that_turns(turned):
    expected, hot, found = turned
    np.testing.assert_allclose(found.drifts, [[[0, -one], [one, 0]] for one in TURNS], atol=0.015)
    # they are relative to their mean
    np.testing.assert_allclose(found.drifts.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found.shifts, np.array(SHIFTS) - np.mean(SHIFTS, axis=0), atol=0.02)
    assert "shifts in the corners less those in the centre (pixel)" in found.in_words()
    each = zip(expected, found.added, found.scales, strict=True)
    levels = np.array([(one - added) / scale for one, added, scale in each])
    stars = (expected.mean(axis=0) > 10 * SKY) & (hot == 0)
    sigma = np.sqrt(variance_of(expected.mean(axis=0)))
    # one shift for all stars leaves 3 standard deviations
    assert np.std((levels - levels.mean(axis=0))[:, stars] / sigma[stars]) < 0.6


def test_order_of_the_exposures(turned):
    order = np.array([2, 0, 1])
    np.testing.assert_array_equal(turned[-1].ordered(order).drifts, turned[-1].drifts[order])


@pytest.mark.parametrize("throughput", [1, 0.8])
def test_a_field_that_turns_around_its_centre(throughput):
    """Its mean shift is 0, so that a kernel of the whole image finds no shift."""
    turns = (0.3, -0.3)
    cube = np.array([field((0, 0), turn) for turn in turns])
    cube[1] *= throughput
    found = measure_differences(np.random.default_rng(8).poisson(cube).astype(np.float32), variance_of)
    np.testing.assert_allclose(found.drifts, [[[0, -one], [one, 0]] for one in turns], atol=0.03)
    np.testing.assert_allclose(found.factors[1] / found.factors[0], throughput, atol=0.02)


def test_a_shift_of_all_is_no_turn():
    cube = np.random.default_rng(1).poisson([field(shift, 0) for shift in SHIFTS]).astype(np.float32)
    found = measure_differences(cube, lambda signal, box=None: np.maximum(signal, 1))
    assert found.terms.shift
    assert not found.drifts.any()
    assert "shifts in the corners less those in the centre (pixel)" not in found.in_words()


def test_change_of_an_image():
    """Where the shift is known, the image is shifted by it; its noise by the squares of the parts."""
    scene = field((0, 0), 0).astype(np.float32)
    drift = np.array([[0.0, -0.1], [0.1, 0.0]])
    change, variance = drift_of(scene, np.ones_like(scene), drift, positions_of(SHAPE))
    true = field((0, 0), 0.1) - scene
    assert np.std(change - true) < 0.1 * np.std(true)
    assert variance[0, 0] == pytest.approx(2 * 0.1**2 * 2 * ((2 / 3) ** 2 + (1 / 12) ** 2), rel=1e-5)
    assert variance[SHAPE[0] // 2, SHAPE[1] // 2] < 1e-4


def arcs(shift, stretch, shape=(110, 300)):
    """Emission lines of up to 40 000 electrons, integrated over the pixels."""
    rng, columns = np.random.default_rng(2), np.arange(shape[1])
    places = np.linspace(9, shape[1] - 9, 26) + rng.uniform(-4, 4, 26)
    peaks = np.exp(rng.uniform(5, 10.6, 26))
    bent = 1e-4 * (np.arange(shape[0])[:, None] - shape[0] / 2) ** 2
    image = np.full(shape, 5.0)
    for place, peak in zip(places, peaks, strict=True):
        from_line = columns - place - bent - shift * (1 + stretch * place / shape[1])
        image += peak * np.mean([np.exp(-((from_line + part) ** 2) / 2) for part in (-0.33, 0, 0.33)], axis=0)
    return image


@pytest.mark.parametrize(("shifts", "stretch"), [((0, 0.3), 0), ((0, 0.3, 0.6), 1)])
def test_the_feet_of_lines_that_drift_are_within_the_errors(shifts, stretch):
    """A kernel leaves a ripple of about one per cent of the change beside a bright line, where the signal is low."""
    expected = np.array([arcs(shift, stretch) for shift in shifts])
    rng, readnoise = np.random.default_rng(7), 4.0

    def variance_of(signal, box=None):
        return np.maximum(signal, 0) + np.float32(readnoise**2)

    cube = (rng.poisson(expected) + readnoise * rng.standard_normal(expected.shape)).astype(np.float32)
    found = measure_differences(cube, variance_of)
    less = np.array(
        [added + (scale - 1) * found.common for added, scale in zip(found.added, found.scales, strict=True)]
    )
    variance, _ = place_variance((cube - less).astype(np.float32), variance_of, found)
    mean = expected.mean(axis=0)
    left = expected - less
    z = np.abs(left - left.mean(axis=0)) / np.sqrt(variance_of(mean) + variance)
    feet = (mean < 100) & (mean > 6)
    assert np.count_nonzero(feet) > 7000
    # without the ripple up to 3.0
    assert z[:, feet].max() < 1.42
    # away from lines, little is added
    assert np.median(variance[mean < 5.001]) < 0.5
