"""`crstack run` without a parameter file, and the small commands around it."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, refused, write_parameters

from crstack import MaskSet
from crstack.cli import main
from crstack.cli.init import parameter_file
from crstack.cli.parser import make_parser
from crstack.cli.without_file import configuration_of_options
from crstack.config.configuration import read_configuration
from crstack.exceptions import InputError
from crstack.files.history import history_of

PLAIN = ["--no-plots", "--log-level", "error"]
NUMBERS = ["--gain", str(GAIN), "--readnoise", f"{READNOISE} electron", "--bias", str(BIAS)]


def own_copies():
    """Copies in place of the links to exposures that other tests share, which may be changed."""
    for name in NAMES:
        content = Path(name).read_bytes()
        Path(name).unlink()
        Path(name).write_bytes(content)


def masks_of(directory):
    return MaskSet.read(f"{directory}/crmasks.fits")


def assert_equal_masks(one, two):
    first, second = masks_of(one), masks_of(two)
    assert first["MEANCRT"].any()
    for name in first:
        np.testing.assert_array_equal(first.codes[name], second.codes[name])


def test_without_a_parameter_file(here, capsys):
    assert main(["run", *NAMES, *NUMBERS, "--output-dir", "plain", "--method", "pycosmic", "--no-plots"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) <= 25
    readnoise = f"read noise 1.7 adu ({READNOISE:g} electron)"
    for words in ("read 3 exposures of 80 x 60 pixels in adu", f"gain {GAIN:g}", readnoise, "MEANCRT", "14 files"):
        assert words in out
    assert "--output-dir" not in out
    assert main(["run", write_parameters("p.yaml", crmethod="pycosmic"), "--output-dir", "file", *PLAIN]) == 0
    assert_equal_masks("plain", "file")
    history = "".join(fits.getheader("plain/combined_mean.fits")["HISTORY"])
    assert "crmethod: pycosmic" in history


def test_products_among_other_files_are_announced(here, capsys):
    assert main(["run", *NAMES, *NUMBERS, "--method", "pycosmic", "--no-plots"]) == 0
    assert "written to the current directory; --output-dir DIR names another one" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([*NAMES], "gain must be given, such as --gain"),
        (
            [*NAMES, "--gain", "two"],
            "gain must be a number greater than 0, or a keyword .*; got 'two'",
        ),
        ([*NAMES, "--gain", "2"], "readnoise must have a unit, such as '4 electron'.*; got nothing"),
        ([*NAMES, "--gain", "2 adu"], "gain must be a number greater than 0.*; got '2 adu'"),
        ([*NAMES, "--gain", "2", "--readnoise", "4"], "readnoise must have a unit.*; got '4'"),
        ([*NAMES, "--gain", "2", "--readnoise", "4 parsec"], "readnoise must have a unit.*; got '4 parsec'"),
        ([*NAMES, "--gain", "2", "--readnoise", "-4 adu"], "error: --readnoise must be a number greater than 0"),
        ([*NAMES, "--gain", "header:NONE", "--readnoise", "4 adu"], "gain must be in NONE of the header of fake_1a"),
        ([*NAMES[:1], *NUMBERS], "images must be a list of two or more FITS files; got 1"),
        (
            [*NAMES, *NUMBERS, "--method", "jiont"],
            "error: --method must be one of .*; got 'jiont' .did you mean 'joint'",
        ),
        ([*NAMES, *NUMBERS, "--method", "mm_pycosmic+pycsmic"], "error: detector 2 of --method must be one of"),
        ([*NAMES, *NUMBERS, "--ext", "SCI"], "--ext must be one of 0 .*; got 'SCI'"),
        (["no_*.fits", *NUMBERS], "images must match files that exist; got no_.*, which matches none"),
        (["nothing.fits", *NUMBERS], "images must be files that exist; got nothing.fits"),
        ([*NAMES, "p.yaml", *NUMBERS], "arguments of run must be one parameter file or FITS files alone; got p.yaml"),
        (["p.yaml", "--gain", "2"], "--gain must be given with FITS files"),
    ],
)
def test_options_that_do_not_do(here, capsys, arguments, match):
    write_parameters("p.yaml")
    refused(capsys, ["run", *arguments, "--output-dir", "out"], match)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rn", *NAMES], "invalid choice: 'rn' .* \\(did you mean 'run'\\?\\)$"),
        (["run", *NAMES, "--biass", "300"], "unrecognized arguments: .*--biass.* \\(did you mean '--bias'\\?\\)$"),
        (["run", *NAMES, "--read-noise", "3 adu"], "--read-noise.* \\(did you mean '--readnoise'\\?\\)$"),
        (["run", *NAMES, "--outdir", "here"], "--outdir.* \\(did you mean '--output-dir'\\?\\)$"),
        (["demo", "here", "--scenes", "slit"], "--scenes.* \\(did you mean '--scene'\\?\\)$"),
        (["demo", "here", "--scene", "slits"], "invalid choice: 'slits' .* \\(did you mean 'slit'\\?\\)$"),
        (["run", *NAMES, "--qqqqqq"], "unrecognized arguments: --qqqqqq$"),
    ],
)
def test_names_that_were_probably_meant(here, capsys, arguments, words):
    assert main(arguments) == 2
    assert re.search(words, capsys.readouterr().err.strip())
    assert not Path("here").exists()


@pytest.mark.parametrize(
    "arguments", [["run", *NAMES, "--gian", "2"], ["demo", "here", "--gian", "2"], ["plugins", "more"]]
)
def test_the_usage_is_that_of_the_command(here, capsys, arguments):
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"usage: crstack {arguments[0]} ")
    unknown = "more" if arguments[0] == "plugins" else "--gian"
    assert f"crstack {arguments[0]}: error: unrecognized arguments: {unknown}" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", *NAMES, *NUMBERS, "--output-dir", ""],
        ["run", *NAMES, *NUMBERS, "--crmasks", " "],
        ["run", *NAMES, *NUMBERS, "--log-file", ""],
        ["run", ""],
        ["init", *NAMES, "-o", ""],
        ["init", ""],
        ["batch", ""],
        ["batch", "night.yaml", "--output-dir", ""],
        ["batch", "night.ecsv", "--settings", ""],
        ["demo", ""],
    ],
)
def test_an_empty_name_is_not_the_current_directory(here, capsys, arguments):
    """As of a variable of the shell that is not set."""
    before = sorted(Path().rglob("*"))
    assert main(arguments) == 2
    assert "must be a name; got an empty one" in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_a_parameter_file_keeps_its_keys_in_errors(here, capsys):
    refused(capsys, ["run", write_parameters("p.yaml", crmethod="jiont")], "error: crmethod must be one of")


def test_dry_run(here, capsys):
    before = sorted(Path().rglob("*"))
    assert (
        main(
            [
                "run",
                *NAMES,
                *NUMBERS,
                "--output-dir",
                "out",
                "--dry-run",
                "--log-file",
                "run.log",
                "--method",
                "mmcosmic",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "mm_seed" in out
    assert "all checks passed, and nothing is written" in out
    assert sorted(Path().rglob("*")) == before


def test_numbers_as_json(here, capsys):
    path = write_parameters("p.yaml", crmethod="mm_pycosmic", flux_factor="auto")
    assert main(["run", path, "--output-dir", "out", "--json", "--no-plots"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    masks = masks_of("out")
    assert {name: row["flagged"] for name, row in numbers["masks"].items()} == {
        name: int(masks[name].sum()) for name in masks
    }
    assert numbers["shape"] == [60, 80]
    assert len(numbers["flux_factors"]["values"]) == len(numbers["flux_factors"]["errors"]) == 3
    assert "combined_meancr2.fits" in numbers["files"]
    assert numbers["warnings"] == []


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


def test_messages_name_the_option_not_the_key(here, capsys):
    own_copies()
    fits.append(NAMES[0], np.ones((60, 80), np.float32))
    refused(capsys, ["run", *NAMES, *NUMBERS, "--ext", "1"], "--ext must be one of 0 .*; got 1")
    refused(capsys, ["run", write_parameters("p.yaml", extnum=1)], "extnum must be one of 0 .*; got 1")
    refused(
        capsys,
        ["run", write_parameters("p.yaml", gain="abc")],
        "gain must be a number in electron/ADU, a keyword .*header:GAIN",
    )


def test_outputs_and_compression(here, capsys):
    path = write_parameters("p.yaml", crmethod="pycosmic", outputs=["mean", "meancr2"], compression="gzip")
    assert main(["run", path, "--output-dir", "out", *PLAIN]) == 0
    names = {one.name for one in Path("out").glob("combined_*")}
    assert names == {"combined_mean.fits.gz", "combined_meancr2.fits.gz"}
    plain = write_parameters("q.yaml", crmethod="pycosmic", outputs="meancr2")
    assert main(["run", plain, "--output-dir", "out", *PLAIN]) == 0
    # the compressed images of the earlier run are removed
    assert {one.name for one in Path("out").glob("combined_*")} == {"combined_meancr2.fits"}
    wrong = write_parameters("r.yaml", crmethod="pycosmic", outputs=["meanjoint"])
    refused(
        capsys,
        ["run", wrong, "--output-dir", "no"],
        "outputs must be without meanjoint, which needs crmethod joint",
        output="no",
    )


def test_sample_variance(here):
    for kind in ("model", "sample"):
        path = write_parameters("p.yaml", crmethod="pycosmic", variance=kind, outputs="mean")
        assert main(["run", path, "--output-dir", kind, *PLAIN]) == 0
    data = np.stack([fits.getdata(name).astype(float) for name in NAMES])
    sample = fits.getdata("sample/combined_mean.fits", "VARIANCE")
    clean = ~masks_of("sample")["MEANCRT"]
    np.testing.assert_allclose(sample[clean], data.var(axis=0, ddof=1)[clean], rtol=1e-3)
    model = fits.getdata("model/combined_mean.fits", "VARIANCE")
    assert not np.allclose(model[clean], sample[clean], rtol=0.1)


def test_completion(capsys):
    shtab = pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert script == shtab.complete(make_parser(), shell="bash") + "\n"
    assert "--dry-run" in script


def test_completion_without_shtab(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 2
    assert "pip install 'crstack[completion]'" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["CRITICAL", "Warning", "DEBUG"])
def test_log_levels_in_any_case(capsys, level):
    assert main(["plugins", "--log-level", level]) == 0


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


def test_the_command_as_a_module_starts_quickly():
    code = "import sys; from crstack.cli.parser import make_parser; make_parser(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_cleaned_exposures(here):
    path = write_parameters("p.yaml", crmethod="pycosmic", outputs="meancr2")
    assert main(["run", path, "--output-dir", "out", "--clean", *PLAIN]) == 0
    masks = masks_of("out")
    assert masks["CRMASK1"].any()
    for i, name in enumerate(NAMES, start=1):
        with fits.open(f"out/exposure_{i}_clean.fits") as hdus:
            kept = ~masks[f"CRMASK{i}"]
            np.testing.assert_allclose(hdus[0].data[kept], fits.getdata(name)[kept] - BIAS, atol=1e-3)
            np.testing.assert_array_equal(hdus["MASK"].data > 0, ~kept)
            assert hdus[0].header["CRSOURCE"] == name
            history = history_of(hdus[0].header)
        for line in (f"masks UUID: {masks.uuid}", "crmethod: pycosmic", f"parameter file: {path}"):
            assert history.count(line) == 1
        assert [line for line in history if line.startswith("exposure ")] == [
            f"exposure {number}: {one}" for number, one in enumerate(NAMES, start=1)
        ]
    # a run without them removes them
    assert main(["run", path, "--output-dir", "out", *PLAIN]) == 0
    assert not list(Path("out").glob("*_clean.fits"))


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


@pytest.mark.parametrize(("name", "title"), [("pycosmic", "PyCosmic, sigma_det"), ("lacosmic", "L.A.Cosmic, sigclip")])
def test_iterations_are_reported(here, capsys, name, title):
    path = write_parameters("p.yaml", crmethod=f"mm_{name}", outputs="mean")
    assert main(["run", path, "--output-dir", "out", "--no-plots", "-v"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(title)]
    # median, mean, exposures and MEANCR, each in two passes of an iteration or more
    assert len(lines) >= 12
    assert {line.split(":")[0] for line in lines} == {f"{title} 5", f"{title} 3"}
    counts = [int(line.split(": ")[1].split()[0]) for line in lines]
    assert max(counts) > 20
    verbose = {"pycosmic": "pc_verbose", "lacosmic": "la_verbose"}[name]
    quiet = write_parameters("q.yaml", crmethod=f"mm_{name}", outputs="mean", **{verbose: False})
    assert main(["run", quiet, "--output-dir", "out", "--no-plots", "-v"]) == 0
    assert title not in capsys.readouterr().out


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


@pytest.mark.parametrize("given", [None, "auto", "given"])
def test_what_differs_is_measured_by_an_option_as_by_a_key(here, given):
    options = {"gain": str(GAIN), "readnoise": f"{READNOISE} electron", "method": "mm_pycosmic"}
    by_options = configuration_of_options(NAMES, **options, differences=given)
    assert by_options["differences"] == given
    path = write_parameters("p.yaml", crmethod="mm_pycosmic", differences=given)
    assert by_options.parts.equalization == read_configuration(path).parts.equalization


def test_differences_that_cannot_be(here, capsys):
    assert main(["run", *NAMES, *NUMBERS, "--differences", "atuo"]) == 2
    assert "invalid choice: 'atuo'" in capsys.readouterr().err
    refused(capsys, ["run", write_parameters("p.yaml"), "--differences", "auto"], "must be given with FITS files")


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
