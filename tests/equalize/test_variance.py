"""The variance of the expected exposures beyond the noise, against numbers computed by hand."""

import numpy as np
import pytest

from crstack.equalize.terms import clean, response
from crstack.equalize.variance import deviations, model_error, place_variance, places


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


@pytest.mark.parametrize(("size", "expected"), [(13, 0.5), (1, 0.0)])
def test_a_part_of_the_image_that_is_described_worse(size, expected):
    """The excess of each pixel is that of noise, so that only a window of eleven pixels shows it."""
    rng = np.random.default_rng(9)
    shape = (90, 100)
    contrast2, variance = np.full(shape, 40, np.float32), np.full(shape, 10, np.float32)
    true = variance.copy()
    middle = np.s_[45 - size // 2 : 46 + size // 2, 50 - size // 2 : 51 + size // 2]
    true[middle] += 0.5 * contrast2[middle]
    square = (true * rng.standard_normal(shape) ** 2).astype(np.float32)
    some = places.Places(contrast2, square, variance, np.full(shape, 2, np.int8))
    found = np.empty(shape, np.float32)
    highest = place_variance._fill_band(
        found, some, np.zeros(places.N_KINDS, np.float32), (np.s_[:], np.s_[:], np.s_[:])
    )
    assert found[45, 50] / 40 == pytest.approx(expected, rel=0.4)
    assert highest == pytest.approx(found.max() / 40)
    # elsewhere there is none
    assert not found[:30].any()
    assert not found[:, 65:].any()
