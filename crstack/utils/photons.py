"""Distributions of photon counts at one expected number, which are faster than those of `scipy.stats`."""

import numpy as np
from scipy import special

__all__ = ["PhotonDistribution"]


class PhotonDistribution:
    """Poisson or negative binomial distribution of photon counts.

    It has the methods of a frozen distribution of `scipy.stats` that crstack uses, with the same values. Freezing a
    distribution of scipy writes its documentation, which takes longer than the computation.

    Parameters
    ----------
    electrons : float
        Expected number, 0 or more.
    nbinom : tuple of float, optional
        Size and probability of a negative binomial distribution; Poisson without.
    """

    def __init__(self, electrons, nbinom=None):
        self._family, self._parameters, self._electrons = _Poisson, (electrons,), electrons
        if nbinom is not None:
            # slow to import, and rarely needed
            from scipy import stats

            self._family, self._parameters, self._electrons = stats.nbinom, nbinom, None

    def mean(self):
        """Expected number."""
        return self._electrons if self._electrons is not None else self._family.mean(*self._parameters)

    def std(self):
        """Standard deviation."""
        return np.sqrt(self._electrons) if self._electrons is not None else self._family.std(*self._parameters)

    def sf(self, counts):
        """Probability of more than ``counts``."""
        return self._family.sf(counts, *self._parameters)

    def cdf(self, counts):
        """Probability of at most ``counts``."""
        return self._family.cdf(counts, *self._parameters)

    def logpmf(self, counts):
        """Logarithm of the probability of ``counts``."""
        return self._family.logpmf(counts, *self._parameters)


class _Poisson:
    """Poisson distribution at counts of 0 or more, by the formulas of `scipy.stats`, which is slow to import."""

    @staticmethod
    def sf(counts, electrons):
        return special.pdtrc(np.floor(counts), electrons)

    @staticmethod
    def cdf(counts, electrons):
        return special.pdtr(np.floor(counts), electrons)

    @staticmethod
    def logpmf(counts, electrons):
        return special.xlogy(counts, electrons) - special.gammaln(counts + 1) - electrons
