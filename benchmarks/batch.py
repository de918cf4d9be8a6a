"""A batch of small stacks: with more workers, with one killed, with broken stacks, and restarted.

    python benchmarks/batch.py [--stacks 40] [--workers 1 2 4] [--shape 200 250]

Each row is one call of ``crstack batch`` (``crstack.batch.run``). The masks of every stack must be the same in all
rows; the exit code is 1 if they are not, or if a stack is in another state than expected.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from astropy.io import fits
from astropy.table import Table

from crstack.datasets import make_stack

RUN = [sys.executable, "-m", "crstack", "batch"]
#: number of stacks whose exposures cannot be read
BROKEN = 2


def write_exposures(folder, n_stacks, shape):
    """Write the exposures of each stack; return their paths by name."""
    stacks = {}
    for number in range(n_stacks):
        name = f"stack{number:02d}"
        for i, ccd in enumerate(make_stack("ifu", shape=shape, seed=number).exposures, start=1):
            path = folder / f"{name}_{i}.fits"
            ccd.write(path)
            stacks.setdefault(name, []).append(str(path))
    return stacks


def write_document(path, stacks):
    defaults = {"gain": 1.0, "rnoise": 3.4, "requirements": {"crmethod": "joint"}}
    path.write_text(yaml.safe_dump({"defaults": defaults, "stacks": {k: {"images": v} for k, v in stacks.items()}}))
    return path


def workers_of(parent):
    """Process ids of the workers: the children that run ``spawn_main``."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:
        return []


def call(document, output, n_workers, kill_after=None):
    """Run the command; with ``kill_after``, kill one worker when that number of stacks is complete."""
    start = time.perf_counter()
    command = [*RUN, str(document), "--output-dir", str(output), "-j", str(n_workers), "--no-plots"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killed = False
    while process.poll() is None:
        time.sleep(0.1)
        if kill_after is not None and not killed and len(list(output.glob("*/crmasks.fits"))) >= kill_after:
            victims = workers_of(process.pid)
            if victims:
                os.kill(victims[0], signal.SIGKILL)
                killed = True
    if kill_after is not None and not killed:
        raise SystemExit("batch.py: no worker was killed: raise --stacks")
    return time.perf_counter() - start, process.returncode


def digests(output):
    """Digest of the masks of each complete stack."""
    found = {}
    for path in sorted(output.glob("*/crmasks.fits")):
        digest = hashlib.sha256()
        with fits.open(path) as hdus:
            for hdu in hdus:
                if hdu.data is not None:
                    digest.update(hdu.data.tobytes())
        found[path.parent.name] = digest.hexdigest()
    return found


class Report:
    """Rows of the table, and what went wrong."""

    def __init__(self):
        self.rows, self.masks, self.wrong = [], {}, []

    def add(self, words, output, timed, **expected):
        seconds, code = timed
        states = Table.read(output / "results.ecsv")["state"].tolist()
        numbers = {state: states.count(state) for state in ("done", "skipped", "failed")}
        found = digests(output)
        same = all(self.masks.setdefault(name, one) == one for name, one in found.items())
        complete = numbers["done"] + numbers["skipped"] == len(found)
        as_expected = all(numbers[state] == number for state, number in expected.items())
        if not (same and complete and as_expected and code == (numbers["failed"] > 0)):
            self.wrong.append(words)
        self.rows.append((words, f"{seconds:.1f}", *numbers.values(), code, "same" if same else "DIFFERENT"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--shape", type=int, nargs=2, default=(200, 250), metavar=("NY", "NX"))
    options = parser.parse_args()
    report, n = Report(), options.stacks
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        stacks = write_exposures(folder, n, tuple(options.shape))
        document = write_document(folder / "night.yaml", stacks)
        for n_workers in options.workers:
            output = folder / f"out{n_workers}"
            words = "1 worker" if n_workers == 1 else f"{n_workers} workers"
            report.add(words, output, call(document, output, n_workers), done=n, failed=0)
        most = max(options.workers)
        output = folder / f"out{most}"
        report.add("again, all complete", output, call(document, output, most), skipped=n, failed=0)
        shutil.rmtree(output / "stack00")
        report.add("again, one removed", output, call(document, output, most), skipped=n - 1, done=1)
        output = folder / "killed"
        timed = call(document, output, max(most, 2), kill_after=3)
        report.add("a worker killed", output, timed, done=n, failed=0)
        for name in list(stacks)[:BROKEN]:
            path = Path(stacks[name][1])
            path.rename(f"{path}.whole")
            path.write_bytes(b"SIMPLE  =                    T")
        output = folder / "broken"
        report.add("two stacks broken", output, call(document, output, most), done=n - BROKEN, failed=BROKEN)
        for name in list(stacks)[:BROKEN]:
            Path(f"{stacks[name][1]}.whole").replace(stacks[name][1])
        report.add("mended, again", output, call(document, output, most), done=BROKEN, skipped=n - BROKEN, failed=0)
    ny, nx = options.shape
    print(f"{n} stacks of 3 x ({ny} x {nx}), {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end\n")
    names = ("call", "seconds", "done", "skipped", "failed", "exit code", "masks")
    Table(rows=report.rows, names=names).write(sys.stdout, format="ascii.rst")
    if report.wrong:
        raise SystemExit(f"batch.py: not as expected: {', '.join(report.wrong)}")


if __name__ == "__main__":
    main()
