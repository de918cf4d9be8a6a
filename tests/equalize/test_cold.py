"""Cold pixels belong to the detector: no shift of the scene moves them."""

import numpy as np
import pytest
from scipy.special import ndtr

from crstack.equalize.fit.cold import ColdPixels, cold_pixels
from crstack.equalize.fit.differences import Differences
from crstack.equalize.measure import measure_differences

SHAPE, SKY, READNOISE = (140, 160), 12000.0, 10.0
SHIFTS = ((0, 0), (3.2, -1.1), (-2.4, 4.3))


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def field(shift):
    """Sky and 15 stars, electrons."""
    rng = np.random.default_rng(8)
    x, y = rng.uniform(5, SHAPE[1] - 5, 15), rng.uniform(5, SHAPE[0] - 5, 15)

    def share(side, centre):
        return np.diff(ndtr((np.arange(-0.5, side) - centre) / 1.1))

    each = zip(x + shift[0], y + shift[1], 10 ** rng.uniform(3.5, 5.3, 15), strict=True)
    return SKY + sum(f * np.outer(share(SHAPE[0], b), share(SHAPE[1], a)) for a, b, f in each)


def drawn(rng, expected):
    return np.float32(rng.poisson(expected) + rng.normal(0, READNOISE, np.shape(expected)))


def dead_detector():
    """Response (ny, nx) of a detector: 0.6 per cent of the pixels show a tenth of the light."""
    response = np.ones(SHAPE)
    response[np.random.default_rng(9).uniform(size=SHAPE) < 0.006] = 0.1
    return response


def test_dead_pixels_do_not_move_with_the_stars():
    """Taken for structures of the scene, they hold the shifts at 0 and make the throughputs wrong."""
    response = dead_detector()
    expected = np.array([field(shift) * response for shift in SHIFTS])
    cube = drawn(np.random.default_rng(10), expected)
    found = measure_differences(cube, variance_of)
    np.testing.assert_allclose(found.factors, 1, atol=0.02)
    shifts = np.array(found.shifts) - found.shifts[0]
    np.testing.assert_allclose(shifts, np.array(SHIFTS) - SHIFTS[0], atol=0.2)
    predicted = np.array([a * found.common + b for a, b in zip(found.scales, found.added, strict=True)])
    high = (cube - predicted)[:, response < 1] / np.sqrt(expected[:, response < 1] + READNOISE**2)
    # a value that is far above its expectation looks like a hit
    assert np.mean(high > 5) < 0.02


def test_exposures_at_rest_keep_their_dead_pixels():
    """Where nothing differs, there is no common image that could be changed."""
    cube = drawn(np.random.default_rng(11), [field((0, 0)) * dead_detector()] * 3)
    assert not measure_differences(cube, variance_of)


def test_single_pixels_and_pairs_are_cold_but_lines_are_not():
    rng = np.random.default_rng(12)
    image = np.full(SHAPE, SKY)
    image[20, 30] = image[0, 80] = image[60, 159] = 0.2 * SKY
    image[40, 50:52] = 0.5 * SKY
    image[80:, 100] = image[90, :60] = image[120:124, 20:24] = 0.3 * SKY
    cube = drawn(rng, [image] * 3)
    # a hit beside a cold pixel, and a pixel that is low in one exposure only
    cube[0, 20, 32], cube[1, 10, 10] = 60000, 0
    found = cold_pixels(cube, variance_of)
    assert set(zip(found.rows.tolist(), found.columns.tolist(), strict=True)) == {
        (20, 30), (0, 80), (60, 159), (40, 50), (40, 51)
    }  # fmt: skip
    single = np.flatnonzero(found.rows == 20)[0]
    assert found.shares[single] == pytest.approx(0.2, abs=0.02)
    assert found.depths[single] == pytest.approx(0.8 * SKY, rel=0.05)
    np.testing.assert_allclose(found.filled(cube)[:, 20, 30], SKY, rtol=0.02)


def test_flat_exposures_have_no_cold_pixels():
    assert cold_pixels(drawn(np.random.default_rng(13), [field((0, 0))] * 2), variance_of) is None


def test_the_higher_of_two_values_is_expected():
    """A dead pixel shows half of the light. Of a pixel of too little charge, that charge is missing everywhere."""
    cold = ColdPixels(np.array([1]), np.array([2]), np.full((2, 1), 100.0), np.array([0.5]), np.array([50.0]))
    common = np.full((4, 5), 100.0, dtype=np.float32)
    nothing = {"noises": (0, 0), "levels": (0, 300), "surfaces": ("", "level"), "kernel_errors": np.zeros((2, 6))}
    found = Differences(
        (1, 0.5), (1, 0.5), (np.float32(0), np.float32(300)), kernels=np.zeros((2, 7, 7)), terms=None, common=common,
        **nothing,
    )  # fmt: skip
    new = cold.added_to(found)
    expected = [a * new.common + b for a, b in zip(new.scales, new.added, strict=True)]
    assert new.common[1, 2] == 50
    # 0.5 * 350 and 350 - 50
    np.testing.assert_allclose([one[1, 2] for one in expected], [50, 300])
    np.testing.assert_allclose([one[0, 0] for one in expected], [100, 350])
    assert common[1, 2] == 100
