"""Data quality images, and copies of exposures with their masks."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from crstack import CRStack, MaskSet, PiecewiseBoundary
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures.quality import CONVENTIONS, REASONS, bits_of, unusable
from crstack.masks.quality import QUALITY_BITS

pytestmark = pytest.mark.usefixtures("quick_joint")

SHAPE = (12, 14)
HIT = {1: (2, 3), 2: (4, 5), 3: (6, 7)}
BAD = (8, 9)


@pytest.fixture
def masks():
    names = ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR")
    codes = {name: np.zeros(SHAPE, np.uint8) for name in names}
    for i, place in HIT.items():
        codes[f"CRMASK{i}"][place] = 2
    return MaskSet(codes)


@pytest.fixture
def stack():
    rng = np.random.default_rng(1)
    ccds = [CCDData(rng.normal(100, 5, SHAPE), unit=u.electron) for _ in range(3)]
    ccds[1].mask = np.zeros(SHAPE, bool)
    ccds[1].mask[BAD] = True
    return CRStack(ccds, readnoise=5 * u.electron)


@pytest.mark.parametrize("convention", QUALITY_BITS)
def test_bits_that_are_set_are_bits_that_are_read(masks, stack, convention):
    table = QUALITY_BITS[convention]
    assert set(REASONS) == set(CONVENTIONS[convention])
    assert set(table) == set(REASONS)
    for reason in table:
        assert table[reason] & CONVENTIONS[convention][reason] == table[reason]
        assert table[reason].bit_count() == (1 if CONVENTIONS[convention][reason] else 0)
    quality = masks.to_dq(bits=convention.upper(), exposures=stack.exposures)
    assert quality.dtype == np.int16
    expected = np.zeros((3, *SHAPE))
    for i, place in HIT.items():
        expected[i - 1][place] = table["hit"]
    expected[1][BAD] = table["bad"]
    np.testing.assert_array_equal(quality, expected)
    # read again, bad values are bad, and hits are found anew
    bad, saturated = unusable(quality[1], convention, "x")
    assert np.argwhere(bad).tolist() == [list(BAD)]
    assert not saturated.any()


def test_bits_of_the_user(masks):
    changed = {**QUALITY_BITS["stsci"], "hit": 4096}
    assert masks.to_dq(bits=changed)[0][HIT[1]] == 4096
    large = masks.to_dq(bits={"hit": 1 << 20})
    assert large.dtype == np.int32
    assert large[2][HIT[3]] == 1 << 20
    assert bits_of({"hit": 8})["bad"] == 0
    for bits, message in (
        ("hubble", "bits must be one of stsci, lsst, dragons, or bits by reason; got 'hubble'"),
        ({"ray": 1}, "bits must be given for hit, bad, saturated, low, replaced; got 'ray'"),
        (3, "bits must be one of stsci, lsst, dragons, or bits by reason; got 3"),
        ({"hit": 1 << 31}, r"bits must be below 2\*\*31; got 2147483648"),
    ):
        with pytest.raises(InputError, match=message):
            masks.to_dq(bits=bits)


def test_saturated_values_have_their_own_bit(masks, stack):
    bad, saturated = stack.exposures.bad.copy(), np.zeros((3, *SHAPE), bool)
    saturated[0, 1, 1] = bad[0, 1, 1] = True
    exposures = replace(stack.exposures, bad=bad, saturated=saturated)
    quality = masks.to_dq(bits="lsst", exposures=exposures)
    assert quality[0, 1, 1] == QUALITY_BITS["lsst"]["saturated"]
    assert quality[1][BAD] == QUALITY_BITS["lsst"]["bad"]


MASKS_OF_TWO = (("MASK", 1), ("MASK", 2))


@pytest.fixture
def files(tmp_path):
    """Typical files: integers with BZERO, one with a DQ extension of its own, one compressed."""
    paths = []
    (tmp_path / "raw").mkdir()
    for i in range(3):
        image = fits.PrimaryHDU(np.arange(168, dtype=np.uint16).reshape(SHAPE) + np.uint16(40000 + i))
        image.header["OBJECT"], image.header["CTYPE1"], image.header["CTYPE2"] = "M 31", "RA---TAN", "DEC--TAN"
        image.header["CRVAL1"], image.header["CRPIX1"] = 10.0, 3.0
        hdus = fits.HDUList([image])
        if i == 1:
            quality = np.zeros(SHAPE, np.int16)
            quality[0, 0] = 16
            hdus.append(fits.ImageHDU(quality, name="DQ"))
        paths.append(tmp_path / "raw" / ("c.fits.gz" if i == 2 else f"{'ab'[i]}.fits"))
        hdus.writeto(paths[-1])
    return paths


def test_copies_of_exposures_with_their_masks(masks, stack, files, tmp_path):
    written = masks.write_exposures(files, tmp_path / "out", exposures=stack.exposures)
    assert written == [tmp_path / "out" / path.name for path in files]
    for i, (path, original) in enumerate(zip(written, files, strict=True), start=1):
        with fits.open(path) as hdus, fits.open(original) as before:
            np.testing.assert_array_equal(hdus[0].data, before[0].data)
            assert hdus[0].header == before[0].header
            assert hdus["DQ"].data[HIT[i]] == 8192
            assert WCS(hdus["DQ"].header).wcs.crval[0] == WCS(hdus["MASK"].header).wcs.crval[0] == 10.0
            flagged = {tuple(map(int, one)) for one in np.argwhere(hdus["DQ"].data)}
            assert flagged == {HIT[i]} | ({BAD, (0, 0)} if i == 2 else set())
            if i == 2:
                assert hdus["DQ"].data[0, 0] == 16
                assert hdus["DQ"].data[BAD] == 4
        ccd = CCDData.read(path, unit=u.adu)
        assert ccd.mask[HIT[i]]
        assert ccd.mask.sum() == (2 if i == 2 else 1)
        with fits.open(path, do_not_scale_image_data=True) as hdus:
            assert hdus[0].header["BZERO"] == 32768
            assert hdus[0].data.dtype.kind == "i"


def test_copies_of_files_of_fpack(masks, files, tmp_path):
    """There was a KeyError: 'record64'."""
    packed = [tmp_path / f"{i}.fits.fz" for i in range(3)]
    for path, original in zip(packed, files, strict=True):
        with fits.open(original) as hdus:
            image = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="RICE_1")
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    for i, (path, original) in enumerate(
        zip(masks.write_exposures(packed, tmp_path / "out", ext=1), files, strict=True), start=1
    ):
        with fits.open(path) as hdus, fits.open(original) as before:
            np.testing.assert_array_equal(hdus[1].data, before[0].data)
            assert hdus[1].data.dtype == np.uint16
            assert hdus[1].header["OBJECT"] == "M 31"
            assert hdus["DQ"].data[HIT[i]] == 8192
            assert hdus["MASK"].data[HIT[i]] == 1


def test_masks_of_two_chips_are_added_one_after_the_other(tmp_path):
    rng = np.random.default_rng(5)
    sky, hits = rng.normal(100, 3, (3, 2, *SHAPE)), ((4, 5), (7, 2))
    files = [tmp_path / f"{name}.fits" for name in "abc"]
    for i, path in enumerate(files):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for chip in (1, 2):
            image = sky[i, chip - 1].astype(np.float32)
            image[hits[chip - 1]] += 900 * (i == 0)
            hdus += [
                fits.ImageHDU(image, fits.Header({"BUNIT": "electron"}), name="SCI", ver=chip),
                fits.ImageHDU(np.zeros(SHAPE, np.int16), name="DQ", ver=chip),
            ]
            hdus[-1].data[0, chip] = 4
        hdus.writeto(path)
    for chip, ext in ((1, 1), (2, 3)):
        stack = CRStack(files, ext=ext, dq_ext=ext + 1, bits="stsci", readnoise=3 * u.electron)
        files = stack.detect("joint").write_exposures(files, tmp_path / f"with {chip}", ext=ext, bits="stsci")
    with fits.open(files[0]) as hdus:
        names = [(hdu.name, hdu.ver) for hdu in hdus]
        assert names == [("PRIMARY", 1), *((name, chip) for chip in (1, 2) for name in ("SCI", "DQ")), *MASKS_OF_TWO]
        for chip in (1, 2):
            expected = np.zeros(SHAPE, int)
            expected[0, chip], expected[hits[chip - 1]] = 4, 8192
            np.testing.assert_array_equal(hdus["DQ", chip].data, expected)
            assert hdus["MASK", chip].data[hits[chip - 1]] == 1


def test_what_cannot_be_copied(masks, files, tmp_path):
    for paths, directory, message in (
        (files[:2], tmp_path / "out", "paths must be those of 3 exposures; got 2"),
        (files, tmp_path / "raw", "directory must be another than that of the exposures"),
        ([files[0]] * 3, tmp_path / "out", "names of the exposures must differ; got a.fits, a.fits, a.fits"),
    ):
        with pytest.raises(InputError, match=message):
            masks.write_exposures(paths, directory)
    fits.PrimaryHDU(np.zeros((7, 14), np.float32)).writeto(files[2], overwrite=True)
    with pytest.raises(InputError, match=r"c.fits.gz must have the shape \(12, 14\) of the masks; got \(7, 14\)"):
        masks.write_exposures(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_copies_replace_no_other_file(masks, files, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / files[1].name).write_text("mine")
    with pytest.raises(InputError, match=r"directory must hold no file of the name b\.fits"):
        masks.write_exposures(files, out)
    assert [one.name for one in out.iterdir()] == [files[1].name]
    assert (out / files[1].name).read_text() == "mine"
    assert len(masks.write_exposures(files, out, overwrite=True)) == 3


def test_low_and_replaced_values_have_bits(masks, stack):
    bits = {"hit": 1, "bad": 2, "low": 4, "replaced": 8}
    exposures = stack.exposures
    data, bad = exposures.data.copy(), exposures.bad.copy()
    data[0, 5, 5] -= 200
    data[1, 6, 6] -= 200
    bad[2, 6, 6] = True  # a single value to compare with is too few
    data[2, 7, 7] -= 200
    bad[2, 7, 7] = True
    data[:2, 9, 9] = 50, 600  # a hit does not hide that the third is low
    data[2, 9, 9] = -200
    changed = replace(exposures, data=data, bad=bad)
    quality = masks.to_dq(bits=bits, exposures=changed)
    assert [tuple(one) for one in np.argwhere(quality & 4)] == [(0, 5, 5), (2, 9, 9)]
    assert not (quality & 8).any()
    quality = masks.to_dq(bits=bits, exposures=changed, cleaned=True)
    np.testing.assert_array_equal((quality & 8) > 0, masks.crmasks | bad)
    few = replace(masks, codes={name: codes for name, codes in masks.codes.items() if name != "CRMASK3"})
    assert not (few.to_dq(bits=bits, exposures=changed.reordered([0, 1])) & 4).any()
    # scatter beyond the noise that the decision has measured counts
    wide = replace(masks, excess_variance=np.full(SHAPE, 1e6, np.float32))
    assert not (wide.to_dq(bits=bits, exposures=changed) & 4).any()


@pytest.fixture
def of_files(tmp_path):
    """Masks of files, and the files; the pixels of each image are stored as integers with BZERO."""
    rng = np.random.default_rng(4)
    (tmp_path / "raw").mkdir()
    paths = [tmp_path / "raw" / f"{name}.fits" for name in "abc"]
    for path in paths:
        image = np.rint(rng.normal(40_000, 12, SHAPE)).astype(np.uint16)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")]).writeto(path)
    stack = CRStack.from_files(paths, ext="SCI", unit=u.adu, readnoise=12 * u.adu, gain=1e4 * u.electron / u.adu)
    return stack.detect("mmcosmic", boundary=PiecewiseBoundary([(0, 1000), (1e6, 1000)])), paths


def test_copies_in_the_order_of_the_masks_only(of_files, tmp_path):
    masks, paths = of_files
    a, b, c = paths
    words = r"in the order in which the masks were made; got their exposures 2 \(b.fits\), 1 \(a.fits\), 3 \(c.fits\)"
    with pytest.raises(InputError, match=words):
        masks.write_exposures([b, a, c], tmp_path / "out", ext="SCI")
    assert not (tmp_path / "out").exists()
    assert len(masks.write_exposures(paths, tmp_path / "out", ext="SCI")) == 3


def test_copies_of_other_exposures_give_a_warning(of_files, tmp_path):
    masks, (a, b, c) = of_files
    other = tmp_path / "d.fits"
    with fits.open(b) as hdus:
        hdus["SCI"].data[3, 4] += 1
        hdus.writeto(other)
    with pytest.warns(CRStackWarning, match="masks were made from exposures with other values: d.fits for b.fits"):
        masks.write_exposures([a, other, c], tmp_path / "out", ext="SCI")
    # masks of an unknown origin are not compared
    masks = replace(masks, origin=())
    assert len(masks.write_exposures([c, b, a], tmp_path / "two", ext="SCI")) == 3
