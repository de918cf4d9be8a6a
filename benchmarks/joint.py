"""The joint decision on exposures whose every hit is known, as a table.

python benchmarks/joint.py [--shape 600 700] [--seed 3101]
"""

import argparse
import itertools
import sys
import time

from _truth import completeness, make, mean_of_unmasked, perfect, precision, too_high
from astropy.table import Table

from crstack import CRStack, JointPosterior

CASES = {
    "equivalent": {},
    "response 5 %": {"response_jitter": 0.05},
    "offsets 0.15 px": {"offsets": ((0.15, -0.1), (0.0, 0.0), (-0.15, 0.1))},
}


def row(case, scene, n, shape, seed):
    """One row of the table."""
    simulated = make(scene, n, shape, seed, **CASES[case])
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    start = time.perf_counter()
    masks = stack.detect(method=JointPosterior())
    seconds = time.perf_counter() - start
    found, strong = masks.crmasks, simulated.hit_mask(5)
    contaminated = strong.sum(axis=0) >= (n + 1) // 2
    return (
        case, scene, n,
        f"{precision(simulated, found):.2f}",
        f"{completeness(simulated, found, 2):.1f}",
        f"{completeness(simulated, found, 5):.2f}",
        f"{too_high(simulated, mean_of_unmasked(simulated, found)):.0f}",
        f"{too_high(simulated, mean_of_unmasked(simulated, perfect(simulated))):.0f}",
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
