"""Scenarios of small scripts that users wrote: files by ``crstack.io``, masks by position, a sky that differs."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from scipy import ndimage

import crstack
from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.io import read, read_mosaic, write_combination

SHAPE = (60, 64)


def written(tmp_path, make):
    """Combined image of three files that ``make`` gives, and its file."""
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"e{i}.fits" for i in range(3)]
    for path in paths:
        make(rng).writeto(path, checksum=True)
    return paths, tmp_path / "out.fits"


def test_public_functions_of_files():
    assert (crstack.io.read, crstack.io.read_mosaic) == (crstack.read, crstack.read_mosaic) == (read, read_mosaic)


def test_no_keyword_of_the_data_of_the_first_exposure_stays(tmp_path):
    def make(rng):
        data = rng.poisson(100, SHAPE).astype("i2")
        data[5, 5] = -32768
        hdu = fits.PrimaryHDU(data)
        hdu.header.update({"BUNIT": "adu", "BLANK": -32768, "DATAMIN": -5.0, "DATAMAX": 65535.0, "EXPTIME": 300.0})
        hdu.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0})
        hdu.header.update({"CRPIX1": 30.0, "CRPIX2": 30.0, "CDELT1": -1e-4, "CDELT2": 1e-4})
        return hdu

    paths, out = written(tmp_path, make)
    stack = CRStack.from_files(paths, gain=1 * u.electron / u.adu, readnoise=4 * u.electron)
    write_combination(out, stack.combine("mean", full_output=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(out, checksum=True) as hdus:
            header, of_variance = hdus[0].header, hdus["VARIANCE"].header
            assert hdus[0].data.shape == SHAPE
    assert not {"CHECKSUM", "DATASUM", "BLANK", "DATAMIN", "DATAMAX"} & set(header)
    assert (header["NCOMBINE"], header["EXPTIME"], header["EXPTOTAL"]) == (3, 300.0, 900.0)
    assert (of_variance["BUNIT"], of_variance["CTYPE1"]) == ("adu2", "RA---TAN")


@pytest.mark.parametrize("planes", [True, False])
def test_a_multi_extension_file_with_data_quality_and_errors(tmp_path, planes):
    def make(rng):
        data = (rng.poisson(100, SHAPE) + rng.normal(0, 4, SHAPE)).astype("f4")
        quality = np.zeros(SHAPE, "i2")
        data[:, 20], quality[:, 20] = 30000, 4
        primary = fits.PrimaryHDU()
        primary.header.update({"OBJECT": "M33", "EXPTIME": 300.0, "FILTER": "r"})
        image = fits.ImageHDU(data, name="SCI")
        image.header["BUNIT"], image.header["INHERIT"] = "ELECTRONS", True
        errors = fits.ImageHDU(np.full(SHAPE, 25.0, "f4"), name="ERR")
        return fits.HDUList([primary, image, errors, fits.ImageHDU(quality, name="DQ")])

    paths, out = written(tmp_path, make)
    options = {"dq_ext": "DQ", "err_ext": "ERR"} if planes else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack = CRStack.from_files(paths, ext="SCI", readnoise=4 * u.electron, **options)
    # not passed over in silence
    assert any("DQ and ERR of" in str(one.message) or "ERR and DQ of" in str(one.message) for one in caught) != planes
    made = stack.combine("mean", full_output=True)
    write_combination(out, made)
    header = fits.getheader(out)
    assert (header["OBJECT"], header["FILTER"], header.get("INHERIT")) == ("M33", "r", None)
    if planes:
        assert stack.exposures.bad.sum() == 180
        assert np.median(made.ccd.uncertainty.array[:, 30]) == pytest.approx(625 / 3, rel=1e-5)


def test_masks_by_position():
    simulated = make_stack("ifu", (64, 80), 3, hit_rate=0.02, seed=1)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    masks = stack.detect("mmcosmic", aux=None)
    one, other = stack.combine("mediancr", masks), stack.combine("mediancr", masks=masks)
    np.testing.assert_array_equal(one.data, other.data)
    with pytest.raises(InputError, match=r"masks must be a MaskSet, of detect or MaskSet\.read; got bool"):
        stack.combine("mediancr", True)


@pytest.mark.parametrize("skies", [(140, 140, 180), (100, 140, 220), (20, 20, 30)])
def test_the_summary_of_a_sky_that_differs(skies):
    """What is left beyond the noise, and what was measured."""
    rng = np.random.default_rng(1)
    shape = (150, 160)
    hits = np.zeros((3, *shape))
    for one in hits:
        one[rng.integers(0, 150, 90), rng.integers(0, 160, 90)] = rng.exponential(500, 90)
    planes = [rng.poisson(sky, shape) + hit + rng.normal(0, 4, shape) for sky, hit in zip(skies, hits, strict=True)]
    stack = CRStack([CCDData(one.astype("f4"), unit="electron") for one in planes], readnoise=4 * u.electron)
    masks = stack.detect(JointPosterior())
    clean = ~ndimage.binary_dilation((hits > 0).any(axis=0))
    assert (masks.crmasks & clean).mean() < 2e-4
    assert abs(np.median((stack.combine("meanjoint").data - np.mean(skies))[clean])) < 0.3
    summary = stack.joint_posterior().summary()
    levels = summary["added levels (electron)"]
    np.testing.assert_allclose(np.diff(levels), np.diff(skies), atol=1.5)


def test_a_call_of_plot_itself_lists_the_figures():
    simulated = make_stack("ifu", (64, 80), 3, seed=1)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    with pytest.raises(InputError, match=r"plot must be followed by the name of a figure: .*stack\.plot\.mask, "):
        stack.plot("MEDIANCR")
