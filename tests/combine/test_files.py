"""Files of combined images, as read by other programs and by crstack."""

import shutil
import subprocess
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.utils import minversion
from astropy.wcs import WCS
from support.stacks import stack_of

import crstack
from crstack.combine import PixelFlag
from crstack.combine.files import combination_hdulist, combination_name, requested_combinations, write_combination
from crstack.exceptions import CRStackWarning, InputError
from crstack.masks import MaskRules, MaskSet

ENDINGS = [".fits", ".fits.gz", ".fits.fz"]


def sky():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [210.0, -30.0], [45.0, 30.0], [-1e-4, 1e-4]
    return wcs


@pytest.fixture(scope="module")
def combination(simulated):
    stack = stack_of(simulated)
    full = stack.combine("meancr2", masks=stack.detect(aux="pycosmic", boundary=None), full_output=True)
    full.ccd.wcs = sky()
    full.ccd.meta["AIRMASS"] = 1.25
    full.ccd.data[3, 4], full.ccd.mask[3, 4] = np.nan, True
    return full


def assert_same(one, other):
    assert one.name == other.name
    for name in ("count", "flags"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert_same_ccd(one.ccd, other.ccd)
    assert one.ccd.uncertainty.unit == other.ccd.uncertainty.unit
    assert one.ccd.header["AIRMASS"] == 1.25


def assert_same_ccd(one, other):
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.mask.dtype == bool
    assert isinstance(one.uncertainty, VarianceUncertainty)
    np.testing.assert_array_equal(one.uncertainty.array, other.uncertainty.array)
    assert one.unit == other.unit
    assert_same_wcs(one.wcs, other.wcs)


def assert_same_wcs(one, other):
    x, y = np.array([0.0, 7.0, 100.0]), np.array([0.0, 90.0, 3.0])
    np.testing.assert_allclose(one.wcs_pix2world(x, y, 0), other.wcs_pix2world(x, y, 0), rtol=1e-13)
    assert list(one.wcs.ctype) == list(other.wcs.ctype)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_combination_comes_back_whole(combination, tmp_path, ending):
    path = tmp_path / f"combined{ending}"
    write_combination(path, combination, ["made by hand"])
    back = crstack.read(path)
    assert_same(back, combination)
    assert list(back.ccd.header["HISTORY"])[-1] == "made by hand"
    # the byte order of this machine, so that other libraries read them
    for array in (back.ccd.data, back.ccd.uncertainty.array, back.count, back.flags):
        assert array.dtype.isnative
    with pytest.raises(InputError, match=r"no existing file; got .*overwrite=True replaces it"):
        write_combination(path, back)
    write_combination(path, back, overwrite=True)
    assert_same(crstack.read(path), combination)
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_astropy_reads_mask_and_variance(combination, tmp_path, ending):
    path = tmp_path / f"combined{ending}"
    write_combination(path, combination)
    options = {"hdu": 1} if ending.endswith("fz") else {}
    ccd = CCDData.read(path, hdu_uncertainty="VARIANCE", **options)
    assert_same_ccd(ccd, combination.ccd)
    if minversion("astropy", "8.0"):  # older versions read no flags
        flags = CCDData.read(path, hdu_flags="FLAGS", **options).flags
        np.testing.assert_array_equal(flags, combination.flags)


def test_extensions_of_the_file(combination):
    hdus = combination_hdulist(combination)
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "VARIANCE", "MAP", "MASK", "FLAGS"]
    assert [hdu.data.dtype.name for hdu in hdus] == ["float32", "float32", "int16", "uint8", "uint8"]
    for hdu in hdus:
        assert_same_wcs(WCS(hdu.header), sky())
    assert hdus[0].header["BUNIT"] == "adu"
    assert hdus["VARIANCE"].header["BUNIT"] == "adu2"
    assert hdus["VARIANCE"].header["UTYPE"] == "VarianceUncertainty"
    assert u.Unit(hdus["VARIANCE"].header["BUNIT"]) == u.adu**2
    assert "BUNIT" not in hdus["MAP"].header
    assert {flag: hdus["FLAGS"].header[f"FLAG{flag.value}"] for flag in PixelFlag} == {
        flag: flag.name for flag in PixelFlag
    }


