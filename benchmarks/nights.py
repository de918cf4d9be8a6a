"""Exposures that differ as those of a night do: what is flagged that was not hit, and what is missed.

python benchmarks/nights.py [--scenes "imaging sky" ...] [--n 2 5] [--populations cosmic mixed] [--seeds 1 2]

Without scenes, numbers of exposures and populations: all scenes with three exposures, in about 15 minutes on one core
for three seeds.
"""

import argparse
import sys
import time
import warnings
from itertools import product

import numpy as np
from _night_scenes import SCENES, night_of
from _truth import widened
from astropy.stats import poisson_conf_interval
from astropy.table import Table
from scipy import ndimage

from crstack import CRStack, JointPosterior

#: scenes of stars alone, without hits
WITHOUT_HITS = ("stars seeing", "stars jitter", "stars equal", "three stars")
#: scenes with hits in single pixels, which are the hardest
SOME = ("imaging equal", "imaging both", "slit equal", "slit all", "fibres all", "echelle all")
#: columns that are means
MEANS = ("> 5 sigma %", "bright > 5 %", "left/Mpx", "low/Mpx", "stars flagged %")
#: standard deviations of a normal distribution within which 95 % lie
SIGMAS = 1.96


def flux_lost(night, combined):
    """Largest change (per cent) of the flux of a star against the plain mean, in a square of nine pixels."""
    worst = 0.0
    for x, y in zip(*night.stars, strict=True):
        box = slice(round(y) - 4, round(y) + 5), slice(round(x) - 4, round(x) + 5)
        plain = (night.cube.mean(axis=0) - night.sky)[box].sum()
        worst = max(worst, abs(1 - (combined - night.sky)[box].sum() / plain))
    return 100 * worst


def score(night, masks, combined):
    """What is counted on one stack: a dict of (sum, of how many), and the pulls of the hit pixels."""
    found = masks.crmasks
    hits, sigma = night.hits, night.sigma
    false = found & ~widened(hits > 0)
    bright = np.broadcast_to(night.bright, found.shape)
    strong = hits > 5 * sigma
    expected = night.expected.mean(axis=0)
    error = (combined.data - expected) / np.sqrt((sigma**2).sum(axis=0)) * len(hits)
    counts = {
        "false/Mpx": (false.sum(), false.size),
        "on bright/Mpx": ((false & bright).sum(), bright.sum()),
        "elsewhere/Mpx": ((false & ~bright).sum(), (~bright).sum()),
        "> 5 sigma %": ((strong & found).sum() * 100, strong.sum()),
        "bright > 5 %": ((strong & found & bright).sum() * 100, (strong & bright).sum()),
        "left/Mpx": ((error > 5).sum() * 1e6, error.size),
        "low/Mpx": ((error < -5).sum() * 1e6, error.size),
    }
    if night.stars:
        x, y = (np.rint(one).astype(int) for one in night.stars)
        near = ndimage.maximum_filter(found.any(axis=0), 9)[y, x]
        counts["stars flagged %"] = (near.sum() * 100, len(near))
    hit = (hits > 0).any(axis=0) & (combined.uncertainty.array > 0)
    return counts, ((combined.data - expected) / np.sqrt(combined.uncertainty.array))[hit]


def with_interval(count, of):
    """A number per million, and its 95 per cent interval."""
    if not of:
        return "-"
    low, high = poisson_conf_interval(count, "frequentist-confidence", sigma=SIGMAS)
    return f"{1e6 * count / of:.1f} ({1e6 * np.nan_to_num(low) / of:.1f}-{1e6 * high / of:.1f})"


def measured_of(night, settings, method):
    """Masks, combined image, seconds and stack of one night."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"differences": None if settings.differences == "none" else "auto"}
        stack = CRStack(night.exposures, readnoise=night.readnoise, **options)
        start = time.perf_counter()
        masks = stack.detect("mmcosmic", aux="pycosmic") if method is None else stack.detect(method=method)
        seconds = time.perf_counter() - start
        combined = stack.combine("meancr2" if method is None else "meanjoint")
    return masks, combined, seconds, stack


def run(row, settings, method):
    """One row: all seeds of a scene pooled, as a dict of str."""
    scene, n, population = row
    total, pulls, seconds, lost = {}, [], 0.0, []
    for seed in settings.seeds:
        night = night_of(scene, tuple(settings.shape), n, seed, population)
        masks, combined, needed, stack = measured_of(night, settings, method)
        seconds += needed
        counts, pull = score(night, masks, combined)
        pulls.append(pull)
        if night.stars:
            lost.append(flux_lost(night, combined.data))
        for name, (one, of) in counts.items():
            before = total.get(name, (0, 0))
            total[name] = before[0] + one, before[1] + of
        if settings.verbose and method is not None:
            print(scene, n, seed, stack.joint_posterior(method), file=sys.stderr)
    found = {"scene": scene, "N": n, "hits": population, "s": f"{seconds / len(settings.seeds):.1f}"}
    found |= {name: with_interval(*total[name]) for name in ("false/Mpx", "on bright/Mpx", "elsewhere/Mpx")}
    for name in MEANS:
        one, of = total.get(name, (0, 0))
        found[name] = f"{one / of:.2f}" if of else "-"
    found["flux %"] = f"{max(lost):.3f}" if lost else "-"
    pulls = np.concatenate(pulls)
    found["pull"] = f"{np.median(pulls):+.2f}, {np.std(pulls[np.abs(pulls) < 5]):.2f}" if len(pulls) else "-"
    return found


def chosen_rows(options):
    """Rows that are asked for: scene, number of exposures, population of hits."""
    if options.scenes is options.n is options.populations is None:
        return (*rows_of(SCENES, (3,), ("cosmic", "mixed")), *product(SOME, (3,), ("single",)))
    return rows_of(options.scenes or SCENES, options.n or [3], options.populations or ["cosmic"])


def rows_of(scenes, numbers, populations):
    """All rows of these scenes by population and number; a scene without hits has one population."""
    rows = ((scene, n, population) for population, n, scene in product(populations, numbers, scenes))
    return [row for row in rows if row[0] not in WITHOUT_HITS or row[2] == populations[0]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", nargs="+", choices=list(SCENES), metavar="SCENE")
    parser.add_argument("--n", type=int, nargs="+")
    parser.add_argument("--populations", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--shape", type=int, nargs=2, default=(400, 500), metavar=("NY", "NX"))
    parser.add_argument("--mmcosmic", action="store_true", help="M.M.Cosmic with PyCosmic")
    parser.add_argument("--differences", choices=["auto", "none"], default="auto", help="measured or not")
    parser.add_argument("--not-measured", action="store_true", help="nothing is measured")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    method = None if options.mmcosmic else JointPosterior(measure=not options.not_measured)
    rows = []
    for row in chosen_rows(options):
        rows.append(run(row, options, method))
        print("  ".join(f"{value}" for value in rows[-1].values()), file=sys.stderr, flush=True)
    Table(rows).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
