"""Thresholds at a known rate of false alarms, from simulated values without hits."""

import numpy as np

from crstack._threads import map_threads
from crstack.joint.likelihood import HitSets, log_clean, log_hit, signal_nodes

__all__ = ["calibrated_threshold", "evidence_of_ranked", "single_log_odds"]

#: pixels drawn at each level of signal, and the share of them that is looked at
DRAWS = 400_000
LOOKED_AT = 0.1
#: signals between two powers of ten
LEVELS_PER_DECADE = 2
#: exceedances that fix the tail, and fewest beyond a rate for it to be read off
TAIL, READ_OFF = 600, 100


def evidence_of_ranked(values, variance, sets, log_density, unknown=None):
    """Log evidence of every set of hit exposures.

    Parameters
    ----------
    values : `~numpy.ndarray`
        float32 (N, M) in electrons, lowest first.
    variance : `~numpy.ndarray`
        float32 (M,) variance of all but the photons.
    sets : HitSets
        The sets.
    log_density : callable
        Log density of charges, from `Population.charge_table`.
    unknown : `~numpy.ndarray` of bool, optional
        (N, M), values that are not known.

    Returns
    -------
    evidence : `~numpy.ndarray`
        float32 (sets, M).
    """
    nodes = signal_nodes(values[0], variance)
    sigma = np.sqrt(np.maximum(nodes, 0) + variance)
    clean = np.stack([log_clean(value, nodes, variance) for value in values])
    hit = np.stack([log_hit(value, nodes, sigma, log_density) for value in values])
    if unknown is not None:
        # a bad value says nothing, and cannot be told to be hit
        unknown = np.broadcast_to(unknown[:, None], clean.shape)
        clean[unknown] = 0
        hit[unknown] = -30
    return sets.log_evidence(clean, hit)


def single_log_odds(evidence, sets, log_prior_odds):
    """Log odds of each value to be hit, with the same prior for all.

    Parameters
    ----------
    evidence : `~numpy.ndarray`
        (sets, M).
    sets : HitSets
        The sets.
    log_prior_odds : float
        Of a hit without hit neighbours.

    Returns
    -------
    odds : `~numpy.ndarray`
        float32 (N, M), by rank.
    """
    weight = evidence + sets.members.sum(axis=1).astype(np.float32)[:, None] * np.float32(log_prior_odds)
    odds = np.empty((sets.members.shape[1], evidence.shape[1]), dtype=np.float32)
    for rank, hit in enumerate(sets.members.T):
        odds[rank] = _log_sum(weight[hit]) - _log_sum(weight[~hit])
    return odds


def _log_sum(weight):
    top = weight.max(axis=0)
    return np.log(np.exp(weight - top).sum(axis=0)) + top


def calibrated_threshold(rate, n, readnoise, excess, population, highest, seed=20260101):
    """Threshold of `single_log_odds` that clean values exceed at a given rate.

    Parameters
    ----------
    rate : float
        False alarms per value (pixel and exposure).
    n : int
        Number of exposures.
    readnoise : float
        In electrons.
    excess : ExcessVariance
        Its part relative to the signal is simulated too.
    population : Population
        As fitted to the stack.
    highest : float
        Largest signal of the stack, electrons.
    seed : int, optional
        Of the simulations.

    Returns
    -------
    threshold : callable
        Of the signal in electrons (array_like).

    Notes
    -----
    Where too few simulated values lie beyond the rate, the tail of the log
    odds is continued as an exponential, which it is to good accuracy.
    """
    top = max(np.log10(max(highest, 10.0)), 1.0)
    signals = np.concatenate([[0.0, 1.0, 3.0], np.logspace(1, top, max(2, int(LEVELS_PER_DECADE * (top - 1)) + 1))])
    sets = HitSets(n)
    log_density = population.charge_table()
    log_prior_odds = np.log(population.rate[0] / (1 - population.rate[0]))

    def work(item):
        number, signal = item
        rng = np.random.default_rng([seed, number])
        variance = readnoise**2 + float(excess.of(signal, 0.0))
        values = rng.poisson(signal, (n, DRAWS)) + rng.normal(0, np.sqrt(variance), (n, DRAWS))
        values = np.sort(values.astype(np.float32), axis=0)
        span = values[-1] - values[0]
        wide = values[:, span > np.quantile(span, 1 - LOOKED_AT)]
        evidence = evidence_of_ranked(wide, np.full(wide.shape[1], variance, np.float32), sets, log_density)
        return _tail_quantile(single_log_odds(evidence, sets, log_prior_odds).ravel(), rate * n * DRAWS)

    thresholds = np.array(map_threads(work, enumerate(signals)))
    return lambda signal: np.interp(np.log10(np.maximum(signal, 0) + 1), np.log10(signals + 1), thresholds)


def _tail_quantile(values, wanted):
    """Value that ``wanted`` of the simulated ones exceed; it may be less than one."""
    values = np.sort(values)[::-1]
    if wanted >= READ_OFF:
        return values[int(min(wanted, len(values) - 1))]
    tail = values[: min(TAIL, len(values) // 4)]
    scale = (tail - tail[-1]).mean()
    return tail[-1] + scale * np.log(len(tail) / wanted)
