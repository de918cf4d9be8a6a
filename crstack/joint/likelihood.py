"""Likelihoods of one value, and of every set of exposures taken as hit."""

from itertools import combinations

import numpy as np

__all__ = ["HitSets", "log_clean", "log_hit", "signal_nodes"]

#: standard deviations covered on each side of the lowest value, and their step
NODE_REACH, NODE_STEP = 4.8, 0.4
NEWTON_STEPS = 4


def log_clean(value, signal, variance):
    """Log density of a clean value: Poisson photons plus Gaussian noise.

    Saddle-point approximation (Daniels 1954, Ann. Math. Stat. 25, 631) of the
    density of Poisson(s) + Normal(0, variance), exact for s = 0 and to better than
    2 % of the density elsewhere. A negative signal, left by a bias that is a little too
    large, moves the Gaussian alone.

    Parameters
    ----------
    value, signal, variance : `~numpy.ndarray`
        In electrons (variance: electrons squared, positive, that of all but the
        photons); shapes that broadcast.

    Returns
    -------
    log_density : `~numpy.ndarray`
        float32.
    """
    photons = np.maximum(signal, 0)
    excess = value - np.minimum(signal, 0)
    # solve s exp(t) + v t = x; the start is exact for Gaussian noise of the total variance
    t = (excess - photons) / (photons + variance)
    t = np.clip(t, -3, 3).astype(np.float32)
    for _ in range(NEWTON_STEPS):
        rate = photons * np.exp(t)
        step = (rate + variance * t - excess) / (rate + variance)
        t -= np.clip(step, -1, 1)
    rate = photons * np.exp(t)
    return rate - photons + 0.5 * variance * t**2 - t * excess - 0.5 * np.log(2 * np.pi * (rate + variance))


def log_hit(value, signal, sigma, log_amplitude_density):
    """Log density of a value that is hit: a clean one plus a positive charge.

    The amplitude distribution is broad compared with the noise, so their convolution
    is that distribution at the excess, cut off below by the noise.

    Parameters
    ----------
    value, signal, sigma : `~numpy.ndarray`
        In electrons; ``sigma`` is the noise of a clean value.
    log_amplitude_density : callable
        Log density of charges in electrons.

    Returns
    -------
    log_density : `~numpy.ndarray`
        float32.
    """
    z = np.clip((value - signal) / sigma, -20, 1e6)
    # the mean charge that an excess z stands for: z where it is large, never below 0
    small = np.minimum(z, 6)
    charge = sigma * np.maximum(z, np.log1p(np.exp(2 * small)) / 2)
    # the logistic function stands for the normal distribution (Bowling et al. 2009)
    return log_amplitude_density(charge) - np.log1p(np.exp(-1.702 * small))


def signal_nodes(lowest, variance):
    """Nodes of the integral over the common signal, around the lowest value.

    As hits only add charge, the signal cannot lie far above the lowest value.

    Parameters
    ----------
    lowest : `~numpy.ndarray`
        (M,) lowest value of each pixel, electrons.
    variance : `~numpy.ndarray`
        (M,) variance of all but the photons.

    Returns
    -------
    nodes : `~numpy.ndarray`
        (J, M) float32.
    """
    steps = np.arange(-NODE_REACH, NODE_REACH + NODE_STEP, NODE_STEP, dtype=np.float32)
    sigma = np.sqrt(np.maximum(lowest, 0) + variance)
    return lowest + steps[:, None] * sigma


class HitSets:
    """The sets of exposures that are considered as hit, by rank of their values.

    None, each one, each pair, and the m highest for every m below N: with more
    hits than two, the highest values are the hits but for a negligible chance.

    Parameters
    ----------
    n : int
        Number of exposures.
    """

    def __init__(self, n):
        sets = [(), *((i,) for i in range(n)), *combinations(range(n), 2)]
        sets += [tuple(range(n - m, n)) for m in range(3, n)]
        #: the sets, as tuples of ranks (0 is the lowest value)
        self.sets = [one for one in dict.fromkeys(sets) if len(one) < n]
        #: (sets, N) True where a rank is hit
        self.members = np.array([[rank in one for rank in range(n)] for one in self.sets])

    def log_evidence(self, clean, hit):
        """Log evidence of each set, the signal integrated out.

        Parameters
        ----------
        clean, hit : `~numpy.ndarray`
            (N, J, M) log densities of the values in order of rank, at J nodes.

        Returns
        -------
        evidence : `~numpy.ndarray`
            (sets, M) float32, up to a constant of the pixel.
        """
        everything_clean = clean.sum(axis=0)
        gain = hit - clean
        evidence = np.empty((len(self.sets), clean.shape[2]), dtype=np.float32)
        for number, one in enumerate(self.sets):
            at_nodes = everything_clean.copy()
            for rank in one:
                at_nodes += gain[rank]
            top = at_nodes.max(axis=0)
            at_nodes -= top
            evidence[number] = np.log(np.exp(at_nodes, out=at_nodes).sum(axis=0)) + top
        return evidence

    def probability(self, evidence, log_prior_odds):
        """Probability of each value to be hit.

        Parameters
        ----------
        evidence : `~numpy.ndarray`
            (sets, M), from `log_evidence`.
        log_prior_odds : `~numpy.ndarray`
            (N, M) log odds of a hit before the values are seen.

        Returns
        -------
        probability : `~numpy.ndarray`
            (N, M) float32.
        """
        weight = evidence + self.members.astype(np.float32) @ log_prior_odds
        weight -= weight.max(axis=0)
        np.exp(weight, out=weight)
        return (self.members.T.astype(np.float32) @ weight) / weight.sum(axis=0)
