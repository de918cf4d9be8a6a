"""Peak memory and time of the joint decision with all combined images, by the size of the stack.

    python benchmarks/memory.py [--stacks 1596x2016x3 4096x4096x3] [--mem-limit 2GB] [--directory DIR]

Each stack is a run of the command in a process of its own, without figures. The peak is the largest resident memory of
that process by the counter of the kernel. The exposures are a simulated image of at most 2048 x 2048 pixels, repeated;
their skies differ. They are written to a directory for temporary files, or to ``--directory``, where they are found by
the next call. With ``--mem-limit`` the peak is compared with it.

There are three goals. 9000x9000x7 with ``--mem-limit 4GB`` needs no more than 4 GiB. The limit is kept within 15 per
cent. The processor time of a million values is within 25 per cent of that of the first stack, whatever the size.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from crstack.datasets import make_stack
from crstack.utils.process_memory import check_mem_limit

#: side of the simulated image
SIDE = 2048
SKIES = (1.0, 1.2, 0.9, 1.05)
RUN = [sys.executable, "-c", "import sys; from crstack.cli import main; sys.exit(main())", "run"]
#: the peak of a process includes that of the one that started it, so that a small one starts it
STARTER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime)
sys.exit(status != 0)
"""


def shape_of(text):
    """(ny, nx, N) of a text such as "1596x2016x3"."""
    numbers = tuple(map(int, text.split("x")))
    if len(numbers) != 3 or min(numbers) < 2:
        raise argparse.ArgumentTypeError(f"stack must be rows x columns x exposures, as 1596x2016x3; got {text}")
    return numbers


def exposures(shape, directory):
    """Paths of the exposures, which are written if they are not there."""
    ny, nx, n = shape
    paths = [Path(directory) / f"memory_{ny}x{nx}x{n}_{number}.fits" for number in range(1, n + 1)]
    if all(path.exists() for path in paths):
        return paths
    small = min(ny, SIDE), min(nx, SIDE)
    skies = [SKIES[i % len(SKIES)] for i in range(n)]
    simulated = make_stack("imaging", shape=small, n_exposures=n, sky_factors=skies, seed=11)
    repeats = -(-ny // small[0]), -(-nx // small[1])
    for path, ccd in zip(paths, simulated.exposures, strict=True):
        image = np.tile(np.asarray(ccd.data, np.float32), repeats)[:ny, :nx]
        fits.PrimaryHDU(image, fits.Header({"BUNIT": "adu"})).writeto(path, overwrite=True)
    return paths


def measured(paths, mem_limit, output):
    """Seconds, CPU seconds and peak memory (MiB) of a run."""
    options = ["--gain", "1", "--readnoise", "3.4 electron", "--no-plots", "--output-dir", str(output), "--overwrite"]
    limit = [] if mem_limit is None else ["--mem-limit", mem_limit]
    start = time.perf_counter()
    command = [*RUN, *map(str, paths), *options, *limit]
    done = subprocess.run([sys.executable, "-S", "-c", STARTER, *command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"crstack run failed: {done.stderr.strip()}")
    peak, cpu = done.stdout.split()
    return time.perf_counter() - start, float(cpu), int(peak) / 1024


def rows_of(stacks, mem_limit, directory):
    """Rows of the table, one for each stack."""
    limit, first = check_mem_limit(mem_limit), None
    for shape in stacks:
        paths = exposures(shape, directory)
        seconds, cpu, peak = measured(paths, mem_limit, Path(directory) / "memory_out")
        values = np.prod(shape) / 1e6
        first = first or cpu / values
        share = "-" if limit is None else f"{peak * 2**20 / limit:.2f}"
        name = "x".join(map(str, shape))
        per_value = f"{cpu / values:.2f}", f"{cpu / values / first:.2f}"
        yield name, f"{peak:.0f}", f"{peak * 2**20 / np.prod(shape):.0f}", share, f"{seconds:.0f}", *per_value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = [(1596, 2016, 3), (4096, 4096, 3)]
    parser.add_argument("--stacks", type=shape_of, nargs="+", default=usual, metavar="NYxNXxN")
    parser.add_argument("--mem-limit", metavar="SIZE", help="as for crstack run")
    parser.add_argument("--directory", metavar="DIR", help="where the exposures and the products are written")
    options = parser.parse_args()
    names = ("stack", "peak MiB", "bytes per value", "of mem_limit", "seconds", "CPU s per 1e6 values", "of the first")
    with tempfile.TemporaryDirectory() as temporary:
        rows = list(rows_of(options.stacks, options.mem_limit, options.directory or temporary))
    print(f"joint decision and all combined images; mem_limit {options.mem_limit}; {os.cpu_count()} processors\n")
    Table(rows=rows, names=names).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
