"""The mask that minimises the expected error of the mean of the remaining values."""

__all__ = ["least_loss"]

#: probability above which a value is masked
LIKELIER_HIT = 0.5


def least_loss(probability):
    """Mask the values whose exclusion reduces the expected squared error of the mean.

    Parameters
    ----------
    probability : `~numpy.ndarray`
        (N, ...) probability that each value is hit.

    Returns
    -------
    mask : `~numpy.ndarray` of bool
        (N, ...).

    Notes
    -----
    Let m be the mean of the values that are kept, and s the signal. The values x are known, so that the expected
    squared error of m is

    .. math::

        E[(m - s)^2 | x] = \\mathrm{Var}(s | x) + (m - E[s | x])^2 .

    The best mask is the one whose mean is nearest to the posterior mean of the signal. Let one value be doubtful, with
    an excess q over the mean of the N - 1 others and a probability p of being hit. With an even prior of the signal,
    the posterior mean is that of the others plus (1 - p) q / N. It differs by p q / N from the mean of all values, and
    by (1 - p) q / N from the mean of the others. The value is therefore masked if p > 1/2, whatever its charge and the
    noise.

    Another rule would add the expected square of the charge, p q^2 / N^2, to the variance of the noise, and mask large
    excesses at a lower probability. It assumes that the noise does not depend on the excess. But if the value is not
    hit, a large excess is a fluctuation of the noise, and the mean without it is too low.
    """
    return probability > LIKELIER_HIT
