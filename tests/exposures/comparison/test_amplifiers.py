"""A bias or gain that is wrong in a half or a quadrant of the image gives a sharp step of the level."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.exposures.comparison.amplifiers import amplifier_steps

GAIN, READNOISE = 1.0 * u.electron / u.adu, 4.0 * u.electron
SHAPE = (200, 300)
QUADRANT, HALF, STRIP = np.s_[:100, 150:], np.s_[:, :150], np.s_[:, 75:150]


def planes_of(scene="imaging", n=3, sky=1500, seed=3, **options):
    """Exposures of a scene on a bright sky with a gradient."""
    simulated = make_stack(scene, shape=SHAPE, n_exposures=n, gain=GAIN, readnoise=READNOISE, seed=seed, **options)
    rng = np.random.default_rng(seed)
    slope = np.linspace(0.8, 1.2, SHAPE[1])
    return np.array([one.data + rng.poisson(np.broadcast_to(sky * slope, SHAPE)) for one in simulated.exposures])


def loaded(planes, gain=GAIN, **options):
    return load_exposures(list(planes), gain=gain, readnoise=READNOISE, unit="adu", **options)


def found_in(planes):
    """Steps without other checks, and without their warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        return amplifier_steps(loaded(planes))


@pytest.mark.parametrize("scene", ["imaging", "ifu"])
@pytest.mark.parametrize(("box", "number"), [(QUADRANT, 2), (HALF, 2)])
@pytest.mark.parametrize("step", [145.0, -145.0])
def test_a_step_of_all_exposures(scene, box, number, step):
    planes = planes_of(scene)
    planes[(slice(None), *box)] += step
    found = found_in(planes)
    assert len(found) == number
    for one in found:
        assert one.exposures == (0, 1, 2)
        assert one.border == SHAPE[one.axis] // 2
        sign = -1 if one.axis == 0 or box == HALF else 1
        assert one.step == pytest.approx(sign * step, abs=6 * one.error)


@pytest.mark.parametrize(("n", "which"), [(3, (0,)), (3, (2,)), (5, (2,)), (5, (0, 2))])
@pytest.mark.parametrize("scene", ["imaging", "slit", "echelle"])
def test_exposures_with_a_step_are_named(scene, n, which):
    """Lines and traces are in all exposures."""
    planes = planes_of(scene, n=n)
    for i in which:
        planes[i][QUADRANT] += 200
    found = found_in(planes)
    assert {one.exposures for one in found} == {(i,) for i in which}
    assert all(abs(abs(one.step) - 200) < 6 * one.error for one in found)


def test_the_warning_has_numbers_and_a_remedy():
    planes = planes_of()
    planes[1][QUADRANT] += 200
    with pytest.warns(CRStackWarning, match="sharp step where amplifiers may meet") as caught:
        loaded(planes)
    (message,) = [str(one.message) for one in caught]
    assert "against the other exposures: exposure 2 by -2" in message
    assert "adu from y = 100 to 101 at x = 151 to 300, +" in message
    assert "adu from x = 150 to 151 at y = 1 to 100. " in message
    assert "give an image of it as bias=" in message
    bias = np.zeros((3, *SHAPE))
    bias[1][QUADRANT] = 200
    # the remedy
    loaded(planes, bias=list(bias * u.adu))


def test_one_of_two_exposures():
    planes = planes_of(n=2)
    planes[1][HALF] += 200
    with pytest.warns(CRStackWarning, match="may meet, against the other exposure: exposure . by"):
        loaded(planes)


@pytest.mark.parametrize("flat", [False, True])
def test_the_gain_of_each_amplifier_is_no_step(flat):
    """In ADU, the level of raw exposures has a step; of those divided by a flat, it has one in electrons."""
    gain = np.where(np.arange(SHAPE[1]) < 150, 1.0, 1.6) * np.ones(SHAPE)
    rng = np.random.default_rng(7)
    electrons = rng.poisson(1500 * (gain if flat else np.ones(SHAPE)), (3, *SHAPE)) + rng.normal(0, 4, (3, *SHAPE))
    planes = electrons / gain
    found = loaded(planes, gain=gain * u.electron / u.adu)
    # one of the two units shows a step
    assert bool(amplifier_steps(found)) is not flat
    assert bool(amplifier_steps(found, found.noise.electrons_per_unit)) is flat


def test_of_many_exposures_some_are_listed():
    planes = planes_of(n=12)
    for i in range(5):
        planes[i][HALF] += 200 + 10 * i
    with pytest.warns(CRStackWarning, match="; and 2 exposures more. Is the bias"):
        loaded(planes)


def test_amplifiers_in_four_strips():
    planes = planes_of()
    planes[(slice(None), *STRIP)] += 200
    assert {(one.axis, one.border) for one in found_in(planes)} == {(1, 75), (1, 150)}


def test_four_levels_of_four_amplifiers():
    planes = planes_of()
    for k, box in enumerate((np.s_[:100, :150], np.s_[:100, 150:], np.s_[100:, :150], np.s_[100:, 150:])):
        planes[(slice(None), *box)] += 150 * k
    assert len(found_in(planes)) == 4


