"""`crstack run` without a parameter file, and the small commands around it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.command_options import NUMBERS, PLAIN, assert_equal_masks, masks_of, own_copies
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, refused, write_parameters

from crstack.cli import main
from crstack.cli.parser import make_parser
from crstack.cli.without_file import configuration_of_options
from crstack.config.configuration import read_configuration
from crstack.files.history import history_of


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


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([*NAMES], "gain must be given, such as --gain"),
        (
            [*NAMES, "--gain", "two"],
            "gain must be a number greater than 0, or a keyword .*; got 'two'",
        ),
        ([*NAMES, "--gain", "2"], "readnoise must be a number in electron or adu, such as '4 electron'.*; got nothing"),
        ([*NAMES, "--gain", "2 adu"], "gain must be a number greater than 0.*; got '2 adu'"),
        ([*NAMES, "--gain", "2", "--readnoise", "4"], "readnoise must be a number in electron or adu.*; got '4'"),
        (
            [*NAMES, "--gain", "2", "--readnoise", "4 parsec"],
            "readnoise must be a number in electron or adu.*; got '4 parsec'",
        ),
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
        ([*NAMES, "night", *NUMBERS], "got night among 4. The names of FITS files end in .fits, .fit or .fts"),
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
        (["run", *NAMES, "--mem-limit", "-1GB"], "got '-1GB', which looks like an option.*write --mem-limit=-1GB$"),
        (["run", *NAMES, "--output-dir", "-x"], "got '-x', which looks like an option.*write --output-dir=-x$"),
        (["run", *NAMES, "--mem-limit", "--gain", "2"], "argument --mem-limit: expected one argument$"),
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
