"""Seconds and peak memory, side by side with one run of astroscrappy.

    python benchmarks/speed.py [--shape 1596 2016] [--repeats 3] [--nights]

All measurements alternate in one session. The medians are printed with their ratio to
``astroscrappy.detect_cosmics`` on one of the same frames (one pass, its defaults), which can be compared
between machines. It uses all processors, as it does by default, and is timed in one thread as well. Seconds are
those of the clock. CPU is the time of all processors, which other work on the machine changes less. Commands are
timed as whole processes, with imports, reading and writing.

Most rows are about three equal exposures. The last rows are about two nights, in which everything that is measured
differs between the exposures. With --nights, only these are timed.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median

# idle threads of astroscrappy would use the processors of a shared machine
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# with a number of threads from outside, astroscrappy would look slower beside programs that do not depend on it
os.environ.pop("OMP_NUM_THREADS", None)

import astropy.units as u
import numpy as np
import yaml
from _night_scenes import night_of
from astropy.table import Table
from astroscrappy import detect_cosmics
from threadpoolctl import threadpool_limits

from crstack import CRStack, LACosmicDetector, NoiseModel, PyCosmicDetector
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning

GAIN, READNOISE = 1.0 * u.electron / u.adu, 3.4 * u.electron
#: the row that rows of equal exposures are divided by
FIRST = "astroscrappy.detect_cosmics, one pass, one frame"
#: words for a night -> its scene: sky, throughput, seeing and pointing differ, and the lines of the slit are tilted
NIGHTS = {"field of stars": "imaging both", "long slit": "slit all"}
#: compiled modules are kept, as in an installation; otherwise each command would compile them again
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
RUN = [sys.executable, "-c", "import sys; from crstack.cli import main; sys.exit(main())", "run"]


def in_process(function):
    """Seconds and CPU seconds of one call; its memory is not measured."""
    start, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - cpu, np.nan


#: the peak memory of a process includes that of the process that started it, so that a small one starts it
STARTER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime)
sys.exit(status != 0)
"""


def as_process(command):
    """Seconds, CPU seconds and peak memory (MiB) of one process."""
    start = time.perf_counter()
    start_it = [sys.executable, "-S", "-c", STARTER, *command]
    done = subprocess.run(start_it, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed")
    peak, cpu = done.stdout.split()
    return time.perf_counter() - start, float(cpu), int(peak) / 1024


def astroscrappy(frame, readnoise, threads=None):
    """One pass with its defaults, in all threads if no number is given."""
    with threadpool_limits(threads):
        detect_cosmics(frame, gain=1.0, readnoise=readnoise)


def joint_decision(exposures, readnoise):
    """Masks of the joint decision, with all differences measured."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        CRStack(exposures, readnoise=readnoise).detect()


def stages(simulated):
    """Calls that are timed in this process, by name."""
    frame = simulated.exposures[0].data
    noise = NoiseModel(GAIN, READNOISE)
    stack_options = {"gain": GAIN, "readnoise": READNOISE}

    def combine_all():
        for name in ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2"):
            stack.combine(name)

    stack = CRStack(simulated.exposures, **stack_options)
    stack.detect("mmcosmic", aux=None)
    return {
        FIRST: lambda: astroscrappy(frame, READNOISE.value),
        "the same, in one thread": lambda: astroscrappy(frame, READNOISE.value, threads=1),
        "PyCosmicDetector, two passes, one frame": lambda: PyCosmicDetector().detect(frame, noise),
        "LACosmicDetector, two passes, one frame": lambda: LACosmicDetector().detect(frame, noise),
        "order statistics": lambda: CRStack(simulated.exposures, **stack_options).statistics,
        "diagram, 10 simulations": lambda: CRStack(simulated.exposures, **stack_options).mm_diagram(),
        "joint decision": lambda: CRStack(simulated.exposures, **stack_options).joint_posterior(),
        "seven combinations": combine_all,
    }


def calls_of_nights(shape):
    """Calls that are timed on exposures of each night, by name. The first of each night is its reference."""
    for words, scene in NIGHTS.items():
        night = night_of(scene, shape, 3, 1)
        yield {
            f"{words}: astroscrappy, one pass, one frame": partial(astroscrappy, night.cube[0], night.readnoise.value),
            f"{words}: joint decision, all measured": partial(joint_decision, night.exposures, night.readnoise),
        }


def runs(folder, simulated):
    """The commands that are timed: name and arguments."""
    for i, ccd in enumerate(simulated.exposures, start=1):
        ccd.write(folder / f"exposure_{i}.fits")
    names = [f"exposure_{i}.fits" for i in range(1, len(simulated.exposures) + 1)]
    commands = {}
    for method in ("mmcosmic", "mm_pycosmic", "mm_lacosmic", "joint"):
        path = folder / f"{method}.yaml"
        parameters = {"images": names, "gain": float(GAIN.value), "rnoise": float(READNOISE.value)}
        path.write_text(yaml.safe_dump(parameters | {"requirements": {"crmethod": method}}))
        command = [*RUN, str(path), "--output-dir", str(folder / method)]
        commands[f"crstack run --no-plots, {method}"] = [*command, "--no-plots"]
        if method == "mm_pycosmic":
            commands[f"crstack run, {method}, with all figures"] = command
    return commands


def medians_of(jobs, repeats):
    """Medians of seconds, CPU seconds and peak memory of each job; the jobs take turns."""
    results = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, (measure, job) in jobs.items():
            results[name].append(measure(job))
    return {name: [median(column) for column in zip(*measured, strict=True)] for name, measured in results.items()}


def row_of(name, measured, reference):
    """Row of the table: medians, and their ratios to those of the reference."""
    seconds, cpu, memory = measured
    peak = "-" if np.isnan(memory) else f"{memory:.0f}"
    return name, f"{seconds:.2f}", f"{seconds / reference[0]:.2f}", f"{cpu / reference[1]:.2f}", peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(1596, 2016), metavar=("NY", "NX"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nights", action="store_true", help="only exposures that differ")
    options = parser.parse_args()

    shape = tuple(options.shape)
    jobs, references = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        if not options.nights:
            simulated = make_stack("ifu", shape=shape, gain=GAIN, readnoise=READNOISE, seed=1)
            jobs |= {name: (in_process, call) for name, call in stages(simulated).items()}
            jobs |= {name: (as_process, command) for name, command in runs(Path(folder), simulated).items()}
            references |= dict.fromkeys(jobs, FIRST)
        for calls in calls_of_nights(shape):
            jobs |= {name: (in_process, call) for name, call in calls.items()}
            references |= dict.fromkeys(calls, next(iter(calls)))
        medians = medians_of(jobs, options.repeats)

    rows = [row_of(name, measured, medians[references[name]]) for name, measured in medians.items()]
    ny, nx = shape
    print(f"3 x ({ny} x {nx}), medians of {options.repeats}; {platform.machine()}, {os.cpu_count()} processors\n")
    Table(rows=rows, names=("what", "seconds", "ratio", "ratio of CPU", "peak MiB")).write(
        sys.stdout, format="ascii.rst"
    )


if __name__ == "__main__":
    main()
