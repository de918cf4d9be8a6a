"""The signal of pixels with uncertain hits."""

from dataclasses import replace

import numpy as np

from crstack.combine.posterior_mean import SURE, posterior_mean
from crstack.joint.candidates import VALUES_AT_ONCE, even_slices
from crstack.joint.charges import noise_of
from crstack.joint.likelihood import hit_weights
from crstack.joint.odds import log_ratio
from crstack.joint.unresolved import Unresolved
from crstack.utils.memory import zero_image
from crstack.utils.threads import map_threads

__all__ = ["maybe_hit", "posterior_signal", "signal_shift", "signal_variance"]

#: pixels whose mean is computed together
PIXELS_AT_ONCE = 1 << 17


def maybe_hit(chance):
    """Candidates that may have a hit value, from the probabilities (N, M): bool (M,)."""
    return (chance >= SURE).any(axis=0)


def posterior_signal(field, candidates, population, which=None):
    """Posterior mean and variance (M,) of the common signal of the candidates, electrons.

    A value that is barely high enough is flagged if noise has made the other values low, and it is not flagged if noise
    has made them high. The mean of the others is then too low on average. The integral over all signals and all sets of
    hit values includes this selection effect.

    Parameters
    ----------
    field, candidates, population
        As for `~crstack.joint.sweeps.sweep`.
    which : `~numpy.ndarray` of bool, optional
        (M,) candidates whose signal is needed; all of them if not given.

    Returns
    -------
    signal, variance : `~numpy.ndarray`
        float64, (M,) each; 0 where they are not needed. The variance is that of the integral: it includes the noise of
        the values, and the uncertainty of which of them are hit.

    Notes
    -----
    With a uniform prior, the posterior mean of a Poisson rate is one photon above the mean of the counted photons. With
    the inverse of the variance as prior, it is this mean. The prior of the stack is not used.
    """
    which = np.ones(len(candidates), bool) if which is None else which
    found, pieces = np.zeros((2, len(candidates))), _pieces_of(replace(candidates, prior=None), which)
    if not pieces:
        return found
    population = _for_noises(population, map_threads(lambda piece: piece[1].noises(), pieces))

    def of_piece(piece):
        place, some = piece
        found[:, place] = _signal_of(some, field.classes_at(some.where), population)

    map_threads(of_piece, pieces)
    return found


def _pieces_of(candidates, which):
    """Pieces of those of the candidates ``which`` (bool) are needed: their numbers, and the candidates of the piece."""
    close = Unresolved.of(candidates)
    closer = np.zeros(len(candidates), bool)
    closer[close.which] = True
    pieces = [
        part.start + needed[here]
        for part, needed in ((part, np.flatnonzero((which & ~closer)[part])) for part in candidates.parts())
        for here in even_slices(len(needed), VALUES_AT_ONCE // len(candidates.values))
        if len(needed)
    ]
    pieces = [(place, candidates.some(place)) for place in pieces]
    for piece in close.pieces():
        needed = piece.start + np.flatnonzero(which[close.which[piece]])
        if len(needed):
            pieces.append((close.which[needed], close.candidates.some(needed)))
    return pieces


def _signal_of(some, classes, population):
    """Posterior mean and variance (M,) of the signal of some candidates."""
    nodes, clean, index, widths = some.at_nodes()
    ratio, not_hit = log_ratio(some, clean, index, classes, population)
    known = np.ones(some.values.shape, bool) if some.unknown is None else ~some.unknown
    variance, noises = np.zeros_like(nodes), noise_of(index)
    for i in range(len(some.values)):
        # the probability of no hit depends on the noise, and so on the signal: it must not favour faint signals
        not_hit[i] += known[i] * population.log_none(classes[i], noises[i])
        if not (i and some.alike):
            variance_of_level = (some.sigma_of(i, nodes) / some.scale_of(i)) ** 2
        variance += known[i] * variance_of_level
    hit, rest = (one[0].astype(np.float64) for one in hit_weights(not_hit, ratio, widths))
    weight = (hit + rest) * known.sum(axis=0) / np.where(known.any(axis=0), variance, 1)
    weight[:, ~known.any(axis=0)] = 1  # nothing is known
    weight /= weight.sum(axis=0)
    mean = (weight * nodes).sum(axis=0)
    return mean, (weight * (nodes - mean) ** 2).sum(axis=0)


def _for_noises(population, ends):
    """A population with its tables, for the noises between the lowest and the highest of several ``ends``."""
    first, last = min(one for one, _ in ends), max(one for _, one in ends)
    population = replace(population, noises=slice(first, last + 1))
    population.make_tables()
    return population


def signal_shift(counts, candidates, signal, chance):
    """Expected mean of all exposures minus the mean of the values weighted by their probability to be clean.

    If the exposures are not equivalent, the latter mean depends on which of them are excluded. Where it is not known
    what to expect of an exposure, its value shows it, as far as this is clean.

    Parameters
    ----------
    counts : Counts
        The exposures, and their expected values.
    candidates : Candidates
        The examined pixels.
    signal : `~numpy.ndarray`
        (M,) their posterior signal, electrons.
    chance : `~numpy.ndarray`
        (N, M) probability of each of their values to be hit.

    Returns
    -------
    shift : `~numpy.ndarray`
        float32 (ny, nx), electrons of the combined image; 0 where no value can be hit.
    """
    which = np.flatnonzero(maybe_hit(chance))
    shift, (usual, _, _) = zero_image(counts.data.shape[1:]), counts.typical()

    def work(here):
        some = which[here]
        where, likely = tuple(index[some] for index in candidates.where), chance[:, some]
        values, expected = counts.combined_at(where, signal[some])
        valid = np.ones(values.shape, bool)
        if counts.bad is not None:
            valid = ~counts.bad[:, *where]
            likely = np.where(valid, likely, 1)
        mean, _, count = posterior_mean(values, likely, np.ones_like(values))
        _, share = counts.own_errors_at(where, signal[some], usual)
        expected += (1 - likely) * share * (values - expected)
        wanted = (expected * valid).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
        shift[where] = np.where(count > 0, wanted - mean, 0)

    map_threads(work, even_slices(len(which), PIXELS_AT_ONCE))
    return shift


def signal_variance(counts, candidates, signal, variance, chance):
    """Variance of the mean of all exposures by that of the posterior signal, and by errors of what is expected of each.

    An exposure may hold light that no other one shows. Where its value is hit, the error of what is expected of it
    remains. Where its value is clean, the value measures this light.

    Parameters
    ----------
    counts, candidates, signal, chance
        As for `signal_shift`.
    variance : `~numpy.ndarray`
        (M,) variance of the posterior signal of the candidates, electrons squared.

    Returns
    -------
    variance : `~numpy.ndarray`
        float32 (ny, nx), electrons squared of the combined image; 0 where no value can be hit.
    """
    which = np.flatnonzero(maybe_hit(chance))
    image, (usual, _, _) = zero_image(counts.data.shape[1:]), counts.typical()

    def work(here):
        some = which[here]
        where = tuple(index[some] for index in candidates.where)
        valid = np.ones((len(counts.data), 1)) if counts.bad is None else ~counts.bad[:, *where]
        number = np.maximum(valid.sum(axis=0), 1)
        scale = (counts.combined_scales_at(where) * valid).sum(axis=0) / number
        error, share = counts.own_errors_at(where, signal[some], usual)
        left = error * (1 - (1 - chance[:, some]) * share)
        image[where] = scale**2 * variance[some] + (left * valid).sum(axis=0) / number**2

    map_threads(work, even_slices(len(which), PIXELS_AT_ONCE))
    return image
