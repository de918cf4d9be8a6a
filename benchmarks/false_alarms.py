"""Rate of clean pixels over the calibrated boundary, as a table.

    python benchmarks/false_alarms.py [--pixels 4000000] [--numbers 3 5] [--seed 9001]

The exposures have a constant signal and no hits. Each cell holds the measured rate divided by the requested one, for
the median, the mean and single exposures.
"""

import argparse
import itertools
import sys

import astropy.units as u
import numpy as np
from astropy.table import Table

from crstack import CalibratedBoundary, CRStack
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=4_000_000)
    parser.add_argument("--numbers", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--readnoise", type=float, default=3.4)
    parser.add_argument("--seed", type=int, default=9001)
    options = parser.parse_args()
    cases = itertools.product(options.numbers, SIGNALS)
    rows = [row(n, options.readnoise, signal, options) for n, signal in cases]
    names = ("N", "electrons", *(f"at {rate:.0e}" for rate in RATES))
    Table(rows=rows, names=names).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
