"""A run destroys no input, no file of the user, no log and no directory that another run uses."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.parameter_files import NAMES, refused, write_parameters
from support.products import PRODUCTS

from crstack import CRStack, MaskSet
from crstack.cli import main
from crstack.cli.work import _terminated_as_interrupted
from crstack.combine.files import write_combination
from crstack.exceptions import InputError
from crstack.masks.features import CATEGORIES, JOINT_CATEGORIES
from crstack.pipeline.lock import LOCK, DirectoryLock
from crstack.pipeline.outputs import MANIFEST, WORKPLACE

FAST = ["--no-plots", "--log-level", "error"]
COMMAND = [sys.executable, "-m", "crstack"]


def run(path, *options, output="out"):
    return main(["run", path, "--output-dir", output, *FAST, *options])


def parameters(path="p.yaml", **changes):
    return write_parameters(path, **{"crmethod": "pycosmic"} | changes)


# inputs


def as_it_is(source, name):
    shutil.copy(source, name)


def as_symlink(source, name):
    shutil.copy(source, "elsewhere.fits")
    Path(name).symlink_to("elsewhere.fits")


@pytest.mark.parametrize("make", [as_it_is, as_symlink])
def test_exposure_named_like_a_product(here, capsys, make):
    make(NAMES[0], "combined_median.fits")
    path = parameters(images=["combined_median.fits", *NAMES[1:]])
    before = Path("combined_median.fits").read_bytes()
    match = "images must not be a file that the run writes; got combined_median.fits, .*; use another --output-dir"
    refused(capsys, ["run", path, "--overwrite"], match)
    assert Path("combined_median.fits").read_bytes() == before


def test_exposure_that_is_a_link_to_a_product(here, capsys):
    Path("out").mkdir()
    for link in (os.symlink, os.link):
        shutil.copy(NAMES[0], "out/combined_mean.fits")
        link(Path("out/combined_mean.fits").resolve(), "first.fits")
        path = parameters(images=["first.fits", *NAMES[1:]])
        assert run(path, "--overwrite") == 2
        assert "images must not be a file that the run writes; got first.fits" in capsys.readouterr().err
        Path("first.fits").unlink()


def test_map_named_like_a_product(here, capsys):
    fits.writeto("combined_median.fits", np.full((60, 80), 100.0))
    path = parameters(bias="combined_median.fits")
    refused(capsys, ["run", path, "--overwrite"], "bias must not be a file that the run writes")
    assert (fits.getdata("combined_median.fits") == 100).all()


def test_parameter_file_named_like_a_product(here, capsys):
    path = parameters("problematic_pixels.csv")
    refused(capsys, ["run", path, "--overwrite"], "parameter file must not be a file that the run writes")
    assert "images:" in Path(path).read_text()


def test_masks_named_like_a_product(here, capsys):
    path = parameters()
    assert run(path) == 0
    shutil.copy("out/crmasks.fits", "combined_min.fits")
    refused(capsys, ["run", path, "--crmasks", "combined_min.fits"], "masks must not be a file that", output="none")


@pytest.mark.parametrize("name", [NAMES[0], "p.yaml", "bias.fits", "link.log"])
def test_log_file_that_is_an_input(here, capsys, name):
    fits.writeto("bias.fits", np.full((60, 80), 100.0))
    os.link("p.yaml" if Path("p.yaml").exists() else parameters(bias="bias.fits"), "link.log")
    before = Path(name).read_bytes()
    arguments = ["run", "p.yaml", "--output-dir", "out", "--log-file", name, "--overwrite"]
    refused(capsys, arguments, f"log file must not be an input of the run; got {name}")
    assert Path(name).read_bytes() == before


def test_log_file_that_is_something_else(here, capsys):
    path = parameters()
    Path("notes.txt").write_text("my notes\n")
    arguments = ["run", path, "--output-dir", "out", "--log-file"]
    refused(capsys, [*arguments, "notes.txt"], "log file must be new, or a log of an earlier run; got notes.txt")
    refused(capsys, [*arguments, "out/crmasks.fits"], "log file must not be a product of the run")
    assert main([*arguments, "run.log", *FAST]) == 0
    first = Path("run.log").read_text()
    assert main([*arguments, "run.log", *FAST]) == 0
    assert Path("run.log").read_text() != first
    assert Path("notes.txt").read_text() == "my notes\n"


def test_nothing_is_logged_to_a_file_before_the_checks(here):
    assert main(["run", parameters(mm_seed="a"), "--output-dir", "out", "--log-file", "run.log"]) == 2
    assert not Path("run.log").exists()


# files of the user, and those of an earlier run


def test_files_of_the_user_stay(here, capsys):
    path = parameters()
    Path("out").mkdir()
    Path("out/combined_mean.fits").write_text("mine")
    assert run(path) == 2
    expected = "files that the run writes must be new, or as an earlier run left them; got out/combined_mean.fits"
    assert expected in capsys.readouterr().err
    assert [one.name for one in Path("out").iterdir()] == ["combined_mean.fits"]
    assert run(path, "--overwrite") == 0
    assert fits.getdata("out/combined_mean.fits").shape == (60, 80)
    Path("out/report.html").mkdir()
    assert main(["run", path, "--output-dir", "out", "--overwrite"]) == 2
    assert "out/report.html must be a file or nothing; got a directory" in capsys.readouterr().err


def test_a_second_run_replaces_its_files_and_removes_the_rest(here, capsys):
    assert run(parameters("joint.yaml", crmethod="joint")) == 0
    assert Path("out/combined_meanjoint.fits").exists()
    Path("out/notes.txt").write_text("mine")
    first = json.loads(Path("out", MANIFEST).read_text())["files"]
    tables = {f"mediancr_identified_{category}.csv" for category in CATEGORIES}
    of_joint = {"combined_meanjoint.fits", *(f"mediancr_identified_{category}.csv" for category in JOINT_CATEGORIES)}
    assert set(first) == PRODUCTS - {MANIFEST} - tables | of_joint
    capsys.readouterr()
    assert main(["run", parameters(), "--output-dir", "out", "--no-plots"]) == 0
    line = "files of an earlier run: 11 replaced, 3 removed (combined_meanjoint.fits, "
    line += "mediancr_identified_coincident.csv, mediancr_identified_every.csv)"
    assert line in capsys.readouterr().out.splitlines()
    assert {one.name for one in Path("out").iterdir()} == PRODUCTS | {"notes.txt"}
    second = json.loads(Path("out", MANIFEST).read_text())["files"]
    assert {len(digests) for digests in second.values()} == {1}
    # a changed file belongs to the user
    with fits.open("out/crmasks.fits", mode="update") as hdus:
        hdus["MEDIANCR"].data[0, 0] = 1
    assert run(parameters()) == 2
    assert "got out/crmasks.fits;" in capsys.readouterr().err
    # and is kept if the run reads it
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["run", parameters(), "--output-dir", "out", "--no-plots", "--crmasks", "out/crmasks.fits"]) == 0
    assert "masks of out/crmasks.fits have been edited" in capsys.readouterr().err
    assert (fits.getdata("out/crmasks.fits", "MEDIANCR") > 0)[0, 0]


def test_a_file_that_this_run_does_not_write_is_removed_only_if_unchanged(here):
    assert main(["run", parameters(crmethod="joint"), "--output-dir", "out", *FAST]) == 0
    with Path("out/combined_meanjoint.fits").open("ab") as file:
        file.write(b" " * 2880)
    assert run(parameters()) == 0
    assert Path("out/combined_meanjoint.fits").exists()


@pytest.mark.parametrize("text", ["mine", "[]", '{"files": {"../p.yaml": ["0"]}}', '{"files": 3}'])
def test_another_file_in_place_of_the_manifest(here, capsys, text):
    Path("out").mkdir()
    Path("out", MANIFEST).write_text(text)
    assert run(parameters()) == 2
    assert f"{MANIFEST} must be the list of files of an earlier run" in capsys.readouterr().err
    assert Path("p.yaml").exists()
    assert run(parameters(), "--overwrite") == 0


# the lock


def test_a_directory_in_use(here, capsys):
    Path("out").mkdir()
    lock = DirectoryLock("out")
    lock.acquire()
    assert run(parameters()) == 2
    error = capsys.readouterr().err
    assert "output directory must not be in use by another run; got out, used by process" in error
    assert str(os.getpid()) in error
    assert [one.name for one in Path("out").iterdir()] == [LOCK]
    lock.release()
    assert run(parameters()) == 0
    assert not Path("out", LOCK).exists()


def test_what_a_dead_run_left_is_removed(here):
    Path("out", f"{WORKPLACE}abc").mkdir(parents=True)
    Path("out", f"{WORKPLACE}abc", "half.fits").write_text("half")
    Path("out", LOCK).write_text(json.dumps({"host": socket.gethostname(), "process": 2**22 + 1}))
    assert run(parameters()) == 0
    assert {one.name for one in Path("out").iterdir()} == PRODUCTS


def test_a_lock_of_another_host(here, capsys):
    Path("out").mkdir()
    for text in (json.dumps({"host": "far.away", "process": 1}), "what is this"):
        Path("out", LOCK).write_text(text)
        with pytest.raises(InputError, match=r"remove out/\.crstack\.lock if that run is dead"):
            DirectoryLock("out").acquire()
        assert Path("out", LOCK).read_text() == text


# hits that the user drops


def dropped(masks, name="MEDIANCR"):
    rows, columns = np.nonzero(masks[name])
    return [[int(x) + 1, int(y) + 1] for x, y in zip(columns, rows, strict=True)]


def test_dropping_touches_mediancr_alone(here):
    path = parameters(crmethod="mm_pycosmic")
    assert run(path) == 0
    masks = MaskSet.read("out/crmasks.fits")
    pixels = dropped(masks)
    assert pixels
    assert run(parameters("q.yaml", crmethod="mm_pycosmic", mediancr_pixels_to_be_dropped=pixels), output="two") == 0
    without = MaskSet.read("two/crmasks.fits")
    assert not without["MEDIANCR"].any()
    for name in masks:
        if name != "MEDIANCR":
            np.testing.assert_array_equal(without.codes[name], masks.codes[name])
    for name in ("meancr", "meancr2"):
        one, two = (fits.getdata(f"{folder}/combined_{name}.fits") for folder in ("out", "two"))
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(fits.getdata("two/combined_mediancr.fits"), fits.getdata("out/combined_median.fits"))


def test_verify_without_a_display_says_so(here, capsys):
    path = parameters(verify_cr=True)
    assert main(["run", path, "--output-dir", "out", "--no-plots"]) == 0
    assert "verify_cr: True has no effect, because matplotlib cannot open a window" in capsys.readouterr().err
    assert main(["run", path, "--output-dir", "two", "--no-plots", "--crmasks", "out/crmasks.fits"]) == 0
    assert "verify_cr: True has no effect, because the masks are read from out/crmasks.fits" in capsys.readouterr().err


# bad luck


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_termination_is_like_an_interrupt(here, monkeypatch, capsys, name):
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("the system has no such signal")

    def terminate(*arguments, **keywords):
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(CRStack, "detect", terminate)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        assert main(["run", parameters(), "--output-dir", "out"]) == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    # nothing was written: there is no directory to speak of
    assert capsys.readouterr().err == "crstack: error: terminated\n"
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_is_ignored_does_not_end_the_run(here, monkeypatch, name):
    """``nohup`` ignores SIGHUP."""
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("the system has no such signal")
    detect = CRStack.detect

    def send(stack, *arguments, **keywords):
        os.kill(os.getpid(), number)
        return detect(stack, *arguments, **keywords)

    monkeypatch.setattr(CRStack, "detect", send)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert main(["run", parameters(), "--output-dir", "out", "--no-plots"]) == 0
    finally:
        signal.signal(number, before)


def test_a_handler_that_is_not_of_python_stays(monkeypatch):
    """`signal.getsignal` gives None for it, and `signal.signal` does not take None."""
    changed = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGTERM else signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", lambda number, handler: changed.append(number))
    with _terminated_as_interrupted():
        pass
    assert signal.SIGTERM not in changed
    assert set(changed) == ({signal.SIGHUP} if hasattr(signal, "SIGHUP") else set())


def test_an_interrupt_while_products_are_written(here, monkeypatch, capsys):
    def interrupt(path, combination, history, **options):
        if combination.name == "median":
            raise KeyboardInterrupt
        write_combination(path, combination, history, **options)

    monkeypatch.setattr("crstack.pipeline.products.write_combination", interrupt)
    assert main(["run", parameters(), "--output-dir", "out"]) == 130
    assert capsys.readouterr().err == (
        "crstack: error: interrupted; the output directory out may hold files of this run and of an earlier one: "
        "run the same command again\n"
    )
    assert Path("out").is_dir()


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


def test_standard_output_that_is_closed(here):
    command = f"{' '.join(COMMAND)} run {parameters()} --output-dir out --no-plots -v | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=environment())
    assert done.stderr.count("\n") == 1
    assert "standard output cannot be written (Broken pipe); the run continues without it" in done.stderr
    assert {one.name for one in Path("out").iterdir()} == PRODUCTS


@pytest.mark.parametrize("arguments", [["init", *NAMES], ["plugins"], ["run", "p.yaml", "--dry-run", "--json"]])
def test_what_reads_the_output_has_ended(here, arguments):
    """As head behind a pipe: no traceback, and no words of Python at its end."""
    parameters()
    reading, writing = os.pipe()
    os.close(reading)
    command = [*COMMAND, *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=environment())
    os.close(writing)
    lines = [line for line in done.stderr.splitlines() if "standard output cannot be written" not in line]
    assert lines == []
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_standard_output_and_log_that_are_full(here):
    arguments = [*COMMAND, "run", parameters(), "--output-dir", "out", "--no-plots"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*arguments, "--log-file", "/dev/full"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert sorted(line.split(" (")[0] for line in done.stderr.splitlines()) == [
        "crstack: warning: log file /dev/full cannot be written",
        "crstack: warning: standard output cannot be written",
    ]
    assert {one.name for one in Path("out").iterdir()} == PRODUCTS


def test_streams_that_were_never_open(here):
    command = f"{' '.join(COMMAND)} run {parameters()} --output-dir out --no-plots >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False, env=environment()).returncode == 0
    assert {one.name for one in Path("out").iterdir()} == PRODUCTS
