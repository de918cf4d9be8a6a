"""The angle between the stars of two exposures."""

import warnings

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures.comparison.rotation import _agrees_turned, rotation

SHAPE = (300, 360)


def image(degrees, seed, field=1, shift=(0, 0), shape=SHAPE, n_stars=90):
    """An exposure of a field that is rotated around its middle and shifted, with hits."""
    stars = np.random.default_rng(field)
    places, peaks = stars.uniform(-0.3, 1.3, (n_stars, 2)) * shape, 10 ** stars.uniform(2.3, 4.3, n_stars)
    angle, middle = np.deg2rad(degrees), np.array(shape) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = np.full(shape, 100.0)
    for (row, column), peak in zip((places - middle) @ turn.T + middle + shift, peaks, strict=True):
        light += peak * np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / 1.3**2)
    rng = np.random.default_rng(seed)
    made = rng.poisson(light) + 4 * rng.standard_normal(shape)
    rows, columns = rng.integers(2, shape[0] - 2, 200), rng.integers(2, shape[1] - 2, 200)
    made[rows, columns] += 3000
    made[rows + 1, columns] += 2000
    return made.astype(np.float32)


@pytest.mark.parametrize("degrees", [-90, -20, -1, 0.5, 2, 45, 88])
def test_the_angle_is_measured(degrees):
    found = rotation(image(degrees, 3, shift=(4.3, -7.1)), image(0, 2))
    # a line has no direction
    assert abs((found - degrees + 90) % 180 - 90) < 0.1


@pytest.mark.parametrize("other", [image(0, 3), image(0.1, 3), image(0, 3, shift=(11, -3)), image(0, 3, field=2)])
def test_no_angle(other):
    """Equal fields, an angle too small, a shift, another field."""
    assert rotation(other, image(0, 2)) is None


def test_few_stars_have_no_angle():
    assert rotation(image(10, 3, n_stars=8), image(0, 2, n_stars=8)) is None


@pytest.mark.parametrize("scene", ["ifu", "slit", "echelle"])
@pytest.mark.parametrize("seed", range(4))
def test_spectra_are_not_rotated(scene, seed):
    simulated = make_stack(scene, shape=SHAPE, seed=seed, offsets=((0, 0), (4.4, -3.3), (-8, 6)), seeing=(2, 2.6, 3.4))
    first, *others = (one.data.astype(np.float32) for one in simulated.exposures)
    assert [rotation(one, first) for one in others] == [None, None]


@pytest.mark.parametrize("n_stars", [60, 90])
@pytest.mark.parametrize("degrees", [2.0, 20.0])
def test_a_rotated_exposure_is_not_out_of_focus(degrees, n_stars):
    """At the places of the stars of the others, it has the light of other stars."""
    planes = [image(angle, seed, n_stars=n_stars) for seed, angle in ((2, 0), (3, 0), (4, degrees))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        stack = CRStack(planes, unit=u.electron, readnoise=4 * u.electron)
    (message,) = [str(one.message) for one in caught]
    assert f"it is rotated by +{degrees:.1f}"[:-2] in message
    assert "out of focus" not in message
    assert stack.exposures.bad[2].all()


@pytest.mark.parametrize(("other", "angle", "agrees"), [(5, 5, True), (-2, -2, True), (5, -5, False), (0, 3, False)])
def test_an_angle_is_stated_only_if_the_exposure_agrees_better_after_it(other, angle, agrees):
    """Lines between bright pixels of a trace may have one angle by chance."""
    assert _agrees_turned(image(other, 3), image(0, 2), angle) is agrees
