"""Exposures whose structures do not correlate with those of the others, such as the trace of another target."""

import numpy as np

from crstack.exposures.comparison.displacement import highest_correlation
from crstack.exposures.cube import ALIGNED
from crstack.utils.medians import median_of_values
from crstack.utils.threads import map_threads

__all__ = ["uncorrelated"]

#: blocks with more standard deviations above their surroundings belong to structures
CLEAR = 3.0
#: correlation with the others below which an exposure is unlike them, and least one of the others with one another
UNLIKE, ALIKE = 0.3, 0.7
#: light at the structures of the others, relative to what is expected, below which an exposure does not show them
DARK = 0.1
#: largest light of a block over that of the others, so that no hit decides
OF_OTHERS = 3.0
#: fewest blocks with structure, and least significance of the expected light in all of them together
FEWEST, EXPECTED = 40, 20.0


def uncorrelated(data, planes, factors=None):
    """Exposures that do not show the structures of the others, where these are alike.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures (N, ny, nx); bad values are 0.
    planes : list of (`~numpy.ndarray`, float)
        As from `~crstack.exposures.comparison.structures.significances`.
    factors : sequence of float, optional
        Light of each exposure over that of an average one, where exposure times differ.

    Returns
    -------
    found : dict of (float, float)
        By number from 0: the correlation of the exposure with the others, and of these with one another. Empty if there
        are fewer than three exposures.

    Notes
    -----
    A single trace is one structure, so that structures that are lacking cannot be counted. The square root of the light
    of blocks is compared, so that the brightest ones do not decide alone. Exposures that do not correlate in place are
    compared again after all shifts that are measured.
    """
    n = len(planes)
    if n < 3:
        return {}
    roots = map_threads(lambda one: np.sqrt(np.maximum(np.nan_to_num(one[0]) - CLEAR, 0)), planes)
    products = np.array([[np.vdot(one, other) for other in roots] for one in roots])
    energy = np.diag(products)
    related = products / np.sqrt(np.maximum(np.outer(energy, energy), 1e-30))
    found = {}
    for i in range(n):
        others = [k for k in range(n) if k != i]
        of_others = float(median_of_values(related[np.ix_(others, others)][np.triu_indices(n - 1, 1)]))
        own = float(median_of_values(related[i, others]))
        if own < UNLIKE and of_others > ALIKE and _lacks_light(planes, factors, i, others):
            moved = max(highest_correlation(data[i], data[k], ALIGNED) for k in others[:2])
            if moved < UNLIKE:
                found[i] = max(own, moved), of_others
    return found


def _lacks_light(planes, factors, i, others):
    """Whether an exposure has hardly any of the light that it must have at the structures of the others."""
    own, scatter = planes[i]
    times = np.ones(len(planes)) if factors is None else np.asarray(factors, dtype=float)
    scatters = np.array([planes[k][1] for k in others]) / times[others]
    lights = np.stack([np.nan_to_num(planes[k][0]) * one for k, one in zip(others, scatters, strict=True)])
    common = median_of_values(lights, axis=0)
    where = (common > CLEAR * np.median(scatters)) & np.isfinite(own)
    number = np.count_nonzero(where)
    if number < FEWEST:
        return False
    expected = times[i] * common[where]
    light = np.minimum(own[where] * scatter, OF_OTHERS * expected)
    total = float(expected.sum())
    return total > EXPECTED * scatter * np.sqrt(number) and float(light.sum()) < DARK * total
