"""Real exposures: fractions flagged on bright structures and elsewhere, the mirror test, and injected hits.

python benchmarks/real.py DIRECTORY [--sets xo1 goodman ...] [--no-mirror] [--no-hits] [--pictures FOLDER]

DIRECTORY holds goodman_at2018oh, int_ids_sb5_pa352, arcsat_xo1 and sprat. Pictures of what was flagged go to FOLDER.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from _real_pictures import draw
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.datasets.hits import make_hits
from crstack.equalize.terms.hot_pixels import hot_pixels

#: folder, gain, read noise (electron), bias (ADU), illuminated rows and columns, frames to use
SETS = {
    "goodman": ("goodman_at2018oh", 1.36, 4.9, 434.5, (slice(None), slice(8, 2056)), slice(None)),
    "int": ("int_ids_sb5_pa352", 1.21, 3.65, None, (slice(0, 4099), slice(8, None)), slice(None)),
    "xo1": ("arcsat_xo1", 1.34, 16.3, 1356.0, (slice(None), slice(None)), slice(0, 3)),
    "xo1 moved": ("arcsat_xo1", 1.34, 16.3, 1356.0, (slice(None), slice(None)), slice(None)),
    "sprat": ("sprat", 2.45, 5.1, 916.0, (slice(None), slice(None)), slice(None)),
}
#: what decides
METHOD = JointPosterior()
#: a bright pixel is this many standard deviations above the level around it; and the window of that level
BRIGHT, AROUND = 10, 25
#: share of the values that injected hits cover
RATE = 0.008
#: how often hits are injected, at most so often until there are enough hits on bright structures; first seed
INJECTIONS, MOST_INJECTIONS, ENOUGH, SEED = 2, 32, 100, 9000
#: columns of the hits over five standard deviations: their number on bright structures, and what is found
FOUND = ("hits on bright", "> 5 bright %", "> 5 else %", "> 5 all noise %")


def read(directory, name):
    """Exposures in electrons and their read noise."""
    folder, gain, readnoise, bias, lit, which = SETS[name]
    paths = sorted((Path(directory) / folder).glob("*.fits*"))
    frames = []
    for path in paths[which]:
        data = fits.getdata(path).astype(np.float32)
        level = np.median(data[4104:4190]) if bias is None else bias
        frames.append((data[lit] - np.float32(level)) * np.float32(gain))
    return np.array(frames), readnoise


def decide(cube, readnoise):
    """The stack of the exposures, and their masks by the joint decision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = CRStack([CCDData(plane, unit="electron") for plane in cube], readnoise=readnoise * u.electron)
        return stack, stack.detect(method=METHOD)


