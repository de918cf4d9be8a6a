"""Rate of clean pixels over the calibrated boundary, as a table.

    python benchmarks/false_alarms.py [--pixels 4000000] [--numbers 3 5] [--seed 9001] [--hits]

The exposures have a constant signal and no hits. Each cell holds the measured rate divided by the requested one, for
the median, the mean and single exposures.

With ``--hits`` it is the rate of the joint decision in exposures with hits, for each of their populations: masked
values that are further than two pixels from any hit, divided by the requested rate.
"""

import argparse
import itertools
import sys

import astropy.units as u
import numpy as np
from astropy.table import Table
from scipy import ndimage

from crstack import CalibratedBoundary, CRStack, JointPosterior
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.joint import Counts, joint_posterior
from crstack.statistics import order_statistics

SIGNALS = (0.0, 1.0, 3.0, 10.0, 30.0, 300.0, 5000.0, 50000.0)
RATES = (1e-3, 1e-4, 1e-5)
IMAGES = ("median", "mean", "exposure")
SHAPE = (500, 1000)


def exposures(signal, n, readnoise, rng):
    """Electrons of n exposures, float32."""
    cube = rng.poisson(signal, (n, *SHAPE)).astype(np.float32)
    return cube + readnoise * rng.standard_normal(cube.shape, dtype=np.float32)


def row(n, readnoise, signal, options):
    """One row of the table."""
    rng = np.random.default_rng([options.seed, n, int(signal)])
    stack = CRStack(
        [plane * u.electron for plane in exposures(signal, n, readnoise, rng)], readnoise=readnoise * u.electron
    )
    stack.mm_diagram(n_simulations=1)
    boundaries = [stack.fit_boundary(CalibratedBoundary(rate)) for rate in RATES]
    over = np.zeros((len(RATES), len(IMAGES)))
    parts = max(1, options.pixels // (SHAPE[0] * SHAPE[1]))
    for _ in range(parts):
        cube = exposures(signal, n, readnoise, rng)
        statistics = order_statistics(cube, 2)
        for column, image in enumerate((statistics.median2d, statistics.mean2d, cube)):
            excess = image - statistics.min2d
            for number, boundary in enumerate(boundaries):
                over[number, column] += np.mean(excess > boundary.for_image(IMAGES[column])(statistics.min2d))
    cells = over / parts / np.array(RATES)[:, None]
    return n, f"{signal:g}", *(" ".join(f"{value:.2f}" for value in cell) for cell in cells)


def rate_beside_hits(population, n, options, rate=1e-3, signal=100.0, hit_rate=0.01):
    """Rate of masked values that are further than two pixels from any hit, divided by the requested rate.

    Parameters
    ----------
    population : str
        Kind of the hits.
    n : int
        Number of exposures.
    options : `~argparse.Namespace`
        With ``seed``, ``readnoise`` (electrons) and ``pixels`` of one exposure.
    rate, signal, hit_rate : float, optional
        Requested rate, electrons of each exposure, and share of the values that are hit.
    """
    rng = np.random.default_rng([options.seed, n, sorted(POPULATIONS).index(population)])
    shape = (max(options.pixels // SHAPE[1], 100), SHAPE[1])
    hits = np.stack([make_hits(shape, hit_rate, rng, population) for _ in range(n)])
    noise = options.readnoise * rng.standard_normal(hits.shape, dtype=np.float32)
    cube = (rng.poisson(signal, hits.shape) + hits + noise).astype(np.float32)
    mask = joint_posterior(Counts(cube, np.float32(options.readnoise**2)), JointPosterior(false_alarm=rate)).mask
    clean = ~ndimage.maximum_filter(hits > 0, size=(1, 5, 5))
    return float(mask[clean].mean() / rate)


def hits_table(options):
    """The rates beside hits, by population and number of exposures."""
    rows = [
        (population, *(f"{rate_beside_hits(population, n, options):.2f}" for n in options.numbers))
        for population in POPULATIONS
    ]
    return Table(rows=rows, names=("hits", *(f"N = {n}" for n in options.numbers)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=4_000_000)
    parser.add_argument("--numbers", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--readnoise", type=float, default=3.4)
    parser.add_argument("--seed", type=int, default=9001)
    parser.add_argument("--hits", action="store_true", help="the joint decision with hits present")
    options = parser.parse_args()
    if options.hits:
        hits_table(options).write(sys.stdout, format="ascii.rst")
        return
    cases = itertools.product(options.numbers, SIGNALS)
    rows = [row(n, options.readnoise, signal, options) for n, signal in cases]
    names = ("N", "electrons", *(f"at {rate:.0e}" for rate in RATES))
    Table(rows=rows, names=names).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
