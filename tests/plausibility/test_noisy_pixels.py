"""Warning about single pixels that have more noise than stated, or are hot at times."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning
from crstack.plausibility.noisy_pixels import noisy_pixels

SHAPE = (200, 260)


def stack_of(data, readnoise):
    return CRStack([CCDData(plane, unit="electron") for plane in data], readnoise=readnoise * u.electron)


def pixels_of_a_cmos_detector(rng, n):
    """Exposures with a sky of 10 electrons, and the read noise of each pixel: that of one per cent is large."""
    readnoise = np.where(rng.random(SHAPE) < 0.012, rng.uniform(5, 12, SHAPE), 1.5)
    return rng.poisson(10.0, (n, *SHAPE)) + rng.normal(size=(n, *SHAPE)) * readnoise, readnoise


@pytest.mark.parametrize("n", [3, 6])
def test_pixels_of_more_noise_are_named_and_their_noise_may_be_given(n):
    data, readnoise = pixels_of_a_cmos_detector(np.random.default_rng(283), n)
    with pytest.warns(
        CRStackWarning, match=r"flagged values without flagged neighbours .* Give an image as readnoise="
    ):
        masks = stack_of(data, 1.5).detect("joint")
    assert np.count_nonzero(masks.crmasks) > 30
    # no warning
    masks = stack_of(data, readnoise).detect("joint")
    assert np.count_nonzero(masks.crmasks) <= 3


def test_pixels_that_are_hot_at_times_are_named():
    rng = np.random.default_rng(284)
    data = rng.poisson(20.0, (5, *SHAPE)) + rng.normal(0, 4, (5, *SHAPE))
    data += 200 * (rng.random(SHAPE) < 0.001) * (rng.random(data.shape) < 0.5)
    with pytest.warns(CRStackWarning, match="flagged values without flagged neighbours"):
        stack_of(data, 4).detect("joint")


def test_hits_of_single_pixels_are_no_noise():
    rng = np.random.default_rng(285)
    data = rng.poisson(20.0, (4, *SHAPE)) + rng.normal(0, 4, (4, *SHAPE))
    data += 200 * (rng.random(data.shape) < 0.005)
    stack = stack_of(data, 4)
    masks = stack.detect("joint")
    found = noisy_pixels(masks, stack.exposures)
    assert found.single > 500
    assert found.noisy < 0.05 * found.single


def test_small_images_and_masks_without_hits_have_none():
    rng = np.random.default_rng(286)
    for shape in ((12, 40), (40, 40)):
        stack = stack_of(rng.normal(50, 8, (3, *shape)), 4)
        assert noisy_pixels(stack.detect("joint"), stack.exposures) is None


@pytest.mark.parametrize("scale", [0.7, 0.8, 1.0])
def test_hits_of_single_pixels_are_no_noise_if_all_pixels_have_more_than_stated(scale):
    rng = np.random.default_rng(287)
    data = rng.poisson(80.0, (3, *SHAPE)) + rng.normal(0, 9, (3, *SHAPE))
    data += 300 * (rng.random(data.shape) < 0.002)
    own = 9.0 if scale == 1 else np.sqrt(scale**2 * (80 + 81) - 80) if scale > 0.71 else 1.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack = stack_of(data, own)
        masks = stack.detect("joint")
    texts = [str(one.message) for one in caught]
    assert any("noise" in one for one in texts) == (scale < 1)
    assert not any("Such pixels have more noise than others" in one for one in texts)
    found = noisy_pixels(masks, stack.exposures)
    assert found.single > 150
    assert found.noisy < 0.05 * found.single
