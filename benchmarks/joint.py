"""Tables of the joint decision on simulated exposures with known hits.

python benchmarks/joint.py [--shape 600 700] [--seeds 4101 4102] [--reliability | --null | --everywhere]
                           [--populations cosmic mixed]
"""

import argparse
import itertools
import sys
import time

import astropy.units as u
import numpy as np
from _truth import completeness, make, perfect, precision, too_high_in_mean, widened
from astropy.table import Table

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS
from crstack.equalize import ResponseSettings
from crstack.joint import Counts, joint_posterior

CASES = {
    "equivalent": {},
    "response 5 %": {"response_jitter": 0.05},
    "offsets 0.15 px": {"offsets": ((0.15, -0.1), (0.0, 0.0), (-0.15, 0.1))},
    "fluxes 0.85/1/1.12": {"flux_factors": (0.85, 1.0, 1.12)},
}
#: settings of a stack that measures the differences between its exposures
MEASURED = {
    "response 5 %": {"response": ResponseSettings()},
    "offsets 0.15 px": {"crosscorr_region": True},
    "fluxes 0.85/1/1.12": {"flux_method": "slope"},
}
SCENES = ("ifu", "imaging", "slit")
#: exposures, and part of their values that is hit, of stacks in which some pixels are hit in all exposures
EVERYWHERE = ((2, 0.02), (3, 0.06))
#: values of a bin of probability that are shown: a standard error of 0.05
FEWEST = 100
#: exposures, read noise and signal (electrons) of stacks without hits; each is as many values
NULL = (
    (2, 4, 5), (2, 4, 100), (2, 3, 1000), (3, 4, 0), (3, 4, 2), (3, 4, 10), (3, 2, 10), (3, 4, 1000), (3, 2, 50_000),
    (5, 4, 10), (5, 3, 300), (7, 3, 20),
)  # fmt: skip


def row(case, measured, scene, n, shape, seeds):
    """One row of the table: the mean over the seeds.

    ``measured`` states who measures the differences: "asked" for the stack, "itself" for the decision, or "no".
    """
    scores = []
    for seed in seeds:
        simulated = make(scene, n, shape, seed, **CASES[case])
        options = dict(MEASURED.get(case, {})) if measured == "asked" else {}
        if "crosscorr_region" in options:
            options["crosscorr_region"] = (1, shape[1], 1, shape[0])
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, **options)
        stack.prepared.known  # noqa: B018, measured before the clock starts
        start = time.perf_counter()
        masks = stack.detect(method=JointPosterior(measure=measured != "no"))
        seconds = time.perf_counter() - start
        found, strong = masks.crmasks, simulated.hit_mask(5)
        contaminated = strong.sum(axis=0) >= (n + 1) // 2
        scores.append((
            precision(simulated, found),
            completeness(simulated, found, 2),
            completeness(simulated, found, 5),
            too_high_in_mean(simulated, found),
            too_high_in_mean(simulated, perfect(simulated)),
            100 * masks["MEDIANCR"][contaminated].mean() if contaminated.any() else np.nan,
            1e6 * (masks["MEDIANCR"] & ~widened(simulated.hits > 1).any(axis=0)).mean(),
            seconds,
        ))  # fmt: skip
    formats = ("{:.2f}", "{:.1f}", "{:.2f}", "{:.0f}", "{:.0f}", "{:.1f}", "{:.0f}", "{:.1f}")
    means = np.mean(scores, axis=0)
    values = ("-" if np.isnan(mean) else form.format(mean) for form, mean in zip(formats, means, strict=True))
    return (case, measured, scene, n, *values)


def scores_table(shape, seeds):
    """Precision, completeness and remaining hits of equivalent and of unequal exposures."""
    wanted = [("equivalent", "itself", scene, n) for scene, n in itertools.product(SCENES, (3, 4, 5, 7))]
    wanted += [(*one, 3) for one in itertools.product(list(CASES)[1:], ("itself", "asked", "no"), SCENES)]
    names = (
        "exposures", "measured", "scene", "N", "precision %", "> 2 sigma %", "> 5 sigma %", "too high/Mpx",
        "perfect/Mpx", "MEDIANCR %", "false/Mpx", "s",
    )  # fmt: skip
    return Table(rows=[row(*one, shape, seeds) for one in wanted], names=names)


