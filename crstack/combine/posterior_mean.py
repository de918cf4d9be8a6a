"""The mean of a pixel for uncertain hits."""

import numpy as np

__all__ = ["SURE", "posterior_mean", "uncertain"]

#: values with a lower probability to be hit count as clean, and those with a lower probability to be clean as hit
SURE = 0.005
#: largest number of uncertain values in a pixel; the most certain ones are rounded
MOST_UNCERTAIN = 10


def uncertain(probability):
    """True where a probability to be hit is close to neither 0 nor 1."""
    return (probability >= SURE) & (probability <= 1 - SURE)


def posterior_mean(values, probability, variance, weights=None, *, scales=None):
    """Mean of the clean values, averaged over the possible sets of clean values.

    Parameters
    ----------
    values : `~numpy.ndarray`
        (N, M).
    probability : `~numpy.ndarray`
        (N, M) probability that each value is hit; 1 for an excluded value.
    variance : `~numpy.ndarray`
        (N, M) of clean values.
    weights : `~numpy.ndarray`, optional
        (N, M) weights of clean values in their mean; equal by default.
    scales : `~numpy.ndarray`, optional
        (N, M) throughput of each value over the mean throughput; 1 by default. The mean of clean values is later
        brought to the mean throughput, and its variance is given for that.

    Returns
    -------
    mean, variance : `~numpy.ndarray`
        float64 (M,); NaN where every value is certainly hit.
    count : `~numpy.ndarray`
        int16 (M,), expected number of clean values, rounded; at least 1 where there is a mean.

    Notes
    -----
    The values are assumed to be hit independently of each other, given their probabilities. The set in which every
    value is hit has no mean. It is excluded, and the weights of the others are normalised.

    With weights w, scales t and variances v, the variance of the mean of one set of clean values is
    :math:`\\sum w^2 v / (\\sum w t)^2`. The scatter of the means of the different sets is added.
    """
    n, m = values.shape
    probability = np.where(probability < SURE, 0.0, np.where(probability > 1 - SURE, 1.0, probability))
    # the least certain values come first; the others are the same in all sets
    order = np.argsort(np.abs(probability - 0.5), axis=0, kind="stable")
    values, chance, variance = (np.take_along_axis(one, order, axis=0) for one in (values, probability, variance))
    weights, scales = (
        np.ones(1) if one is None else np.take_along_axis(one, order, axis=0) for one in (weights, scales)
    )
    most = min(n, MOST_UNCERTAIN)
    chance[most:] = np.rint(chance[most:])
    numbers = ((chance > 0) & (chance < 1)).sum(axis=0)
    sums = np.zeros((4, m))  # sums of weights, weighted means, squared means and variances
    # few pixels have several uncertain values; the number of sets doubles with each
    for number in np.unique(numbers):
        which = np.flatnonzero(numbers == number)
        values_of, chance_of, *others = (
            one if one.size == 1 else one[..., which] for one in (values, chance, variance, weights, scales)
        )
        sums[:, which] = _sums_over_sets(values_of, chance_of, others, int(number))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight, mean, square, within = sums
        mean = mean / weight
        spread = np.maximum(square / weight - mean**2, 0)
        lowest = values.min(axis=0)
        count = np.where(weight > 0, np.maximum(np.rint((1 - chance).sum(axis=0)), 1), 0).astype(np.int16)
        return mean + lowest, within / weight + spread, count


def _sums_over_sets(values, chance, others, uncertain):
    """Sums (4, M) over the sets of clean values; only the first ``uncertain`` values of each pixel are uncertain.

    ``others`` are the variances, weights and scales of the values.
    """
    variance, weights, scales = others
    n, m = values.shape
    sums = np.zeros((4, m))
    for number in range(1 << uncertain):
        hit = np.zeros((n, 1), dtype=bool)
        hit[:uncertain, 0] = (number >> np.arange(uncertain)) & 1
        probable = np.where(hit[:uncertain], chance[:uncertain], 1 - chance[:uncertain]).prod(axis=0)
        clean = np.where(np.arange(n)[:, None] < uncertain, ~hit, chance < 0.5)
        _add_set(sums, values, (variance, np.where(clean, weights, 0.0), scales), probable)
    return sums


def _add_set(sums, values, others, probability):
    """Add the mean of one set of clean values, times the probability of the set, to the sums.

    ``others`` are as for `_sums_over_sets`; a weight is 0 where a value is hit.
    """
    variance, weights, scales = others
    total = weights.sum(axis=0)
    some = total > 0
    probability = np.where(some, probability, 0.0)
    divisor = np.where(some, total, 1.0)
    # relative to the lowest value, so that the difference of two large squares stays precise
    mean = (weights * (values - values.min(axis=0))).sum(axis=0) / divisor
    within = (weights**2 * variance).sum(axis=0) / np.where(some, (weights * scales).sum(axis=0), 1.0) ** 2
    sums += probability * np.stack([np.ones_like(mean), mean, mean**2, within])
