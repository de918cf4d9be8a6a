"""One step of expectation maximisation for a population of hits: rates, and smooth distributions of charges."""

import numpy as np
from scipy.linalg import solveh_banded

from crstack.joint.neighbourhoods import ALIKE, N_CHARGES, N_NUMBERS

__all__ = ["extrapolated_rows", "smooth_shapes", "steady_rates"]

#: weight of the prior of a class: as a number of hits with the mean distribution of charges, and of pixels with the
#: mean rate
STEADY = 10.0
#: standard deviation of the prior of the second differences of the log of a distribution of charges
BEND = 0.12
#: Newton steps in each step of expectation maximisation, and largest change of a logarithm in one of them
NEWTON_STEPS, LARGEST_STEP = 3, 1.5
#: share of the charges that is distributed evenly, so that every charge stays possible
FLOOR = 1e-3
#: largest extrapolation, in steps, and largest change of a logarithm by it
LONGEST_STEP, LARGEST_CHANGE = 5.0, 1.0


def smooth_shapes(counts, exposure, start):
    """Share of the charges in each bin (K, bins), for each distribution, after one step from ``start``.

    Parameters
    ----------
    counts : `~numpy.ndarray`
        (K, bins) expected number of hits.
    exposure : `~numpy.ndarray`
        (K, bins) number of values in which a charge of the bin would be found, times their rate of hits.
    start : `~numpy.ndarray`
        (K, bins) shares before the step.
    """
    shapes = np.exp(_smooth_log_densities(*_with_others_alike(counts, exposure), np.log(start)))
    # a lower limit keeps charges possible that do not occur in this stack
    shapes = shapes / shapes.sum(axis=1, keepdims=True) + FLOOR / shapes.shape[1]
    return shapes / shapes.sum(axis=1, keepdims=True)


def _smooth_log_densities(counts, exposure, start):
    """Log densities (K, bins) of charges, per unit of the exposure, that are most probable with a smooth prior.

    The ``counts`` are taken as Poisson numbers with the expectation ``exposure`` times density. The second differences
    of the log density have a normal prior of standard deviation `BEND`. Where noise hides the charges, the counts have
    little information, and the prior continues the density as a power of the charge. Newton steps begin at ``start``.
    """
    n_kinds, bins = counts.shape
    second = np.diff(np.eye(bins), 2, axis=0) / BEND
    stiff, found = second.T @ second, start.copy()
    # a bin depends on the two before and the two after it: diagonals of one band matrix for all distributions
    diagonals = np.stack([np.pad(stiff.diagonal(-number), (0, number)) for number in range(3)])
    for _ in range(NEWTON_STEPS):
        expected = exposure * np.exp(found)
        rest = counts - expected - found @ stiff
        matrix = np.tile(diagonals, n_kinds)
        matrix[0] += expected.ravel() + 1e-3
        steps = solveh_banded(matrix, rest.ravel(), overwrite_ab=True, lower=True, check_finite=False)
        found += np.clip(steps.reshape(found.shape), -LARGEST_STEP, LARGEST_STEP)
    return found - found.max(axis=1, keepdims=True)


def _with_others_alike(counts, exposure):
    """Counts and exposures, with `STEADY` hits added from the other distributions of the same group."""
    counts, exposure = counts.copy(), exposure + 1e-9
    for alike in ALIKE:
        together = counts[alike].sum(axis=0) + 1e-9
        density = together / (exposure[alike].sum(axis=0) + 1e-3 * exposure[alike].sum(axis=0).max())
        weight = STEADY / (density * exposure[alike]).sum(axis=1, keepdims=True)
        counts[alike] += weight * density * exposure[alike]
        exposure[alike] *= 1 + weight
    return counts, exposure


def extrapolated_rows(start, first, second, weights):
    """Rows (K, bins) of parameters, each with a step length of its own."""
    step, change = first - start, second - 2 * first + start
    norms = [np.sqrt((weights * one**2).sum(axis=1, keepdims=True)) for one in (step, change)]
    length = np.clip(norms[0] / np.maximum(norms[1], 1e-12), 1, LONGEST_STEP)
    found = start + 2 * length * step + length**2 * change
    return np.clip(found, second - LARGEST_CHANGE, second + LARGEST_CHANGE)


def steady_rates(hits, exposed):
    """Rates of hits by class; those of classes with few pixels are those of their number of neighbours."""
    of_number = (one.reshape(N_NUMBERS, N_CHARGES).sum(axis=1, keepdims=True) for one in (hits, exposed))
    numbers, pixels = of_number
    overall = numbers[1:].sum() / max(pixels[1:].sum(), 1)
    common = np.repeat((numbers + STEADY * overall) / (pixels + STEADY), N_CHARGES, axis=1).ravel()
    return (hits + STEADY * common) / (exposed + STEADY)
