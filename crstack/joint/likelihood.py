"""Likelihoods of clean values, and the sum over all sets of hit exposures."""

import numpy as np
from scipy.special import ndtr, ndtri

__all__ = [
    "NODE_REACH",
    "NODE_STEP",
    "hit_weights",
    "log_clean",
    "nodes_left_out",
    "nodes_of_groups",
    "reach_below",
    "signal_nodes",
    "widths_of",
]

#: standard deviations covered on each side of the lowest value
NODE_REACH = 4.8
#: step of the nodes in standard deviations of the mean of the values; for a Gaussian the error of the sum is negligible
NODE_STEP = 1.25
#: steps of Halley's method for the saddle point, and its highest start
HALLEY_STEPS, HIGHEST_START = 2, np.float32(3)
#: largest logarithm of hit over clean, and of clean over hit: beyond it, a share would underflow
MOST_RATIO = np.float32(87)


def log_clean(value, signal, variance, poisson=1):
    """Log density of a clean value: Poisson photons plus Gaussian noise.

    Saddle-point approximation (Daniels 1954, Ann. Math. Stat. 25, 631) of the density of Poisson(s) + Normal(0,
    variance). It is exact for s = 0. Its error is largest where the variance is small: docs/explanation/joint.rst
    computes it. With much less than one electron of noise the density has peaks at whole photons, which are not
    described. A negative signal, from a bias that is slightly too large, shifts only the Gaussian.

    Parameters
    ----------
    value, signal, variance : `~numpy.ndarray`
        In electrons (variance: electrons squared, positive, that of all but the
        photons); shapes that broadcast.
    poisson : `~numpy.ndarray`, optional
        0 where the variance includes that of the photons, so that the value is Gaussian.

    Returns
    -------
    log_density : `~numpy.ndarray`
        float32.
    """
    photons = np.maximum(signal, 0) * poisson
    excess = value - (signal - photons)
    # solve s exp(t) + v t = x. Both starts are limits above the solution: the first one is exact for Gaussian noise of
    # the total variance, and the second one is closer below -v
    t = np.asarray((excess - photons) / (photons + variance), dtype=np.float32)
    np.minimum(t, excess / variance, out=t, casting="same_kind")
    np.minimum(t, HIGHEST_START, out=t)
    # in place as far as possible, as in `hit_weights`
    rate, slope, step = np.empty((3, *t.shape), np.float32)
    for _ in range(HALLEY_STEPS):
        np.multiply(np.exp(t, out=rate), photons, out=rate, casting="same_kind")
        np.add(rate, variance, out=slope, casting="same_kind")
        np.multiply(variance, t, out=step, casting="same_kind")
        step += rate
        step -= excess
        step /= slope
        # this factor of a step of Newton makes one of Halley, which needs half as many steps
        rate /= slope
        rate *= step
        rate *= -0.5
        rate += 1
        step /= rate
        t -= np.clip(step, -1, 1, out=step)
    np.multiply(np.exp(t, out=rate), photons, out=rate, casting="same_kind")
    np.add(rate, variance, out=slope, casting="same_kind")
    slope *= 2 * np.pi
    found = rate - photons
    found += 0.5 * variance * t**2
    found -= np.multiply(t, excess, out=t, casting="same_kind")
    found -= 0.5 * np.log(slope, out=slope)
    return found


