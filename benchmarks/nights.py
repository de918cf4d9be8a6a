"""Exposures that differ as those of a night do: what is flagged that was not hit, and what is missed.

python benchmarks/nights.py [--scenes "imaging sky" ...] [--n 3 5] [--seeds 1 2] [--shape 400 500] [--mmcosmic]
"""

import argparse
import sys
import time
import warnings

import numpy as np
from _night_scenes import SCENES
from _truth import widened
from astropy.table import Table
from scipy import ndimage

from crstack import CRStack, JointPosterior


def flux_lost(night, combined):
    """Largest loss (per cent) of the flux of a star against the plain mean, in a square of nine pixels."""
    worst = 0.0
    for x, y in zip(*night.stars, strict=True):
        box = slice(round(y) - 4, round(y) + 5), slice(round(x) - 4, round(x) + 5)
        plain = (night.cube.mean(axis=0) - night.sky)[box].sum()
        worst = max(worst, abs(1 - (combined - night.sky)[box].sum() / plain))
    return 100 * worst


def score(night, masks, combined):
    """What is counted on one stack, as a dict of (sum, of how many)."""
    found = masks.crmasks
    hits, sigma = night.hits, night.sigma
    false = found & ~widened(hits > 0)
    bright = np.broadcast_to(night.bright, found.shape)
    strong = hits > 5 * sigma
    error = (combined - night.expected.mean(axis=0)) / np.sqrt((sigma**2).sum(axis=0)) * len(hits)
    counts = {
        "false/Mpx": (false.sum() * 1e6, false.size),
        "on bright": ((false & bright).sum() * 1e6, bright.sum()),
        "elsewhere": ((false & ~bright).sum() * 1e6, (~bright).sum()),
        "> 5 sigma %": ((strong & found).sum() * 100, strong.sum()),
        "bright > 5": ((strong & found & bright).sum() * 100, (strong & bright).sum()),
        "left/Mpx": ((error > 5).sum() * 1e6, error.size),
        "low/Mpx": ((error < -5).sum() * 1e6, error.size),
    }
    if night.stars:
        x, y = (np.rint(one).astype(int) for one in night.stars)
        near = ndimage.maximum_filter(found.any(axis=0), 9)[y, x]
        counts["stars flagged %"] = (near.sum() * 100, len(near))
        counts["flux lost %"] = (flux_lost(night, combined), 1)
    return counts


def run(scene, n, settings, method):
    """One row: all seeds of a scene pooled."""
    total, seconds = {}, 0.0
    for seed in settings.seeds:
        night = SCENES[scene](tuple(settings.shape), n, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"differences": settings.differences} if settings.differences else {}
            stack = CRStack(night.exposures, readnoise=night.readnoise, **options)
            start = time.perf_counter()
            masks = stack.detect("mmcosmic", aux="pycosmic") if method is None else stack.detect(method=method)
            seconds += time.perf_counter() - start
            combined = stack.combine("meancr2" if method is None else "meanjoint").data
        for name, (one, of) in score(night, masks, combined).items():
            before = total.get(name, (0, 0))
            total[name] = before[0] + one, before[1] + of
        if settings.verbose and method is not None:
            print(scene, n, seed, stack.joint_posterior(method), file=sys.stderr)
    row = {"scene": scene, "N": n, "s": f"{seconds / len(settings.seeds):.1f}"}
    for name in ("false/Mpx", "on bright", "elsewhere", "> 5 sigma %", "bright > 5", "left/Mpx", "low/Mpx",
                 "stars flagged %", "flux lost %"):  # fmt: skip
        one, of = total.get(name, (0, 0))
        row[name] = f"{one / of:.2f}" if of else "-"
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES), metavar="SCENE")
    parser.add_argument("--n", type=int, nargs="+", default=[3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--shape", type=int, nargs=2, default=(400, 500), metavar=("NY", "NX"))
    parser.add_argument("--mmcosmic", action="store_true", help="M.M.Cosmic with PyCosmic")
    parser.add_argument("--differences", choices=["auto"], help="measured for M.M.Cosmic")
    parser.add_argument("--not-measured", action="store_true", help="nothing is measured")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    method = None if options.mmcosmic else JointPosterior(measure=not options.not_measured)
    rows = []
    for scene in options.scenes:
        for n in options.n:
            rows.append(run(scene, n, options, method))
            print(" ".join(f"{value:>9}" for value in rows[-1].values()), file=sys.stderr, flush=True)
    Table(rows).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
