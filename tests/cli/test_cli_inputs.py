"""Options of `crstack run` for what files hold: extensions, units, data quality, bias and masks."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from support.command_options import NUMBERS, PLAIN, assert_equal_masks, masks_of, own_copies
from support.parameter_files import BIAS, GAIN, NAMES, refused, write_parameters

from crstack import MaskSet
from crstack.cli import main
from crstack.cli.init import parameter_file
from crstack.cli.without_file import configuration_of_options
from crstack.config.configuration import read_configuration
from crstack.exceptions import InputError
from crstack.files.history import history_of


def test_patterns_and_keywords_of_headers(here):
    pattern = ["run", "fake_*.fits", "--bias", str(BIAS), "--method", "pycosmic", *PLAIN]
    assert main([*pattern, "--gain", "header:GAIN", "--readnoise", "header:RDNOISE", "--output-dir", "one"]) == 0
    assert main([*pattern, "--gain", "header:GAIN", "--readnoise", "1.7 adu", "--output-dir", "two"]) == 0
    assert main([*pattern, "--gain", "header:GAIN", "--readnoise", "3.4 electron", "--output-dir", "three"]) == 0
    path = write_parameters("p.yaml", crmethod="pycosmic", images="fake_*.fits", gain="header:GAIN")
    assert main(["run", path, "--output-dir", "four", *PLAIN]) == 0
    units = ["--gain", f"{GAIN} electron/adu", "--readnoise", "3.4 e-", "--bias", f"{BIAS} adu", "--output-dir", "five"]
    assert main(["run", "fake_*.fits", "--method", "pycosmic", *PLAIN, *units]) == 0
    for other in ("two", "three", "four", "five"):
        assert_equal_masks("one", other)


def test_a_parameter_file_of_the_headers(here, capsys):
    Path("it's.fits").symlink_to(Path(NAMES[2]).resolve())
    assert main(["init", *NAMES[:2], "it's.fits"]) == 0
    text = capsys.readouterr().out
    Path("p.yaml").write_text(text)
    loaded = yaml.safe_load(text)
    assert loaded["images"] == [*NAMES[:2], "it's.fits"]
    assert (loaded["gain"], loaded["rnoise"], loaded["extnum"]) == ("header:GAIN", "header:RDNOISE", 0)
    assert str(read_configuration("p.yaml").crmethod) == "joint"
    # the user must fill in the values that the header lacks
    primary, image = fits.PrimaryHDU(), fits.ImageHDU(np.ones((60, 80), np.float32), name="SCI")
    fits.HDUList([primary, image]).writeto("bare.fits")
    assert main(["init", "bare.fits", "bare.fits"]) == 0
    out, err = capsys.readouterr()
    loaded = yaml.safe_load(out)
    assert (loaded["extnum"], loaded["gain"], loaded["rnoise"]) == (1, None, None)
    assert "gain must be filled in: the header of bare.fits has none of GAIN, EGAIN, CCDGAIN, GAIN1, ESO DET" in err
    assert "rnoise must be filled in: the header of bare.fits has none of RDNOISE" in err
    assert main(["init", "nothing.fits"]) == 2


def test_the_only_image_of_compressed_files_needs_no_ext(here, capsys):
    """In the files of fpack, the image is the first extension."""
    packed = [name.replace(".fits", ".fits.fz") for name in NAMES]
    for name, new in zip(NAMES, packed, strict=True):
        image = fits.CompImageHDU(fits.getdata(name), fits.getheader(name), compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(new)
    assert main(["run", *packed, *NUMBERS, "--output-dir", "packed", "--method", "pycosmic", *PLAIN]) == 0
    assert main(["run", *NAMES, *NUMBERS, "--output-dir", "plain", "--method", "pycosmic", *PLAIN]) == 0
    assert_equal_masks("packed", "plain")


def test_one_of_several_images_is_not_guessed(here, capsys):
    images = [fits.ImageHDU(np.ones((60, 80), np.float32), name=name) for name in ("SCI", "ERR")]
    for name in ("a.fits", "b.fits"):
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(name)
    refused(capsys, ["run", "a.fits", "b.fits", *NUMBERS], "--ext 0 of a.fits must hold .* got no image .*SCI")


def test_a_rate_of_lost_values_is_reported_for_many_exposures(tmp_path, monkeypatch, capsys):
    """The single boundary of the reference, with five exposures; the number in the log is that of the masks."""
    from crstack.datasets import make_stack

    monkeypatch.chdir(tmp_path)
    simulated = make_stack("ifu", (60, 80), 5, hit_rate=0.03, seed=5)
    for i, ccd in enumerate(simulated.exposures):
        ccd.write(f"e{i}.fits")
    names = [f"e{i}.fits" for i in range(5)]
    gain, readnoise = simulated.gain.value, (simulated.readnoise / simulated.gain).value
    numbers = {"gain": float(gain), "rnoise": float(readnoise), "bias": float(simulated.bias.value)}
    path = write_parameters("p.yaml", images=names, crmethod="mmcosmic", **numbers)
    assert main(["run", path, "--output-dir", "out", "--no-plots"]) == 0
    err = capsys.readouterr().err
    masks = masks_of("out")
    inside = masks["MEANCRT"]
    lost = masks.crmasks[:, inside].sum() - inside.sum()
    assert f"about {lost} of the {4 * inside.sum()} clean values inside MEANCRT" in err
    assert "Write mm_boundary_fit: calibrated or crmethod: joint" in err
    clean = ~np.asarray(simulated.truth)[:, inside]
    really = (masks.crmasks[:, inside] & clean).sum()
    assert 0.5 * really < lost < 1.5 * really


def test_an_unusable_exposure_is_dropped(here, capsys):
    Path("night").mkdir()
    with fits.open(NAMES[0]) as hdus:
        hdus[0].data[:] = 0
        hdus.writeto("night/blank.fits")
    names = [*NAMES[:2], "night/blank.fits", f"night/{NAMES[2]}"]
    Path(names[-1]).symlink_to(Path(NAMES[2]).resolve())
    arguments = ["run", *names, *NUMBERS, "--method", "pycosmic", "--output-dir", "out", "--no-plots"]
    refused(capsys, arguments, "blank.fits")
    assert main(["run", *NAMES, *NUMBERS, "--method", "pycosmic", "--output-dir", "three", *PLAIN]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main([*arguments, "--drop-unusable"]) == 0
    out, err = capsys.readouterr()
    assert "read 3 exposures" in out
    assert "blank.fits" in err
    assert_equal_masks("three", "out")
    history = history_of(fits.getheader("out/combined_mean.fits"))
    assert not any("blank" in line for line in history)
    left = enumerate((*NAMES[:2], names[-1]), start=1)
    assert [line for line in history if line.startswith("exposure ")] == [f"exposure {i}: {name}" for i, name in left]


@pytest.mark.filterwarnings("always:exposures seem to be saturated")
def test_saturation_and_the_largest_fraction(here, capsys):
    top = float(np.sort(fits.getdata(NAMES[0]), axis=None)[-30])
    pattern = ["run", *NAMES, *NUMBERS, "--method", "pycosmic", *PLAIN]
    assert main([*pattern, "--saturation", f"{top}", "--output-dir", "one"]) == 0
    path = write_parameters("p.yaml", crmethod="pycosmic", saturation=top)
    assert main(["run", path, "--output-dir", "two", *PLAIN]) == 0
    assert_equal_masks("one", "two")
    own_copies()
    for name in NAMES:
        fits.setval(name, "SATURATE", value=top)
    capsys.readouterr()
    path = write_parameters("p.yaml", crmethod="pycosmic", saturation="header:SATURATE")
    assert main(["run", path, "--output-dir", "three", "--no-plots"]) == 0
    n = sum(int((fits.getdata(name) >= top).sum()) for name in NAMES)
    out = capsys.readouterr().out
    saturated, bad = re.search(r" adu \(header:SATURATE\), saturated values (\d+); bad values: (\d+)", out).groups()
    # charge that bleeds from them is bad too
    assert int(bad) == int(saturated) >= n
    assert "saturation: header:SATURATE" in "".join(fits.getheader("three/combined_mean.fits")["HISTORY"])
    assert main([*pattern, "--max-fraction", "0.0001", "--output-dir", "four"]) == 1
    assert "of the values of" in capsys.readouterr().err
    assert not Path("four/combined_mean.fits").exists()
    refused(
        capsys,
        [*pattern, "--max-fraction", "2"],
        "error: --max-fraction must be a number at least 0 and at most 1; got 2",
    )
    refused(capsys, [*pattern, "--saturation", "0"], "saturation must be a number greater than 0")
    refused(capsys, ["run", "p.yaml", "--max-fraction", "0.1"], "--max-fraction must be given with FITS files")


@pytest.mark.filterwarnings("always:exposures seem to be saturated")
def test_masks_of_a_file_are_checked_too(here, capsys):
    """The largest fraction holds for masks that are given, and not only for those that are found."""
    pattern = ["run", *NAMES, *NUMBERS, "--method", "pycosmic", *PLAIN]
    assert main([*pattern, "--output-dir", "one"]) == 0
    fraction = float(MaskSet.read("one/crmasks.fits").crmasks.mean(axis=(1, 2)).max())
    again = [*pattern, "--crmasks", "one/crmasks.fits", "--output-dir", "two"]
    assert main([*again, "--max-fraction", f"{1.01 * fraction}"]) == 0
    capsys.readouterr()
    again[-1] = "three"
    assert main([*again, "--max-fraction", f"{0.99 * fraction}"]) == 1
    err = capsys.readouterr().err
    assert "of the values of" in err
    assert "(masks of one/crmasks.fits)" in err
    assert not Path("three").exists()


@pytest.mark.filterwarnings("always")
def test_masks_of_a_file_that_are_implausible_give_a_warning(here, capsys):
    pattern = ["run", *NAMES, *NUMBERS, "--method", "pycosmic", "--no-plots"]
    assert main([*pattern, "--output-dir", "one"]) == 0
    with fits.open("one/crmasks.fits") as hdus:
        hdus["CRMASK2"].data[:30] = 1
        hdus.writeto("edited.fits")
    capsys.readouterr()
    assert main([*pattern, "--crmasks", "edited.fits", "--output-dir", "two"]) == 0
    err = capsys.readouterr().err
    assert "--method has no effect, because the masks are read from edited.fits" in err
    last = err.splitlines()[-1]
    assert re.search(r"implausible result: 5\d\.\d% of the values of \S*2\S* are flagged, more than 20 %", last)


@pytest.mark.filterwarnings("always:DQ of")
def test_data_quality_and_uncertainties_of_the_files(here, capsys):
    own_copies()
    for i, name in enumerate(NAMES):
        quality = np.zeros((60, 80), np.int16)
        quality[5, 6 + i], quality[7, 8] = 4, 8192
        fits.append(name, quality, fits.Header({"EXTNAME": "DQ"}))
    arguments = ["run", *NAMES, *NUMBERS, "--method", "pycosmic", "--no-plots"]
    assert main([*arguments, "--output-dir", "one"]) == 0
    assert "DQ of fake_1a.fits is not used. To use it, give dq_ext='DQ'" in capsys.readouterr().err
    assert main([*arguments, "--dq-ext", "DQ", "--bits", "stsci", "--output-dir", "two"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "bad values: 3" in out
    path = write_parameters("p.yaml", crmethod="pycosmic", dq_ext="DQ", bits={"bad": 4})
    assert main(["run", path, "--output-dir", "three", *PLAIN]) == 0
    assert_equal_masks("two", "three")
    refused(capsys, [*arguments, "--bits", "stsci"], "error: --dq-ext must be given with bits")
    refused(capsys, [*arguments, "--dq-ext", "DQ", "--bits", "eso"], "bits must be one of stsci, lsst, dragons")
    refused(capsys, [*arguments, "--err-ext", "ERR"], "error: --err-ext must be one of 0 .*; got 'ERR'")


@pytest.mark.parametrize(
    ("cards", "line"),
    [
        ({"BIAS": 400}, "bias: header:BIAS    # 400 in one.fits; 0.0 if the bias is subtracted already"),
        (
            {"BIAS": 0.0},
            "bias: 0.0    # ADU; right only if the bias is subtracted already; else try header:BIAS",
        ),
        ({"BIAS": "b.fits", "BIASLVL": 31.5}, "bias: header:BIASLVL    # 31.5 in one.fits"),
        (
            {"BIASSEC": "[1:3,1:4]"},
            "bias: 0.0    # ADU; right only if the bias is subtracted already; else try hea",
        ),
        ({}, "bias: 0.0    # ADU; right only if the bias is subtracted already\n"),
    ],
)
def test_a_bias_in_the_header_is_written(tmp_path, monkeypatch, cards, line):
    monkeypatch.chdir(tmp_path)
    for name in ("one.fits", "two.fits"):
        fits.PrimaryHDU(np.zeros((5, 5), np.float32), fits.Header(cards | {"GAIN": 1.0, "RDNOISE": 3.0})).writeto(name)
    assert f"\n{line}" in parameter_file(["one.fits", "two.fits"])


@pytest.mark.parametrize("typed", ["-4 electron", "0 electron", "-2 adu"])
def test_a_read_noise_below_0_is_reported_as_typed(here, capsys, typed):
    numbers = ["--gain", "1.5", f"--readnoise={typed}", "--bias", "0"]
    refused(capsys, ["run", *NAMES, *numbers], f"--readnoise must be a number greater than 0; got '{typed}'")


def test_a_gain_below_0_is_reported_as_typed(here, capsys):
    numbers = ["--gain=-0.5 adu/electron", "--readnoise", "4 electron", "--bias", "0"]
    refused(capsys, ["run", *NAMES, *numbers], "gain must be greater than 0; got '-0.5 adu/electron'")


@pytest.mark.parametrize("unit", ["electron", "electron/s", "adu", "adu/s"])
def test_only_exposures_in_electrons_need_no_gain(tmp_path, monkeypatch, unit):
    monkeypatch.chdir(tmp_path)
    for name in ("a.fits", "b.fits"):
        fits.PrimaryHDU(np.ones((20, 30), np.float32), fits.Header({"BUNIT": unit})).writeto(name)
    if unit.startswith("electron"):
        assert configuration_of_options(["a.fits", "b.fits"], readnoise="4 electron")["gain"] == 1
        return
    with pytest.raises(InputError, match="gain must be given, such as --gain"):
        configuration_of_options(["a.fits", "b.fits"], readnoise="4 electron")


@pytest.mark.parametrize("unit", ["count", "DN"])
def test_numbers_in_counts_and_dn(here, unit):
    """Other names of ADU, with BUNIT of the same name, in options and in a parameter file."""
    for name in NAMES:
        own = fits.HDUList([fits.PrimaryHDU(fits.getdata(name), fits.getheader(name))])
        own[0].header["BUNIT"] = unit
        own.writeto(f"own_{name}")
    words = {"gain": f"{GAIN} electron/{unit}", "bias": f"{BIAS} {unit}"}
    options = ["--gain", words["gain"], "--bias", words["bias"], "--readnoise", f"1.7 {unit}"]
    assert main(["run", "own_fake_*.fits", *options, "--method", "pycosmic", *PLAIN, "--output-dir", "options"]) == 0
    path = write_parameters("p.yaml", crmethod="pycosmic", images="own_fake_*.fits", rnoise=f"1.7 {unit}", **words)
    assert main(["run", path, "--output-dir", "file", *PLAIN]) == 0
    numbers = ["--gain", str(GAIN), "--bias", str(BIAS), "--readnoise", "1.7 adu", "--output-dir", "numbers"]
    assert main(["run", "fake_*.fits", *numbers, "--method", "pycosmic", *PLAIN]) == 0
    for other in ("options", "file"):
        assert_equal_masks("numbers", other)
