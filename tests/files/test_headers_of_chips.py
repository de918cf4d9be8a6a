"""The extensions of one chip, as a file of this chip alone."""

import numpy as np
import pytest
from astropy.io import fits

from crstack import read
from crstack.exceptions import InputError
from crstack.files.headers import CHIP, chip_hdus


def test_the_primary_has_the_cards_of_the_chip_but_not_those_of_its_array():
    hdus = [fits.PrimaryHDU()]
    for chip in ("A", "B"):
        for name in ("SCI", "MAP"):
            hdu = fits.ImageHDU(np.zeros((3, 4)), name=name)
            hdu.header[CHIP], hdu.header["OBJECT"] = chip, f"M33 {chip}"
            hdus.append(hdu)
    found = chip_hdus(fits.HDUList(hdus), "B", "f.fits")
    assert [hdu.name for hdu in found] == ["PRIMARY", "SCI", "MAP"]
    assert found[0].header["OBJECT"] == "M33 B"
    assert "EXTNAME" not in found[0].header
    assert found[1].header[CHIP] == found[2].header[CHIP] == "B"
    with pytest.raises(InputError, match=r"chip must be one of those of f\.fits \(A, B\); got 'C'"):
        chip_hdus(fits.HDUList(hdus), "C", "f.fits")
    with pytest.raises(InputError, match="got None"):
        chip_hdus(fits.HDUList(hdus), None, "f.fits")


@pytest.mark.parametrize("name", ["x" * 300 + ".fits", "a\0b.fits", "none.fits"])
def test_names_that_no_file_can_have(name, tmp_path):
    with pytest.raises(InputError, match="combined image must be a FITS file that exists; got "):
        read(tmp_path / name)