def signal_nodes(lowest, sigma, n, n_known=None, reach=(NODE_REACH, NODE_REACH), step=NODE_STEP, slope=0):
    """Nodes of the integral over the common signal, around the lowest value.

    Because hits only add charge, the signal cannot lie far above the lowest value. How far it may lie below it depends
    on the number of values: see `reach_below`.

    A higher signal has more photon noise. A signal of which the lowest value is t standard deviations too low is
    therefore not t sigma above this value, but t sigma + t^2 slope / 2. Here sigma is the noise at the lowest value,
    and terms of higher order in t are left out.

    Parameters
    ----------
    lowest, sigma : `~numpy.ndarray`
        (M,) lowest value of each pixel, electrons, and the noise of one value.
    n : int
        Number of values; the width of their common signal decreases with it.
    n_known : int, optional
        Number of values that each pixel has at least, without bad ones; ``n`` by default.
    reach : tuple of float, optional
        Standard deviations below and above the lowest value that the nodes cover.
    step : float, optional
        Distance of the nodes, in standard deviations of the mean of the values.
    slope : float or `~numpy.ndarray`, optional
        Variance of the photons over the signal, electrons.

    Returns
    -------
    nodes : `~numpy.ndarray`
        (J, M) float32, ascending; evenly spaced where the ``slope`` is 0.
    """
    steps = _steps(n, n_known, reach, step)[:, None]
    return lowest + steps * sigma + np.maximum(steps, 0) ** 2 * np.float32(0.5) * np.float32(slope)


def nodes_left_out(n, n_known, reach, shorter, step=NODE_STEP):
    """Number of the lowest nodes of `signal_nodes` that a ``shorter`` reach below the lowest value leaves out.

    The other parameters are those of `signal_nodes`.
    """
    return len(_steps(n, n_known, reach, step)) - len(_steps(n, n_known, (shorter[0], reach[1]), step))


def _steps(n, n_known, reach, step):
    """Places (J,) of the nodes, in standard deviations above the lowest value; see `signal_nodes`."""
    step = step / np.sqrt(n)
    steps = np.arange(-NODE_REACH, NODE_REACH + step, step, dtype=np.float32)
    below = min(reach[0], reach_below(n if n_known is None else n_known))
    return steps[(steps >= -below - step) & (steps <= reach[1] + step)]


def widths_of(nodes):
    """Widths of the intervals around ascending nodes (J, M), whose ends are in the middle between two nodes."""
    middle = (nodes[1:] + nodes[:-1]) / 2
    return np.diff(middle, axis=0, prepend=2 * nodes[:1] - middle[:1], append=2 * nodes[-1:] - middle[-1:])


def reach_below(n):
    """Standard deviations below the lowest of ``n`` values that the signal may lie.

    A value is clean and above the signal by r standard deviations with the probability Q(r). With many values, the
    lowest one cannot lie far above the signal, because several others would do so, too. Half of all values but one are
    assumed to be clean. The reach then has the probability that `NODE_REACH` has for one value, 8e-7: Q(r)^((n - 1) /
    2) = Q(NODE_REACH). It is `NODE_REACH` for up to three values.
    """
    return float(-ndtri(ndtr(-NODE_REACH) ** (2 / (n - 1)))) if n > 3 else NODE_REACH


def nodes_of_groups(lowest, sigma, numbers, n_known=None, reach=(NODE_REACH, NODE_REACH), step=NODE_STEP, slope=0):
    """Nodes of the integral over the common signal, for groups of exposures with unlike noise.

    Each group has the nodes that it would have without the others. Nodes for the noisiest exposure are too far apart
    for the others. Nodes for the others do not reach all signals that are possible if these are hit.

    Parameters
    ----------
    lowest, sigma : `~numpy.ndarray`
        (K, M) lowest value of each group and pixel, electrons, and the noise of one value.
    numbers : sequence of int
        Number of exposures of each group.
    n_known : int, optional
        Number of values that each pixel has at least, in all groups together; all of them by default.
    reach : tuple of float, optional
        Standard deviations below and above the lowest value of each group that the nodes cover.
    step : float, optional
        Distance of the nodes, in standard deviations of the mean of the values of a group.
    slope : float or `~numpy.ndarray`, optional
        (K, 1) or (K, M) variance of the photons over the signal of each group, electrons.

    Returns
    -------
    nodes : `~numpy.ndarray`
        (J, M) float32, ascending.
    widths : `~numpy.ndarray`
        (J, M) float32 share of each node in the integral, electrons.
    """
    known = numbers if n_known is None else [max(n - sum(numbers) + n_known, 1) for n in numbers]
    slopes = np.broadcast_to(np.float32(slope), (len(numbers), *np.shape(slope)[1:]))
    nodes, steps = [], []
    for low, one, n, n_least, by in zip(lowest, sigma, numbers, known, slopes, strict=True):
        nodes.append(signal_nodes(low, one, n, n_least, reach, step, by))
        above = np.maximum(_steps(n, n_least, reach, step), 0)[:, None]
        steps.append(np.broadcast_to(np.float32(step / np.sqrt(n)) * (one + by * above), nodes[-1].shape))
    nodes, steps = (np.concatenate(one).astype(np.float32) for one in (nodes, steps))
    order = nodes.argsort(axis=0)
    nodes, steps = (np.take_along_axis(one, order, axis=0) for one in (nodes, steps))
    # half of the distance to each neighbour, but at most the step of its own group: no group reaches further
    gaps = np.diff(nodes, axis=0, prepend=nodes[:1] - steps[:1], append=nodes[-1:] + steps[-1:])
    widths = np.minimum((np.minimum(gaps[1:], steps) + np.minimum(gaps[:-1], steps)) / 2, steps)
    return nodes, np.maximum(widths, np.float32(1e-6) * steps)


