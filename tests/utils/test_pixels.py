"""Tests of the operations on pixels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from crstack.utils import pixels
from crstack.utils.pixels import contrast_of, dilate, extreme_along, highest_around, middle_of, some_true
from crstack.utils.threads import limited_threads

SHAPES = [(1, 1), (1, 6), (7, 1), (2, 2), (3, 4), (40, 31), (300, 700)]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 2, 4, 6])
def test_squares_around_each_pixel(shape, radius, n_threads):
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    before, mask, size = image.copy(), image > 1, 2 * radius + 1
    with limited_threads(n_threads):
        assert_array_equal(highest_around(image, radius), ndimage.maximum_filter(image, size))
        assert_array_equal(contrast_of(image), ndimage.maximum_filter(image, 3) - ndimage.minimum_filter(image, 3))
        assert_array_equal(dilate(mask, radius), ndimage.maximum_filter(mask, size, mode="constant"))
    assert_array_equal(image, before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5, 13, 51])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("mode", ["nearest", "reflect"])
def test_extremes_along_an_axis(shape, size, axis, mode):
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    before = image.copy()
    assert_array_equal(extreme_along(image, size, axis), ndimage.maximum_filter1d(image, size, axis, mode=mode))
    lowest = ndimage.minimum_filter1d(image, size, axis, mode=mode)
    assert_array_equal(extreme_along(image, size, axis, np.minimum), lowest)
    assert_array_equal(image, before)


@pytest.mark.parametrize("step", [1, 3, 400])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_some_of_the_true_pixels(n_threads, step, monkeypatch):
    monkeypatch.setattr(pixels, "PIXELS_IN_CACHE", 40)
    mask = np.random.default_rng(1).random((17, 20)) > 0.6
    mask[4:9] = False  # bands without any
    every = np.flatnonzero(mask)
    with limited_threads(n_threads):
        assert_array_equal(some_true(mask, np.arange(0, len(every), step)), every[::step])
        assert some_true(mask & False, np.arange(0)).size == 0


@pytest.mark.parametrize("most", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("side", [1, 2, 7, 8])
def test_middle_of_an_image(side, most):
    (where,) = middle_of((side,), most)
    assert where.stop - where.start == min(side, most)
    assert abs(where.start - (side - where.stop)) <= 1
