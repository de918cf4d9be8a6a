"""Headers: values that FITS cannot hold, and world coordinates."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from crstack.exposures.input.headers import cleaned_header, split_wcs, wcs_cards


def raw_header(*cards):
    """A header as astropy reads it from a file."""
    block = b"".join(card.ljust(80) for card in (b"SIMPLE  =                    T", *cards, b"END"))
    return fits.Header.fromstring(block)


@pytest.mark.parametrize(
    ("card", "keyword", "value", "change"),
    [
        (b"TEL.ESC =  1", "TEL_ESC", 1, "TEL.ESC renamed TEL_ESC"),
        (b"A/B     =  1", "A_B", 1, "A/B renamed A_B"),
        (b"A B     =  1", "A_B", 1, "A B renamed A_B"),
        (b"OBJECT  = 'a\tb'", "OBJECT", "a b", "OBJECT in other letters"),
        (b"OBJECT  = 'M31\x00'", "OBJECT", "M31", "OBJECT in other letters"),
        (b"OBJECT  = 'a' / x\ty", "OBJECT", "a", "OBJECT in other letters"),
        (b"HISTORY a\tb", "HISTORY", "a b", "HISTORY in other letters"),
        (b"BAR     = 1.2.3", "BAR", "1.2.3", "BAR in other letters"),
        (b"FOO     = 'abc", "FOO", "'abc", "FOO in other letters"),
        (b"lower   =  1", "LOWER", 1, None),
        (b"HIERARCH ESO DET OUT1 CONAD = 1.2 / [e-/ADU]", "ESO DET OUT1 CONAD", 1.2, None),
    ],
)
def test_cards_that_astropy_reads_but_will_not_write(tmp_path, card, keyword, value, change):
    header, changes = cleaned_header(raw_header(card))
    assert changes == ([] if change is None else [change])
    fits.PrimaryHDU(np.zeros((2, 2)), header).writeto(tmp_path / "a.fits", output_verify="exception")
    written = fits.getheader(tmp_path / "a.fits")
    assert written.get(keyword) == value or str(written[keyword]) == value


@pytest.mark.parametrize(
    ("value", "written", "change"),
    [
        (Time("2024-01-01"), "2024-01-01T00:00:00.000", None),
        (300 * u.s, 300.0, None),
        (np.float32(1.5), 1.5, None),
        (np.bool_(True), True, None),
        ((1, "comment"), 1, None),
        ("José", "Jose", "KEY in other letters"),
        ("a\nb", "a b", "KEY in other letters"),
        ("x" * 200, "x" * 200, None),
        ([1, 2], "absent", "KEY left out"),
        ({"b": 1}, "absent", "KEY left out"),
        (np.zeros(3), "absent", "KEY left out"),
        (np.nan, "absent", "KEY left out"),
        (np.inf * u.s, "absent", "KEY left out"),
        ([1, 2] * u.s, "absent", "KEY left out"),
    ],
)
def test_meta_of_a_ccd(value, written, change):
    header, changes = cleaned_header({"KEY": value})
    assert header.get("KEY", "absent") == written
    assert changes == ([] if change is None else [change])


def test_the_unit_of_a_quantity_is_in_the_comment():
    assert cleaned_header({"exptime": 300 * u.s})[0].comments["EXPTIME"] == "[s]"


def test_cards_about_the_data_are_left_out_without_a_word():
    stale = {"CHECKSUM": "abc", "DATASUM": "1", "BLANK": -32768, "DATAMIN": 0.0, "DATAMAX": 1.0, "NAXIS1": 5}
    header, changes = cleaned_header(stale | {"OBJECT": "M33"})
    assert (list(header), changes) == (["OBJECT"], [])


def tangential():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [10, 20], [5, 6]
    wcs.wcs.cd = [[-1e-4, 2e-5], [2e-5, 1e-4]]
    return wcs


def test_the_wcs_is_taken_out_of_the_header_and_comes_back():
    header = fits.Header({"OBJECT": "M33", "DATE-OBS": "2024-01-01"})
    header.update(tangential().to_header())
    for row in (1, 2):
        for column in (1, 2):
            header[f"CD{row}_{column}"] = header.pop(f"PC{row}_{column}")
    rest, wcs = split_wcs(header)
    assert set(rest) == {"OBJECT", "DATE-OBS"}
    np.testing.assert_allclose(wcs.wcs_pix2world([[3, 4]], 0), tangential().wcs_pix2world([[3, 4]], 0))
    again = WCS(wcs_cards(wcs))
    np.testing.assert_allclose(again.wcs_pix2world([[3, 4]], 0), wcs.wcs_pix2world([[3, 4]], 0))
    assert header["CTYPE1"] == "RA---TAN"  # the given header does not change


def test_a_third_axis_is_left_out():
    header = tangential().to_header()
    header.update({"WCSAXES": 3, "CTYPE3": "STOKES", "CRPIX3": 1.0, "CRVAL3": 1.0, "CDELT3": 1.0, "CD3_3": 1.0})
    rest, wcs = split_wcs(header)
    assert wcs.naxis == 2
    assert not [keyword for keyword in rest if keyword.endswith("3")]


def test_without_a_wcs_there_are_no_cards():
    assert split_wcs(fits.Header({"OBJECT": "M33"}))[1] is None
    assert len(wcs_cards(None)) == 0


@pytest.mark.parametrize("value", [2**63, -(2**65), 10**39])
def test_integers_of_more_than_64_bits_are_kept(value, tmp_path):
    header, changes = cleaned_header({"EXPTIME": value})
    assert (header["EXPTIME"], changes) == (value, [])
    fits.PrimaryHDU(header=header).writeto(tmp_path / "a.fits")
    assert fits.getheader(tmp_path / "a.fits")["EXPTIME"] == value


@pytest.mark.parametrize("value", [10**40, -(10**400)])
def test_integers_that_no_card_holds_are_left_out(value):
    header, changes = cleaned_header({"EXPTIME": value, "A": 1})
    assert "EXPTIME" not in header
    assert changes == ["EXPTIME left out"]


def test_a_card_that_does_not_fit_is_left_out_each_time():
    key = "HIERARCH ESO " + "A" * 75
    for _ in range(2):
        header, changes = cleaned_header({key: 1.5, "EXPTIME": 1.0})
        assert (list(header), changes) == (["EXPTIME"], [f"{key} left out"])


def test_equal_values_of_other_kinds_stay_what_they_are():
    for value in (0.0, -0.0, 0, False, 1, True, 1.0):
        header, changes = cleaned_header({"VALUE": value})
        assert (str(header["VALUE"]), type(header["VALUE"]), changes) == (str(value), type(value), [])
