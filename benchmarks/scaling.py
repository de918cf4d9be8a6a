"""Time against pixels, exposures, threads and workers, as a table and as a figure.

    python benchmarks/scaling.py [--only pixels exposures] [--figure docs/images/scaling.png] [--largest 4]

Pixels and exposures are varied for the joint decision on equal exposures. Their time is that of all processors, which
other work on the machine changes little, and grows linearly: the goal is less than 25 % more for each Mpx and exposure
than for 3 x (1596 x 2016). Threads and workers are varied by the clock; there the line is that of no loss. On a
machine that is busy, threads and workers gain less; the load is printed.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import astropy.units as u
from astropy.table import Table

from crstack import CRStack, batch
from crstack.datasets import make_stack

GAIN, READNOISE = 1.0 * u.electron / u.adu, 3.4 * u.electron
#: sides of the images, and the stack of the goals
SHAPES = ((400, 500), (800, 1000), (1596, 2016), (2400, 2700), (4096, 4096), (9000, 9000))
STANDARD = 1596, 2016
EXPOSURES = (2, 3, 5, 9, 15)
SHAPE_OF_EXPOSURES, SHAPE_OF_WORKERS = (600, 700), (300, 400)
THREADS, WORKERS, STACKS = (1, 2, 4), (1, 2, 4), 8
VARIED = ("pixels", "exposures", "threads", "workers")
#: most time that a pixel of a large stack may take, relative to the standard one
GOAL = 1.25


def joint(shape, n_exposures, repeats, n_threads=1):
    """Seconds of the clock and of all processors of the joint decision: the medians."""
    exposures = make_stack(
        "ifu", shape=shape, n_exposures=n_exposures, gain=GAIN, readnoise=READNOISE, seed=1
    ).exposures
    measured = []
    for _ in range(repeats):
        stack = CRStack(exposures, gain=GAIN, readnoise=READNOISE, n_threads=n_threads)
        clock, cpu = time.perf_counter(), time.process_time()
        stack.joint_posterior()
        measured.append((time.perf_counter() - clock, time.process_time() - cpu))
    return [median(column) for column in zip(*measured, strict=True)]


def batch_of(n_workers):
    """Seconds of the clock for a batch of small stacks, and NaN: the processors are those of other processes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, ccd in enumerate(make_stack("ifu", shape=SHAPE_OF_WORKERS, seed=1).exposures, start=1):
            paths.append(str(Path(folder) / f"exposure_{number}.fits"))
            ccd.write(paths[-1])
        settings = {"gain": 1.0, "rnoise": 3.4, "requirements": {"crmethod": "joint"}}
        stacks = {f"stack{number}": paths for number in range(STACKS)}
        start = time.perf_counter()
        table = batch.run(stacks, settings, output_dir=Path(folder) / "out", n_workers=n_workers, plots=False)
        seconds = time.perf_counter() - start
    if set(table["state"]) != {"done"}:
        raise SystemExit(f"scaling.py: a stack failed: {table['message']}")
    return seconds, float("nan")


def measure(varied, largest, repeats):
    """Rows of (number, seconds of the clock, of all processors), by what is varied."""
    some = [shape for shape in SHAPES if shape[0] * shape[1] / 1e6 <= largest]
    jobs = {
        "pixels": [(ny * nx / 1e6, joint, ((ny, nx), 3, repeats)) for ny, nx in some],
        "exposures": [(n, joint, (SHAPE_OF_EXPOSURES, n, repeats)) for n in EXPOSURES],
        "threads": [(n, joint, (STANDARD, 3, repeats, n)) for n in THREADS],
        "workers": [(n, batch_of, (n,)) for n in WORKERS],
    }
    return {what: [(number, *job(*arguments)) for number, job, arguments in jobs[what]] for what in varied}


def draw(rows, path):
    """A panel for each of what is varied, with the line of its goal."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    columns = min(len(rows), 2)
    figure = Figure((4.5 * columns, 3.5 * -(-len(rows) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(rows) // columns), columns, squeeze=False).ravel()[: len(rows)]
    for axes, (what, measured) in zip(panels, rows.items(), strict=True):
        numbers, clock, cpu = zip(*measured, strict=True)
        by_clock = what in ("threads", "workers")
        seconds = clock if by_clock else cpu
        axes.plot(numbers, seconds, "o-", color="#0072B2", label="measured")
        if by_clock:
            axes.plot(numbers, [seconds[0] * numbers[0] / n for n in numbers], "k:", label="no loss")
            axes.axvline(os.cpu_count(), color="0.7", label="processors")
        else:
            at = numbers.index(_standard(what))
            line = [seconds[at] * n / numbers[at] for n in numbers]
            axes.plot(numbers, line, "k:", label="linear")
            axes.plot(numbers, [GOAL * one for one in line], "--", color="#D55E00", label="goal: at most 25 % more")
        axes.set_xlabel({"pixels": "Mpx", "workers": f"workers ({STACKS} small stacks)"}.get(what, what))
        axes.set_ylabel("seconds" if by_clock else "processor seconds")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(numbers, [f"{n:.3g}" for n in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.legend()
    figure.savefig(path, dpi=100)


def _standard(what):
    return STANDARD[0] * STANDARD[1] / 1e6 if what == "pixels" else 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--largest", type=float, default=4.0, metavar="MPX")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=VARIED, default=VARIED, help="what is varied; all by default")
    options = parser.parse_args()
    rows = measure(options.only, options.largest, options.repeats)
    table = []
    for what, measured in rows.items():
        for number, clock, cpu in measured:
            value = cpu if what in ("pixels", "exposures") else clock
            first = next(one for one in measured if what in ("threads", "workers") or one[0] == _standard(what))
            if what in ("threads", "workers"):
                relative = first[1] / value / number
            else:
                relative = value / number / (first[2] / first[0])
            table.append((what, f"{number:.3g}", f"{clock:.2f}", f"{cpu:.2f}", f"{relative:.2f}"))
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end\n")
    Table(rows=table, names=("what", "number", "seconds", "CPU seconds", "relative")).write(
        sys.stdout, format="ascii.rst"
    )
    if options.figure:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