def hit_weights(clean, ratio, prior=0):
    """Weights of each value being hit, and of it being clean, at each node of the signal.

    The sum over all sets of hit exposures, except the set of all exposures, is a product over the exposures minus one
    term. At a node, the sets in which exposure i is hit have the weight h_i (prod_{k != i} (c_k + h_k) - prod_{k != i}
    h_k), those in which it is not c_i prod_{k != i} (c_k + h_k).

    Parameters
    ----------
    clean : `~numpy.ndarray`
        (N, J, M) log c of the values at J nodes.
    ratio : `~numpy.ndarray`
        (N, J, M) log h / c, the prior odds of a hit included.
    prior : `~numpy.ndarray`, optional
        (J, M) log density of the signal at the nodes.

    Returns
    -------
    hit, not_hit : `~numpy.ndarray`
        (N, J, M), on a scale of each pixel.
    """
    # in place as far as possible: new arrays of this size take as long as the arithmetic
    hit = np.clip(ratio, -MOST_RATIO, MOST_RATIO)
    np.exp(hit, out=hit)
    not_hit = hit + 1
    log_sum = np.log(not_hit)
    np.maximum(log_sum, ratio, out=log_sum)
    log_sum += clean  # log (c + h)
    total = log_sum.sum(axis=0) + prior
    weight = np.exp(total - total.max(axis=0))
    np.reciprocal(not_hit, out=not_hit)  # c / (c + h)
    hit *= not_hit  # h / (c + h)
    others = _not_all_hit(hit, not_hit, log_sum)
    for array, factor in ((hit, others), (hit, weight), (not_hit, weight)):
        array *= factor
    return hit, not_hit


def _not_all_hit(hit, not_hit, out):
    """Probability that at least one of the values other than the i-th is clean, (N, J, M).

    With p_k the share of a hit of value k, it is 1 - prod_{k != i} p_k. It is computed as a sum of positive terms,
    which is exact also where all p_k are close to 1. If u_k is this probability for the first k values, then
    u_{k + 1} = u_k + p_1 ... p_k (1 - p_{k + 1}).
    """
    all_before, not_all_before = np.empty_like(hit), out
    all_before[0], not_all_before[0] = 1, 0
    for i in range(1, len(hit)):
        np.multiply(all_before[i - 1], not_hit[i - 1], out=not_all_before[i])
        not_all_before[i] += not_all_before[i - 1]
        np.multiply(all_before[i - 1], hit[i - 1], out=all_before[i])
    not_all_after = np.zeros_like(hit[0])
    for i in reversed(range(len(hit))):
        all_before[i] *= not_all_after
        out[i] += all_before[i]
        not_all_after *= hit[i]
        not_all_after += not_hit[i]
    return out