def expectation(stack, masks):
    """Expected image of each exposure, and its noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts, _, _ = METHOD._expectation(stack.prepared, None)
        levels = np.where(masks.crmasks, np.nan, counts.levels)
        signal = np.nanmean(levels, axis=0)
    signal = np.where(np.isfinite(signal), signal, counts.levels.min(axis=0))
    none, numbers = np.zeros_like(signal), range(len(counts.levels))
    expected = np.array([counts.expected(i, signal, none)[0] for i in numbers])
    noise = np.sqrt(np.array([counts.variance_of(i, signal) for i in numbers]) + masks_excess(masks, signal))
    return expected, noise


def masks_excess(masks, signal):
    """Excess variance of the masks, 0 where there is none."""
    return np.zeros_like(signal) if masks.excess_variance is None else masks.excess_variance


def mirrored(cube, masks, expected, noise, readnoise, rng):
    """Each exposure mirrored about its expected image; hits and very low values are replaced by noise."""
    clean = cube.copy()
    replace = masks.crmasks | (cube < expected - 5 * noise)
    replace = ndimage.binary_dilation(replace, np.ones((1, 3, 3)))
    drawn = expected + np.sqrt(np.maximum(expected, 0) + readnoise**2) * rng.standard_normal(cube.shape)
    clean[replace] = drawn[replace]
    return (2 * expected - clean).astype(np.float32)


def bright_pixels(cube, readnoise):
    """(ny, nx) pixels of stars, lines and traces; and hot pixels and those beside, which are none of these."""
    median, lowest = np.median(cube, axis=0), cube.min(axis=0)
    level = ndimage.percentile_filter(median[::2, ::2], 30, AROUND // 2)
    level = np.repeat(np.repeat(level, 2, axis=0), 2, axis=1)[: median.shape[0], : median.shape[1]]
    hot = np.zeros(median.shape, dtype=bool)
    hot[hot_pixels(lowest, np.sqrt(np.maximum(lowest, 0) + readnoise**2), shared=True)] = True
    hot = ndimage.binary_dilation(hot, np.ones((3, 3)))
    return (median - level > BRIGHT * np.sqrt(np.maximum(level, 0) + readnoise**2)) & ~hot, hot


def mirror_test(cube, masks, expected, noise, readnoise, bright):
    """False values per million, everywhere and on bright structures."""
    other = mirrored(cube, masks, expected, noise, readnoise, np.random.default_rng(1))
    false = decide(other, readnoise)[1].crmasks
    return [1e6 * false.mean(), 1e6 * false[:, bright].mean()]


def found_hits(cube, expected, noise, readnoise, bright):
    """Injected hits over 5 sigma: number on bright structures, percentages found there and elsewhere.

    The last percentage is that of the hits on bright structures over 5 times all ``noise``, with the excess variance.
    """
    found = np.zeros((3, 2))
    sigma = np.sqrt(np.maximum(expected, 0) + readnoise**2)
    for seed in range(MOST_INJECTIONS):
        if seed >= INJECTIONS and found[0, 1] >= ENOUGH:
            break
        rng = np.random.default_rng([SEED + seed, 7])
        hits = np.stack([make_hits(cube.shape[1:], RATE, rng) for _ in cube])
        masks = decide((cube + hits).astype(np.float32), readnoise)[1].crmasks
        for k, (some, of) in enumerate(((bright, sigma), (~bright, sigma), (bright, noise))):
            strong = (hits > 5 * of)[:, some]
            found[k] += (strong & masks[:, some]).sum(), strong.sum()
    print(
        "injected hits over 5 sigma (found, all) on bright, elsewhere, bright (all noise):",
        found.tolist(),
        file=sys.stderr,
    )
    return found[0, 1], *(100 * found[:, 0] / found[:, 1])


def row(directory, name, options):
    """Fractions flagged in one set."""
    cube, readnoise = read(directory, name)
    start = time.perf_counter()
    stack, masks = decide(cube, readnoise)
    seconds = time.perf_counter() - start
    expected, noise = expectation(stack, masks)
    bright, hot = bright_pixels(cube, readnoise)
    found = masks.crmasks
    parts = (bright, ~bright & ~hot, hot)
    values = [1e6 * found[:, some].mean() if some.any() else np.nan for some in parts]
    print(name, "flagged on bright, elsewhere, hot:", [int(found[:, some].sum()) for some in parts], file=sys.stderr)
    print(name, stack.joint_posterior(METHOD), file=sys.stderr)
    if options.pictures:
        draw(options.pictures, name, cube, found, (cube - expected) / noise, bright, hot)
    values += [np.nan] * 2 if options.no_mirror else mirror_test(cube, masks, expected, noise, readnoise, bright)
    number, *strong = [np.nan] * 4 if options.no_hits else found_hits(cube, expected, noise, readnoise, bright)
    numbers = [*(f"{one:.0f}" for one in (*values, number)), *(f"{one:.1f}" for one in strong)]
    return (name, len(cube), f"{100 * bright.mean():.2f}", *numbers, f"{seconds:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--no-mirror", action="store_true")
    parser.add_argument("--no-hits", action="store_true", help="inject no hits")
    parser.add_argument("--pictures", metavar="FOLDER", type=Path, help="draw what was flagged")
    options = parser.parse_args()
    rows = []
    for name in options.sets:
        rows.append(row(options.directory, name, options))
        print(rows[-1], file=sys.stderr, flush=True)
    names = ("set", "N", "bright %", "bright", "elsewhere", "hot", "mirrored", "on bright", *FOUND, "s")
    Table(rows=rows, names=names).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
