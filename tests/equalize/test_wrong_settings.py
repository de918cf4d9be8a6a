"""Settings of wrong kinds: one sentence, which names the setting and what was given."""

import re

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.equalize import Equalization
from crstack.exceptions import InputError

#: what is no list of numbers; the last has no unit, whose text is empty
WRONG = (
    *("foo", b"abc", True, [1, 2, "x"], [1, [2, 3], 4], [(1, 2), (3, 4), "xy"], {"a": 1}, {1, 2, 3}, [None] * 3),
    *([1 * u.m] * 3, 5 * u.m, [u.m] * 3, object(), np.zeros((3, 2, 2, 2)), [1j, 2, 3], np.array(["a", "b", "c"])),
    *(np.array([]), [1, 2, np.nan], 2 * u.dimensionless_unscaled),
)
#: the settings, and what some of them accept: a unit is checked with the exposures, and there may be no region
SETTINGS = ("flux_factors", "flux_regions", "offsets", "crosscorr_region", "response", "backgrounds", "seeing")
ACCEPTED = {("response", 9), ("backgrounds", 9), ("flux_regions", 16)}


@pytest.mark.parametrize("name", [*SETTINGS, "differences", "flux_method", "apply_flux_factors_to"])
@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_wrong_setting_is_named(name, number):
    """Some gave errors of numpy, or were used."""
    if (name, number) in ACCEPTED:
        Equalization(**{name: WRONG[number]})
        return
    with pytest.raises(InputError, match=f"^{name.split('_')[0]}.* must .*; got .") as caught:
        Equalization(**{name: WRONG[number]})
    assert "got '1'" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("differences", "foo", "differences must be 'auto' or None; got 'foo'"),
        ("seeing", [1, 2, "x"], "seeing must be a finite number; got 'x'"),
        ("seeing", "wide", "seeing must be 'auto', None, or a width in pixels for each exposure; got 'wide'"),
        ("flux_factors", "foo", "flux_factors must be 'auto', None, one number, or a number for each exposure; got"),
        ("offsets", "foo", "offsets must be 'auto', None, or a pair (dx, dy) for each exposure; got 'foo'"),
    ],
)
def test_words_of_a_wrong_setting(name, value, words):
    with pytest.raises(InputError, match=re.escape(words)):
        Equalization(**{name: value})


@pytest.mark.parametrize("seeing", [[2 * u.pix] * 3, [2.0] * 3 * u.pix, (2, np.float32(2), np.array(2.0)), [2] * 3])
def test_widths_may_have_units_and_any_list(seeing):
    assert Equalization(seeing=seeing).seeing == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("name", ["gain", "readnoise", "bias", "saturation", "exptime", "backgrounds"])
def test_a_number_without_a_unit_has_words(name):
    """The message ended with "got "."""
    ccds = make_stack("imaging", shape=(40, 50), seed=1).exposures
    given = {"gain": 1 * u.electron / u.adu, "readnoise": 3.4 * u.electron}
    given[name] = [1, 2, 3] * u.dimensionless_unscaled if name == "backgrounds" else 2 * u.dimensionless_unscaled
    with pytest.raises(InputError, match=f"{name} must be in .*; got no unit$"):
        CRStack(ccds, **given)


def test_exposures_without_a_unit_have_words():
    with pytest.raises(InputError, match=r"must be adu or electron, or either per second; got no unit$"):
        CRStack([CCDData(np.ones((20, 30)), unit="") for _ in range(3)], readnoise=3 * u.electron)


def test_exposure_times_may_be_a_list_of_quantities():
    ccds = make_stack("imaging", shape=(40, 50), seed=1).exposures
    given = {"gain": 1 * u.electron / u.adu, "readnoise": 3.4 * u.electron}
    assert CRStack(ccds, exptime=[60 * u.s, 60 * u.s, 1 * u.min], **given).exposures.exptimes == (60, 60, 60)
    for wrong in ([1, [2, 3], 4], [1 * u.m] * 3, [(1, 2), (3, 4), "xy"]):
        with pytest.raises(InputError, match="exptime must be"):
            CRStack(ccds, exptime=wrong, **given)
