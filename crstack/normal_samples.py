"""Order statistics of samples of normal values."""

from functools import cache

import numpy as np

__all__ = ["normal_order_moments", "normal_range_exceeded"]


def normal_order_moments(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute means and covariances of the order statistics of n standard normal values.

    Parameters
    ----------
    n : int
        Sample size, 1 or more.

    Returns
    -------
    mean : `~numpy.ndarray`
        (n,) expected values, lowest first.
    covariance : `~numpy.ndarray`
        (n, n).

    Notes
    -----
    Gauss-Legendre quadrature of the joint density of two order statistics
    (David & Nagaraja 2003, *Order Statistics*, eq. 2.2.1), over the lower value
    and the gap between the two, where the integrand is smooth.
    """
    mean, covariance = _order_moments(n)
    return mean.copy(), covariance.copy()


@cache
def _order_moments(n):
    """The results of `normal_order_moments`, computed once for each n."""
    from scipy.special import gammaln, ndtr, xlogy

    nodes, weights = np.polynomial.legendre.leggauss(160)
    x, wx = 8.5 * nodes, 8.5 * weights
    gap, wgap = 7.0 * (nodes + 1), 7.0 * weights
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    below, above = ndtr(x), ndtr(-x)

    mean, covariance = np.empty(n), np.empty((n, n))
    y = x[:, None] + gap[None, :]
    between, beyond = ndtr(y) - below[:, None], ndtr(-y)
    joint = density[:, None] * np.exp(-0.5 * y**2) / np.sqrt(2 * np.pi) * wx[:, None] * wgap[None, :]
    for r in range(1, n + 1):
        norm = gammaln(n + 1) - gammaln(r) - gammaln(n - r + 1)
        single = np.exp(norm + xlogy(r - 1, below) + xlogy(n - r, above)) * density * wx
        mean[r - 1] = single @ x
        covariance[r - 1, r - 1] = single @ x**2
        for s in range(r + 1, n + 1):
            norm = gammaln(n + 1) - gammaln(r) - gammaln(s - r) - gammaln(n - s + 1)
            log = norm + xlogy(r - 1, below)[:, None] + xlogy(s - r - 1, between) + xlogy(n - s, beyond)
            covariance[r - 1, s - 1] = covariance[s - 1, r - 1] = np.sum(np.exp(log) * joint * x[:, None] * y)
    return mean, covariance - np.outer(mean, mean)


@cache
def normal_range_exceeded(share, n):
    """Range (largest minus smallest) that a ``share`` of samples of ``n`` standard normal values exceeds.

    Parameters
    ----------
    share : float
        Between 0 and 1.
    n : int
        Sample size, 2 or more.

    Returns
    -------
    widest : float

    Notes
    -----
    The range is below r with the probability n times the integral of phi(x) (Phi(x + r) - Phi(x))^(n - 1) (David &
    Nagaraja 2003, *Order Statistics*, eq. 2.3.3), here by Gauss-Legendre quadrature. `scipy.stats.studentized_range`
    for infinitely many degrees of freedom is the same, but slow to import.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    nodes, weights = np.polynomial.legendre.leggauss(200)
    x, weights = 9.0 * nodes, 9.0 * n * weights
    density = weights * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)

    def too_many(widest):
        return 1 - density @ (ndtr(x + widest) - ndtr(x)) ** (n - 1) - share

    return float(brentq(too_many, 0.0, 40.0, xtol=1e-13))
