"""Squared deviations of the lowest and the highest of some values from their median."""

import functools

import numpy as np

from crstack.normal_samples import normal_order_moments

__all__ = ["TAIL", "deviations_squared", "mean_square", "squares_of_both", "tail_of_noise"]

#: quantile of the deviations that is compared with that of noise
TAIL = 0.95
#: number of normal samples that give the quantile of noise
SAMPLES = 100_000


def deviations_squared(low, median, high, n):
    """Mean of the squared deviations of the highest and the lowest of n values from their median; 1 for noise.

    Parameters
    ----------
    low, median, high : `~numpy.ndarray`
        Lowest, median and highest value.
    n : int
        Number of values.

    Returns
    -------
    squares : `~numpy.ndarray`
    """
    return mean_square(squares_of_both(low, median, high, n))


def mean_square(squares, limits=None, expected=None, trimmed=0.0):
    """Mean of the squared deviations of the lowest and of the highest value.

    Parameters
    ----------
    squares : list of `~numpy.ndarray`
        See `squares_of_both`.
    limits : `~numpy.ndarray`, optional
        Each squared deviation counts up to these.
    expected : `~numpy.ndarray`, optional
        Expected squared deviations, by which the highest values are compared.
    trimmed : float, optional
        Share of the highest values that does not count, because these may be hit: the lowest of the pixel counts
        twice.

    Returns
    -------
    mean : `~numpy.ndarray`
    """
    lower, upper = squares
    if trimmed:
        ratio = upper / expected
        upper = np.where(ratio > np.quantile(ratio, 1 - trimmed), lower, upper)
    if limits is not None:
        lower, upper = np.minimum(lower, limits), np.minimum(upper, limits)
    return (lower + upper) / 2


def squares_of_both(low, median, high, n):
    """Squared deviations of the lowest and of the highest of n values from their median; the mean for noise is 1.

    Parameters
    ----------
    low, median, high, n
        As for `deviations_squared`.

    Returns
    -------
    squares : list of `~numpy.ndarray`
        Those of the lowest and those of the highest.
    """
    mean, covariance = normal_order_moments(n)
    weight = np.zeros(n)
    weight[(n - 1) // 2] += 0.5
    weight[n // 2] += 0.5
    weight[0] -= 1
    scale = np.float32(1 / (weight @ (covariance + np.outer(mean, mean)) @ weight))
    return [np.square(one) * scale for one in (median - low, high - median)]


@functools.cache
def tail_of_noise(n):
    """Quantile `TAIL` of `deviations_squared` of ``n`` values of noise of variance 1: 3.8 for two, 1.7 for 25."""
    values = np.sort(np.random.default_rng(1).standard_normal((n, SAMPLES)), axis=0)
    median = (values[(n - 1) // 2] + values[n // 2]) / 2
    return float(np.quantile(deviations_squared(values[0], median, values[-1], n), TAIL))
