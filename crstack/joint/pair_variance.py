"""Variance of the differences of exposures over the known variance."""

from itertools import combinations

import numpy as np
from scipy.special import ndtr

from crstack.utils.medians import median_of_values

__all__ = ["ratio_without_hits", "robust_ratio", "variance_ratio"]

#: median of the absolute value of a standard normal number
MEDIAN_ABSOLUTE = 0.67449
#: differences are clipped at this number of standard deviations; variance of normal differences after the clip
CLIP, CLIPPED = 3.0, 0.97334
#: up to this number of exposures, all pairs are compared; beyond it, pairs at this distance, as a share of the number
ALL_PAIRS, STEP_OF_PAIRS = 5, 0.21
#: fit of faint hits to differences: bins, charges (standard deviations), initial share of hits, and steps
BINS_PER_SIGMA, BINS, CHARGES = 10, 80, np.geomspace(1.5, 9, 8)
FIRST_SHARE, STEPS = 0.02, 60


def variance_ratio(cube, variance, pixels, ratio_of=None):
    """Variance of the differences of exposures over the known one, in some pixels.

    Parameters
    ----------
    cube, variance : sequence of `~numpy.ndarray`
        N exposures, and the known variance of each, or one of all.
    pixels : `~numpy.ndarray` of int
        (M,) places of the pixels in a flattened exposure.
    ratio_of : callable, optional
        ``ratio_of(difference, variance)`` gives the ratio for one pair; `robust_ratio` by default.

    Returns
    -------
    ratio : float
        Mean of the pairs.
    known : `~numpy.ndarray`
        (M,) known variance, the mean of the exposures.
    """
    ratio_of = ratio_of or robust_ratio
    values, known = ([np.ravel(plane).take(pixels) for plane in one] for one in (cube, variance))
    known = known * (len(values) // len(known))
    pairs = _pairs(values)
    found = np.mean([ratio_of(values[i] - values[j], (known[i] + known[j]) / 2) for i, j in pairs])
    return found, np.mean(known, axis=0)


def _pairs(values):
    """Pairs of exposures: all pairs of few exposures; of many exposures, two pairs for each, whatever their order.

    The exposures are placed on a ring in the order of their means. For evenly spaced means, pairs that are 0.21 of the
    ring apart have the same mean squared difference as all pairs.
    """
    n = len(values)
    if n <= ALL_PAIRS:
        return list(combinations(range(n), 2))
    order = np.argsort([one.mean(dtype=np.float64) for one in values], kind="stable")
    first = round(STEP_OF_PAIRS * n)
    return [sorted((order[k], order[(k + step) % n])) for step in (first, first + 1) for k in range(n)]


def robust_ratio(difference, variance):
    """Variance of the difference of two exposures over the known one.

    Parameters
    ----------
    difference : `~numpy.ndarray`
        (M,) values.
    variance : `~numpy.ndarray`
        (M,) known variance of one exposure.

    Returns
    -------
    ratio : float
        1 where the known variance is right.
    """
    square = difference**2 / (2 * variance)
    # the limit, from the median, excludes hits; the mean of the rest is more precise, especially for integers
    return square[square <= CLIP**2 * median_of_values(square) / MEDIAN_ABSOLUTE**2].mean() / CLIPPED


def ratio_without_hits(difference, variance):
    """The same as `robust_ratio`, without the faint hits that are within its limit.

    Such hits raise the variance if they are frequent. The absolute differences are fitted by a Gaussian of free width
    and hits of `CHARGES`, with expectation maximisation.

    Parameters
    ----------
    difference, variance : `~numpy.ndarray`
        As for `robust_ratio`.

    Returns
    -------
    ratio : float
        As of `robust_ratio`.
    """
    first = robust_ratio(difference, variance)
    if not first:
        return first
    square = difference**2 / (2 * first * variance)
    place = np.minimum(np.sqrt(square) * BINS_PER_SIGMA, BINS).astype(np.intp)
    numbers, sums = (np.bincount(place, weights, minlength=BINS + 1)[:BINS] for weights in (None, square))
    total, every_edge = numbers.sum(), np.arange(BINS + 1) / BINS_PER_SIGMA
    found, shares = 1.0, np.full((len(CHARGES), 1), FIRST_SHARE / len(CHARGES))
    for _ in range(STEPS):
        edges, charges = every_edge / np.sqrt(found), CHARGES[:, None] / np.sqrt(found)
        clean = 2 * (1 - shares.sum()) * np.diff(ndtr(edges))
        hit = shares * np.diff(ndtr(edges - charges) + ndtr(edges + charges))
        every = clean + hit.sum(axis=0) + 1e-30
        # many equal values have no width: no less than one bin
        found = max((clean / every * sums).sum() / (clean / every * numbers).sum(), BINS_PER_SIGMA**-2.0)
        shares = (hit / every * numbers).sum(axis=1, keepdims=True) / total
    return float(found * first)