def reliability_table(shape, seeds, populations=tuple(POPULATIONS)):
    """Of values given a probability, the fraction that is hit by over half a standard deviation, less the probability.

    The fractions are as counted. Bins with fewer than `FEWEST` values are left out.
    """
    rows = []
    for population, rate, scene, n in itertools.product(populations, (0.008, 0.03), ("ifu", "imaging"), (3, 5)):
        hits, totals, given = np.zeros((3, 10))
        for seed in seeds:
            simulated = make(scene, n, shape, seed, hit_rate=rate, population=population)
            stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
            probability = stack.joint_posterior().probability.ravel()
            bins = np.minimum((10 * probability).astype(int), 9)
            hits += np.bincount(bins, simulated.hit_mask(0.5).ravel(), minlength=10)
            given += np.bincount(bins, probability, minlength=10)
            totals += np.bincount(bins, minlength=10)
        enough = totals >= FEWEST
        numbers = np.maximum(totals, 1)
        difference, error = (hits - given) / numbers, np.sqrt(given * (1 - given / numbers)) / numbers
        cells = (f"{one:+.3f}" if some else "-" for one, some in zip(difference, enough, strict=True))
        rows.append((population, f"{100 * rate:.1f}", scene, n, *cells, f"{error[enough].max():.3f}"))
    names = ("hits", "hit %", "scene", "N", *(f"{0.05 + 0.1 * i:.2f}" for i in range(10)), "error")
    return Table(rows=rows, names=names)


def null_table(values=6_000_000):
    """Measured rate of false alarms divided by the requested one."""
    rows = []
    for n, readnoise, signal in NULL:
        rng = np.random.default_rng([n, readnoise, signal])
        shape = (n, 1000, values // n // 1000)
        cube = (rng.poisson(signal, shape) + rng.normal(0, readnoise, shape)).astype(np.float32)
        counts = Counts(cube, np.float32(readnoise**2))
        ratios = [
            joint_posterior(counts, JointPosterior(false_alarm=rate)).mask.mean() / rate for rate in (1e-3, 1e-4, 1e-5)
        ]
        rows.append((n, readnoise, signal, *(f"{ratio:.2f}" for ratio in ratios)))
    return Table(rows=rows, names=("N", "read noise", "signal", "1e-3", "1e-4", "1e-5"))


def everywhere_table(shape, seeds):
    """Pixels hit by over 5 standard deviations in all exposures, and pixels flagged in all of them."""
    rows = []
    for (n, hit_rate), scene in itertools.product(EVERYWHERE, SCENES):
        counts, settings = np.zeros(4, int), {"n_exposures": n, "hit_rate": hit_rate}
        for seed in seeds:
            simulated = make_stack(scene, shape=shape, gain=1 * u.electron / u.adu, seed=seed, **settings)
            stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
            found = stack.detect(method=JointPosterior()).crmasks.all(axis=0)
            strong, touched = (simulated.hit_mask(sigma).all(axis=0) for sigma in (5, 0.5))
            counts += [strong.sum(), (strong & found).sum(), found.sum(), (found & ~touched).sum()]
        rows.append((scene, n, f"{100 * hit_rate:.0f}", *counts))
    names = ("scene", "N", "hits %", "hit in all", "of these found", "flagged in all", "of these false")
    return Table(rows=rows, names=names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(600, 700), metavar=("NY", "NX"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(4101, 4102))
    parser.add_argument("--populations", nargs="+", choices=tuple(POPULATIONS), default=tuple(POPULATIONS))
    table = parser.add_mutually_exclusive_group()
    for name in ("reliability", "null", "everywhere"):
        table.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    shape = tuple(options.shape)
    if options.null:
        table = null_table()
    elif options.reliability:
        table = reliability_table(shape, options.seeds, options.populations)
    else:
        make_table = everywhere_table if options.everywhere else scores_table
        table = make_table(shape, options.seeds)
    table.write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
