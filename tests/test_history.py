"""HISTORY of products: complete lines, each once."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from crstack import MaskSet
from crstack.files.history import LONGEST, add_history, history_of

LINES = [
    "short",
    "long " * 40 + "end",
    "a" * 72,
    "a" * 71 + "&",
    "b" * 71 + "&" + "c" * 72,
    "an ampersand &",
    "x" * 144,
    "word " * 13 + "y" * 200 + " and, after a long word, more words that need another card of their own",
    "spaces   between   words   " * 6 + "end",
    "& " * 80 + "&",
]


@pytest.mark.parametrize("line", LINES)
def test_lines_come_back_whole(line, tmp_path):
    header = fits.Header()
    add_history(header, ["before", line, "after"])
    fits.PrimaryHDU(header=header).writeto(tmp_path / "one.fits")
    assert history_of(fits.getheader(tmp_path / "one.fits")) == ["before", line, "after"]


def test_lines_are_broken_between_words():
    line = "noise: NoiseModel(gain=1.0 electron / adu, readnoise=3.4 electron, n_averaged=1), sigma_det=(5.0, 3.0)"
    header = fits.Header()
    add_history(header, [line])
    assert list(map(str, header["HISTORY"])) == [
        "noise: NoiseModel(gain=1.0 electron / adu, readnoise=3.4 electron, &",
        "  n_averaged=1), sigma_det=(5.0, 3.0)",
    ]
    assert len(header.tostring()) == 2880  # no card is longer than 80 letters


def test_random_lines_come_back_whole():
    rng = np.random.default_rng(6)
    for _ in range(500):
        line = "".join(rng.choice(list("abcd& ,  "), rng.integers(1, 300))).strip()
        header = fits.Header()
        add_history(header, ["first", line, "last"])
        assert max(len(str(card)) for card in header["HISTORY"]) <= LONGEST
        assert history_of(fits.Header.fromstring(header.tostring())) == list(dict.fromkeys(["first", line, "last"]))


def test_lines_of_earlier_versions_are_read():
    """They were broken at any letter."""
    line = "a line of words that was broken at its seventy-first letter, within a w" + "ord or between words"
    header = fits.Header()
    for card in (line[:71] + "&", line[71:]):
        header.add_history(card)
    assert history_of(header) == [line]


def test_no_line_twice():
    header = fits.Header()
    add_history(header, LINES)
    n = len(header["HISTORY"])
    add_history(header, [*LINES, "new"])
    assert len(header["HISTORY"]) == n + 1


def test_masks_keep_history_and_world_coordinates(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150.0, 2.0], [3.0, 4.0], [-1e-4, 1e-4]
    names = ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "MEANCR")
    codes = {name: np.zeros((6, 7), np.uint8) for name in names}
    MaskSet(codes, history=tuple(LINES), wcs=wcs).write(tmp_path / "masks.fits")
    again = MaskSet.read(tmp_path / "masks.fits")
    assert again.history == tuple(LINES)
    np.testing.assert_allclose(again.wcs.pixel_to_world_values(1, 2), wcs.pixel_to_world_values(1, 2), rtol=1e-12)
    MaskSet(codes).write(tmp_path / "masks.fits", overwrite=True)
    assert MaskSet.read(tmp_path / "masks.fits").wcs is None
