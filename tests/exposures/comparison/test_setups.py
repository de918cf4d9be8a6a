"""Exposures of different filters or gratings, by their headers."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning
from crstack.exposures.comparison.setups import warn_of_gains, warn_of_setups


def headers(*values, keyword="FILTER"):
    return [{} if value is None else {keyword: value} for value in values]


def names(number):
    return [f"n{i + 1}.fits" for i in range(number)]


@pytest.mark.parametrize("keyword", ["FILTER", "FILTER2", "GRISM", "CCDSUM", "IMAGETYP"])
def test_values_and_exposures_are_named(keyword):
    with pytest.warns(CRStackWarning) as caught:
        warn_of_setups(headers("V", "R ", "V", "i", keyword=keyword), names(4))
    assert len(caught) == 1
    assert str(caught[0].message).startswith(
        f"the headers name different setups: {keyword} is V in n1.fits, n3.fits, R in n2.fits, I in n4.fits. What"
    )


def test_the_keywords_that_differ_sort_the_exposures():
    headers_of_two = [
        {"FILTER": "V", "IMAGETYP": kind, "CCDSUM": binning} for kind, binning in (("object", "1 1"), ("flat", "2 2"))
    ]
    with pytest.warns(CRStackWarning, match="crstack batch --group-by CCDSUM,IMAGETYP sorts them$"):
        warn_of_setups(headers_of_two, names(2))


def test_many_are_shortened():
    with pytest.warns(CRStackWarning, match=r"A in n1.fits, n7.fits, n8.fits and 2 more, B in .* and 2 more\. What"):
        warn_of_setups(headers(*"ABCDEF", *"AAAA"), names(10))


@pytest.mark.parametrize(
    "values", [("V", "v ", "V"), ("V", None, "R"), (None, None), (1, 2), ("", " ")], ids=lambda values: repr(values)
)
def test_no_warning(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_setups(headers(*values), names(len(values)))


def test_exposures_of_a_stack():
    rng = np.random.default_rng(2)
    exposures = [
        CCDData(rng.normal(100, 5, (40, 50)), unit="adu", meta={"FILTER": one, "FILTER1": "clear"}) for one in "VVR"
    ]
    options = {"gain": 4 * u.electron / u.adu, "readnoise": 1 * u.electron}
    with pytest.warns(CRStackWarning, match="different setups: FILTER is V in exposure 1, exposure 2, R in exposure 3"):
        CRStack(exposures, **options)


def test_binning_as_numbers():
    with pytest.warns(CRStackWarning, match="different setups: XBINNING is 1 in a, b, 2 in c"):
        warn_of_setups([{"XBINNING": one} for one in (1, 1.0, 2)], "abc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_setups([{"XBINNING": one} for one in (1, 1, 1.0)], "abc")
        warn_of_setups([{"XBINNING": one} for one in (1, True, 2)], "abc")


def exposures_of(unit, keyword="GAIN", scatter=5.0):
    rng = np.random.default_rng(2)
    return [CCDData(rng.normal(100, scatter, (40, 50)), unit=unit, meta={keyword: one}) for one in (1.5, 1.5, 3.0)]


@pytest.mark.parametrize("keyword", ["GAIN", "EGAIN"])
def test_gains_that_differ_where_one_is_given(keyword):
    """Half of the counts of one exposure is no sky, and its noise is wrong: reading was silent."""
    options = {"gain": 4 * u.electron / u.adu, "readnoise": 1 * u.electron}
    with pytest.warns(CRStackWarning, match="the headers name different gains") as caught:
        CRStack(exposures_of("adu", keyword), **options)
    words = str(caught[0].message)
    assert f"{keyword} is 1.5 in exposure 1, exposure 2, 3 in exposure 3." in words
    assert f"crstack batch --group-by {keyword} sorts them" in words


def test_gains_of_electrons_do_not_count():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CRStack(exposures_of("electron", scatter=10.8), readnoise=4 * u.electron)


@pytest.mark.parametrize("gains", [(1.5, 1.51, 1.49), (1.5, None, 3.0), ("low", "high"), (0, 1), (True, False)])
def test_gains_that_are_equal_or_not_known(gains):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_gains([{} if one is None else {"GAIN": one} for one in gains], names(len(gains)))
