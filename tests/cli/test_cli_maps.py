"""`crstack run` with gain, read noise and bias from FITS files."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, check_refused, write_parameters

from crstack import CRStack, MaskSet
from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.config.detector_images import MapName
from crstack.datasets import make_stack

SHAPE = (60, 80)
ADU = {"gain": u.electron / u.adu, "rnoise": u.adu, "bias": u.adu}


@pytest.fixture(scope="module")
def maps():
    """Two amplifiers."""
    images = {"gain": np.full(SHAPE, GAIN), "rnoise": np.full(SHAPE, READNOISE / GAIN), "bias": np.full(SHAPE, BIAS)}
    for factor, image in zip((1.5, 2.0, 3.0), images.values(), strict=True):
        image[:, 40:] *= factor
    return {key: image.astype(np.float32) for key, image in images.items()}


@pytest.fixture(scope="module")
def simulated(maps):
    quantities = {key: image * ADU[key] for key, image in maps.items()}
    readnoise = quantities.pop("rnoise") * quantities["gain"]
    return make_stack("ifu", SHAPE, readnoise=readnoise, hit_rate=0.03, seed=5, **quantities)


@pytest.fixture
def here(simulated, maps, tmp_path, monkeypatch):
    """Current directory with images and maps of every kind."""
    monkeypatch.chdir(tmp_path)
    for name, ccd in zip(NAMES, simulated.exposures, strict=True):
        ccd.write(name)
    fits.writeto("gain.fits", maps["gain"])
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(maps["bias"], name="BIAS"), fits.ImageHDU(maps["rnoise"], name="RN")]
    fits.HDUList(hdus).writeto("detector.fits.gz")
    return tmp_path


def test_maps_are_those_of_the_library(here, simulated, maps, capsys):
    path = write_parameters("p.yaml", gain="gain.fits", rnoise="detector.fits.gz[RN]", bias="detector.fits.gz[1]")
    assert main(["run", path, "--output-dir", "out", "--no-plots", "-v"]) == 0
    out = capsys.readouterr().out
    assert "gain image: gain.fits" in out
    assert "5.1 to 10.2 (derived" in out
    stack = CRStack(
        simulated.exposures,
        gain=maps["gain"] * ADU["gain"],
        readnoise=maps["rnoise"] * u.adu,
        bias=maps["bias"] * u.adu,
    )
    stack.mm_diagram(aux="pycosmic", n_simulations=2)
    stack.fit_boundary()
    masks = stack.detect(aux="pycosmic")
    written = MaskSet.read("out/crmasks.fits")
    assert masks["MEANCRT"].sum() > 20
    for name in masks:
        np.testing.assert_array_equal(written.codes[name], masks.codes[name])
    expected = stack.combine("meancr2", masks=masks)
    with fits.open("out/combined_meancr2.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, expected.data)
        np.testing.assert_array_equal(hdus["VARIANCE"].data, expected.uncertainty.array)
        assert "gain: gain.fits" in hdus[0].header["HISTORY"]
        assert "rnoise: detector.fits.gz[RN]" in hdus[0].header["HISTORY"]
    # beside the parameter file, from another directory; and for existing masks
    options = ["--crmasks", "out/crmasks.fits", "--no-plots", "--log-level", "error"]
    assert main(["run", path, "--output-dir", "again", *options]) == 0
    np.testing.assert_array_equal(fits.getdata("again/combined_meancr2.fits"), expected.data)


def test_maps_beside_the_parameter_file(here, monkeypatch):
    path = write_parameters("p.yaml", gain="gain.fits", rnoise="detector.fits.gz[2]", bias="detector.fits.gz")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    arguments = ["run", str(Path("..") / path), "--output-dir", "out", "--no-plots", "--log-level", "error"]
    assert main(arguments) == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b.fits", MapName("a/b.fits")),
        ("b.fit[0]", MapName("b.fit", 0)),
        ("b.FITS.gz[ 'SCI' ]", MapName("b.FITS.gz", "SCI")),
        ("b.fits.fz[1]", MapName("b.fits.fz", 1)),
    ],
)
def test_names(tmp_path, text, name):
    configuration = read_configuration(write_parameters(tmp_path / "p.yaml", rnoise=text))
    assert configuration["rnoise"] == name


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("gain", "none.fits", "gain must be a number or a FITS file that exists; got none.fits"),
        (
            "gain",
            "gain.dat",
            r"gain must be a number in electron/ADU, .*header:GAIN, or the name of a FITS file.*got 'gain\.dat'",
        ),
        ("gain", "gain.fits[]", r"gain must be a number in electron/ADU, .* or the name of a FITS file"),
        ("rnoise", "detector.fits.gz[7]", r"extension of rnoise must be one of 0 \(PRIMARY\), 1 \(BIAS\), 2 \(RN\)"),
        (
            "rnoise",
            "detector.fits.gz[0]",
            "extension of rnoise 0 of detector.fits.gz must hold a 2-D image; got no image",
        ),
        ("bias", "text.fits", "bias must be a readable FITS file; got text.fits"),
        ("bias", "cube.fits", "extension of bias 0 of cube.fits must hold a 2-D image; got 3 dim"),
        ("bias", "small.fits", r"bias of small.fits must have the shape \(60, 80\) of the exposures; got \(5, 6\)"),
        ("bias", "nan.fits", r"bias must be finite everywhere; got nan.fits .*pixel \[4 3\]"),
        (
            "gain",
            "zero.fits",
            "gain of zero.fits, at its lowest, must be a number at least 1e-06 and at most 1e.06; got 0",
        ),
        (
            "rnoise",
            "negative.fits",
            "rnoise of negative.fits, at its lowest, must be a number greater than 0 and at most 1e.06; got -1",
        ),
    ],
)
def test_wrong_maps(here, maps, capsys, key, value, match):
    image = maps["gain"].copy()
    Path("text.fits").write_text("no FITS")
    fits.writeto("cube.fits", np.ones((2, *SHAPE)))
    fits.writeto("small.fits", np.ones((5, 6)))
    for name, wrong in (("nan", np.nan), ("zero", 0), ("negative", -1)):
        image[2, 3] = wrong
        fits.writeto(f"{name}.fits", image)
    check_refused(capsys, match, **{key: value})


@pytest.mark.filterwarnings("ignore:the exposures scatter")
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")  # they are in ADU
def test_gain_map_of_images_in_electrons(here, capsys):
    for name in NAMES:
        fits.setval(name, "BUNIT", value="electron")
    check_refused(capsys, "gain must be 1 for images in electrons.*got 2 to 3", gain="gain.fits")
    fits.writeto("ones.fits", np.ones(SHAPE))
    path = write_parameters("ok.yaml", gain="ones.fits")
    assert main(["run", path, "--output-dir", "out", "--no-plots", "--log-level", "error"]) == 0
