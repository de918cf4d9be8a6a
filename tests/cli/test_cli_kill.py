"""Runs that are killed at any moment, and a disk that is full."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.io import fits
from support.parameter_files import write_parameters
from support.products import PRODUCTS

from crstack.cli import main
from crstack.pipeline.lock import LOCK
from crstack.pipeline.outputs import MANIFEST, WORKPLACE

COMMAND = [sys.executable, "-m", "crstack", "run", "p.yaml", "--output-dir", "out", "--no-plots"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
MOMENTS = 6


def assert_whole(directory):
    """Every file that is not hidden can be read, and belongs to the run."""
    for path in Path(directory).iterdir():
        if path.name in (LOCK, MANIFEST) or path.name.startswith(WORKPLACE):
            continue
        assert path.name in PRODUCTS
        if path.suffix == ".fits":
            with fits.open(path) as hdus:
                hdus.verify("exception")
                assert all(hdu.data is not None for hdu in hdus[1:])


def test_a_kill_at_any_moment(here):
    """SIGTERM and SIGKILL alternate."""
    write_parameters("p.yaml", crmethod="lacosmic")
    start = time.perf_counter()
    assert subprocess.run(COMMAND, env=ENVIRONMENT, capture_output=True, check=False).returncode == 0
    whole = time.perf_counter() - start
    assert {path.name for path in Path("out").iterdir()} == PRODUCTS
    killed = {signal.SIGTERM: 0, signal.SIGKILL: 0}
    for moment in range(MOMENTS):
        number = (signal.SIGTERM, signal.SIGKILL)[moment % 2]
        process = subprocess.Popen(COMMAND, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            # mostly the second half, where files are written
            process.wait(whole * (0.4 + 0.6 * moment / MOMENTS))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        error = process.communicate(timeout=60)[1].decode()
        killed[number] += process.returncode != 0
        assert "Traceback" not in error or (number == signal.SIGTERM and "KeyboardInterrupt" in error)
        if number == signal.SIGKILL:
            assert process.returncode in (0, -signal.SIGKILL)
        else:
            # before main has begun, Python itself ends
            assert process.returncode in (0, 143, -signal.SIGTERM)
        assert_whole("out")
    assert min(killed.values()) > 0
    assert sum(killed.values()) >= MOMENTS / 2
    # the remaining files do not stop the next run, which removes them
    assert main(["run", "p.yaml", "--output-dir", "out", "--no-plots", "--log-level", "error"]) == 0
    assert {path.name for path in Path("out").iterdir()} == PRODUCTS


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB; skips without the privilege to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_too_small(here, small_disk, capsys):
    path = write_parameters("p.yaml", crmethod="lacosmic")
    assert main(["run", path, "--output-dir", str(small_disk / "out"), "--no-plots"]) == 2
    assert re.search("must have space for the results, .*; got 0.205 MB free", capsys.readouterr().err)
    assert not (small_disk / "out").exists()


def test_a_disk_that_others_fill_during_the_work(here, small_disk, capsys, monkeypatch):
    # the disk has enough space when the run is checked
    monkeypatch.setattr("crstack.pipeline.space.free_bytes", lambda directory: 10**9)
    path = write_parameters("p.yaml", crmethod="lacosmic")
    assert main(["run", path, "--output-dir", str(small_disk / "out"), "--no-plots"]) == 1
    error = capsys.readouterr().err
    assert error.count("crstack: error: ") == 1
    assert re.search("No space left on device|Not enough space on disk", error)
    assert "Traceback" not in error
    left = [one.name for one in (small_disk / "out").iterdir()]
    assert LOCK not in left
    assert not any(name.startswith((WORKPLACE, ".")) for name in left)
    assert_whole(small_disk / "out")
