"""World coordinates that give another shift than the one that is used."""

import re
import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData
from support.stacks import stack_of

from crstack.datasets import make_stack
from crstack.equalize.terms.wcs_shifts import compare_with_wcs, shifts_by_wcs
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")

SHIFTS = ((0.4, -0.3), (0.0, 0.0), (-0.3, 0.6))

SMALL = ((0.2, -0.1), (0.0, 0.0), (-0.2, 0.2))


def moved(scene="imaging", wrong=(0.0, 0.0), **options):
    """Exposures whose WCS follow the scene, but for the last one."""
    simulated = make_stack(scene, (150, 170), hit_rate=0.01, seed=5, **({"offsets": SHIFTS} | options))
    simulated.exposures[2].wcs.wcs.crpix += wrong
    simulated.exposures[2].wcs.wcs.set()
    return simulated


def exposures_of(simulated):
    return load_exposures(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)


@pytest.mark.parametrize("scene", ["imaging", "slit"])
def test_shifts_by_the_coordinates(scene):
    np.testing.assert_allclose(shifts_by_wcs(exposures_of(moved(scene))), SHIFTS, atol=1e-3)
    expected = np.add(SHIFTS, ((0, 0), (0, 0), (3, -2)))
    found = shifts_by_wcs(exposures_of(moved(scene, (3, -2))))
    np.testing.assert_allclose(found, expected - np.median(expected, axis=0), atol=1e-3)


def test_both_numbers_are_reported():
    exposures = exposures_of(moved(wrong=(3, -2)))
    words = (
        "it shifts exposure 3 by (+2.70, -1.40) pixels, and (-0.30, +0.60) are measured. Check the WCS; combined images"
    )
    with pytest.warns(CRStackWarning, match=re.escape(words)):
        assert compare_with_wcs(exposures, SHIFTS, [(0.01, 0.01)] * 3) == (2,)
    with pytest.warns(CRStackWarning, match=r"are given\. Check the WCS and the offsets"):
        assert compare_with_wcs(exposures, SHIFTS) == (2,)


def test_no_warning_within_the_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exposures = exposures_of(moved())
        assert compare_with_wcs(exposures, SHIFTS) == ()
        # only the differences between the exposures count
        assert compare_with_wcs(exposures, np.array(SHIFTS) + 5) == ()
        assert compare_with_wcs(exposures, [(0.0, 0.0)] * 3, [(0.1, 0.1)] * 3) == ()
        assert compare_with_wcs(exposures_of(moved(wrong=(1.2, 0))), SHIFTS, [(0.5, 0.5)] * 3) == ()


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
@pytest.mark.parametrize("options", [{}, {"offsets": SMALL}, {"crosscorr_region": (1, 170, 1, 150)}])
def test_detect_compares(method, options):
    how = "given" if "offsets" in options else "measured"
    stack = stack_of(moved(wrong=(3, 0), offsets=SMALL), **options)
    with pytest.warns(CRStackWarning, match=rf"shifts exposure 3 by \(\+2\.[78]\d, .* are {how}"):
        stack.detect(method, aux=None)
    stack = stack_of(moved(offsets=SMALL), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.detect(method, aux=None)


def test_a_shift_that_the_exposures_do_not_show():
    simulated = moved(wrong=(4, 0), offsets=None)
    with pytest.warns(
        CRStackWarning, match=r"exposure 3 by \(\+4.00, \+0.00\) pixels, and \(\+0.00, \+0.00\) are meas"
    ):
        stack_of(simulated).detect("joint")
    # what is switched off is not compared
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack_of(simulated, offsets=None).detect("joint")
        stack_of(simulated, differences=None).detect("joint")


def test_coordinates_in_the_header_alone():
    """A CCDData of an array and a header has no WCS of its own."""
    simulated = moved(wrong=(4, 0), offsets=None)
    images = [CCDData(ccd.data, unit=ccd.unit, header=ccd.wcs.to_header()) for ccd in simulated.exposures]
    assert all(one.wcs is None for one in images)
    exposures = load_exposures(images, gain=simulated.gain, readnoise=simulated.readnoise)
    np.testing.assert_allclose(shifts_by_wcs(exposures), [(0, 0), (0, 0), (4, 0)], atol=1e-3)
    # the header does not contradict the WCS
    assert "CRPIX1" not in exposures.header
    assert exposures.wcs.wcs.crpix == pytest.approx(simulated.exposures[0].wcs.wcs.crpix)


def test_coordinates_that_cannot_be_compared():
    simulated = moved()
    images = [CCDData(ccd.data, unit=ccd.unit) for ccd in simulated.exposures]
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise}
    assert shifts_by_wcs(load_exposures(images, **options)) is None
    one = simulated.exposures[1].wcs
    one.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    one.wcs.set()
    assert shifts_by_wcs(exposures_of(simulated)) is None
    turned = moved()
    angle = np.radians(5)
    turned.exposures[1].wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned.exposures[1].wcs.wcs.set()
    assert shifts_by_wcs(exposures_of(turned)) is None
    assert compare_with_wcs(exposures_of(turned), SHIFTS) == ()


def test_coordinates_of_another_field_are_reported():
    """Far from each other, the axes of two fields are turned, and no shift can be computed."""
    simulated = moved()
    simulated.exposures[2].wcs.wcs.crval += (8, 1)
    simulated.exposures[2].wcs.wcs.set()
    exposures = exposures_of(simulated)
    assert shifts_by_wcs(exposures) is None
    with pytest.warns(CRStackWarning, match="another field than that of .* its centre differs in exposure 3"):
        assert compare_with_wcs(exposures, SHIFTS) == (2,)


@pytest.mark.parametrize("angle", [2.0, 90.0])
def test_turned_coordinates_of_one_field_are_no_other_field(angle):
    simulated = moved()
    wcs = simulated.exposures[2].wcs.wcs
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.pc = [[cos, -sin], [sin, cos]]
    wcs.crval += (0, 50 * wcs.cdelt[1])
    wcs.set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare_with_wcs(exposures_of(simulated), SHIFTS) == ()
