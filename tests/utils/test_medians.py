"""Values of a rank, pixel by pixel."""

import numpy as np
import pytest
from scipy import ndimage

from crstack.exposures.comparison.structures import SIGNIFICANT, labelled
from crstack.utils.medians import (
    FEW,
    MOST_COMPARED,
    PIXELS_AT_ONCE,
    median_along_rows,
    median_of,
    median_of_values,
    of_rank,
    reflected_median,
    weighted_median,
)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 25, MOST_COMPARED + 1])
def test_value_of_a_rank_is_that_of_partition(n):
    cube = np.random.default_rng(n).integers(0, 9, (n, 7, 6)).astype(np.float32)
    before = cube.copy()
    for rank in range(n):
        found = of_rank(cube, rank)
        assert found.dtype == cube.dtype
        np.testing.assert_array_equal(found, np.sort(cube, axis=0)[rank])
    np.testing.assert_array_equal(cube, before)


def test_value_of_a_rank_of_large_images_is_computed_in_parts():
    cube = np.random.default_rng(1).standard_normal((4, 2, PIXELS_AT_ONCE - 3))
    np.testing.assert_array_equal(of_rank(cube, 2), np.sort(cube, axis=0)[2])


@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (3, 60), (2, 5, 31)])
@pytest.mark.parametrize("size", [1, 5, 51])
def test_running_median_along_rows(shape, size):
    values = np.random.default_rng(1).normal(size=shape)
    window = (1,) * (len(shape) - 1) + (size,)
    expected = ndimage.median_filter(values, window, mode="nearest")
    np.testing.assert_array_equal(median_along_rows(values, size), expected)


def test_median_of_three():
    cube = np.random.default_rng(1).standard_normal((3, 20, 30)).astype(np.float32)
    np.testing.assert_array_equal(median_of(cube), of_rank(cube, 1))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (40, 30), (9, PIXELS_AT_ONCE // 4)])
def test_median_of_boxes_with_reflected_edges(shape):
    image = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(reflected_median(image), ndimage.median_filter(image, 3))


@pytest.mark.parametrize("least", [1, 6, 7, 9])
def test_structures_are_groups_of_blocks_with_enough_significant_neighbours(least):
    plane = np.random.default_rng(2).uniform(0, 1.6 * SIGNIFICANT, (40, 30)).astype(np.float32)
    padded = np.pad(plane > SIGNIFICANT, 1)
    number = sum(padded[j : j + 40, i : i + 30].astype(int) for j in range(3) for i in range(3))
    labels, n = labelled(plane, least)
    np.testing.assert_array_equal(labels > 0, number >= least)
    assert n == labels.max()


def check_median(values, axis=None):
    before = values.copy()
    found, expected = median_of_values(values, axis), np.median(values, axis)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    assert found.dtype == expected.dtype
    assert type(found) is type(expected)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ">f4", int])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 11, 500, 501])
def test_median_of_values_is_that_of_numpy(n, dtype):
    check_median(np.random.default_rng(n).normal(100, 30, n).astype(dtype))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, FEW, FEW + 1, 25])
def test_median_of_values_along_an_axis_is_that_of_numpy(n, axis):
    values = np.random.default_rng(n).normal(100, 30, (n, 13, 8)).astype(np.float32)
    check_median(values, axis)
    check_median(np.round(values, -1), axis)  # equal values
    check_median(values[:, ::2, ::-3], axis)


@pytest.mark.parametrize("n", [2, 3, 4, 9, 10, FEW - 1, FEW, FEW + 1])
def test_median_of_a_few_large_planes(n):
    # large enough for comparisons of planes, and not a whole number of parts
    values = np.random.default_rng(n).normal(100, 30, (n, 9, PIXELS_AT_ONCE // 8 + 1)).astype(np.float32)
    check_median(values, 0)
    check_median(np.round(values, -1), 0)  # equal values


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("place", [0, 1, -1])
@pytest.mark.parametrize("n", [2, 3, 4, 7, FEW, FEW + 1])
@pytest.mark.parametrize("size", [40, FEW**3 + 1])
def test_median_is_nan_where_a_value_is_nan(size, n, place, axis):
    values = np.random.default_rng(n).normal(100, 30, (n, size)).astype(np.float32)
    values[place, 3] = np.nan
    values[0, 5] = np.inf
    check_median(values, axis)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_median_has_no_negative_zero(axis):
    check_median(np.full((3, 40), -0.0, np.float32), axis)
    check_median(np.full((4, 7), -0.0), axis)


def test_weighted_median_is_the_median_of_values_repeated_by_their_weights():
    rng = np.random.default_rng(5)
    values, weights = rng.permutation(20.0 + np.arange(11)), rng.integers(1, 9, 11)
    assert weighted_median(values, weights) == np.sort(np.repeat(values, weights))[(weights.sum() - 1) // 2]
