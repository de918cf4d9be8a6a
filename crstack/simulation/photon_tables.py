"""Photon counts from uniform or normal numbers, through tables."""

import numpy as np
from scipy.special import logsumexp

__all__ = ["MixedTables", "photon_table", "poisson_of_normal"]

#: steps of probability in a table
TABLE_STEPS = 4096


def _counts_of(distribution, width=1.0):
    """Range of photon counts of a ``distribution``, with tails ``width`` times wider."""
    # older scipy also computes the skewness, which is infinite for an expected count of 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, reach = distribution.mean(), (10 * distribution.std() + 30) * width
    while distribution.sf(mean + reach / width) > 1e-16:
        reach *= 2
    return np.arange(max(int(mean - reach), 0), int(mean + reach) + 1)


def _inverse(cumulative):
    """Return a function that turns uniform numbers into indices of a ``cumulative`` distribution.

    The cumulative distribution is inverted through a guide table, which is much faster than drawing counts one by one
    (Chen & Asau 1974, AIIE Trans. 6, 163).
    """
    below = cumulative.copy()
    below[-1] = 1.0
    guide = np.searchsorted(below, np.arange(TABLE_STEPS) / TABLE_STEPS)

    def invert(uniform):
        index = guide.take((uniform * TABLE_STEPS).astype(np.intp))
        late = np.flatnonzero(below.take(index) < uniform)
        index.ravel()[late] = np.searchsorted(below, uniform.ravel()[late])
        return index

    return invert


def photon_table(distribution):
    """Return a function that turns uniform numbers into counts of ``distribution``.

    Parameters
    ----------
    distribution : frozen discrete distribution of `scipy.stats`
        Of the counts.

    Returns
    -------
    invert : callable
        From an array of uniform numbers in [0, 1) to integers of that shape.
    """
    counts = _counts_of(distribution)
    invert = _inverse(distribution.cdf(counts))
    return lambda uniform: counts.take(invert(uniform))


def poisson_of_normal(electrons, normals):
    """Poisson counts from standard normal numbers.

    By the Cornish-Fisher expansion to third order (Cornish & Fisher 1938, Rev. Inst. Int. Stat. 5, 307), which is
    accurate to a small part of a count from `EXPANSION_FROM` electrons on. If the expected value changes, a count
    changes by no more than this. Counts drawn by rejection do not have this property.

    Parameters
    ----------
    electrons : `~numpy.ndarray`
        Expected counts, `EXPANSION_FROM` or more.
    normals : `~numpy.ndarray`
        Standard normal numbers; shapes that broadcast.

    Returns
    -------
    counts : `~numpy.ndarray`
        Whole numbers, as floats.
    """
    root = np.sqrt(electrons)
    z2 = normals**2
    third = normals * (z2 - 3) / 24 - normals * (2 * z2 - 5) / 36
    return np.rint(electrons + root * normals + (z2 - 1) / 6 + third / root)


class MixedTables:
    """Draws of photons and normal numbers, from their distributions or from wider ones.

    Parameters
    ----------
    distribution : frozen discrete distribution of `scipy.stats`
        Of the photons.
    n_exposures : int
        Values in a set. The width decreases with this number, because the weights of whole sets would scatter
        otherwise.
    """

    def __init__(self, distribution, n_exposures):
        self.n_exposures = n_exposures
        self.width = 1 + 2 / n_exposures
        photons = _counts_of(distribution, self.width)
        log = distribution.logpmf(photons)
        self._photons, log = photons[np.isfinite(log)], log[np.isfinite(log)]
        wide_log = log / self.width**2
        wide_log -= logsumexp(wide_log)
        self._log_ratio = (wide_log - log).astype(np.float32)
        self._tables = {wide: _inverse(np.exp(one).cumsum()) for wide, one in ((True, wide_log), (False, log))}

    def draw(self, n_sets, wide, rng):
        """Photons and normal numbers (N, 1, n), and the ratio of the two densities there (n,)."""
        shape = (self.n_exposures, 1, n_sets)
        index = self._tables[wide](rng.random(shape))
        normal = rng.standard_normal(shape, dtype=np.float32)
        if wide:
            normal *= np.float32(self.width)
        log_ratio = self._log_ratio.take(index).sum(axis=(0, 1), dtype=np.float64)
        log_ratio += (1 - self.width**-2) / 2 * np.square(normal).sum(axis=(0, 1), dtype=np.float64)
        log_ratio -= self.n_exposures * np.log(self.width)
        with np.errstate(over="ignore"):
            return self._photons.take(index), normal, np.exp(log_ratio)
