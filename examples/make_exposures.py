"""Make the exposures of the seven examples: ``python examples/make_exposures.py [DIRECTORY]``.

Each set has the defect that its examples show; `STACKS` lists them. The
truth of a set is ``make("jitter").hits``, ``.expected`` and so on.
"""

import argparse
from pathlib import Path

import astropy.units as u

from crstack.datasets import make_stack

#: shape of the manual's own exposures
DETECTOR = {"gain": 1.0 * u.electron / u.adu, "readnoise": 3.4 * u.electron}
SHAPE = (600, 700)
SEED = 2026

#: name of a set, what is wrong with its exposures, and the examples that use it
STACKS = {
    "plain": {},  # 1: nothing
    "jitter": {"response_jitter": 0.06},  # 2 to 5: fibres whose throughput changes from one exposure to the next
    "flux": {"flux_factors": (0.8, 1.0, 1.2)},  # 6
    "shift": {"offsets": ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))},  # 7
}


def make(name, shape=SHAPE):
    """Simulate a set of three exposures.

    Parameters
    ----------
    name : str
        One of `STACKS`.
    shape : tuple of int, optional
        (ny, nx) of one exposure.

    Returns
    -------
    stack : `~crstack.datasets.SimulatedStack`
    """
    return make_stack("ifu", shape, 3, hit_rate=0.015, seed=SEED, **DETECTOR, **STACKS[name])


def write(directory, names=tuple(STACKS), shape=SHAPE):
    """Write the exposures of some sets as ``NAME_1.fits`` to ``NAME_3.fits``; return their paths."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        for number, ccd in enumerate(make(name, shape).exposures, start=1):
            paths.append(directory / f"{name}_{number}.fits")
            ccd.write(paths[-1], overwrite=True)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="make the exposures of the seven examples")
    parser.add_argument("directory", nargs="?", default=Path(__file__).parent, type=Path)
    parser.add_argument("--set", action="append", choices=STACKS, help="make this set only; may be repeated")
    arguments = parser.parse_args()
    for path in write(arguments.directory, arguments.set or tuple(STACKS)):
        print(path)
