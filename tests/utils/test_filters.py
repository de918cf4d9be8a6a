"""Filters agree with those of scipy."""

import numpy as np
import pytest
from scipy import ndimage

from crstack.utils import filters
from crstack.utils.filters import convolved, mean_around, mean_of_neighbours

SHAPES = [(1, 1), (1, 40), (2, 5), (70, 3), (131, 50)]


def image_of(shape, kind=np.float32):
    return np.random.default_rng(1).normal(100, 10, shape).astype(kind)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 11])
@pytest.mark.parametrize("shape", SHAPES)
def test_mean_around(shape, size):
    image = image_of(shape)
    found = mean_around(image, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ndimage.uniform_filter(image.astype(float), size), rtol=1e-6)


def test_a_value_affects_only_the_pixels_around_it():
    image = image_of((20, 30))
    image[10, 12] = np.nan
    bad = ~np.isfinite(mean_around(image, 5))
    assert bad.sum() == 25
    assert bad[8:13, 10:15].all()


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_of_neighbours(shape):
    image = image_of(shape, float)
    kernel = np.full((3, 3), 1 / 8)
    kernel[1, 1] = 0
    np.testing.assert_allclose(mean_of_neighbours(image), ndimage.convolve(image, kernel, mode="reflect"))


@pytest.mark.parametrize("used", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolved(shape, used):
    """Kernels that are not symmetric, with zeros around what is used."""
    image, kernel = image_of(shape), np.zeros((7, 7))
    middle = slice(3 - used, 4 + used)
    kernel[middle, middle] = np.random.default_rng(2).normal(0, 0.1, (2 * used + 1,) * 2)
    found = convolved(image, kernel)
    assert found.dtype == np.float32
    expected = ndimage.convolve(image.astype(float), kernel, mode="nearest")
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)


def test_a_kernel_of_zeros():
    assert not convolved(image_of((9, 8)), np.zeros((5, 5))).any()


def test_the_result_does_not_depend_on_the_rows_at_once(monkeypatch):
    image, kernel = image_of((150, 45)), np.random.default_rng(3).normal(0, 0.1, (7, 7))
    whole = convolved(image, kernel), mean_around(image, 7)
    monkeypatch.setattr(filters, "ROWS", 11)
    for one, other in zip(whole, (convolved(image, kernel), mean_around(image, 7)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_images_are_not_changed():
    image = image_of((12, 14))
    before = image.copy()
    for work in (
        lambda: convolved(image, np.ones((3, 3))),
        lambda: mean_around(image, 3),
        lambda: mean_around(image, 1),
    ):
        assert not np.shares_memory(work(), image)
    np.testing.assert_array_equal(image, before)
