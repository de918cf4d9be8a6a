"""Probabilities that hold: a twin of the stack, drawn from what was found in it, tells how far they are off.

Probabilities of neighbours depend on each other, and the population is fitted to the values that it
judges. Both bias the probabilities a little, in the stack as in a twin whose hits are known.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from crstack.joint.candidates import Counts, clean_signal, find_candidates
from crstack.joint.population import charges_kind
from crstack.joint.sweeps import CANDIDATES_TO_FIT, probabilities

__all__ = ["Calibration", "draw_twin", "fit_calibration"]

#: probabilities outside are moved like those at the limits
LOWEST, HIGHEST = 0.06, 0.97
#: values between the limits that suffice for a fit
FEWEST = 300
NEWTON_STEPS = 8


@dataclass(frozen=True)
class Calibration:
    """Log odds times ``slope`` plus ``offset``.

    Attributes
    ----------
    offset, slope : float
        0 and 1 where nothing changes.
    """

    offset: float = 0.0
    slope: float = 1.0

    def __call__(self, probability):
        """Calibrated probabilities; 0 and 1 stay."""
        # rounding may have left more than 1
        odds = logit(np.clip(probability, 0, 1))
        limits = logit(np.float32([LOWEST, HIGHEST]))
        odds += np.float32(self.offset) + np.float32(self.slope - 1) * np.clip(odds, *limits)
        return expit(odds)


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
    height = min(int(1.0 + len(signal) * CANDIDATES_TO_FIT / max(len(candidates), 1)), len(signal))
    first = (len(signal) - height) // 2
    rows = slice(first, first + height)
    # numbers that go with the exposure, in whatever order they come
    order = counts.data.mean(axis=(1, 2), dtype=np.float64).argsort().argsort()
    generators = [np.random.default_rng([seed, place]) for place in order]
    charge = _draw_charges(candidates, field, population, generators)[:, rows]
    twin = draw_twin(counts.rows(rows), signal[rows], excess[rows], charge, generators)
    looked_at = find_candidates(twin, excess[rows])
    sigma = np.sqrt(twin.mean_variance(signal[rows]) + excess[rows])
    found, _, _ = probabilities(looked_at, sigma, twin.data.shape, settings)
    found = found.probability[:, looked_at.where[0], looked_at.where[1]]
    return _fit(found, charge[:, looked_at.where[0], looked_at.where[1]] > 0)


def _draw_charges(candidates, field, population, generators):
    """Charge (N, ny, nx) of hits drawn from what the values of the candidates allow."""
    probability = field.probability[:, candidates.where[0], candidates.where[1]]
    clean = (1 - probability).clip(1e-6)
    signal = (candidates.levels * clean).sum(axis=0) / clean.sum(axis=0)
    kind = charges_kind(field.classes_at(candidates.where))
    expected = np.broadcast_to(candidates.scales * signal + candidates.shifts, probability.shape)
    sigma = np.broadcast_to(candidates.sigma(signal), probability.shape)
    charge = np.zeros_like(field.probability)
    for i, rng in enumerate(generators):
        hit = np.flatnonzero(rng.random(len(candidates)) < probability[i])
        over = (candidates.values - expected)[i, hit]
        drawn = population.density.draw(kind[i, hit], over, sigma[i, hit], rng)
        charge[i, candidates.where[0][hit], candidates.where[1][hit]] = drawn
    return charge


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


def _fit(probability, hit):
    """Logistic regression of the truth on the log odds."""
    middle = (probability > LOWEST) & (probability < HIGHEST)
    if np.count_nonzero(middle) < FEWEST:
        return Calibration()
    odds, truth = logit(probability[middle].astype(float)), hit[middle]
    design = np.stack([np.ones_like(odds), odds])
    found = np.array([0.0, 1.0])
    for _ in range(NEWTON_STEPS):
        model = expit(found @ design)
        information = (design * (model * (1 - model))) @ design.T
        found += np.linalg.solve(information, design @ (truth - model))
    return Calibration(float(np.clip(found[0], -2, 2)), float(np.clip(found[1], 0.5, 1.5)))
