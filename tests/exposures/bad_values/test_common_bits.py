"""Bits of the data quality that make a large part of every exposure bad."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import NDData
from support.exposures import READNOISE, SHAPE, made

from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures

NOISE = {"readnoise": READNOISE * u.electron}
#: a bit that informs, as in files of JWST, and one of bad pixels
INFORMS, BAD = 2**18, 1


def quality(fraction=0.4, bit=INFORMS):
    """An image of bits: one in the first rows, and bad pixels in a column."""
    image = np.zeros(SHAPE, np.int32)
    image[: round(fraction * SHAPE[0])] |= bit
    image[::5, 7] |= BAD
    return image


def loaded(qualities):
    ccds = [NDData(one, unit="electron", mask=q) for one, q in zip(made(), qualities, strict=True)]
    return load_exposures(ccds, **NOISE)


def written(folder, image):
    paths = [folder / f"{i}.fits" for i in range(3)]
    for path, one in zip(paths, made(), strict=True):
        sci = fits.ImageHDU(one, fits.Header({"BUNIT": "electron"}), name="SCI")
        fits.HDUList([fits.PrimaryHDU(), sci, fits.ImageHDU(image, name="DQ")]).writeto(path)
    return paths


def test_a_bit_of_integer_masks_is_named():
    with pytest.warns(CRStackWarning, match=r"every exposure is bad because of bit 262144 \(40 % of the val") as found:
        loaded([quality()] * 3)
    assert "ccd.mask = (ccd.mask & 262143) != 0 (for files: the option bits=262143 with dq_ext)" in str(
        found[0].message
    )
    loaded([(quality() & 262143) != 0] * 3)


def test_the_range_of_several_bits():
    qualities = [quality(0.3) | 2 * (quality(0.5) > 1), quality(0.5) | 2 * (quality(0.4) > 1), quality()]
    qualities[2] |= 2 * (qualities[2] > 1)
    with pytest.warns(CRStackWarning, match=r"bit 2 \(40 to 50 % .*, bit 262144 \(30 to 50 % .* If they mark usable"):
        loaded(qualities)


def test_the_option_bits_of_files(tmp_path):
    paths = written(tmp_path, quality())
    remedy = r"option bits: dq_ext='DQ', bits=262143 \(command: --dq-ext DQ --bits 262143; parameter file"
    with pytest.warns(CRStackWarning, match=remedy):
        load_exposures(paths, ext="SCI", dq_ext="DQ", **NOISE)
    exposures = load_exposures(paths, ext="SCI", dq_ext="DQ", bits=262143, **NOISE)
    assert exposures.bad[0].sum() == SHAPE[0] / 5


@pytest.mark.parametrize(
    "qualities",
    [
        [quality(0.2)] * 3,
        [quality(), quality(), quality(0.0)],
        [quality(0.4, BAD)] * 3,
        [(255 * (quality() > 1)).astype(np.uint8)] * 3,
        [-(quality() > 1).astype(np.int8)] * 3,
        [quality() > 1] * 3,
    ],
    ids=["small part", "one exposure without", "0 and 1", "0 and 255", "0 and -1", "bool"],
)
def test_other_masks_are_no_bits(qualities):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(qualities)
