"""Completeness, false positives and pulls of M.M.Cosmic on simulated exposures with known hits.

    python benchmarks/mmcosmic.py [--shape 600 700] [--realisations 200]

The first table is for three scenes and N = 3, 4, 5, with gain 1 and 2.5 and bias 0 and 500. A hit counts
where its charge is over 5 standard deviations of one exposure. A flagged pixel is false if no charge at all
fell within one pixel. The second table has the scatter of (value - truth) / sigma over many realisations of
the noise with the same hits.
"""

import argparse
import itertools

import astropy.units as u
import numpy as np
from _truth import too_high, widened
from astropy.table import Table

from crstack import CRStack, LACosmicDetector, PyCosmicDetector
from crstack.datasets import make_stack

DETECTORS = {"pycosmic": PyCosmicDetector(), "lacosmic": LACosmicDetector()}


def stack_of(simulated):
    """The stack of simulated exposures."""
    return CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)


def electrons_of(simulated):
    """The same exposures in electrons, their bias subtracted."""
    gain, bias = simulated.gain, simulated.bias
    return [(ccd.data.astype(np.float64) * u.adu - bias) * gain for ccd in simulated.exposures]


def score(mask, hit, touched):
    """Completeness in percent, and false pixels per megapixel."""
    complete = 100 * mask[hit].mean() if hit.any() else np.nan
    return f"{complete:.1f} / {1e6 * (mask & ~widened(touched)).mean():.0f}"


def masks_row(scene, n, gain, bias, name, shape):
    """One row of the first table."""
    simulated = make_stack(
        scene, shape=shape, n_exposures=n, gain=gain * u.electron / u.adu, readnoise=4 * u.electron,
        bias=bias * u.adu, seed=1000 + n,
    )  # fmt: skip
    stack = stack_of(simulated)
    masks = stack.detect(aux=DETECTORS[name])
    other = CRStack(electrons_of(simulated), readnoise=simulated.readnoise).detect(aux=DETECTORS[name])
    same = all(np.array_equal(masks[mask], other[mask]) for mask in masks)
    hit, touched = simulated.hit_mask(5), simulated.truth
    crmask = np.mean([masks[f"CRMASK{i + 1}"][hit[i]].mean() for i in range(n)])
    false = (masks.crmasks & ~widened(touched)).mean()
    left = too_high(simulated, stack.combine("meancr2").data)
    return (
        scene, n, gain, bias, name,
        score(masks["MEDIANCR"], hit.sum(axis=0) >= (n + 1) // 2, touched.sum(axis=0) >= (n + 1) // 2),
        score(masks["MEANCRT"], hit.any(axis=0), touched.any(axis=0)),
        f"{100 * crmask:.1f} / {1e6 * false:.0f}",
        f"{left:.0f}",
        "yes" if same else "NO",
    )  # fmt: skip


def mask_table(shape):
    """Table of completeness and false positives."""
    rows = [
        masks_row(scene, n, gain, bias, name, shape)
        for scene, n, (gain, bias), name in itertools.product(
            ("ifu", "imaging", "slit"), (3, 4, 5), ((1.0, 0.0), (2.5, 500.0)), DETECTORS
        )
    ]
    names = ("scene", "N", "gain", "bias", "aux", "MEDIANCR", "MEANCRT", "CRMASKi", "over 5 sigma", "ADU = e")
    return Table(rows=rows, names=names)


def pull_rows(scene, n, realisations, shape=(100, 120)):
    """Rows of the second table."""
    simulated = make_stack(
        scene, shape=shape, n_exposures=n, gain=2.5 * u.electron / u.adu, readnoise=4 * u.electron,
        bias=500 * u.adu, seed=2000 + n,
    )  # fmt: skip
    truth = simulated.expected.mean(axis=0)
    names = ("mean", "median", "meancr2")
    errors, sigmas = {name: [] for name in names}, {name: [] for name in names}
    worst = np.inf
    for seed in range(realisations):
        stack = stack_of(simulated.realisation(seed))
        stack.detect(aux=DETECTORS["pycosmic"])
        for name in names:
            ccd = stack.combine(name)
            worst = min(worst, ccd.uncertainty.array[~ccd.mask].min())
            errors[name].append(ccd.data - truth)
            sigmas[name].append(np.sqrt(ccd.uncertainty.array))
    hit, clean = simulated.hit_mask(0.01).any(axis=0), ~simulated.truth.any(axis=0)
    for name in names:
        error, sigma = np.array(errors[name]), np.array(sigmas[name])
        pull, scatter = error / sigma, (error - error.mean(axis=0)) / sigma
        yield (
            scene, n, name,
            f"{pull[:, clean].std():.3f}", f"{pull[:, clean].mean():+.3f}",
            f"{scatter[:, hit].std(ddof=1):.3f}", f"{np.median(pull[:, hit]):+.2f}", f"{worst:.3g}",
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(600, 700), metavar=("NY", "NX"))
    parser.add_argument("--realisations", type=int, default=200)
    options = parser.parse_args()
    print("completeness of hits over 5 sigma (%) / false pixels per Mpx; pixels of meancr2 left over 5 sigma, per Mpx")
    mask_table(tuple(options.shape)).pprint_all()
    rows = [row for scene in ("ifu", "slit") for n in (3, 5) for row in pull_rows(scene, n, options.realisations)]
    names = ("scene", "N", "image", "std clean", "mean clean", "std hit", "median hit", "least variance")
    print(
        f"\n(value - truth) / sigma over {options.realisations} realisations; hit: scatter about each pixel's own mean"
    )
    Table(rows=rows, names=names).pprint_all()


if __name__ == "__main__":
    main()
