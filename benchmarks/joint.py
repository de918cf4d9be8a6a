"""The joint decision on exposures whose every hit is known, as a table.

python benchmarks/joint.py [--shape 600 700] [--seed 3101]
"""

import argparse
import itertools
import sys
import time

import astropy.units as u
import numpy as np
from astropy.table import Table
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack

CASES = {
    "equivalent": {},
    "response 5 %": {"response_jitter": 0.05},
    "offsets 0.15 px": {"offsets": ((0.15, -0.1), (0.0, 0.0), (-0.15, 0.1))},
}


def too_high(simulated, masks):
    """Pixels per Mpx of the mean of unmasked values that are 5 standard deviations too high."""
    cube = np.array([ccd.data for ccd in simulated.exposures]) - simulated.expected
    count = (~masks).sum(axis=0)
    error = np.where(masks, 0, cube).sum(axis=0) / np.maximum(count, 1)
    sigma = np.sqrt(simulated.noise.variance(simulated.expected.mean(axis=0)) / len(simulated))
    return 1e6 * ((count > 0) & (error > 5 * sigma)).mean()


def row(case, scene, n, shape, seed):
    """One row of the table."""
    simulated = make_stack(
        scene, shape=shape, n_exposures=n, gain=1 * u.electron / u.adu, readnoise=3.4 * u.electron, seed=seed,
        **CASES[case],
    )  # fmt: skip
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    start = time.perf_counter()
    masks = stack.detect(method=JointPosterior())
    seconds = time.perf_counter() - start
    found, strong = masks.crmasks, simulated.hit_mask(5)
    near = np.array([ndimage.maximum_filter(plane, size=3) for plane in simulated.hits > 1])
    contaminated = strong.sum(axis=0) >= (n + 1) // 2
    return (
        case, scene, n,
        f"{100 * (found & near).sum() / found.sum():.2f}",
        f"{100 * found[simulated.hit_mask(2)].mean():.1f}",
        f"{100 * found[strong].mean():.2f}",
        f"{too_high(simulated, found):.0f}",
        f"{too_high(simulated, simulated.hits > 0.5):.0f}",
        f"{100 * masks['MEDIANCR'][contaminated].mean():.1f}" if contaminated.any() else "-",
        f"{seconds:.1f}",
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(600, 700), metavar=("NY", "NX"))
    parser.add_argument("--seed", type=int, default=3101)
    options = parser.parse_args()
    scenes = ("ifu", "imaging", "slit")
    wanted = [("equivalent", scene, n) for scene, n in itertools.product(scenes, (3, 4, 5, 7))]
    wanted += [(case, scene, 3) for case, scene in itertools.product(list(CASES)[1:], scenes)]
    rows = [row(*one, tuple(options.shape), options.seed) for one in wanted]
    names = (
        "exposures", "scene", "N", "precision %", "> 2 sigma %", "> 5 sigma %", "too high/Mpx", "perfect/Mpx",
        "MEDIANCR %", "s",
    )  # fmt: skip
    Table(rows=rows, names=names).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