# the values are photons of 100 ADU at another gain
@pytest.mark.filterwarnings("ignore:the exposures scatter")
def test_unit_of_the_variance_in_electrons(flat_exposures):
    electrons = [plane.value * u.electron for plane in flat_exposures()]
    full = crstack.CRStack(electrons, readnoise=5 * u.electron).combine("mean", full_output=True)
    header = combination_hdulist(full)["VARIANCE"].header
    assert u.Unit(header["BUNIT"]) == u.electron**2
    # photons of 100 and a read noise of 5, in a mean of three
    assert np.median(full.ccd.uncertainty.array) == pytest.approx((100 + 25) / 3, rel=0.1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_obey_the_standard(combination, tmp_path, ending):
    path = tmp_path / f"combined{ending}"
    write_combination(path, combination, ["a line of history", "räksmörgås"])
    with warnings.catch_warnings(), fits.open(path, checksum=True) as hdus:
        warnings.simplefilter("error")
        hdus.verify("exception")
        for hdu in hdus:
            hdu.verify("exception")
            _ = hdu.data
    verify(path)


def verify(path):
    """Run fitsverify, where it is installed."""
    if shutil.which("fitsverify"):
        done = subprocess.run(["fitsverify", path], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert "found 0 warning(s) and 0 error(s)" in done.stdout, done.stdout


def test_masks_obey_the_standard(stack, tmp_path):
    path = tmp_path / "crmasks.fits"
    stack.detect(aux=["pycosmic", "lacosmic"], rules=MaskRules(local_medians=[(5, 5, 3, 3)])).write(path)
    with fits.open(path) as hdus:
        hdus.verify("exception")
    verify(path)


def test_compression_saves_room_and_keeps_every_bit(combination, tmp_path):
    sizes = []
    for ending in ENDINGS:
        path = tmp_path / f"combined{ending}"
        write_combination(path, combination)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.8 * sizes[0]
    with fits.open(tmp_path / "combined.fits.fz", disable_image_compression=True) as hdus:
        assert [hdu.header.get("ZCMPTYPE") for hdu in hdus[1:]] == ["GZIP_2"] * 5
        assert {hdu.header.get("ZQUANTIZ", "NONE") for hdu in hdus[1:]} <= {"NONE", "NO_DITHER"}


def test_a_card_that_fits_cannot_hold_is_left_out_with_a_warning(combination):
    combination.ccd.meta["EXPTIME"] = 30.0
    combination.ccd.meta.append(fits.Card.fromstring("BAD.KEY =                  1.0"), end=True)
    with pytest.warns(CRStackWarning, match="header of the combined image has cards that FITS cannot hold"):
        header = combination_hdulist(combination)[0].header
    assert header["EXPTIME"] == 30.0
    del combination.ccd.meta["BAD.KEY"]


def without(name):
    def change(hdus):
        del hdus[name]

    return change


def other_shape(hdus):
    hdus["MAP"].data = hdus["MAP"].data[1:]


def no_unit(hdus):
    del hdus[0].header["BUNIT"]


def other_name(hdus):
    hdus[0].header["CRCOMBIN"] = "mode"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("FLAGS"), "combined image must be a file that crstack has written; got .* with no FLAGS"),
        (other_name, "combined image must be a file that crstack has written; got .* with CRCOMBIN = 'mode'"),
        (other_shape, r"MAP of .* must have the shape \(150, 180\) of the image; got \(149, 180\)"),
        (no_unit, "BUNIT of .* must state the unit of the combined image; got none"),
    ],
)
def test_other_files_are_refused(combination, tmp_path, change, message):
    hdus = combination_hdulist(combination)
    change(hdus)
    hdus.writeto(tmp_path / "other.fits")
    with pytest.raises(InputError, match=message):
        crstack.read(tmp_path / "other.fits")


def test_what_cannot_be_written_or_read(combination, tmp_path):
    with pytest.raises(InputError, match=r"must end in .fits, .fits.gz or .fits.fz; got one.fits.bz2"):
        write_combination(tmp_path / "one.fits.bz2", combination)
    with pytest.raises(InputError, match="combined image must be a FITS file that exists"):
        crstack.read(tmp_path / "none.fits")


def test_names_of_files_and_of_requested_combinations(stack):
    assert combination_name("mean") == "combined_mean.fits"
    assert combination_name("meancr2", "gzip") == "combined_meancr2.fits.gz"
    assert combination_name("meanjoint", "fpack") == "combined_meanjoint.fits.fz"
    masks = stack.detect(aux="pycosmic", boundary=None)
    assert requested_combinations(None, None) == ("mean", "median", "min")
    assert requested_combinations(["meancr2", "mean", "mean"], masks) == ("mean", "meancr2")
    assert requested_combinations("median", masks) == ("median",)
    for names, message in (
        (["mode"], "combination must be one of mean, .*; got 'mode'"),
        (["mean", "meanjoint"], "masks must be those of the joint decision for meanjoint"),
    ):
        with pytest.raises(InputError, match=message):
            requested_combinations(names, masks)
    with pytest.raises(InputError, match="compression must be one of none, gzip, fpack; got 'zip'"):
        combination_name("mean", "zip")


def test_a_file_of_masks_is_no_combined_image(tmp_path):
    MaskSet({name: np.zeros((5, 6), np.uint8) for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "MEANCR")}).write(
        tmp_path / "crmasks.fits"
    )
    with pytest.raises(InputError, match=r"got .*crmasks.fits with no VARIANCE.*: MaskSet\.read reads masks"):
        crstack.read(tmp_path / "crmasks.fits")


def test_a_file_without_images_is_refused(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(InputError, match=r"combined image must be a file that crstack has written; got .*empty\.fits"):
        crstack.read(tmp_path / "empty.fits")
