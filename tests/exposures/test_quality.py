"""Extensions of data quality and uncertainty."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures, read_exposure
from crstack.exposures.quality import CONVENTIONS, REASONS, bits_of, unusable

SHAPE = (20, 30)


def files(tmp_path, dq=None, err=None, name="ERR", **cards):
    rng = np.random.default_rng(2)
    paths = []
    for i in range(3):
        sci = fits.ImageHDU((rng.poisson(100, SHAPE) + rng.normal(0, 4, SHAPE)).astype(np.float32), name="SCI")
        sci.header["BUNIT"] = "ELECTRONS"
        hdus = [fits.PrimaryHDU(), sci]
        if err is not None:
            hdus.append(fits.ImageHDU(np.full(SHAPE, err, np.float32), fits.Header(cards), name=name))
        if dq is not None:
            hdus.append(fits.ImageHDU(dq, name="DQ"))
        paths.append(tmp_path / f"{i}.fits")
        fits.HDUList(hdus).writeto(paths[-1])
    return paths


def quality():
    dq = np.zeros(SHAPE, np.int16)
    dq[1, :6] = 1, 4, 256, 4096, 8192, 32
    return dq


@pytest.mark.parametrize(
    ("bits", "bad", "saturated"),
    [
        (None, 6, 0),
        ("stsci", 3, 1),
        ("STScI", 3, 1),
        (4 | 32, 2, 0),
        ({"bad": 1, "saturated": 4}, 2, 1),
        ({"hit": 4096}, 0, 0),
    ],
)
def test_bits_of_data_quality(tmp_path, bits, bad, saturated):
    exposures = load_exposures(files(tmp_path, quality()), ext="SCI", dq_ext="DQ", bits=bits, readnoise=4 * u.electron)
    assert (0 if exposures.bad is None else exposures.bad[0].sum()) == bad
    assert (0 if exposures.saturated is None else exposures.saturated[0].sum()) == saturated


@pytest.mark.parametrize(("name", "value"), [("ERR", 11.0), ("VARIANCE", 121.0), ("VAR", 121.0), ("IVAR", 1 / 121)])
def test_uncertainties_by_the_name_of_the_extension(tmp_path, name, value):
    exposures = load_exposures(files(tmp_path, None, value, name), ext=1, err_ext=name, readnoise=4 * u.electron)
    np.testing.assert_allclose(exposures.variances[0], 121, rtol=1e-5)


def test_utype_wins_over_the_name(tmp_path):
    paths = files(tmp_path, None, 121.0, "ERR", UTYPE="VarianceUncertainty")
    exposures = load_exposures(paths, ext="SCI", err_ext=2, readnoise=4 * u.electron)
    np.testing.assert_allclose(exposures.variances[0], 121)


def test_without_the_extensions_named_they_are_passed_over(tmp_path):
    with pytest.warns(CRStackWarning, match=r"DQ and ERR of .* are not used"):
        exposures = load_exposures(files(tmp_path, quality(), 11.0), ext="SCI", readnoise=4 * u.electron)
    assert exposures.bad is None
    assert exposures.variances == (None, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dq_ext": "MISSING"}, "dq_ext must be one of .*; got 'MISSING'"),
        ({"err_ext": 0}, "err_ext 0 of .* must hold a 2-D image; got no image"),
        ({"dq_ext": "DQ", "bits": "eso"}, "bits must be one of stsci, lsst, dragons, or bits by reason; got 'eso'"),
        ({"dq_ext": "DQ", "bits": {"ugly": 1}}, "bits must be given for hit, bad, .*; got 'ugly'"),
        ({"dq_ext": "DQ", "bits": {"bad": 1.5}}, "bits of bad must be an integer; got 1.5"),
        ({"dq_ext": "DQ", "bits": -1}, "bits must be an integer at least 0; got -1"),
        ({"bits": "stsci"}, "dq_ext must be given with bits"),
    ],
)
def test_wrong_quality(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        load_exposures(files(tmp_path, quality(), 11.0), ext="SCI", readnoise=4 * u.electron, **options)


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.int32])
def test_data_quality_is_no_uncertainty(tmp_path, kind):
    """The message was that no uncertainty is positive, or a warning of many that are 0."""
    paths = files(tmp_path, quality().astype(kind))
    with pytest.raises(
        InputError, match=r"err_ext must be .* integers, 99.* % of them 0, in extension DQ .* as dq_ext="
    ):
        load_exposures(paths, ext="SCI", err_ext="DQ", readnoise=4 * u.electron)


def test_bits_apply_to_an_extension_mask(tmp_path):
    paths = files(tmp_path, quality())
    for path in paths:
        with fits.open(path, mode="update") as hdus:
            hdus[2].name = "MASK"
    noise = {"ext": "SCI", "readnoise": 4 * u.electron}
    assert load_exposures(paths, **noise).bad[0].sum() == 6
    for ext in ("MASK", 2):
        assert load_exposures(paths, dq_ext=ext, bits=1 | 4, **noise).bad[0].sum() == 2
    assert load_exposures(paths, dq_ext="MASK", bits=0, **noise).bad is None


@pytest.mark.parametrize("name", ["MASK", "UNCERT"])
def test_extensions_of_another_shape_are_refused(tmp_path, name):
    path = files(tmp_path)[0]
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(np.ones((3, 4)), name=name))
    with pytest.raises(InputError, match=rf"extension {name} of .* must have the shape \(20, 30\)"):
        read_exposure(path, "SCI")


def test_a_mask_without_data_is_refused(tmp_path):
    path = files(tmp_path)[0]
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(name="MASK"))
    with pytest.raises(InputError, match=r"extension MASK of .* must hold a 2-D image; got no image"):
        read_exposure(path, "SCI")


def test_quality_is_an_image_of_integers():
    assert unusable(np.array([[0.0, 4.0]]), 4, "a")[0].tolist() == [[False, True]]
    with pytest.raises(InputError, match="dq_ext must be an image of integers, bits of data quality; got float64 in a"):
        unusable(np.array([[0.5]]), 4, "a")


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_quality_is_no_image_of_counts(kind):
    """Whole numbers of counts made every value bad, and the message named other options."""
    counts = np.random.default_rng(5).poisson(500, (60, 70)).astype(kind)
    with pytest.raises(InputError, match=r"dq_ext must be an image of bits, with few .* got [45]\d\d to .* of counts"):
        unusable(counts, None, "a")
    bits = 1 << np.random.default_rng(6).integers(0, 15, (60, 70))
    assert unusable(bits.astype(kind), None, "a")[0].all()


@pytest.mark.parametrize(("name", "own"), [("dq_ext", "mask"), ("err_ext", "uncertainty")])
def test_extensions_of_arrays_are_refused(name, own):
    """They were ignored without a word."""
    ccds = [CCDData(np.ones((20, 30)) + i, unit="electron") for i in range(3)]
    with pytest.raises(InputError, match=f"{name} must be left out for .* got 'DQ' with a CCDData: set the {own} of"):
        load_exposures(ccds, readnoise=3 * u.electron, **{name: "DQ"})


@pytest.mark.parametrize("name", ["ext", "dq_ext", "err_ext"])
@pytest.mark.parametrize("value", [True, 1.5, b"SCI", {"a": 1}, np.zeros(2), object()])
def test_an_extension_is_a_number_or_a_name(name, value):
    with pytest.raises(InputError, match=f"{name} must be the number or the name of an extension; got"):
        load_exposures(["a.fits", "b.fits"], readnoise=3 * u.electron, **{name: value})


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_no_bit_has_two_reasons(convention):
    table = bits_of(convention)
    assert tuple(table) == REASONS
    assert sum(table.values()) == np.bitwise_or.reduce(list(table.values()))
    table["bad"] = 0  # a copy: the convention itself does not change
    assert CONVENTIONS[convention]["bad"] != 0


def test_planes_that_are_not_read_are_named(tmp_path):
    rng = np.random.default_rng(4)
    paths = []
    for i in range(2):
        data = rng.normal(100, 10.8, (30, 40)).astype(np.float32)
        science = fits.ImageHDU(data, fits.Header({"BUNIT": "electron"}), name="SCI")
        quality = fits.ImageHDU(np.eye(30, 40, dtype=np.int16), name="DQ")
        error = fits.ImageHDU(np.full((30, 40), 10.8, np.float32), name="ERR")
        paths.append(tmp_path / f"n{i}.fits")
        fits.HDUList([fits.PrimaryHDU(), science, quality, error]).writeto(paths[-1])
    noise = {"readnoise": 4 * u.electron, "ext": "SCI"}
    words = r"DQ and ERR of .*n0.fits are not used. To use them, give dq_ext='DQ', err_ext='ERR'"
    with pytest.warns(CRStackWarning, match=words):
        exposures = load_exposures(paths, **noise)
    assert exposures.bad is None
    with pytest.warns(CRStackWarning, match=r"ERR of .* is not used. To use it, give err_ext='ERR'"):
        load_exposures(paths, dq_ext="DQ", **noise)
    exposures = load_exposures(paths, dq_ext="DQ", err_ext="ERR", **noise)  # without a warning
    assert exposures.bad.sum() == 60
    for path in paths:
        fits.append(path, np.zeros((30, 40), np.uint8), fits.Header({"EXTNAME": "MASK"}))
    load_exposures(paths, err_ext="ERR", **noise)  # the mask stands for the data quality
