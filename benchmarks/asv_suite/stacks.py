"""Seconds and memory of the stages, on three exposures of 400 x 500 pixels.

    cd benchmarks && asv run --python=same --quick     # the installed crstack, each once
    cd benchmarks && asv continuous main HEAD          # two commits, in environments of their own

``Reference`` is the unit of the goals: one pass of ``astroscrappy.detect_cosmics`` on one of the frames.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import astropy.units as u

from crstack import CRStack, LACosmicDetector, NoiseModel, PyCosmicDetector
from crstack.datasets import make_stack

GAIN, READNOISE = 1.0 * u.electron / u.adu, 3.4 * u.electron
SHAPE = 400, 500
COMBINATIONS = ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2")


def exposures(**options):
    return make_stack("ifu", shape=SHAPE, gain=GAIN, readnoise=READNOISE, seed=1, **options).exposures


def stack(frames):
    return CRStack(frames, gain=GAIN, readnoise=READNOISE)


class Frames:
    """What the benchmarks of frames share."""

    def setup(self):
        self.exposures = exposures()
        self.frame, self.noise = self.exposures[0].data, NoiseModel(GAIN, READNOISE)


class Reference(Frames):
    def time_astroscrappy(self):
        from astroscrappy import detect_cosmics

        detect_cosmics(self.frame, gain=1.0, readnoise=3.4)


class Detectors(Frames):
    def time_lacosmic(self):
        LACosmicDetector().detect(self.frame, self.noise)

    def time_pycosmic(self):
        PyCosmicDetector().detect(self.frame, self.noise)


class Stages(Frames):
    def time_order_statistics(self):
        stack(self.exposures).statistics  # noqa: B018 (a property that computes)

    def time_diagram(self):
        stack(self.exposures).mm_diagram()

    def time_joint_decision(self):
        stack(self.exposures).joint_posterior()

    def peakmem_joint_decision(self):
        stack(self.exposures).joint_posterior()


class UnequalExposures:
    def setup(self):
        self.exposures = exposures(flux_factors=(1.0, 0.9, 1.1), offsets=((0, 0), (0.2, 0.1), (-0.1, 0.3)))

    def time_joint_decision(self):
        stack(self.exposures).joint_posterior()


class Combinations(Frames):
    def setup(self):
        super().setup()
        self.stack = stack(self.exposures)
        self.stack.detect("joint")

    def time_seven(self):
        for name in COMBINATIONS:
            self.stack.combine(name)


class Command:
    """Whole processes, with imports, reading and writing."""

    def setup(self):
        self.folder = tempfile.TemporaryDirectory()
        self.names = []
        for number, ccd in enumerate(exposures(), start=1):
            self.names.append(str(Path(self.folder.name) / f"exposure_{number}.fits"))
            ccd.write(self.names[-1])

    def teardown(self):
        self.folder.cleanup()

    def time_run_joint(self):
        noise = ["--gain", "1", "--readnoise", "3.4 electron", "--bias", "0"]
        output = ["--output-dir", str(Path(self.folder.name) / "out"), "--no-plots"]
        command = [sys.executable, "-m", "crstack", "run", *self.names, *noise, *output]
        subprocess.run(command, check=True, capture_output=True)
