"""The small parts of the measurements, against numbers worked out by hand."""

from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from crstack.datasets import make_stack
from crstack.equalize.fit import rounds, surfaces
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.terms import clean, flux, offsets, response, steps
from crstack.equalize.terms.clean import CleanPixels
from crstack.equalize.terms.flux import check_flux_factors, estimate_flux_factors, pixels_of_regions
from crstack.equalize.terms.hot_pixels import WINDOW, hot_pixels, medians_around
from crstack.equalize.terms.offsets import check_region_size, estimate_offsets
from crstack.equalize.variance import deviations, model_error, places
from crstack.exceptions import InputError
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics

# made-up exposures need not have the noise that is stated
pytestmark = pytest.mark.filterwarnings("ignore:the exposures scatter")


def exposures_of(planes, readnoise=3.0):
    exposures = load_exposures([plane * u.electron for plane in planes], readnoise=readnoise * u.electron)
    return exposures, order_statistics(exposures.data, 2, exposures.bad)


def test_flat_pixels():
    """Structure below twice the contrast of noise in the mean of the exposures: 2 x 3.9 sqrt(variance / N)."""
    variance = np.array([[4.0, 4.0, 100.0], [100.0, 1.0, 1.0]])
    structure = np.array([[7.7, 7.9, 38.0], [40.0, 3.8, 4.0]])
    model = SimpleNamespace(levels=np.zeros((4, 2, 3)), bad=None)
    expected = np.array([[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(rounds.flat_pixels(model, structure, variance), expected)
    model.bad = np.zeros((4, 2, 3), bool)
    model.bad[2, 0, 0] = True
    expected[0, 0] = False
    np.testing.assert_array_equal(rounds.flat_pixels(model, structure, variance), expected)


@pytest.mark.filterwarnings("ignore:exposure . scatters less than its level allows")  # there is almost no noise
@pytest.mark.parametrize("deviation", [4.5, 5.5])
@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_noise_at_the_level_of_a_scaled_exposure(scale, deviation):
    """An exposure of the scale a has the noise of a times the common image, divided by a."""
    rng = np.random.default_rng(1)
    planes = [rng.normal(level, 0.01 * scale, (30, 40)) for level in (1000.0, 1000.0, scale * 1000.0)]
    sigma = np.sqrt(scale * 1000 + 9)
    planes[2][15, 20] += deviation * sigma
    exposures, _ = exposures_of(planes)
    usable = np.ones((30, 40), dtype=bool)
    usable[0, 0] = False
    found = clean.reject_hits(exposures, usable, (1.0, 1.0, scale))
    expected = usable.copy()
    if deviation > clean.CLIP_SIGMA:
        expected[14:17, 19:22] = False
    np.testing.assert_array_equal(found.ok, expected)
    assert found.excess == 0


# flux factors


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
    exposures, statistics = exposures_of(planes)
    found = estimate_flux_factors(exposures, statistics, [(21, 50, 11, 30)], "ratio")
    np.testing.assert_allclose(found.values, (1, 2, 1), rtol=2e-3)
    assert found.n_pixels <= 20 * 30


@pytest.mark.filterwarnings("ignore:neighbouring pixels of exposure")  # exposures without noise
def test_first_guess_is_a_median_ratio():
    rng = np.random.default_rng(1)
    exposures, statistics = exposures_of([rng.normal(level, 3, (40, 50)) for level in (800, 1000, 1500)])
    inside = np.ones((40, 50), dtype=bool)
    np.testing.assert_allclose(flux._first_guess(exposures, statistics.median2d, inside), (0.8, 1, 1.5), rtol=2e-3)
    # where too few pixels are sure, all are 1
    inside[2:] = inside[:, 10:] = False
    np.testing.assert_array_equal(flux._first_guess(exposures, statistics.median2d, inside), np.ones(3))


@pytest.mark.filterwarnings("ignore:exposure 3 shows")
def test_no_first_guess_where_an_exposure_has_no_light():
    rng = np.random.default_rng(1)
    exposures, statistics = exposures_of([rng.normal(level, 3, (40, 50)) for level in (800, 1000, -5)])
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
    exposures, statistics = exposures_of([ccd.data for ccd in simulated.exposures])
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


# offsets


def stretched(shape=(120, 140)):
    """A scene with steep slopes along y and gentle ones along x."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 400 + 150 * np.sin(y / 2.0) + 150 * np.sin(x / 12.0)


def test_errors_of_dx_and_of_dy():
    """The error is small along the axis of the steep slopes: y."""
    rng = np.random.default_rng(2)
    image = stretched()
    found = estimate_offsets(*exposures_of([rng.poisson(image).astype(float) for _ in range(3)]))
    dx, dy = found.errors[0]
    assert dx > 2.5 * dy
    turned = estimate_offsets(*exposures_of([rng.poisson(image.T).astype(float) for _ in range(3)]))
    dx, dy = turned.errors[0]
    assert dy > 2.5 * dx


def test_offsets_are_pairs_of_x_and_y():
    rng = np.random.default_rng(3)
    scene = 300 + 900 * ndimage.gaussian_filter(rng.standard_normal((90, 110)), 2)
    true = ((0.0, 0.0), (0.5, -0.25), (-0.25, 1.0))
    moved = [ndimage.shift(scene, (dy, dx), order=3, mode="nearest")[8:-8, 8:-8] for dx, dy in true]
    found = np.array(
        estimate_offsets(*exposures_of([rng.poisson(np.maximum(one, 20)).astype(float) for one in moved])).values
    )
    np.testing.assert_allclose(found - found[0], true, atol=0.06)


@pytest.mark.parametrize("error_by_hand", [0.0204])
def test_error_of_an_offset_by_its_formula(error_by_hand):
    """A steep ramp in noise of known variance: the formula of `_error`, worked out beside it."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:64, :64].astype(float)
    slope, sigma, n = 2.0, 1.0, 3
    aligned = [slope * x + slope * y + rng.normal(0, sigma, x.shape) for _ in range(n)]
    window = offsets._window(x.shape).astype(float)
    power = slope**2 * np.square(window).sum()
    alone = np.pi**2 / 3 * np.sum(window**4) * (sigma**2 / power) ** 2
    expected = np.sqrt(sigma**2 / power + (n - 1) / n**2 * alone + 1 / (12 * offsets.UPSAMPLING**2))
    assert expected == pytest.approx(error_by_hand, rel=0.5)
    np.testing.assert_allclose(offsets._error(aligned), expected, rtol=0.05)


def test_sharp_peaks_are_hot_pixels():
    image = np.full((20, 30), 10.0)
    image[5, 6] = 500  # alone
    y, x = np.mgrid[:20, :30]
    image += 500 * np.exp(-0.5 * ((y - 12) ** 2 + (x - 20) ** 2) / 1.2**2)  # a star: its neighbours share the light
    image[15, 25] = 20  # too faint
    rows, columns = hot_pixels(image, np.full(image.shape, 4.0))
    assert list(zip(rows, columns, strict=True)) == [(5, 6)]


def test_hot_pixels_may_share_their_charge_with_one_beside():
    image = np.full((20, 30), 10.0)
    for place, beside in (((5, 6), (5, 7)), ((10, 5), (9, 4)), ((15, 1), (15, 0)), ((18, 12), (19, 12))):
        image[place], image[beside] = 500, 300
    image[8:10, 20:22] = 500, 400  # four pixels, as the core of a star between them
    image[15, 20:23] = 400, 500, 400  # a line
    sigma = np.full(image.shape, 4.0)
    assert len(hot_pixels(image, sigma)[0]) == 0
    found = set(zip(*(one.tolist() for one in hot_pixels(image, sigma, shared=True)), strict=True))
    assert found == {(5, 6), (5, 7), (10, 5), (9, 4), (15, 0), (15, 1), (18, 12), (19, 12)}
    # the noise of one pixel beside does not make it hot, nor hide the peak
    image = np.full((20, 30), 10.0)
    image[5, 6], image[5, 7] = 40, 18
    assert len(hot_pixels(image, sigma)[0]) == 0
    assert list(zip(*hot_pixels(image, sigma, shared=True), strict=True)) == [(5, 6)]


@pytest.mark.parametrize(("fwhm", "x", "y"), [(2.5, 0.5, 0.0), (2.8, 0.05, 0.48), (3.2, -0.5, 0.0), (1.4, 0.0, 0.0)])
@pytest.mark.parametrize("shared", [False, True])
def test_stars_on_edges_of_pixels_and_undersampled_ones_are_not_hot(fwhm, x, y, shared):
    """Four of the eight pixels around are equally bright, and the median of all is no level of the sky."""
    edges = np.arange(-10.5, 11)
    rows, columns = (np.diff(ndtr(2.3548 / fwhm * (edges - one))) for one in (y, x))
    image = 100 + 50_000 * np.outer(rows, columns)
    assert len(hot_pixels(image, np.sqrt(image), shared=shared)[0]) == 0


def test_medians_of_windows_that_reach_over_the_edge():
    image = np.arange(100.0).reshape(10, 10)
    reach = WINDOW // 2
    found = medians_around(image, np.array([5, 0]), np.array([4, 0]))
    padded = np.pad(image, reach, mode="symmetric")
    expected = [np.median(padded[y : y + WINDOW, x : x + WINDOW]) for y, x in ((5, 4), (0, 0))]
    np.testing.assert_array_equal(found, expected)
    assert found[0] == image[5, 4]


def test_highest_value_without_a_hit():
    """Twice min2d as far as two pixels away, by the factors of the exposures, and 5 standard deviations."""
    rng = np.random.default_rng(3)
    exposures, statistics = exposures_of(rng.normal(0, 2, (3, 20, 30)))
    min2d = np.full((20, 30), -40, np.float32)
    min2d[8, 9], min2d[0, 0] = 500, np.nan
    maximum = offsets.plausible_maxima(exposures, replace(statistics, min2d=min2d), (0.5, 1.0, 2.0))
    near = np.zeros((20, 30), dtype=bool)
    near[6:11, 7:12] = True
    for i, factor in enumerate((1, 2, 4)):
        level = np.where(near, 2 * 500 * factor, 0.0)
        # without signal there is read noise
        expected = level + 5 * np.sqrt(level + 9)
        expected[:3, :3] = 15
        np.testing.assert_allclose(maximum(i), expected, rtol=1e-6)


def test_pixels_beside_hot_ones():
    image = np.full((20, 30), 10.0)
    image[5, 6] = image[19, 29] = 500
    rows, columns = rounds._beside_hot(image, np.full(image.shape, 16.0))
    found = np.zeros(image.shape, dtype=bool)
    found[rows, columns] = True
    half = rounds.SIZE // 2
    expected = np.zeros(image.shape, dtype=bool)
    expected[5 - half : 6 + half, 6 - half : 7 + half] = expected[19 - half :, 29 - half :] = True
    np.testing.assert_array_equal(found, expected)


def test_pixels_that_a_kernel_is_fitted_to(monkeypatch):
    structure = np.random.default_rng(1).permutation(1000.0 * np.arange(500))
    places = np.arange(0, 500, 2)
    np.testing.assert_array_equal(rounds._some(places, structure), places)
    monkeypatch.setattr(rounds, "PIXELS_TO_FIT", 60)
    monkeypatch.setattr(rounds, "STRONGEST", 20)
    found = rounds._some(places, structure)
    strongest = places[np.argsort(structure[places])[-20:]]
    others = places[np.linspace(0, 249, 40).astype(int)]
    np.testing.assert_array_equal(found, sorted({*strongest, *others}))


def test_values_where_pixels_of_the_common_image_fall():
    levels = np.arange(2 * 6 * 8.0).reshape(2, 6, 8)
    bad = np.zeros(levels.shape, dtype=bool)
    bad[1, 3, 4] = True
    model = SimpleNamespace(
        steps=((0, 0), (2, -1)), levels=levels, backgrounds=(0.0, np.full((6, 8), 5.0)), added=None, bad=bad, gains=None
    )
    rows, columns, common = np.array([4, 3, 0, 2]), np.array([2, 0, 3, 6]), np.full(4, 10.0)
    np.testing.assert_array_equal(rounds._target_of(model, 0, rows, columns, common), levels[0, rows, columns])
    # (3, 4) is bad, and two are outside
    np.testing.assert_array_equal(
        rounds._target_of(model, 1, rows, columns, common), [np.nan, levels[1, 2, 2] - 5, np.nan, np.nan]
    )
    model.added, model.bad = np.full(levels.shape, 3.0), None
    found = rounds._target_of(model, 1, rows, columns, common)
    np.testing.assert_array_equal(found, [levels[1, 3, 4] - 8, levels[1, 2, 2] - 8, np.nan, np.nan])
    # a throughput along rows and columns is no part of the kernel
    model.gains, model.factors = np.full(levels.shape, 0.5), (1.0, 2.0)
    found = rounds._target_of(model, 1, rows, columns, common)
    np.testing.assert_array_equal(found, [levels[1, 3, 4] - 18, levels[1, 2, 2] - 18, np.nan, np.nan])


def test_smallest_region():
    assert check_region_size((1, 16, 5, 20), (40, 50)) == (1, 16, 5, 20)
    for region in ((1, 15, 5, 20), (1, 16, 5, 19)):
        with pytest.raises(InputError, match="16 pixels or more on each side"):
            check_region_size(region, (40, 50))
    assert offsets._slices((1, 16, 5, 20), (40, 50)) == (slice(4, 20), slice(0, 16))
    assert offsets._slices(None, (40, 50)) == (slice(0, 40), slice(0, 50))


@pytest.mark.filterwarnings("ignore:every exposure holds one value in blocks")  # exposures without noise
def test_weighted_sums_of_blocks():
    """Without excess and with one level the weights are equal, and the totals are counts of pixels."""
    planes = np.multiply.outer((90.0, 100.0, 110.0), np.ones((32, 40)))
    ok = np.ones((32, 40), dtype=bool)
    ok[0, 0] = False
    planes[:, 0, 0] += 1  # an exposure of one value is refused
    exposures, _ = exposures_of(planes)
    exposures = replace(exposures, data=planes.astype(np.float32), bad=None)
    clean = CleanPixels(np.full((32, 40), 100, np.float32), ok, 0.0)
    totals = flux._block_totals(exposures, clean, "ratio")
    assert totals.shape == (3, 64)
    weight = 100 / (100 + 9)
    np.testing.assert_allclose(totals[1, 1:], 20 * 100 * weight, rtol=1e-5)
    np.testing.assert_allclose(totals[:, 0], 19 * np.array([90, 100, 110]) * weight, rtol=1e-5)


def test_what_stands_out_for_whole_steps():
    """The square root of what is more than twice the noise over the level, fading to 0 at the edges."""
    rng = np.random.default_rng(1)
    plane = rng.normal(1000, 10, (120, 140))
    plane[50:70, 60:80] += 400
    found = steps._structure(plane.astype(np.float32))
    smooth = ndimage.median_filter(plane.astype(np.float32), 3)
    low, level = np.percentile(smooth[::4, ::4], [16, 50])
    assert 1 < level - low < 6
    inside = (slice(53, 67), slice(63, 77))
    np.testing.assert_allclose(found[inside], np.sqrt(smooth[inside] - level - 2 * (level - low)), rtol=1e-5)
    assert found[inside].mean() == pytest.approx(20, abs=0.5)
    away = np.ones(plane.shape, dtype=bool)
    away[40:80, 50:90] = False
    assert np.mean(found[away] != 0) < 0.1
    assert not found[[0, -1]].any()
    assert steps._middle([np.full(3, one) for one in (5.0, 1.0, 3.0)]) == 2


def test_kinds_of_places_by_their_contrast():
    """0 where the contrast is less than half the noise; one more for each factor of 2 in it."""
    contrast = np.array([0, 0.4, 0.51, 1, 1.99, 2, 4, 7.9, 8, 1e9])
    found = places._kinds(np.float32(contrast * 3) ** 2, np.float32(9))
    np.testing.assert_array_equal(found, [0, 0, 0, 1, 1, 2, 3, 3, 4, places.N_KINDS - 2])


@pytest.mark.parametrize("n", [3, 4])
def test_deviations_of_the_lowest_from_the_median(n):
    """Their squares over the expected ones of noise have a mean of 1, with a hit in one exposure or without."""
    rng = np.random.default_rng(1)
    cube = rng.normal(0, 3, (n, 100, 120)).astype(np.float32)
    cube[1, :, :60] += 1000
    _, square, variance, kind = places._deviations(cube, lambda signal: np.full(signal.shape, np.float32(9)), None)
    np.testing.assert_array_equal(variance, np.full((100, 120), 9))
    assert square[:, 65:].mean() / 9 == pytest.approx(1, abs=0.05)
    # two values that are left have one difference
    assert square[:, :55].mean() / 9 == pytest.approx(1, abs=0.05)
    assert np.mean(kind > 2) < 0.01


def test_scatter_of_the_response_by_rows():
    """The moments of each row and of those beside it; 0 in rows where it may be noise."""
    rng = np.random.default_rng(2)
    deviations = rng.normal(0, 0.01, (3, 12, 9))
    deviations[:, 3:6] *= 8
    info = np.full((12, 9), 1e4)  # noise of 0.01
    info[4, :5] = 0
    info[10] = 0
    found = response._spread(deviations, info)
    for row in range(12):
        rows = [min(max(row + step, 0), 11) for step in range(-response.NEARBY_ROWS, response.NEARBY_ROWS + 1)]
        chi2 = sum(info[y, x] * deviations[i, y, x] ** 2 for i in range(3) for y in rows for x in range(9))
        degrees = 2 * sum(np.count_nonzero(info[y]) for y in rows)
        excess = chi2 - degrees
        expected = excess / (2 * info[rows].sum()) if excess > response.SIGNIFICANCE * np.sqrt(2 * degrees) else 0
        assert found[row] == pytest.approx(expected, rel=1e-9, abs=1e-30)
    assert (found[2:7] > 0.0005).all()
    np.testing.assert_array_equal(found[[7, 9, 10]], 0)


def places_of(seed=5):
    """Places of three kinds: of noise, with an excess of a tenth of the squared contrast, and too few."""
    rng = np.random.default_rng(seed)
    shape = (60, 70)
    kind = np.where(np.arange(70) < 34, 1, 2) * np.ones(shape, np.int8)
    kind[:5] = 3
    kind[0, :40] = 0
    contrast2 = rng.uniform(50, 400, shape).astype(np.float32)
    variance = rng.uniform(5, 15, shape).astype(np.float32)
    true = variance + np.where(kind == 1, 0, 0.1 * contrast2)
    square = (true * rng.standard_normal(shape) ** 2).astype(np.float32)
    return places.Places(contrast2, square, variance, kind.astype(np.int8))


def test_shares_of_the_contrast_by_kind(monkeypatch):
    found_places = places_of()
    monkeypatch.setattr(places, "FEWEST", 1000)
    found = found_places.shares_of_kinds()
    weight = found_places.contrast2 / (found_places.variance + places.SMOOTH * found_places.contrast2) ** 2
    some = found_places.kind == 2
    excess = (weight * (found_places.square - found_places.variance))[some].sum()
    assert found[2] == pytest.approx(excess / (weight * found_places.contrast2)[some].sum(), rel=1e-4)
    assert found[2] == pytest.approx(0.1, rel=0.15)
    # noise, too few, and what is flat
    assert not found[[0, 1, 3]].any()
    assert found.shape == (places.N_KINDS,)


def test_factors_of_the_tails():
    found_places = places_of()
    found_places.square[10:14, 50:] *= 30
    shares = np.zeros(places.N_KINDS, np.float32)
    shares[1:3] = 0.01, 0.1
    some = found_places.kind == 2
    ratio = found_places.square[some] / (found_places.variance[some] + 0.1 * found_places.contrast2[some])
    of_noise = np.quantile(ratio, places.TAIL) / 3
    found = found_places.tails(shares, of_noise)
    assert found[2] == pytest.approx(3, rel=1e-5)
    # never less than 1, and 1 without a share
    assert found[0] == found[3] == 1
    assert found_places.tails(shares, 1e9)[2] == 1


def test_a_slope_that_matters_in_some_cells_is_fitted():
    """It need not matter in each of them: in the middle of the image a slope is 0."""
    variance, number = np.full((5, 9), 100.0), np.full((5, 9), 1000)
    slope = np.linspace(-1.0, 1.0, 9) * np.ones((5, 1))
    found, kind = surfaces.smooth_surface(slope, number, variance)
    assert kind == "slope"
    np.testing.assert_allclose(found, slope, atol=1e-9)
    # nowhere more than a small part of the noise
    found, kind = surfaces.smooth_surface(slope * 0.5, number, variance)
    assert kind == ""
    assert not found.any()


def test_what_is_added_to_an_exposure():
    model = SimpleNamespace(backgrounds=[1.0, 2.0], changes=[10.0, 20.0], factors=(1.0, 3.0), added=None, gains=None)
    assert [ExpectedExposures.shift(model, i) for i in (0, 1)] == [11, 22]
    assert [ExpectedExposures.scale(model, i) for i in (0, 1)] == [1, 3]
    model.added, model.gains = np.array([[4.0], [5.0]]), np.array([[0.1], [-0.2]])
    assert [ExpectedExposures.shift(model, i)[0] for i in (0, 1)] == [15, 37]
    np.testing.assert_allclose([ExpectedExposures.scale(model, i)[0] for i in (0, 1)], [1.1, 2.4], rtol=1e-6)


def test_what_is_left_for_the_surfaces():
    """Exposures minus changes, levels along lines and the common image times their factors; relative to their mean."""
    rng = np.random.default_rng(1)
    common, added, changes = rng.normal(size=(6, 8)), rng.normal(size=(3, 6, 8)), rng.normal(size=(3, 6, 8))
    levels, factors = rng.normal(size=(3, 6, 8)), (0.5, 1.0, 2.0)
    for given in (added, None):
        model = SimpleNamespace(levels=levels, changes=changes, factors=factors, added=given)
        left = levels - changes - np.multiply.outer(factors, common) - (0 if given is None else given)
        found = rounds.residuals_of(model, common)
        np.testing.assert_allclose(found, left - left.mean(axis=0), rtol=1e-6, atol=1e-9)


def test_scatter_of_the_brightest_pixels_from_a_part_of_them(monkeypatch):
    rng = np.random.default_rng(1)
    common, variance = np.full((100, 120), 1e4), np.full((3, 100, 120), 1e4)
    # 5 per cent of the signal beyond the noise of 1 per cent
    deviations = rng.normal(0, np.hypot(500, 100), (3, 100, 120))
    deviations[0] = 0  # that of the median exposure
    usable = np.ones(common.shape, dtype=bool)
    every = clean._excess(common, deviations**2, variance, usable)
    assert every == pytest.approx(0.05, rel=0.1)
    monkeypatch.setattr(clean, "ENOUGH", 3000)
    part = clean._excess(common, deviations**2, variance, usable)
    assert part != every
    assert part == pytest.approx(0.05, rel=0.1)
    assert clean._excess(common, deviations**2, variance, usable & False) == 0


def test_an_exposure_on_the_grid_and_at_the_level_of_the_common_image():
    rng = np.random.default_rng(1)
    common, added, gains = rng.normal(100, 5, (8, 10)), rng.normal(size=(8, 10)), rng.normal(0, 0.1, (8, 10))
    dx, dy = 2, -1
    # of a part that stays inside the image
    part, there = np.s_[2:7, 1:7], np.s_[1:6, 3:9]
    for with_gains in (False, True):
        model = ExpectedExposures.__new__(ExpectedExposures)
        model.factors, model.backgrounds, model.changes = (3.0,), [20.0], [0.5]
        model.added, model.gains = [added], [gains] if with_gains else None
        model.blurs, model.steps = [0.5], ((dx, dy),)
        scale = model.scale(0)
        level = np.zeros((8, 10))
        level[there] = (common[part] * (scale[there] if with_gains else scale)) + 20 + 0.5 + 3 * added[there]
        model.levels = [level]
        np.testing.assert_allclose(model._moved_back(0)[part], common[part], rtol=1e-5)
        # without a step
        model.steps, model.levels = ((0, 0),), [common * scale + 20 + 0.5 + 3 * added]
        np.testing.assert_allclose(model._moved_back(0), common, rtol=1e-5)


def test_a_feature_that_is_0_everywhere_takes_no_part():
    """The variance of the model is that of the other features, and nothing is divided by 0."""
    rng = np.random.default_rng(12)
    signal2 = rng.uniform(1e3, 1e5, 4000)
    variance = np.full(4000, 50.0)
    drawn = rng.standard_normal((3, 4000)) * np.sqrt(variance + 0.02 * signal2)
    squares = deviations.squares_of_both(*np.sort(drawn, axis=0), 3)
    both = model_error._fit(np.column_stack((signal2, np.zeros(4000))), squares, variance, 3, 1.0)
    alone = model_error._fit(signal2[:, None], squares, variance, 3, 1.0)
    assert both[1] == 0
    assert both[0] == pytest.approx(alone[0])
    assert alone[0] > 0


@pytest.mark.parametrize("seed", [5, 8, 22, 32])
def test_hits_over_faint_stars_are_no_step(seed):
    """Two bright tracks that lie on each other after a shift outweighed all stars of a faint field."""
    stack = make_stack("imaging", shape=(80, 90), n_exposures=5, hit_rate=0.03, seed=seed)
    steps_found = steps.whole_steps(np.stack([ccd.data for ccd in stack.exposures]))
    assert steps_found == ((0, 0),) * 5


@pytest.mark.parametrize("n", [3, 4, 5, 10])
def test_one_value_that_is_too_low_makes_no_hole_in_the_image_of_many(n):
    """Of four or more exposures, the lowest one does not stand for all others."""
    cube = np.random.default_rng(3).normal(100, 5, (n, 20, 30)).astype(np.float32)
    cube[1, 8, 9] = 40
    cube[1:, 15, 20] += 500
    image = places.ordered(cube, lambda signal: np.full(signal.shape, np.float32(25)))[4]
    if n > 3:
        assert image[8, 9] == pytest.approx(100, abs=12)
    else:
        assert image[15, 20] == pytest.approx(100, abs=20)


@pytest.mark.parametrize(("n", "expected"), [(2, 3.84), (3, 3.03), (5, 2.44), (10, 1.99), (25, 1.69)])
def test_the_largest_deviations_of_noise_depend_on_the_number_of_exposures(n, expected):
    assert deviations.tail_of_noise(n) == pytest.approx(expected, rel=0.02)


def test_noise_of_the_change_by_a_kernel():
    """That of the common image, 1.3 / N of the variance of a value, times the squares of the kernel."""
    common = np.tile(1e4 * np.arange(30, dtype=np.float32), (20, 1))
    kernel = np.zeros((rounds.SIZE, rounds.SIZE))
    middle = rounds.SIZE // 2
    kernel[middle, middle - 1], kernel[middle, middle + 1] = -0.1, 0.1
    nothing = np.zeros(2)
    model = SimpleNamespace(
        levels=np.zeros((2, 20, 30), np.float32),
        kernels=np.stack([kernel, 0 * kernel]),
        drifts=np.zeros((2, 2)),
        steps=((0, 0), (0, 0)),
        factors=nothing + 1,
        sky_along=None,
    )
    ExpectedExposures.change(model, common, np.full((20, 30), 4.0, np.float32))
    inside = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(np.abs(model.changes[0][inside]), 2000, rtol=1e-3)
    np.testing.assert_allclose(model.noises[0][inside], 1.3 / 2 * 4 * 0.02, rtol=1e-3)
    assert not np.any(model.noises[1])
