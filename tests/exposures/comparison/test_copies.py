"""Exposures that are copies of one another."""

import numpy as np
import pytest
from support.exposures import SHAPE, SKY, load, made

from crstack.exceptions import InputError
from crstack.exposures.comparison.copies import is_nearly_same, is_same


@pytest.mark.parametrize("shift", [0, 100])
def test_the_same_exposure_twice_is_refused_by_name(shift):
    images = made()
    images.append(images[1] + np.float32(shift))
    with pytest.raises(
        InputError, match="independent; got the same values, but for a constant, in exposure 2 and expos"
    ):
        load(images)


def test_copies_with_other_bad_values_are_copies():
    one, other = made(2)
    bad = np.zeros(SHAPE, dtype=bool)
    bad[::2, ::3] = True
    copy = np.where(bad, 0, one)
    assert is_same(one, copy, None, bad)
    assert not is_same(one, other)
    copy = one.copy()
    copy[7, 8] += 1
    assert not is_same(one, copy)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("kind", ["one pixel", "scaled", "scaled and rounded", "cleaned"])
def test_copies_that_were_changed_are_refused_by_name(n, kind):
    """One pixel is repaired, the light is multiplied, or hits are replaced."""
    images = [np.rint(image) for image in made(n)]
    copy = images[0] * np.float32(1.02 if kind.startswith("scaled") else 1)
    if kind == "scaled and rounded":
        copy = np.rint(copy + np.float32(0.3))
    elif kind == "one pixel":
        copy[7, 8] += 1
    elif kind == "cleaned":
        copy[:, ::25] = SKY
    images[1] = copy
    words = "got the same values, but for a factor, a constant or a few pixels, in exposure 1 and exposure 2; leave out"
    with pytest.raises(InputError, match=words):
        load(images)


def test_independent_exposures_are_no_copies():
    """Equal numbers of few photons, a strong response of the pixels, one value in most of the image, bright values."""
    rng = np.random.default_rng(21)
    response = rng.normal(1, 0.05, SHAPE)
    edge = np.arange(SHAPE[1]) < 0.88 * SHAPE[1]
    for light in (np.full(SHAPE, 0.11), np.full(SHAPE, 0.5), 5e4 * response, np.where(edge, 0, 1e3), 1e6 * response**2):
        one, other = rng.poisson(light, (2, *SHAPE)).astype(np.float32)
        assert not is_nearly_same(one, other)
    # noise of 0.05 on a ramp, rounded: nothing is known of such values
    ramp = np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) * 3.0
    one, other = np.rint(ramp + rng.normal(0, 0.05, (2, *SHAPE))).astype(np.float32)
    assert not is_nearly_same(one, other)
    # the mean of two exposures shares half of the noise of each
    one, other = rng.normal(100, 4, (2, *SHAPE)).astype(np.float32)
    assert not is_nearly_same(one, (one + other) / 2)
    # the same, where nearly all else is the same
    copy = np.where(np.arange(SHAPE[1]) % 10 == 0, other, one)
    assert not is_nearly_same(one, copy)


def test_image_of_mostly_one_value_is_no_copy():
    """No line is fitted to values of which most are equal."""
    rng = np.random.default_rng(3)
    other = rng.normal(100, 10, (60, 70)).astype(np.float32)
    mostly = np.zeros((60, 70), np.float32)
    mostly.flat[::7] = rng.normal(100, 10, 600)
    assert not is_nearly_same(mostly, other)


def test_images_of_mostly_one_value_are_no_copies():
    """They have no noise to compare."""
    flat = np.zeros((40, 50), np.float32)
    flat[3, 4] = 5
    assert not is_same(flat, flat)
    noisy = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    assert is_same(noisy, noisy + np.float32(3))
