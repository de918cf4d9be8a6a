"""Table of the hits that are missed because the population of hits is fitted and not known.

    python benchmarks/limit.py [--shape 300 350] [--seeds 31 32] [--rate 0.01] [--numbers 3 5]

The table has rows for each population of `crstack.datasets.make_stack`. Its columns are

- missed %: hits over 5 standard deviations that are not found
- false/Mpx: flagged values that are further than a pixel from any hit
- left/Mpx: pixels that stay more than 5 standard deviations too high in the mean of the unmasked values
- pull: the median of (mean - truth) / sigma of the pixels that are hit. The mean is weighted by the probabilities

All are given for the fitted and for the true population. With the true one, each sweep of the same posterior uses the
rates and charges of the true hits in each class of neighbourhood. This is the best result of this model.
"""

import argparse
import itertools
import sys

import numpy as np
from _truth import completeness, make, perfect, too_high_in_mean, widened
from astropy.table import Table

from crstack import JointPosterior
from crstack.combine.posterior_mean import posterior_mean
from crstack.datasets.hits import POPULATIONS
from crstack.joint import Counts, joint_posterior
from crstack.joint.candidates import find_candidates
from crstack.joint.charges import CHARGE_EDGES, LOG_SIGMA, sigma_index
from crstack.joint.field import Field
from crstack.joint.neighbourhoods import N_CLASSES, N_KINDS, charges_kind
from crstack.joint.population import Population
from crstack.joint.scatter import scatter_of
from crstack.joint.sweeps import sweep

#: steps of the fit to the true hits: rates and charges are fitted in turn
STEPS_OF_TRUTH = 20


def counts_of(simulated):
    """The exposures, one electron per ADU."""
    cube = np.array([ccd.data for ccd in simulated.exposures], dtype=np.float32)
    return Counts(cube, np.float32(simulated.readnoise.value**2))


def of_truth(simulated, classes, of_sigma):
    """Population (see `crstack.joint.population`) of the true hits; ``classes`` (N, ny, nx) are those of all values."""
    hit = simulated.hit_mask(0.5)
    counts = np.zeros((N_KINDS, len(CHARGE_EDGES) - 1))
    charge = np.clip(simulated.hits[hit], CHARGE_EDGES[0], CHARGE_EDGES[-2])
    np.add.at(counts, (charges_kind(classes[hit]), np.searchsorted(CHARGE_EDGES, charge, side="right") - 1), 1)
    hits = np.bincount(classes[hit], minlength=N_CLASSES).astype(float)
    totals = np.zeros((N_CLASSES, LOG_SIGMA.size))
    np.add.at(totals, (classes, np.broadcast_to(of_sigma, classes.shape)), 1)
    population = Population()
    for _ in range(STEPS_OF_TRUTH):
        population = population.refitted(counts, hits, totals)
    return population


def known(simulated, settings):
    """Probabilities (N, ny, nx) with the true population."""
    counts = counts_of(simulated)
    scatter = scatter_of(counts)
    sigma = np.sqrt(counts.mean_variance(scatter.signal) + scatter.of_pixels)
    candidates = find_candidates(counts, scatter.of_pixels, sigma)
    field, tables = Field(counts.data.shape), candidates.tables()
    everywhere = tuple(index.ravel() for index in np.indices(sigma.shape))
    for _ in range(settings.n_sweeps + 1):
        classes = field.classes_at(everywhere).reshape(counts.data.shape)
        sweep(field, candidates, tables, of_truth(simulated, classes, sigma_index(sigma)))
    return field.probability


def pull(simulated, probability):
    """Median of (mean - truth) / sigma of the pixels that are hit."""
    hit = (simulated.hits > 0).any(axis=0)
    values = np.array([ccd.data[hit] for ccd in simulated.exposures], np.float64)
    expected = simulated.expected[:, hit].astype(np.float64)
    mean, variance, _ = posterior_mean(values, probability[:, hit], simulated.noise.variance(expected))
    return np.nanmedian((mean - expected.mean(axis=0)) / np.sqrt(variance))


def row(population, scene, n, options):
    """One row: means over the seeds."""
    scores, settings = [], JointPosterior(probability=0.5)
    for seed in options.seeds:
        simulated = make(scene, n, tuple(options.shape), seed, hit_rate=options.rate, population=population)
        chances = [joint_posterior(counts_of(simulated), settings).probability, known(simulated, settings)]
        masks, beside = [chance > 0.5 for chance in chances], widened(simulated.hits > 0)
        missed = [100 - completeness(simulated, mask, 5) for mask in masks]
        false = [1e6 * (mask & ~beside).mean() for mask in masks]
        left = [too_high_in_mean(simulated, mask) for mask in (*masks, perfect(simulated))]
        scores.append((*missed, *false, *left, *(pull(simulated, chance) for chance in chances)))
    return population, scene, n, *(f"{value:.2f}" for value in np.mean(scores, axis=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(300, 350), metavar=("NY", "NX"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(31, 32))
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--numbers", type=int, nargs="+", default=(2, 3, 5))
    parser.add_argument("--scenes", nargs="+", default=("ifu", "imaging"))
    options = parser.parse_args()
    cases = itertools.product(POPULATIONS, options.scenes, options.numbers)
    names = (
        "hits", "scene", "N", "missed %", "limit %", "false/Mpx", "limit of false", "left/Mpx", "limit/Mpx",
        "perfect/Mpx", "pull", "limit of pull",
    )  # fmt: skip
    Table(rows=[row(*case, options) for case in cases], names=names).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
