"""The exposure from which shifts are stated."""

from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack.exposures import load_exposures
from crstack.masks import MaskSet
from crstack.plausibility.shifts import central, sentences_of_shifts

SHAPE = (40, 50)


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ([(-1, 0), (2, 1)], 0),
        ([(4, 1), (1, 0), (1, 0)], 1),
        ([(0, 0), (0.5, 0), (1.0, 0.1), (1.5, 0), (2, 0)], 2),
        # two groups: an exposure of one of them, and no place between them
        ([(-1.15, 1.13), (-1.16, 1.16), (-1.02, 0.99), (-0.05, 0.13), (0.13, -0.22), (0.20, -0.15)], 2),
    ],
)
def test_the_central_exposure(shifts, expected):
    assert central(shifts) == expected


def sentences_of(corners):
    """Sentences about six exposures of which three lie 1.5 pixels from the other three, by the shifts of corners."""
    rng = np.random.default_rng(3)
    images = [CCDData(rng.poisson(100, SHAPE).astype("f4"), unit="electron") for _ in range(6)]
    loaded = load_exposures(images, readnoise=4 * u.electron)
    names = ("MEDIANCR", "MEANCRT", "MEANCR", *(f"CRMASK{i}" for i in range(1, 7)))
    shifts = ((-1.15, 1.13), (-1.16, 1.16), (-1.02, 0.99), (-0.05, 0.13), (0.13, -0.22), (0.20, -0.15))
    none = np.zeros((6, 3))
    measured = SimpleNamespace(
        shifts=shifts,
        widths=none,
        kernel_errors=np.full((6, 6), 0.01),
        steps=np.zeros((6, 2)),
        factors=(1.0,) * 6,
        corners_less_centre=lambda: (corners, [0.0] * 6),
    )
    masks = replace(
        MaskSet({name: np.zeros(SHAPE, np.uint8) for name in names}), decision=SimpleNamespace(measured=measured)
    )
    return sentences_of_shifts(masks, loaded, True)


def test_a_field_that_turns_is_named():
    _, sentence = sentences_of([0.2, 0.0, 0.3, 0.9, 0.5, 0.1])
    assert "the field turns, or its scale changes: stars in a corner are shifted" in sentence
    assert "exposure 4 by 0.9 pixels more" in sentence


def test_of_two_groups_one_is_named_completely():
    (sentence,) = sentences_of([0.2, 0.0, 0.3, 0.7, 0.5, 0.1])
    assert (
        "the exposures are not aligned: exposure 4 by (+1.0, -0.9) pixels, exposure 5 by (+1.1, -1.2) pixels, "
        "exposure 6 by (+1.2, -1.1) pixels, from exposure 3. " in sentence
    )
