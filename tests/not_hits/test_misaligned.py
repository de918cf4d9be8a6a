"""Rotated exposures, and those of other fields, give one warning."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.exceptions import CRStackWarning

SHAPE, GAIN = (300, 320), 1.5


def field(seed):
    """Places (y, x) and fluxes of stars."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, (80, 2)) * SHAPE, 10 ** rng.uniform(2.5, 4.2, 80)


def image(stars, seed, degrees=0.0):
    """An exposure of a field that is rotated around its middle, with hits."""
    places, fluxes = stars
    rng = np.random.default_rng(seed)
    angle, middle = np.deg2rad(degrees), np.array(SHAPE) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    light = np.full(SHAPE, 200.0)
    y, x = np.mgrid[-10:11, -10:11]
    for (row, column), flux in zip((places - middle) @ turn.T + middle, fluxes, strict=True):
        rows, columns = y + int(row), x + int(column)
        inside = (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
        star = flux / (8 * np.pi) * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)
        light[rows[inside], columns[inside]] += star[inside]
    made = rng.poisson(light * GAIN) / GAIN + rng.normal(0, 3, SHAPE)
    made[tuple(rng.integers(0, SHAPE[0], (2, 40)))] += rng.exponential(500, 40)
    return made.astype(np.float32)


def warned(images):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        stack = CRStack(images, unit=u.adu, gain=GAIN * u.electron / u.adu, readnoise=4.5 * u.electron)
        masks = stack.detect("joint")
    return [str(one.message) for one in caught], masks


@pytest.mark.parametrize(
    ("angles", "found"),
    [
        ((0, 3, 6), r"exposure 2 by -(3|3\.0\d|2\.9\d) degrees, exposure 3 by -(6|6\.0\d|5\.9\d) degrees"),
        ((0, 2, -2), r"exposure 2 by -(2|2\.0\d|1\.9\d) degrees, exposure 3 by \+(2|2\.0\d|1\.9\d) degrees"),
    ],
)
def test_rotated_exposures(angles, found):
    (word,), masks = warned([image(field(1), seed, angle) for seed, angle in enumerate(angles, start=3)])
    assert f"and {len(masks.sources)} flagged features look like sources of some exposures only" in word
    assert re.search(f"the stars are rotated, those of {found} against exposure 1. Structures are", word)
    assert "register the exposures first" in word


def test_three_fields():
    (word,), _ = warned([image(field(seed), seed + 2) for seed in (1, 2, 3)])
    assert "or of different fields?" in word


@pytest.mark.parametrize(
    ("seed", "degrees", "found"),
    [
        (2, 0, "it is of another field, or rotated"),
        (1, 4, r"it is rotated by -[34](\.\d+)? degrees against exposure 1"),
        (1, 20, r"it is rotated by -(20|20\.\d|19\.\d) degrees against exposure 1"),
    ],
)
def test_one_exposure_of_another_field_or_rotated(seed, degrees, found):
    (word,), _ = warned([image(field(1), 3), image(field(1), 4), image(field(seed), 5, degrees)])
    assert word.startswith("exposure 3 shows ")
    assert re.search(f"{found}; leave it out, or drop it with drop_unusable=True", word)


def test_two_fields():
    (word,), masks = warned([image(field(seed), seed) for seed in (1, 2)])
    assert word.count("it is of another field, or rotated") == 2
    assert "Without these, fewer than two exposures remain: give exposures of one field" in word
    assert len(masks.sources) > 10  # they are still masked as such
