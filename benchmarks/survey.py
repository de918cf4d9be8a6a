"""A survey on paper: what a million stacks cost in core hours and bytes, and where it saturates.

    python benchmarks/survey.py [--stacks 1000000] [--cores 1000] [--disk 5]

One stack of 3 x (1596 x 2016) is run by ``crstack run --no-plots`` with one thread, as a worker of a batch does. The
whole process is measured: processor seconds, bytes read and written, peak memory. A table of many rows gives the
seconds in which ``crstack batch`` writes its table of results. All else is computed from these numbers.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import yaml
from astropy.table import Table
from speed import GAIN, READNOISE, RUN, as_process

from crstack.batch.table import COLUMNS, results_table, write_results
from crstack.datasets import make_stack

SHAPE, N_EXPOSURES = (1596, 2016), 3
#: what is written: all of it, or only what most pipelines need
OUTPUTS = {
    "all combinations": {},
    "meanjoint": {"outputs": ["meanjoint"]},
    "meanjoint, gzip": {"outputs": ["meanjoint"], "compression": "gzip"},
}
ROWS = 1000


def one_stack(folder, images, outputs):
    """CPU seconds, peak memory (MiB), bytes read and bytes written of one stack."""
    path, output = folder / "parameters.yaml", folder / "out"
    parameters = {"images": images, "gain": float(GAIN.value), "rnoise": float(READNOISE.value)}
    path.write_text(yaml.safe_dump(parameters | {"requirements": {"crmethod": "joint"} | outputs}))
    _, cpu, memory = as_process([*RUN, str(path), "--output-dir", str(output), "--no-plots", "--overwrite"])
    written = sum(one.stat().st_size for one in output.iterdir())
    for one in output.iterdir():
        one.unlink()
    return cpu, memory, sum(Path(image).stat().st_size for image in images), written


def seconds_of_table(folder):
    """Seconds to make and write the table of results of `ROWS` stacks; once for each stack that is finished."""
    rows = [{name: kind("1") for name, kind, *_ in COLUMNS}] * ROWS
    start = time.perf_counter()
    write_results(results_table(rows), folder / "results.ecsv")
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=1000)
    parser.add_argument("--disk", type=float, default=5.0, help="GB/s that the file system reads and writes together")
    options = parser.parse_args()
    os.environ |= {"CRSTACK_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        folder, images = Path(folder), []
        exposures = make_stack("ifu", SHAPE, N_EXPOSURES, gain=GAIN, readnoise=READNOISE, seed=1).exposures
        for number, ccd in enumerate(exposures, start=1):
            images.append(str(folder / f"exposure_{number}.fits"))
            ccd.write(images[-1])
        measured = {words: one_stack(folder, images, outputs) for words, outputs in OUTPUTS.items()}
        table_seconds = seconds_of_table(folder)
    n, rows = options.stacks, []
    for words, (cpu, memory, read, written) in measured.items():
        # while one core works on one stack, it reads and writes the bytes of one stack
        saturating = options.disk * 1e9 * cpu / (read + written)
        hours = n * cpu / 3600
        days = max(hours / options.cores, n * (read + written) / options.disk / 3.6e12) / 24
        rows.append((
            words, f"{cpu:.1f}", f"{memory:.0f}", f"{read / 1e6:.0f}", f"{written / 1e6:.0f}", f"{hours:.0f}",
            f"{n * read / 1e12:.1f}", f"{n * written / 1e12:.1f}", f"{saturating:.0f}", f"{days:.1f}",
        ))  # fmt: skip
    ny, nx = SHAPE
    print(f"{n} stacks of {N_EXPOSURES} x ({ny} x {nx}); {options.cores} cores, {options.disk:g} GB/s\n")
    names = ("written", "CPU s", "peak MiB", "MB read", "MB written", "core hours", "TB read", "TB written")
    Table(rows=rows, names=(*names, "cores that fill the disk", "days")).write(sys.stdout, format="ascii.rst")
    # the table is written again after each stack: n (n + 1) / 2 rows for n stacks
    row = table_seconds / ROWS
    print(f"\nresults.ecsv: {1e3 * row:.2f} ms for each row; a batch of n stacks writes n (n + 1) / 2 rows:")
    for size in (100, 1000, 10_000):
        print(f"  {size} stacks: {row * (size + 1) / 2:.2f} s for each stack")


if __name__ == "__main__":
    main()
