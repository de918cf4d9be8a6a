"""The command around `crstack run`: help, demo, plug-ins, and its output in a terminal."""

import io
import re
import sys
import warnings
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
from astropy.io import fits

from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.exceptions import CRStackWarning
from crstack.pipeline.console import logging_to
from crstack.utils.log import LOGGER, log


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"crstack {version('crstack')}\n"
    assert main(["--help"]) == 0
    assert "crstack demo demo" in capsys.readouterr().out


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    assert "crstack demo demo" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "demo", "plugins"])
def test_help_of_each_command_has_an_example(capsys, command):
    assert main([command, "--help"]) == 0
    assert f"\n  crstack {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run"], ["run", "a.yaml", "--log-level", "loud"]])
def test_wrong_arguments(capsys, arguments):
    assert main(arguments) == 2
    assert "usage: crstack" in capsys.readouterr().err


# demo


def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "crstack.pipeline.products.write_figures", lambda *arguments, **options: []
    )  # they take seconds
    arguments = ["demo", "demo", "--shape", "100", "120", "--seed", "3"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert {path.name for path in Path("demo").iterdir()} == {
        *(f"exposure_{i}.fits" for i in (1, 2, 3)),
        "params.yaml",
        "results",
    }
    assert len(list(Path("demo/results").glob("*.fits"))) == 9
    rows = [line.split() for line in out.splitlines() if line.startswith(("MEANCRT ", "CRMASK")) and "." in line]
    found = {row[0]: float(row[3]) for row in rows[-4:]}
    assert set(found) == {"MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3"}
    assert min(found.values()) > 90
    assert "crstack run demo/params.yaml" in out
    images = {
        line.split()[0]: int(line.split()[1]) for line in out.splitlines() if re.match(r"mean\w* +\d+ +\d+$", line)
    }
    assert images["mean"] > 50 * max(images["meancr2"], 1)
    configuration = read_configuration("demo/params.yaml")
    assert str(configuration.crmethod) == "joint"

    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error == "crstack: error: demo must be a new or empty directory, unless --overwrite is given\n"
    assert main([*arguments, "--overwrite", "--log-level", "error"]) == 0

    # the parameter file that it wrote gives the same results
    assert main(["run", "demo/params.yaml", "--output-dir", "again", "--log-level", "error"]) == 0
    ignored = ["UUID", "HISTORY"]
    difference = fits.FITSDiff("demo/results/crmasks.fits", "again/crmasks.fits", ignore_keywords=ignored)
    assert difference.identical, difference.report()


def test_demo_of_the_joint_decision(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("crstack.pipeline.products.write_figures", lambda *arguments, **options: [])
    assert main(["demo", str(tmp_path / "demo"), "--shape", "90", "100", "--scene", "slit", "--method", "joint"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^meanjoint +\d+ +\d+$", out, re.MULTILINE)
    assert "histogram2d" not in out.split("What next")[1]
    assert re.search(r"^  typical charge +[\d.]+ electron$", out, re.MULTILINE)
    # no auxiliary detector, no dilation, no given pixels: the joint decision found all
    assert re.search(r"^pixels of +flagged +%$", out, re.MULTILINE)
    assert read_configuration(tmp_path / "demo" / "params.yaml").crmethod.is_joint


def test_demo_of_mmcosmic(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("crstack.pipeline.products.write_figures", lambda *arguments, **options: [])
    arguments = ["--shape", "90", "100", "--scene", "slit", "--method", "mm_pycosmic"]
    assert main(["demo", str(tmp_path / "demo"), *arguments]) == 0
    out = capsys.readouterr().out
    assert "histogram2d" in out.split("What next")[1]
    # the same exposures, whose results can be compared
    assert "demo_joint --seed 1 --scene slit --shape 90 100 --method joint\n" in out
    assert len(list((tmp_path / "demo/results").glob("*.fits"))) == 8
    assert str(read_configuration(tmp_path / "demo" / "params.yaml").crmethod) == "mm_pycosmic"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--shape", "10", "200"], "shape must be at least 32 pixels each way; got 10 200"),
        (["--method", "jiont"], "--method must be one of joint, mmcosmic, lacosmic, "),
        (["--seed", "-1"], "seed must be an integer at least 0; got -1"),
    ],
)
def test_demo_refuses(tmp_path, capsys, arguments, match):
    assert main(["demo", str(tmp_path / "demo"), *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"crstack: error: {match}")
    assert not (tmp_path / "demo").exists()


def test_demo_in_a_place_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", str(tmp_path / "file")]) == 2
    assert "must be writable" in capsys.readouterr().err


def test_a_disk_that_is_full_is_one_sentence(tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crstack.cli.demo.atomic_path", full)
    assert main(["demo", str(tmp_path / "demo"), "--shape", "40", "50"]) == 1
    error = capsys.readouterr().err
    assert error == (
        "crstack: error: files must be such that the disk can hold and read them; got [Errno 28] "
        "No space left on device\n"
    )


# plug-ins


def test_plugins(capsys):
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    for words in ("lacosmic: crstack.detectors.lacosmic.LACosmicDetector", "sigclip", "= (5.0, 3.0)", "n_knots", "= 5"):
        assert words in out
    for name in ("pycosmic", "spline", "piecewise"):
        assert f"\n{name}: " in out
    titles = [out.index(f"{title} (entry points crstack.") for title in ("Methods", "Detectors", "Boundary models")]
    assert titles[0] < out.index("joint: ") < titles[1] < out.index("pycosmic: ") < titles[2] < out.index("spline: ")


@pytest.mark.filterwarnings("always:.*must be importable")
def test_broken_plugin_is_a_warning(monkeypatch, capsys):
    from crstack.utils import registry

    real = registry.entry_points

    def with_a_broken_one(*, group):
        return [*real(group=group), EntryPoint("broken", "no_such_module_xyz:Thing", group)]

    monkeypatch.setattr(registry, "entry_points", with_a_broken_one)
    assert main(["plugins"]) == 0
    out, err = capsys.readouterr()
    assert err.count("crstack: warning: ") == 3
    assert "'broken' (no_such_module_xyz:Thing) must be importable" in err
    assert "mmcosmic: " in out
    assert "lacosmic: " in out
    assert "spline: " in out


# output in a terminal


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_progress_is_for_terminals_only(monkeypatch):
    for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        with logging_to("info") as console:
            console.progress("detecting in exposure 1", 0.0)
            console.progress("simulating", 0.25)
            console.progress("simulating", 0.5)
        assert ("detecting in exposure 1" in stream.getvalue()) is shown
        assert ("50%" in stream.getvalue()) is shown


def test_a_stage_without_fractions_shows_when_it_began(monkeypatch):
    # it is drawn once, so that an elapsed time would stay at 0
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with logging_to("info") as console:
        console.progress("joint decision", 0.0)
    assert re.search(r"joint decision, since \d\d:\d\d:\d\d", stream.getvalue())
    assert "[00:00]" not in stream.getvalue()


def test_what_the_terminal_cannot_show_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    with logging_to("info"):
        log.info("données")
        log.info("Title", extra={"section": True})
    assert raw.getvalue().decode("ascii").startswith("donn\\xe9es\n\n-- Title ---")


def test_warnings_become_lines(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with logging_to("info"):
            warnings.warn("two\nlines", CRStackWarning, stacklevel=1)
    assert stream.getvalue() == "crstack: warning: two lines\n"


def test_logging_is_left_as_it_was(capsys):
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    main(["plugins"])
    main(["run", "no.yaml"])
    assert (LOGGER.handlers, LOGGER.level, LOGGER.propagate) == before
