"""Pixels that are hit in every exposure: their signal is estimated from their neighbours."""

import functools

import numpy as np

from crstack.joint.candidates import clean_signal
from crstack.joint.charges import HitDensity
from crstack.joint.cubes import taken
from crstack.joint.neighbourhoods import charges_kind
from crstack.utils.memory import empty_image
from crstack.utils.threads import map_threads, row_bands

__all__ = ["hit_everywhere"]

#: least excess of the lowest value over the expectation from its neighbours, in units of its usual deviation
LEAST_EXCESS = 3.0
#: possible signals of a pixel hit in all exposures, in units of the usual deviation
STEPS = np.arange(-3.0, 3.01, 0.5, dtype=np.float32)
#: the frequency of pixels as high is computed from at least this number of pixels
FEWEST_AS_HIGH = 1.0
#: pixels in which the frequency is counted
PIXELS_TO_COUNT = 300_000
#: most rounds; where tracks cross, each round finds the pixels beside those found before
ROUNDS = 8
#: least probability of pixels whose neighbours are examined again
SURE = 0.8


def hit_everywhere(counts, candidates, field, population):
    """Probability that pixels are hit in every exposure.

    If all values are high, the pixel may be a star. The expected signal is that of the lower neighbours. If at least
    one exposure is clean, the image itself rises to the lowest value. The frequency of such rises is measured in the
    stack. The rate at which all exposures are hit is the product of their rates. It is high only if each exposure has
    hits beside the pixel.

    Where two wide tracks cross, the neighbours of a pixel may be hit in every exposure too. Pixels at the edge of the
    crossing are found first. In the next round they have the signal of their neighbours, and their charges are hits
    beside the other pixels.

    Parameters
    ----------
    counts : Counts
        The stack.
    candidates : Candidates
        The examined pixels.
    field : Field
        The results so far. The hits that are found are added to those beside which others are more frequent.
    population : Population
        As fitted.

    Returns
    -------
    which : `~numpy.ndarray`
        Candidates (indices) with a probability that is not negligible.
    probability : `~numpy.ndarray`
        Their probability to be hit in every exposure.
    """
    beside, classes = _beside_hits(candidates, field)
    if not len(beside):
        return beside, np.empty(0, np.float32)
    signal = clean_signal(counts, candidates, field.chance)
    variance = _variance(counts, signal)
    every = np.arange(0, signal.size, max(signal.size // PIXELS_TO_COUNT, 1))
    # of the first round, in which no pixel has the signal of its neighbours
    heights = functools.cache(lambda: taken(lambda where: _heights(signal, variance, where)[2], every, signal.shape))
    chance = np.zeros(len(candidates), np.float32)
    for _ in range(ROUNDS):
        expected, usual, height = _heights(signal, variance, tuple(index[beside] for index in candidates.where))
        high = height > LEAST_EXCESS
        which, expected = beside[high], expected[high]
        if not len(which):
            break
        some = candidates.some(which)
        usual = usual[high]
        frequency = _frequency_above(heights(), height[high])
        found = _chance(some, classes[:, high], expected, usual, frequency, population)
        new = (found > SURE) & (chance[which] <= SURE)
        chance[which] = np.maximum(chance[which], found)
        if not new.any():
            break
        which, some = which[new], candidates.some(which[new])
        replaced = np.minimum(np.maximum(expected[new], _between(signal, some.where)), some.lowest)
        signal[some.where] = replaced
        field.add_hits(which, found[new], _charges(some, replaced))
        beside, classes = _beside_hits(candidates, field)
    which = np.flatnonzero(chance)
    return which, chance[which]


def _beside_hits(candidates, field):
    """Candidates with hits beside them in every exposure, whose values are all known; and their classes (N, K)."""
    classes = field.classes_at(candidates.where)
    beside = (charges_kind(classes) > 0).all(axis=0)
    if candidates.unknown is not None:
        beside &= ~candidates.unknown.any(axis=0)
    beside = np.flatnonzero(beside)
    return beside, classes[:, beside]


def _chance(some, classes, expected, usual, frequency, population):
    """Probability of some candidates to be hit in every exposure.

    ``frequency`` is that of any pixels that rise above their neighbours as steeply.
    """
    log_all = _log_all_hit(some, classes, expected, usual, population)
    # otherwise the lowest value is clean, and the image itself rises as steeply
    log_other = np.log(frequency / usual) + _log_others_hit(some, classes, population)
    odds = np.clip(log_all - log_other, -80, 80)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def _charges(some, signal):
    """Charges (N, M) above a signal, in units of the noise."""
    return np.maximum(some.values - some.scales * signal - some.shifts, 0) / some.sigma(signal)


def _variance(counts, signal):
    """Variance (ny, nx) of one exposure at a signal, by photons and read noise.

    The excess variance of the place has no part: it is large where two of three exposures are hit.
    """
    variance = empty_image(signal.shape)

    def work(rows):
        variance[rows] = counts.rows(rows).mean_variance(signal[rows])

    map_threads(work, row_bands(*signal.shape))
    return variance


def _around(shape, where):
    """Rows and columns one before, at and one after some places, by step; at an edge, those of the place itself."""
    return (
        {step: np.clip(place + step, 0, side - 1) for step in (-1, 0, 1)}
        for place, side in zip(where, shape, strict=True)
    )


def _heights(signal, variance, where):
    """Signal expected from the neighbours, its usual deviation, and the excess of the image in units of it.

    Several of the neighbours may be hit in every exposure too, so that only the lower half of them is used.
    """
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    rows, columns = _around(signal.shape, where)
    around = np.sort([signal[rows[dy], columns[dx]] for dy, dx in steps], axis=0)
    expected = around[2]
    usual = np.sqrt(variance[where] + (around[3] - around[0]) ** 2)
    return expected, usual, (signal[where] - expected) / usual


def _between(signal, where):
    """Highest signal that two opposite neighbours reach; on a trace these are the neighbours along it."""
    rows, columns = _around(signal.shape, where)
    pairs = [(0, 1), (1, 0), (1, 1), (1, -1)]
    return np.max(
        [np.minimum(signal[rows[dy], columns[dx]], signal[rows[-dy], columns[-dx]]) for dy, dx in pairs], axis=0
    )


def _frequency_above(height, at):
    """Density, per usual deviation, of pixels that rise as high above their neighbours."""
    ordered = np.sort(height[height > LEAST_EXCESS / 2].ravel())
    as_high = len(ordered) - np.searchsorted(ordered, at * 0.7) + FEWEST_AS_HIGH
    # pixels over 0.7 of the height, spread over an interval of that height
    return as_high / height.size / np.maximum(at, 1)


def _log_all_hit(some, classes, nearby, width, population):
    """Log of the probability that all are hit, times the density of the values."""
    signal = nearby + STEPS[:, None] * width
    log_prior = -0.5 * STEPS[:, None] ** 2 - np.log(np.sqrt(2 * np.pi) / (STEPS[1] - STEPS[0]))
    total = np.broadcast_to(log_prior, signal.shape).copy()
    for i, value in enumerate(some.values):
        total += _log_hit(some, i, value, signal, classes[i], population)
    top = total.max(axis=0)
    return np.log(np.exp(total - top).sum(axis=0)) + top


def _log_others_hit(some, classes, population):
    """Log of the same where the exposure of the lowest level is clean, at the signal of its level."""
    lowest = some.levels.argmin(axis=0)
    total = np.zeros(len(some), np.float32)
    for i, value in enumerate(some.values):
        hit = _log_hit(some, i, value, some.lowest[None], classes[i], population)[0]
        # the density of a clean value, integrated over its signal, is 1 over its scale
        total += np.where(lowest == i, 0.0, np.maximum(hit, _log_agree(some, i, value)))
    return total


def _log_agree(some, i, value):
    """Log density of a clean value, such as the lowest."""
    scale, shift, *_ = some.of_exposure(i)
    variance = 2 * some.sigma_of(i, some.lowest) ** 2
    return -0.5 * ((value - scale * some.lowest - shift) ** 2 / variance + np.log(2 * np.pi * variance))


def _log_hit(some, i, value, signal, classes, population):
    """Log density of a hit value at a signal, times the odds of a hit."""
    scale, shift, *_ = some.of_exposure(i)
    counts, sigma = scale * signal + shift, some.sigma_of(i, signal)
    index = HitDensity.index(value - counts, sigma)
    density = population.density.log_density(charges_kind(classes), index) - np.log(sigma)
    return density + population.log_odds(classes, sigma)
