"""Exposures of one field that are shifted."""

import numpy as np
import pytest
from support.exposures import READNOISE, load

from crstack.equalize.terms.steps import LARGEST
from crstack.exceptions import CRStackWarning
from crstack.exposures.comparison.displacement import displacement
from crstack.exposures.comparison.fields import ALIGNED


def moved(step, n=3, seed=1):
    """Exposures of a field of stars, the last one moved by (dx, dy)."""
    return dithered([*[(0, 0)] * (n - 1), step], seed)


def dithered(steps, seed=1):
    """Exposures of a field of stars, each moved by (dx, dy)."""
    rng = np.random.default_rng(seed)
    stars = np.stack([*rng.uniform(-80, 210, (2, 60)), rng.uniform(2e3, 2e4, 60)], axis=1)
    rows, columns = np.mgrid[:120, :130]

    def field(dx, dy):
        each = (flux * np.exp(-((columns - x - dx) ** 2 + (rows - y - dy) ** 2) / 4) for x, y, flux in stars)
        return 140.0 + sum(each)

    light = [field(*step) for step in steps]
    images = [rng.poisson(one) + rng.normal(0, READNOISE, one.shape) for one in light]
    for image in images:
        image[rng.integers(0, 120, 40), rng.integers(0, 130, 40)] += 5000
    return images


@pytest.mark.parametrize("step", [(3, 2), (-6, 5), (15, -11), (0, 4)])
def test_a_small_shift_is_no_other_field(step, caplog):
    images = moved(step)
    assert displacement(images[2], images[0]) == step
    with caplog.at_level("INFO", logger="crstack.exposures"):
        exposures = load(images)  # without a warning
    assert exposures.displaced == (("exposure 3", *step),)
    words = f"exposure 3 is shifted by ({step[0]:+d}, {step[1]:+d}) pixels against exposure 1: this is measured"
    assert any(words in line for line in caplog.messages)


def test_a_shift_that_cannot_be_measured_gives_a_warning():
    images = moved((25, 4))
    words = r"exposure 3 is shifted by \(\+25, \+4\) pixels against exposure 1, which is more than the 16 that are"
    with pytest.warns(CRStackWarning, match=words):
        exposures = load(images)
    assert exposures.bad[2].all()
    assert not exposures.bad[:2].any()
    with pytest.warns(CRStackWarning, match="exposures are shifted|exposure 2 is shifted"):
        assert load(images[1:]).displaced == (("exposure 2", 25, 4),)
    assert ALIGNED == LARGEST


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_shifts_are_compared_with_the_exposure_in_the_middle(order):
    """Two exposures are 24 pixels apart, but each is 12 from the third, so that all shifts are measured."""
    steps = [[(12, -3), (0, 0), (-12, 4)][i] for i in order]
    exposures = load(dithered(steps))  # without a warning
    assert not exposures.too_far


def test_shifts_without_an_exposure_in_the_middle_give_a_warning():
    with pytest.warns(
        CRStackWarning, match=r"exposure 2 by \(-20, \+0\), exposure 3 by \(-40, \+0\) pixels, which is more"
    ):
        assert load(dithered([(20, 0), (0, 0), (-20, 0)])).too_far


def test_the_first_exposure_may_be_the_one_that_moved():
    images = moved((5, -4))[::-1]
    assert load(images).displaced == (("exposure 1", 5, -4),)
    assert displacement(images[0], np.random.default_rng(1).normal(0, 4, (120, 130))) is None
    assert displacement(np.zeros((120, 130)), images[0]) is None
