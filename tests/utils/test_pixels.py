"""Tests of the operations on pixels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from crstack.utils.pixels import contrast_of, dilate, highest_around
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
