"""Order statistics against plain numpy."""

import warnings

import numpy as np
import pytest

from crstack.statistics import (
    exposure_at_median,
    minimum_and_median,
    order_statistics,
    sort_exposures,
    with_bad_filled,
)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 9])
def test_sorting_network_sorts(n):
    cube = np.random.default_rng(n).normal(size=(n, 13, 17)).astype(np.float32)
    ours = cube.copy()
    sort_exposures(ours)
    np.testing.assert_array_equal(ours, np.sort(cube, axis=0))


@pytest.mark.parametrize(("n", "k"), [(3, 2), (4, 2), (4, 3), (5, 2), (5, 4), (7, 3)])
def test_statistics_equal_numpy(n, k):
    cube = np.random.default_rng(n).normal(100, 30, (n, 23, 31)).astype(np.float32)
    before = cube.copy()
    result = order_statistics(cube, k)
    ordered = np.sort(cube.astype(np.float64), axis=0)
    np.testing.assert_allclose(result.min2d, ordered[: n - k].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(result.median2d, np.median(cube, axis=0), rtol=1e-6)
    np.testing.assert_allclose(result.mean2d, cube.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_array_equal(result.max2d, cube.max(axis=0))
    assert (result.count == n).all()
    np.testing.assert_array_equal(cube, before)


def test_bad_values_take_no_part():
    rng = np.random.default_rng(3)
    cube = rng.normal(100, 30, (5, 40, 50)).astype(np.float32)
    bad = rng.random(cube.shape) < 0.3
    bad[:, 7, 7] = True
    cube[bad] = 1e6
    result = order_statistics(cube, 2, bad)
    masked = np.where(bad, np.nan, cube)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_allclose(result.median2d, np.nanmedian(masked, axis=0), rtol=1e-6)
        np.testing.assert_allclose(result.mean2d, np.nanmean(masked, axis=0), rtol=1e-6)
        np.testing.assert_allclose(result.max2d, np.nanmax(masked, axis=0))
    np.testing.assert_array_equal(result.count, (~bad).sum(axis=0))
    assert np.isnan(result.min2d[7, 7])
    # two valid values of five: the lowest alone
    two = result.count == 2
    assert two.any()
    np.testing.assert_array_equal(result.min2d[two], np.nanmin(masked[:, two], axis=0))


def test_bands_of_rows_equal_the_whole(monkeypatch):
    cube = np.random.default_rng(5).normal(size=(4, 301, 40)).astype(np.float32)
    whole = order_statistics(cube, 2)
    monkeypatch.setattr("crstack.statistics.row_bands", lambda ny, nx: [slice(i, i + 7) for i in range(0, ny, 7)])
    bands = order_statistics(cube, 2)
    for name in ("min2d", "median2d", "mean2d", "max2d", "count"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(bands, name))


def test_order_of_exposures_does_not_matter():
    cube = np.random.default_rng(6).normal(1000, 30, (7, 20, 30)).astype(np.float32)
    one, other = order_statistics(cube, 3), order_statistics(cube[[3, 1, 6, 0, 5, 2, 4]], 3)
    for name in ("min2d", "median2d", "mean2d", "max2d"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_exposure_at_median_has_no_favourite():
    """Ties are frequent for integer counts; a fixed choice would make equal exposures look different."""
    rng = np.random.default_rng(0)
    cube = rng.poisson(2, (5, 200, 200)).astype(np.float32)
    bad = np.zeros(cube.shape, dtype=bool)
    bad[:, 7, 8] = True
    bad[2, :, 10] = True
    median = np.median(cube, axis=0)
    number = exposure_at_median(cube, median, bad)
    shares = np.bincount(number.ravel(), minlength=6) / number.size
    assert shares[1:] == pytest.approx(np.full(5, 0.2), abs=0.01)
    assert number[7, 8] == 0
    assert not (number[:, 10] == 3).any()
    y, x = np.nonzero(~bad.any(axis=0))
    np.testing.assert_array_equal(cube[number[y, x].astype(int) - 1, y, x], median[y, x])
    np.testing.assert_array_equal(number, exposure_at_median(cube, median, bad))


def test_bad_values_get_the_median_of_the_others():
    values = np.array([[1, 10, 5, 3], [2, 20, 6, 4], [9, 30, 7, 8], [4, 99, 8, 2]], np.float32)
    bad = np.zeros(values.shape, bool)
    assert with_bad_filled(values, None) is values
    assert with_bad_filled(values, bad) is values
    bad[2, 0] = bad[0, 1] = bad[3, 1] = bad[:, 2] = bad[:3, 3] = True
    found = with_bad_filled(values, bad)
    np.testing.assert_array_equal(found, [[1, 25, 0, 2], [2, 20, 0, 2], [2, 30, 0, 2], [4, 25, 0, 2]])
    assert found.dtype == np.float32
    assert values[2, 0] == 9
    # also of rows of images
    np.testing.assert_array_equal(with_bad_filled(values.reshape(4, 2, 2), bad.reshape(4, 2, 2)).reshape(4, 4), found)


def test_of_two_values_that_are_left_a_hit_is_no_part_of_the_others():
    """Their mean had half of the hit in it, in every exposure that is bad there."""
    values = np.float32([[100, 100, 100, 1000], [160, 700, 100, 1080], [0, 0, 0, 0], [0, 0, 700, 0]])
    bad = np.zeros(values.shape, bool)
    bad[2] = True
    bad[3, [0, 1, 3]] = True
    found = with_bad_filled(values, bad, lambda signal: signal + 16)
    # noise; a hit; a hit among three values; a bright line that changes
    np.testing.assert_array_equal(found[2], [130, 100, 100, 1040])
    np.testing.assert_array_equal(found[3], [130, 100, 700, 1040])
    np.testing.assert_array_equal(with_bad_filled(values, bad)[2], [130, 400, 100, 1040])


@pytest.mark.parametrize("n", [2, 3, 4, 7])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_minimum_and_median_are_those_of_the_order_statistics(n, k):
    cube = np.random.default_rng(n).normal(100, 10, (n, 5, 300)).astype(np.float32)
    statistics = order_statistics(cube, k)
    minimum, median = minimum_and_median(cube.copy(), k)
    for found, expected in ((minimum, statistics.min2d), (median, statistics.median2d)):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