@pytest.mark.parametrize("scene", ["imaging", "ifu", "slit", "echelle"])
@pytest.mark.parametrize(
    ("options", "seed"),
    [
        ({"seeing": (2.0, 2.6, 3.4)}, 20),
        ({"offsets": ((0, 0), (0.4, -0.3), (-5, 3))}, 21),
        ({"sky_factors": (1, 1.5, 0.7), "flux_factors": (1, 0.5, 1.2)}, 22),
    ],
)
def test_no_step_where_there_is_none(scene, options, seed):
    """Fibres, traces, orders and lines at the middle of the image change with seeing, place and brightness."""
    planes = planes_of(scene, sky=50, seed=seed, **options)
    assert found_in(planes) == []
    assert found_in(planes[:2]) == []


@pytest.mark.parametrize("place", range(97, 104))
@pytest.mark.parametrize("width", [0.5, 1.0, 2.5])
def test_a_trace_in_the_middle_is_no_step(place, width):
    """Its seeing and brightness change between the exposures."""
    rows = np.arange(SHAPE[0])[:, None]
    rng = np.random.default_rng(5)
    traces = [
        np.broadcast_to(60 + 5000 * factor * np.exp(-0.5 * ((rows - place) / wide) ** 2), SHAPE)
        for factor, wide in ((1, width), (0.8, width), (0.7, 1.4 * width))
    ]
    planes = np.array([rng.poisson(one) + 4 * rng.standard_normal(SHAPE) for one in traces])
    assert found_in(planes) == []


def edge_on(height, lane, width, centre, length, shifts, fwhm, peak):
    """Exposures of an edge-on galaxy along the rows, with a dust lane, moved by some rows from each other."""
    rng, (y, x) = np.random.default_rng(4), np.mgrid[: SHAPE[0], : SHAPE[1]]
    images = []
    for shift in shifts:
        rows = y - 99.5 - centre - shift
        light = peak * np.exp(-np.abs(x - 150) / length) / np.cosh(rows / height) ** 2
        light *= 1 - lane * np.exp(-0.5 * (rows / width) ** 2)
        light = ndimage.gaussian_filter(light, fwhm / 2.355) + 100
        images.append(rng.poisson(light) + rng.normal(0, 4, SHAPE))
    return np.array(images)


@pytest.mark.parametrize("turned", [False, True], ids=["row", "column"])
@pytest.mark.parametrize(
    "galaxy",
    [
        (6.74, 0.95, 0.6, 0.33, 2000, (0, 0, 0), 1.6, 20000),
        (7.12, 0.5, 0.68, 0.47, 80, (0, 0, 0), 1.6, 500),
        (4.36, 0.95, 0.57, 1.47, 150, (0, 0, 0), 1.6, 500),
        (3.1, 0.0, 1.0, 1.3, 300, (-0.3, -0.5, 0.4), 2.5, 20000),
        (3.4, 0.0, 1.0, 0.6, 300, (2.0, 0.8, 1.6), 2.5, 20000),
    ],
)
def test_an_edge_on_galaxy_in_the_middle_is_no_step(galaxy, turned):
    """A narrow lane falls and rises within two rows; a shift leaves a rise and a fall beside the middle of the disk."""
    planes = edge_on(*galaxy)
    assert found_in(planes.swapaxes(1, 2) if turned else planes) == []


@pytest.mark.parametrize("value", [3000, -40])
def test_a_bright_or_dead_row_is_no_step(value):
    planes = planes_of(sky=50)
    planes[:, 100] += value
    assert found_in(planes) == []


def test_a_half_without_values_is_left_out():
    planes = planes_of()
    planes[(slice(None), *QUADRANT)] += 145
    planes[:, 100:] = np.nan
    # the border between the columns still has one half: no sign of a quadrant
    assert found_in(planes) == []


def test_small_images_have_none():
    planes = planes_of()[:, :40, :40]
    planes[:, :20] += 500
    assert found_in(planes) == []


def edge_planes(level_of_row):
    rng = np.random.default_rng(11)
    x = np.arange(SHAPE[1])
    levels = np.array([level_of_row(y, x) + np.zeros(SHAPE[1]) for y in range(SHAPE[0])])
    return rng.poisson(levels, (3, *SHAPE)) + rng.normal(0, 4, (3, *SHAPE))


@pytest.mark.parametrize(
    "level_of_row",
    [
        lambda y, x: 60 + 3000 * (y == 100),
        lambda y, x: 60 + 800 * min(max(y - 98, 0), 2),
        lambda y, x: 60 + (y >= 100) * 4000 * (x % 150 / 150) ** 4,
    ],
    ids=["bright row", "smooth edge", "edge of a slit with a spectrum along it"],
)
def test_edges_that_are_no_step(level_of_row):
    assert found_in(edge_planes(level_of_row)) == []


def test_the_edge_of_a_flat_level_is_one():
    assert len(found_in(edge_planes(lambda y, x: 60 + 800 * (y >= 100)))) == 2
