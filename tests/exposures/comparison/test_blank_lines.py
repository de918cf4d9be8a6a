"""Blank columns and rows of one exposure, on a uniform light."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack.exposures import load_exposures
from crstack.exposures.comparison.blank_lines import blank_lines
from crstack.exposures.comparison.parts_of_lines import means_of_parts

READNOISE, SHAPE = 4.0, (120, 160)


def found_in(images, axis, bad=None, which=1):
    """Blank lines of an exposure, without the search for low values before."""
    flat = [CCDData(one, unit="electron") for one in images_of(300.0, seed=5101)]
    loaded = load_exposures(flat, readnoise=READNOISE * u.electron)
    data = np.where(False if bad is None else bad, 0, images).astype(np.float32)
    exposures = replace(loaded, data=data, bad=bad)
    return blank_lines(exposures, which, axis, means_of_parts(exposures)[axis], np.full((3, 1), READNOISE))


def images_of(level, seed=5100):
    rng = np.random.default_rng(seed)
    return rng.poisson(level, (3, *SHAPE)) + rng.normal(0, READNOISE, (3, *SHAPE))


def dimmed(images, axis, line, share):
    """The images, with a line of the second one at a share of its light."""
    images[(1, slice(None), line) if axis == 0 else (1, line)] *= share
    return images


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("share", [0.15, 0.19])
def test_a_line_with_less_than_a_quarter_of_its_light(axis, share):
    ((line, left),) = found_in(dimmed(images_of(300.0), axis, 50, share), axis)
    assert line == 50
    assert left == pytest.approx(share, abs=0.02)
    assert found_in(dimmed(images_of(300.0), axis, 50, share), 1 - axis) == []


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_line_with_more_light_is_not_blank(share):
    assert found_in(dimmed(images_of(300.0), 1, 50, share), 1) == []


def test_light_below_the_noise_is_not_compared():
    assert found_in(dimmed(images_of(15.0), 1, 50, 0), 1) != []
    assert found_in(dimmed(images_of(6.0), 1, 50, 0), 1) == []
    # another exposure without light there: a feature of one exposure is in question, not this line
    images = images_of(15.0)
    images[2] *= 0.4
    assert found_in(dimmed(images, 1, 50, 0), 1) == []


def test_bad_values_do_not_count():
    bad = np.zeros((3, *SHAPE), dtype=bool)
    bad[1, 50, :70] = True
    assert [line for line, _ in found_in(dimmed(images_of(300.0), 1, 50, 0.15), 1, bad)] == [50]
    bad[1, 50, :110] = True
    assert found_in(dimmed(images_of(300.0), 1, 50, 0.15), 1, bad) == []


@pytest.mark.parametrize("line", [0, 119])
def test_lines_at_the_edge_have_no_light_on_both_sides(line):
    assert found_in(dimmed(images_of(300.0), 1, line, 0.15), 1) == []


def test_wide_parts_are_no_lines():
    images = images_of(300.0)
    for line in range(50, 58):
        dimmed(images, 1, line, 0.15)
    assert [line for line, _ in found_in(images, 1)] == list(range(50, 58))
    assert found_in(dimmed(images, 1, 58, 0.15), 1) == []


def test_many_blank_lines_are_another_fault():
    images = images_of(300.0)
    for line in (20, 45, 70):
        dimmed(images, 1, line, 0.15)
    assert len(found_in(images, 1)) == 3
    assert found_in(dimmed(images, 1, 95, 0.15), 1) == []
