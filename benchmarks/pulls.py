"""Scatter of (value - truth) / sigma on clean, masked and replaced pixels, as a table.

    python benchmarks/pulls.py [--shape 200 240] [--stacks 4] [--realisations 2] [--seed 7301]

`JointPosterior` decides on exposures of one scene, which are then combined. Each of the stacks has other hits, and
its noise is drawn several times. Clean pixels have no masked exposure, masked pixels have at least one, and replaced
pixels hold a value of another combination. One pixel in 200 is forced into every mask, so that it is interpolated;
these pixels are counted separately. Each number is followed by its standard error, in units of its last digit. The
error of the mean follows from the number of pixels, and that of the standard deviation also from the fourth moment of
the pulls.
"""

import argparse
import itertools
import sys

import astropy.units as u
import numpy as np
from astropy.table import Table

from crstack import CRStack, JointPosterior, MaskRules
from crstack.combine import PixelFlag
from crstack.datasets import make_stack

NAMES = ("mean", "median", "mediancr", "meancrt", "meancr", "meancr2", "meanjoint")
#: of two exposures; the median would be their mean
NAMES_OF_TWO = ("mean", "meancr2", "meanjoint")
REPLACED = PixelFlag.MINIMUM | PixelFlag.AUXMEDIAN | PixelFlag.MEDIANCR | PixelFlag.INTERPOLATED
KINDS = ("clean", "masked", "replaced", "interpolated")


class Moments:
    """Number, mean and standard deviation of pulls that are added in parts."""

    def __init__(self):
        self.sums = np.zeros(5)

    def add(self, pulls):
        """Add the pulls of one realisation."""
        self.sums += [np.power(pulls, power, dtype=np.float64).sum() for power in range(5)]

    def numbers(self):
        """Standard deviation, its error, the mean, and its error; None for too few pulls."""
        n = self.sums[0]
        if n < 30:
            return None
        mean, second, third, fourth = self.sums[1:] / n
        variance = second - mean**2
        of_fourth = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        error = np.sqrt(max(of_fourth - variance**2, 0) / n / (4 * variance))
        return float(np.sqrt(variance)), float(error), float(mean), float(np.sqrt(variance / n))

    def __str__(self):
        numbers = self.numbers()
        if numbers is None:
            return "-"
        deviation, its_error, mean, error = numbers
        return f"{deviation:.3f}({_digits(its_error)}) {mean:+.3f}({_digits(error)})"


def _digits(error):
    """An error in units of the third decimal, at least 1."""
    return f"{max(1000 * error, 1):.0f}"


def names_of(n):
    """Combinations of ``n`` exposures."""
    return NAMES if n > 2 else NAMES_OF_TWO


def perfect_masks(masks, simulated):
    """The masks of the true hits of more than half an electron."""
    from crstack.masks.rules import codes_of_hits

    hit = simulated.hits * simulated.gain.value > 0.5
    codes, _ = codes_of_hits(hit, MaskRules())
    return type(masks)(codes | {"MEANCR": masks.codes["MEANCR"]}, probability=hit.astype(np.float16))


def count(simulated, seed, options, moments):
    """Add the pulls of a stack with noise of its own to the moments."""
    truth = simulated.expected.mean(axis=0).astype(np.float64)
    places = np.random.default_rng(options.seed).choice(truth.size, truth.size // 200, replace=False)
    forced = [(int(place % truth.shape[1]) + 1, int(place // truth.shape[1]) + 1) for place in places]
    one = simulated.realisation(seed)
    stack = CRStack(one.exposures, gain=one.gain, readnoise=one.readnoise)
    masks = stack.detect(method=JointPosterior(), rules=MaskRules(force_pixels=forced))
    if options.perfect:
        masks = perfect_masks(masks, simulated)
    masked = masks.crmasks.any(axis=0)
    for name in names_of(len(simulated)):
        made = stack.combine(name, masks=masks, full_output=True)
        pull = (made.ccd.data - truth) / np.sqrt(made.ccd.uncertainty.array)
        interpolated = (made.flags & PixelFlag.INTERPOLATED) > 0
        replaced = ((made.flags & REPLACED) > 0) & ~interpolated
        moments[name, "clean"].add(pull[~masked])
        moments[name, "masked"].add(pull[masked & ~interpolated])
        moments[name, "replaced"].add(pull[replaced])
        moments[name, "interpolated"].add(pull[interpolated])


def rows(scene, n, options):
    """Rows of the table for one scene and number of exposures."""
    moments = {(name, kind): Moments() for name in names_of(n) for kind in KINDS}
    for number in range(options.stacks):
        simulated = make_stack(
            scene, shape=tuple(options.shape), n_exposures=n, gain=2.5 * u.electron / u.adu,
            readnoise=4 * u.electron, hit_rate=options.hit_rate, seed=options.seed + 100 * number + n,
        )  # fmt: skip
        for seed in range(1, options.realisations + 1):
            count(simulated, seed, options, moments)
    for name in names_of(n):
        yield scene, n, name, *(str(moments[name, kind]) for kind in KINDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(200, 240), metavar=("NY", "NX"))
    parser.add_argument("--stacks", type=int, default=4)
    parser.add_argument("--realisations", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7301)
    parser.add_argument("--hit-rate", type=float, default=0.03)
    parser.add_argument("--scenes", nargs="+", default=["ifu", "imaging", "slit"])
    parser.add_argument("--numbers", type=int, nargs="+", default=[2, 3, 5])
    parser.add_argument(
        "--perfect", action="store_true", help="masks of the true hits instead of those of the decision"
    )
    options = parser.parse_args()
    print("standard deviation and mean of (value - truth) / sigma, with their errors in units of the last digit\n")
    cases = itertools.product(options.scenes, options.numbers)
    names = ("scene", "N", "image", *KINDS)
    table = Table(rows=[row for scene, n in cases for row in rows(scene, n, options)], names=names)
    table.write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
