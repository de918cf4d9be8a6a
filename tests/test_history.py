"""HISTORY of products: complete lines, each once."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from crstack import MaskSet
from crstack.files.history import add_history, history_of

LINES = [
    "short",
    "long " * 40 + "end",
    "a" * 72,
    "a" * 71 + "&",
    "b" * 71 + "&" + "c" * 72,
    "an ampersand &",
    "x" * 144,
]


@pytest.mark.parametrize("line", LINES)
def test_lines_come_back_whole(line, tmp_path):
    header = fits.Header()
    add_history(header, ["before", line, "after"])
    fits.PrimaryHDU(header=header).writeto(tmp_path / "one.fits")
    assert history_of(fits.getheader(tmp_path / "one.fits")) == ["before", line, "after"]


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
