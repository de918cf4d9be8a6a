"""Flux factors and the clean pixels that give them, against numbers computed by hand."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from support.stacks import electrons_of

from crstack.datasets import make_stack
from crstack.equalize.terms import clean, flux
from crstack.equalize.terms.clean import CleanPixels
from crstack.equalize.terms.flux import check_flux_factors, estimate_flux_factors, pixels_of_regions
from crstack.exceptions import InputError

# made-up exposures need not have the noise that is stated
pytestmark = pytest.mark.filterwarnings("ignore:the exposures scatter")


@pytest.mark.filterwarnings("ignore:exposure . scatters less than its level allows")  # there is almost no noise
@pytest.mark.parametrize("deviation", [4.5, 5.5])
@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_noise_at_the_level_of_a_scaled_exposure(scale, deviation):
    """An exposure of the scale a has the noise of a times the common image, divided by a."""
    rng = np.random.default_rng(1)
    planes = [rng.normal(level, 0.01 * scale, (30, 40)) for level in (1000.0, 1000.0, scale * 1000.0)]
    sigma = np.sqrt(scale * 1000 + 9)
    planes[2][15, 20] += deviation * sigma
    exposures, _ = electrons_of(planes)
    usable = np.ones((30, 40), dtype=bool)
    usable[0, 0] = False
    found = clean.reject_hits(exposures, usable, (1.0, 1.0, scale))
    expected = usable.copy()
    if deviation > clean.CLIP_SIGMA:
        expected[14:17, 19:22] = False
    np.testing.assert_array_equal(found.ok, expected)
    assert found.excess == 0


def test_regions_hold_both_of_their_ends():
    usable = np.ones((6, 8), dtype=bool)
    usable[2, 2] = False
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:4, 2:5] = expected[5, 7] = True
    expected[2, 2] = False
    np.testing.assert_array_equal(pixels_of_regions(usable, [(3, 5, 2, 4), (8, 8, 6, 6)]), expected)
    everywhere = pixels_of_regions(usable, None)
    np.testing.assert_array_equal(everywhere, usable)
    assert everywhere is not usable


def test_pixels_beside_a_region_do_not_count():
    """The region is exactly the part where the second exposure is twice as bright."""
    rng = np.random.default_rng(1)
    planes = [rng.normal(1000, 3, (60, 70)) for _ in range(3)]
    planes[1][10:30, 20:50] += 1000
    exposures, statistics = electrons_of(planes)
    found = estimate_flux_factors(exposures, statistics, [(21, 50, 11, 30)], "ratio")
    np.testing.assert_allclose(found.values, (1, 2, 1), rtol=2e-3)
    assert found.n_pixels <= 20 * 30


@pytest.mark.filterwarnings("ignore:neighbouring pixels of exposure")  # exposures without noise
def test_first_guess_is_a_median_ratio():
    rng = np.random.default_rng(1)
    exposures, statistics = electrons_of([rng.normal(level, 3, (40, 50)) for level in (800, 1000, 1500)])
    inside = np.ones((40, 50), dtype=bool)
    np.testing.assert_allclose(flux._first_guess(exposures, statistics.median2d, inside), (0.8, 1, 1.5), rtol=2e-3)
    # where too few pixels are sure, all are 1
    inside[2:] = inside[:, 10:] = False
    np.testing.assert_array_equal(flux._first_guess(exposures, statistics.median2d, inside), np.ones(3))


@pytest.mark.filterwarnings("ignore:exposure 3 shows")
def test_no_first_guess_where_an_exposure_has_no_light():
    rng = np.random.default_rng(1)
    exposures, statistics = electrons_of([rng.normal(level, 3, (40, 50)) for level in (800, 1000, -5)])
    inside = np.ones((40, 50), dtype=bool)
    np.testing.assert_array_equal(flux._first_guess(exposures, statistics.median2d, inside), np.ones(3))


def test_box_around_what_counts():
    inside = np.zeros((40, 50), dtype=bool)
    inside[2, 20] = inside[9, 30] = True
    assert flux._box_around(inside, 4) == (slice(0, 14), slice(16, 35))
    assert flux._box_around(inside, 1) == (slice(1, 11), slice(19, 32))


def test_margin_around_regions_of_shifted_exposures(monkeypatch):
    """The pixels around the regions that are used give the factors that the whole image gives."""
    simulated = make_stack("imaging", (260, 280), 3, gain=1 * u.electron / u.adu, hit_rate=0.0, seed=5)
    exposures, statistics = electrons_of([ccd.data for ccd in simulated.exposures])
    offsets, regions = [(0, 0), (1.4, -0.6), (-0.7, 2.3)], [(120, 150, 110, 140)]
    assert flux.margin_around_regions() == 4
    assert flux.margin_around_regions(offsets) == 4 + 48 + 2 * 3

    def factors(margin):
        monkeypatch.setattr(flux, "MARGIN_OF_SHIFTS", margin)
        return estimate_flux_factors(exposures, statistics, regions, "ratio", offsets=offsets).values

    np.testing.assert_allclose(factors(48), factors(1000), rtol=1e-6)


def test_blocks_of_the_jackknife():
    found = flux._block_numbers(np.arange(10, 26))
    np.testing.assert_array_equal(found, np.repeat(np.arange(8), 2))
    # leaving out one block of equal totals by turns
    totals = np.array([[1.0, 3.0, 0.0], [2.0, 2.0, 0.0], [3.0, 3.0, 0.0]])
    left = np.array([[3.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    factors = left / np.median(left, axis=0)
    expected = np.sqrt(0.5 * np.square(factors - factors.mean(axis=1, keepdims=True)).sum(axis=1))
    np.testing.assert_allclose(flux._jackknife(totals), expected)
    # a block counts if any exposure has light in it
    totals = np.array([[1.0, 3.0, 2.0], [2.0, 2.0, 0.0], [3.0, 3.0, 1.0]])
    left = np.array([[5.0, 3.0, 4.0], [2.0, 2.0, 4.0], [4.0, 4.0, 6.0]])
    factors = left / np.median(left, axis=0)
    expected = np.sqrt(2 / 3 * np.square(factors - factors.mean(axis=1, keepdims=True)).sum(axis=1))
    np.testing.assert_allclose(flux._jackknife(totals), expected)
    np.testing.assert_allclose(flux._over_median(np.array([2.0, 4.0, 6.0])), [0.5, 1, 1.5])
    with pytest.raises(InputError, match="signal in every exposure; got none in 1"):
        flux._over_median(np.array([2.0, 0.0, 6.0]))


def test_given_factors():
    assert check_flux_factors(2, 3) == (2.0, 2.0, 2.0)
    assert check_flux_factors([1, np.float32(0.5)], 2) == (1.0, 0.5)


@pytest.mark.filterwarnings("ignore:every exposure holds one value in blocks")  # exposures without noise
def test_weighted_sums_of_blocks():
    """Without excess and with one level the weights are equal, and the totals are counts of pixels."""
    planes = np.multiply.outer((90.0, 100.0, 110.0), np.ones((32, 40)))
    ok = np.ones((32, 40), dtype=bool)
    ok[0, 0] = False
    planes[:, 0, 0] += 1  # an exposure of one value is refused
    exposures, _ = electrons_of(planes)
    exposures = replace(exposures, data=planes.astype(np.float32), bad=None)
    clean = CleanPixels(np.full((32, 40), 100, np.float32), ok, 0.0)
    totals = flux._block_totals(exposures, clean, "ratio")
    assert totals.shape == (3, 64)
    weight = 100 / (100 + 9)
    np.testing.assert_allclose(totals[1, 1:], 20 * 100 * weight, rtol=1e-5)
    np.testing.assert_allclose(totals[:, 0], 19 * np.array([90, 100, 110]) * weight, rtol=1e-5)
