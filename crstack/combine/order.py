"""Mean and variance of order statistics of values, some of which are hit."""

from functools import lru_cache

import numpy as np

from crstack.normal_samples import normal_order_moments

__all__ = ["order_mean", "order_table", "order_variance"]

_moments = lru_cache(maxsize=64)(normal_order_moments)


@lru_cache(maxsize=256)
def order_variance(n_valid: int, n_clean: int, lowest: int, highest: int) -> float:
    """Variance of the mean of sorted values ``lowest`` to ``highest`` (from 0, inclusive).

    Of ``n_valid`` values with unit variance, ``n_clean`` come from one normal distribution. The others are hit and lie
    above them. A hit value is assumed to be independent, with unit variance.

    Parameters
    ----------
    n_valid, n_clean : int
        Number of values, and of those that are not hit.
    lowest, highest : int
        Ranks of the first and the last value of the mean, from 0.

    Returns
    -------
    variance : float
        In units of the variance of one value.
    """
    positions = np.arange(lowest, highest + 1)
    clean = positions[positions < n_clean]
    _, covariance = _moments(max(n_clean, 1))
    total = covariance[np.ix_(clean, clean)].sum() + np.count_nonzero(positions >= n_clean)
    return float(total) / len(positions) ** 2


@lru_cache(maxsize=256)
def order_mean(n: int, lowest: int, highest: int) -> float:
    """Expectation of the mean of sorted values ``lowest`` to ``highest`` of n standard normal ones.

    Parameters
    ----------
    n : int
        Number of values.
    lowest, highest : int
        Ranks of the first and the last value of the mean, from 0.

    Returns
    -------
    expectation : float
        In units of the standard deviation.
    """
    mean, _ = _moments(n)
    return float(mean[lowest : highest + 1].mean())


def order_table(most, positions):
    """Table of `order_variance`, indexed [n_valid, n_clean].

    Parameters
    ----------
    most : int
        Largest ``n_valid``.
    positions : callable
        ``positions(n_valid)`` gives the lowest and the highest position.

    Returns
    -------
    table : `~numpy.ndarray`
        float32 (most + 1, most + 1); 1 in the row without valid values.
    """
    table = np.ones((most + 1, most + 1), dtype=np.float32)
    for n in range(1, most + 1):
        for clean in range(n + 1):
            table[n, clean] = order_variance(n, clean, *positions(n))
    return table
