"""What a new user types, and what the command answers."""

import json
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, refused

from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.exceptions import CRStackWarning, ImplausibleResultWarning
from crstack.pipeline.console import logging_to
from crstack.utils.log import log

QUIET = ["--no-plots", "--method", "pycosmic"]
NUMBERS = ["--gain", str(GAIN), "--readnoise", f"{READNOISE} electron", "--bias", str(BIAS)]
always = pytest.mark.filterwarnings("always")


@always
def test_a_saturation_below_all_values_is_named_with_the_fraction_above(here, capsys):
    refused(
        capsys,
        ["run", *NAMES, *NUMBERS, "--saturation", "5", "--output-dir", "out"],
        r"saturation must be higher than most values; got 5 adu: 100\.0 % of the values of fake_1a.fits are at or "
        "above the saturation of 5 adu, .* Check the number and its unit; it includes the bias",
        output="out",
    )
    middle = f"{np.median(fits.getdata(NAMES[0])):g} adu"
    assert main(["run", *NAMES, *NUMBERS, "--saturation", middle, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert " % of the values of " in err
    assert "in 3 of 3 exposures more than 10 %; they are bad values" in err
    assert "saturated values" in out


@always
def test_products_among_the_exposures_are_left_out_by_name(here, capsys):
    assert main(["run", *NAMES, *NUMBERS, *QUIET, "--output-dir", "."]) == 0
    everything = sorted(str(path) for path in Path().glob("*.fits"))
    assert len(everything) == 11
    for given in (everything, ["*.fits"]):
        capsys.readouterr()
        assert main(["run", *given, *NUMBERS, *QUIET, "--output-dir", "."]) == 0
        out, err = capsys.readouterr()
        assert "read 3 exposures" in out
        assert (
            err.count("products of crstack among the exposures are left out: combined image combined_mean.fits, ") == 1
        )
        assert " and 2 more; set of masks crmasks.fits" in err
    Path("q.yaml").write_text(yaml.safe_dump({"images": "*.fits", "gain": GAIN, "rnoise": 2.0, "bias": BIAS}))
    with pytest.warns(CRStackWarning, match="are left out: combined image"):
        assert read_configuration("q.yaml")["images"] == tuple(NAMES)
    capsys.readouterr()
    # products alone are meant, and give a warning
    assert (
        main(
            [
                "run",
                "combined_mean.fits",
                "combined_min.fits",
                "combined_median.fits",
                *NUMBERS,
                "--dry-run",
                "--output-dir",
                "o",
            ]
        )
        == 0
    )
    assert "got products of crstack: combined image combined_mean.fits, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "text", "number"),
    [
        ("gain", "2 electron/adu", 2),
        ("gain", "2 e-/ADU", 2),
        ("gain", "2 electrons / DN", 2),
        ("gain", "[2 e/adu]", None),
        ("gain", "0.5 adu/electron", 2),
        ("bias", "100 ADU", 100),
        ("bias", "1e2 counts", 100),
        ("saturation", "60000 DN", 60000),
    ],
)
def test_numbers_in_any_spelling(here, capsys, option, text, number):
    given = dict(zip(NUMBERS[::2], NUMBERS[1::2], strict=True)) | {f"--{option}": text}
    options = [one for pair in given.items() for one in pair]
    if number is None:
        refused(capsys, ["run", *NAMES, *options], f"{option} must be a number greater than 0, or a keyword")
        return
    assert main(["run", *NAMES, *options, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"][option] == f"{number}"


def test_numbers_in_another_unit_are_refused(here, capsys):
    refused(
        capsys,
        ["run", *NAMES, *NUMBERS, "--bias", "100 e-"],
        "bias must be a number in adu, such as '100 adu'; got '100 e-'",
    )
    refused(
        capsys,
        ["run", *NAMES, *NUMBERS, "--gain", "2 m"],
        "gain must be a number greater than 0 in electron/adu, such as '2 electron/adu'",
    )
    refused(capsys, ["run", *NAMES, *NUMBERS, "--gain", "0 adu/e-"], "gain must be greater than 0; got '0 adu/e-'")


def test_an_absent_keyword_names_the_likely_ones(here, capsys):
    options = ["--gain", "header:GAIN", "--readnoise", "header:RDNOISE"]
    options += ["--bias", "[1:20,1:60]", "--trim", "[21:60,1:60]"]
    assert main(["run", *NAMES, *options, "--dry-run", "--json", "--output-dir", "out"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["dry_run"] is True
    assert [Path(name).name for name in plan["exposures"]] == NAMES
    assert plan["settings"]["gain"] == f"{GAIN:g} electron / adu (header:GAIN)"
    assert plan["settings"]["rnoise"] == f"{READNOISE:g} electron (header:RDNOISE)"
    levels = [np.median(fits.getdata(name)[:60, :20]) for name in NAMES]
    assert plan["settings"]["bias"] == f"{min(levels):.6g} adu to {max(levels):.6g} adu ([1:20,1:60])"
    assert not Path("out").exists()


@always
def test_init_beside_the_exposures_and_elsewhere(here, capsys):
    os.mkdir("work")
    assert main(["init", *NAMES, "--output", "here.yaml"]) == 0
    assert main(["init", *NAMES, "-o", "work/there.yaml"]) == 0
    refused(capsys, ["init", *NAMES, "-o", "here.yaml"], "parameter file must be new, unless --overwrite is given")
    refused(capsys, ["init", *NAMES, "-o", "no/p.yaml"], "parameter file must be in a directory that exists")
    refused(capsys, ["init", NAMES[0]], f"images must be two or more exposures of one field; got {NAMES[0]} alone")
    refused(capsys, ["init", *NAMES, "absent.fits"], "images must be files that exist; got absent.fits")
    fits.PrimaryHDU(np.ones((30, 40), np.float32)).writeto("small.fits")
    shape = fits.getdata(NAMES[0]).shape
    words = f"images must share one shape; got {shape} for {NAMES[0]} and (30, 40) for small.fits"
    refused(capsys, ["init", *NAMES, "small.fits"], re.escape(words))
    fits.PrimaryHDU().writeto("empty.fits")
    refused(capsys, ["init", *NAMES, "empty.fits"], "extension 0 of empty.fits must hold a 2-D image; got no image")
    text = Path("here.yaml").read_text()
    assert yaml.safe_load(text)["images"] == NAMES
    assert yaml.safe_load(Path("work/there.yaml").read_text())["images"] == [str(here / name) for name in NAMES]
    lines = [line for line in text.splitlines() if line.startswith(("gain", "rnoise", "bias"))]
    assert all(line.count("#") == 1 for line in lines)
    assert lines[0].startswith(f"gain: header:GAIN    # {GAIN} in fake_1a.fits")
    os.chdir("work")
    assert main(["run", "there.yaml", "--dry-run"]) == 0


@always
@pytest.mark.parametrize("end", ["done", "interrupted"])
def test_each_warning_is_shown_once_and_none_after_an_interruption(end, capsys):
    with logging_to("info") as console:
        for _ in range(3):
            with warnings.catch_warnings():  # lets Python show a warning again
                warnings.simplefilter("always")
                warnings.warn("the noise is wrong", CRStackWarning, stacklevel=1)
                warnings.warn("90 % are flagged", ImplausibleResultWarning, stacklevel=1)
        assert console.warnings == ["the noise is wrong", "90 % are flagged"]
        if end == "interrupted":
            console.seen.implausible.clear()
        log.error("the end")
    lines = capsys.readouterr().err.splitlines()
    last = ["crstack: warning: implausible result: 90 % are flagged"] if end == "done" else []
    assert lines == ["crstack: warning: the noise is wrong", "crstack: error: the end", *last]


@always
def test_a_limit_of_the_memory_that_is_too_low_is_refused_and_one_that_is_exceeded_is_reported(here, capsys):
    refused(
        capsys,
        ["run", *NAMES, *NUMBERS, "--no-plots", "--mem-limit", "3", "--output-dir", "out"],
        "mem_limit must be more than .* MB, which Python and its libraries hold before the work; got 3 bytes",
        output="out",
    )


def test_an_absent_unit_reads_alike_in_python_and_in_the_command(here, capsys):
    from crstack import CRStack
    from crstack.exceptions import InputError

    for name in NAMES:
        content = fits.PrimaryHDU(*fits.getdata(name, header=True))
        Path(name).unlink()
        del content.header["BUNIT"]
        content.writeto(name)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["run", *NAMES, *NUMBERS, "--dry-run"]) == 0
    assert "BUNIT is absent in all images" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"BUNIT is absent in fake_1a\.fits"):
        CRStack.from_files(NAMES)


@pytest.mark.parametrize("command", [["demo", "{}"], ["batch", "{}"], ["init", "{}", "{}"], ["run", "{}"]])
def test_names_that_no_file_can_have(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([one.format("x" * 300) for one in command]) == 2
    found = capsys.readouterr().err
    assert found.count("\n") == 1
    assert found.startswith("crstack: error: ")
    assert not list(tmp_path.iterdir())
    (tmp_path / "loop").symlink_to("loop")
    assert main([one.format("loop/x.fits") for one in command]) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["loop"]


def test_files_that_may_not_be_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [f"e{i}.fits" for i in range(3)]
    for name in names:
        fits.PrimaryHDU(np.ones((20, 24), np.float32)).writeto(name)
    opened = Path.open

    def refused(path, *args, **kwargs):
        if path.name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    assert main(["run", *names, "--gain", "1", "--readnoise", "4 electron", "--bias", "0"]) == 2
    found = capsys.readouterr().err
    assert "must be a readable FITS file; got e0.fits" in found
    assert "Permission denied" in found
    assert "Traceback" not in found

    def locked(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", locked)
    assert main(["run", *names, "--gain", "1", "--readnoise", "4 electron", "--bias", "0"]) == 2
    assert "must be readable, and those of results writable; got e0.fits" in capsys.readouterr().err
