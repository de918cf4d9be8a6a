"""Probabilities that hold: a twin of the stack, drawn from what was found in it, tells how far they are off.

Probabilities of neighbours depend on each other, and the population is fitted to the values that it
judges. Both bias the probabilities a little, in the stack as in a twin whose hits are known.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from crstack.joint.candidates import Counts, clean_signal, find_candidates
from crstack.joint.charges import CHARGES, FAINT
from crstack.joint.population import N_NUMBERS, charges_kind, number_of
from crstack.joint.sweeps import probabilities

__all__ = ["Calibration", "draw_twin", "fit_calibration"]

#: probabilities outside are moved like those at the limits
LOWEST, HIGHEST = 0.06, 0.97
#: candidates of which a twin is drawn
CANDIDATES_OF_TWIN = 40_000
#: values between the limits that suffice for a fit
FEWEST = 300
#: offsets: for none to two hit neighbours, and each number beyond
N_OFFSETS = 5
#: inverse of the variance that offsets and slope have before anything is known of them
STEADY = 2.0
NEWTON_STEPS = 8


@dataclass(frozen=True)
class Calibration:
    """Log odds times ``slope`` plus an offset by the number of hit neighbours.

    Attributes
    ----------
    offsets : tuple of float
        Of values with none or hardly any hit neighbour, and with more and more of them; 0 where nothing changes.
    slope : float
        1 where nothing changes.
    """

    offsets: tuple = (0.0,) * N_OFFSETS
    slope: float = 1.0

    def __call__(self, probability, classes):
        """Calibrated probabilities, 0 and 1 stay; ``classes`` are those of the neighbourhoods."""
        # rounding may have left more than 1
        odds = logit(np.clip(probability, 0, 1))
        limits = logit(np.float32([LOWEST, HIGHEST]))
        offsets = np.float32(self.offsets)[_offset_of(classes)]
        odds += offsets + np.float32(self.slope - 1) * np.clip(odds, *limits)
        return expit(odds)


def _offset_of(classes):
    """Which of the offsets goes with the class of a neighbourhood."""
    return np.maximum(number_of(classes) - (N_NUMBERS - N_OFFSETS), 0)


def fit_calibration(counts, excess, candidates, field, population, settings, seed=20260102):
    """Fit a `Calibration` to a twin of the middle rows of the stack.

    Parameters
    ----------
    counts : Counts
        The stack.
    excess : `~numpy.ndarray`
        (ny, nx) variance beyond photons and read noise.
    candidates : Candidates
        The pixels looked at.
    field : Field
        What was found.
    population : Population
        As fitted.
    settings : JointPosterior
        Numbers of fits and sweeps.
    seed : int, optional
        Of the twin.

    Returns
    -------
    calibration : Calibration
    """
    signal = clean_signal(counts, candidates, field.probability)
    height = min(int(1.0 + len(signal) * CANDIDATES_OF_TWIN / max(len(candidates), 1)), len(signal))
    first = (len(signal) - height) // 2
    rows = slice(first, first + height)
    generators = [np.random.default_rng([seed, i]) for i in range(len(counts.data))]
    charge, hit = _draw_charges(candidates, field, population, rows, generators)
    twin = draw_twin(counts.rows(rows), signal[rows], excess[rows], charge, generators)
    sigma = np.sqrt(twin.mean_variance(signal[rows]) + excess[rows])
    looked_at = find_candidates(twin, excess[rows], sigma)
    found, _, _ = probabilities(looked_at, sigma, twin.data.shape, settings)
    where = looked_at.where
    return _fit(found.probability[:, where[0], where[1]], hit[:, where[0], where[1]], found.classes_at(where))


def _draw_charges(candidates, field, population, rows, generators):
    """Charges (N, ny, nx) drawn from what the values of the candidates in some rows allow, and which are hits.

    Charges too small to count as hits are drawn too: beside a track they are as frequent as those that count.
    """
    chosen = (candidates.where[0] >= rows.start) & (candidates.where[0] < rows.stop)
    candidates = candidates.some(chosen)
    where = candidates.where
    probability = field.probability[:, where[0], where[1]]
    clean = (1 - probability).clip(1e-6)
    signal = (candidates.levels * clean).sum(axis=0) / clean.sum(axis=0)
    classes = field.classes_at(where)
    over = candidates.values - candidates.scales * signal - candidates.shifts
    sigma = np.broadcast_to(candidates.sigma(signal), probability.shape)
    charge = np.zeros_like(field.probability[:, rows])
    hit = np.zeros(charge.shape, dtype=bool)
    for i, rng in enumerate(generators):
        drawn = rng.random(len(candidates)), rng.random(len(candidates))
        is_hit = drawn[0] < probability[i]
        is_faint = ~is_hit & (drawn[1] < population.faint_share(classes[i], over[i], sigma[i]))
        for which, charges in ((is_hit, CHARGES), (is_faint, FAINT)):
            place = i, where[0][which] - rows.start, where[1][which]
            of = charges_kind(classes[i, which]), over[i, which], sigma[i, which]
            charge[place] = population.density.draw(*of, rng, charges)
            hit[place] = charges is CHARGES
    return charge, hit


def draw_twin(counts, signal, excess, charge, generators):
    """Exposures like ``counts`` of a known signal (ny, nx) and hits of known charge (N, ny, nx).

    ``generators`` hold the random numbers of each exposure.
    """
    data = charge.copy()
    for i, (plane, rng) in enumerate(zip(data, generators, strict=True)):
        expected, variance, poisson = counts.expected(i, signal, excess)
        photons = np.maximum(expected, 0)
        plane += expected - photons + (rng.poisson(photons) if poisson else photons)
        plane += np.sqrt(variance) * rng.standard_normal(plane.shape, dtype=np.float32)
    return Counts(data, counts.variance, counts.bad, counts.scales, counts.shifts, counts.poisson)


def _fit(probability, hit, classes):
    """Logistic regression of the truth on the log odds and the number of hit neighbours."""
    middle = (probability > LOWEST) & (probability < HIGHEST)
    if np.count_nonzero(middle) < FEWEST:
        return Calibration()
    odds, truth = logit(probability[middle].astype(float)), hit[middle]
    design = np.concatenate([_offset_of(classes[middle]) == np.arange(N_OFFSETS)[:, None], odds[None]])
    found = np.zeros(N_OFFSETS + 1)
    for _ in range(NEWTON_STEPS):
        model = expit(odds + found @ design)
        information = (design * (model * (1 - model))) @ design.T + np.diag(np.full(len(found), STEADY))
        found += np.linalg.solve(information, design @ (truth - model) - STEADY * found)
    offsets = np.clip(found[:-1], -2, 2).tolist()
    return Calibration(tuple(offsets), float(np.clip(1 + found[-1], 0.5, 1.5)))
