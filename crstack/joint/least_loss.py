"""The mask that minimises the expected error of the mean of the remaining values."""

import numpy as np

__all__ = ["LEAST_DOUBT", "SURE_ENOUGH", "least_loss"]

#: least probability of a masked value: probabilities are known to 0.05, and a star must not be lost for one of 1 %
LEAST_DOUBT = 0.2
#: values with a higher probability are always masked
SURE_ENOUGH = 0.5


def least_loss(probability, charge, variance):
    """Mask the values whose exclusion reduces the expected error of the mean of a pixel.

    Parameters
    ----------
    probability : `~numpy.ndarray`
        (N, M) probability that each value is hit.
    charge : `~numpy.ndarray`
        (N, M) charge of the hit if there is one: excess of the value over the clean signal, electrons.
    variance : `~numpy.ndarray`
        (N, M) variance of a clean value, electrons squared.

    Returns
    -------
    mask : `~numpy.ndarray` of bool
        (N, M).

    Notes
    -----
    Let K be the set of n values that are kept. Value i is hit with probability p_i, independently of the others,
    and then holds a charge q_i. The mean of the kept values has the expected squared error

    .. math::

        L(K) = \\frac{1}{n^2} \\left[ \\sum_{i \\in K} \\sigma_i^2 + \\sum_{i \\in K} p_i q_i^2
               + \\sum_{i \\neq j \\in K} p_i p_j q_i q_j \\right] .

    Its first term is the noise, which grows when values are left out; the others are the charge that remains. For
    one doubtful value among N - 1 clean ones, leaving it out lowers L where p q^2 > sigma^2 N / (N - 1): with three
    exposures where p > 1.5 (sigma / q)^2. A doubtful value of 7 sigma costs more than a value of 2 sigma with the
    same probability. The values are ordered by p q^2, and the number n with the least L is kept.

    L takes the noise of a value as independent of the decision. If it is not hit, a high value is a high
    fluctuation, and a mean without it is too low by as much as a mean with a hit is too high. For both reasons:

    - A value that is more likely hit than not is masked, whatever its charge. With an even prior of the signal, this
      gives the least error for given values.
    - A value with p of less than 0.2 is not masked. L alone would mask bright pixels of which the model is not certain
      to a per cent.
    """
    cost = probability * charge**2
    order = np.argsort(cost, axis=0, kind="stable")
    p, q, variances, costs = (np.take_along_axis(one, order, axis=0) for one in (probability, charge, variance, cost))
    left = p * q
    # the sum over pairs is the square of the sum, less the squares
    pairs = np.cumsum(left, axis=0) ** 2 - np.cumsum(left**2, axis=0)
    number = np.arange(1, len(p) + 1)[:, None]
    loss = (np.cumsum(variances + costs, axis=0) + pairs) / number**2
    kept = np.zeros(p.shape, dtype=bool)
    np.put_along_axis(kept, order, number <= loss.argmin(axis=0) + 1, axis=0)
    return (~kept & (probability >= LEAST_DOUBT)) | (probability > SURE_ENOUGH)
