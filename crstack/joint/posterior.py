"""One decision per pixel for all exposures: which of them are hit?"""

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import ndimage

from crstack._threads import map_threads
from crstack._validation import check_boolean, check_integer, check_number
from crstack.detectors.two_pass import features_holding
from crstack.joint.calibration import calibrated_threshold, evidence_of_ranked, single_log_odds
from crstack.joint.excess import ExcessVariance, fit_excess_variance, squared_gradient
from crstack.joint.likelihood import HitSets
from crstack.joint.population import CLASS_EDGES, Population, neighbour_class

__all__ = ["JointPosterior", "JointResult", "joint_posterior"]

#: upper tenth of the range of N standard normal values: closer values are not looked at
SPAN = {2: 2.33, 3: 2.90, 4: 3.24, 5: 3.48, 6: 3.66, 7: 3.81, 8: 3.93, 9: 4.04}
#: the neighbours of pixels that span this many standard deviations are looked at, too
SURE_SPAN = 6.0
CANDIDATES_AT_ONCE = 1 << 14
#: candidates that suffice to fit the population
CANDIDATES_TO_FIT = 60_000


@dataclass(frozen=True)
class JointPosterior:
    """Which exposures are hit, decided for all of them together.

    For each pixel and each set of exposures taken as hit, the likelihood is that
    of the clean values around a common signal, integrated out, times a broad
    density of positive charge for the others. The posterior follows with a
    prior rate of hits that is higher beside hits. Rate, distribution of
    charges and the influence of neighbours are fitted to the stack.

    Parameters
    ----------
    probability : float, optional
        Values more likely hit than this are masked; between 0 and 1.
    false_alarm : float, optional
        In place of ``probability``: the rate, per pixel and exposure, at which
        clean values start a masked feature. The threshold is calibrated by
        simulation. Tails more likely hit than not join where they touch.
    n_fits : int, optional
        Steps of expectation maximisation that fit the population of hits.
    n_sweeps : int, optional
        Sweeps over the neighbours in each step.
    excess : bool, optional
        Fit a variance beyond photons and read noise to the stack, relative to the
        signal and to its gradient.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    probability: float = 0.5
    false_alarm: float | None = None
    n_fits: int = 4
    n_sweeps: int = 2
    excess: bool = True

    def __post_init__(self):
        check_number("probability", self.probability, minimum=0, maximum=1)
        if self.false_alarm is not None:
            check_number("false_alarm", self.false_alarm, minimum=0, maximum=0.01, exclusive=True)
        check_integer("n_fits", self.n_fits, minimum=1)
        check_integer("n_sweeps", self.n_sweeps, minimum=1)
        check_boolean("excess", self.excess)

    @classmethod
    def parameters(cls):
        """Names and defaults of the parameters, as a dict."""
        return {field.name: field.default for field in fields(cls)}


@dataclass(frozen=True, eq=False, repr=False)
class JointResult:
    """What `joint_posterior` found.

    Attributes
    ----------
    probability : `~numpy.ndarray`
        float32 (N, ny, nx): chance of each value to be hit.
    population : Population
        Rate, neighbours and charges of the hits.
    mask : `~numpy.ndarray`
        bool (N, ny, nx): what the settings make of it.
    population : Population
        Rate, neighbours and charges of the hits.
    excess : ExcessVariance
        Variance beyond photons and read noise.
    """

    probability: np.ndarray
    mask: np.ndarray
    population: Population
    excess: ExcessVariance

    def __repr__(self):
        return f"<JointResult: {self.probability.sum():.0f} hit values expected, {self.population!r}, {self.excess!r}>"


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Values of the pixels that are looked at, in order of rank."""

    where: tuple  # rows and columns
    ranked: np.ndarray  # (N, M) electrons, lowest first
    order: np.ndarray  # (N, M) exposure of each rank
    variance: np.ndarray  # (M,) variance of all but the photons
    unknown: np.ndarray | None  # (N, M) bad values
    detected: np.ndarray | None  # (N, M) found by an auxiliary detector

    def some(self, chosen):
        """Those of the candidates that are ``chosen`` (M,)."""
        unknown, detected = (None if one is None else one[:, chosen] for one in (self.unknown, self.detected))
        where = tuple(index[chosen] for index in self.where)
        return _Candidates(
            where, self.ranked[:, chosen], self.order[:, chosen], self.variance[chosen], unknown, detected
        )


def joint_posterior(cube, readnoise, settings, bad=None, detected=None):
    """Probability of each value of a stack to be hit.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        float32 (N, ny, nx) in electrons, bias subtracted, on a common scale.
    readnoise : float or `~numpy.ndarray`
        In electrons: number or (ny, nx).
    settings : JointPosterior
        Settings.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) values that take no part.
    detected : `~numpy.ndarray` of bool, optional
        (N, ny, nx), what a detector found in each exposure. How often it finds
        hits and how often others is fitted, and counts as evidence.

    Returns
    -------
    result : JointResult
    """
    median = np.median(cube, axis=0) if bad is None else _median_of_valid(cube, bad)
    if bad is not None:
        cube = np.where(bad, median, cube)
    variance = np.broadcast_to(np.float32(readnoise) ** 2, median.shape)
    excess = ExcessVariance()
    if settings.excess:
        total = np.maximum(median, 0) + variance
        gradient2 = squared_gradient(median, total / len(cube))
        excess = fit_excess_variance(cube, median, total, gradient2, bad)
        # a signal raised by two hits must not excuse them
        signal = np.minimum(median, ndimage.median_filter(median, (1, 5)))
        variance = variance + excess.of(signal, gradient2).astype(np.float32)
    candidates = _find_candidates(cube, variance, bad, detected)
    sets = HitSets(len(cube))
    population = _fit_population(candidates, sets, cube.shape, settings)
    evidence = _evidence(candidates, sets, population)
    probability = np.zeros(cube.shape, dtype=np.float32)
    for _ in range(settings.n_sweeps + 1):
        _sweep(probability, candidates, evidence, sets, population)
    # as precise as they are kept, so that a threshold taken later gives the same mask
    probability = probability.astype(np.float16).astype(np.float32)
    if settings.false_alarm is None:
        mask = probability > settings.probability
    else:
        seeds = _seeds(settings.false_alarm, cube, readnoise, excess, candidates, evidence, sets, population)
        mask = np.stack(
            [features_holding(plane | one, one) for plane, one in zip(probability > 0.5, seeds, strict=True)]
        )
    return JointResult(probability, mask, population, excess)


def _seeds(rate, cube, readnoise, excess, candidates, evidence, sets, population):
    """Values whose odds clean ones exceed at the given rate."""
    # without the highest value: what is left has the signal of a clean pixel
    signal = candidates.ranked[:-1].mean(axis=0)
    highest = float(candidates.ranked[0].max(initial=10.0))
    threshold = calibrated_threshold(rate, len(cube), float(np.mean(readnoise)), excess, population, highest)
    log_prior_odds = np.log(population.rate[0] / (1 - population.rate[0]))
    over = single_log_odds(evidence, sets, log_prior_odds) > threshold(signal)
    by_exposure = np.empty_like(over)
    np.put_along_axis(by_exposure, candidates.order, over, axis=0)
    seeds = np.zeros(cube.shape, dtype=bool)
    seeds[:, candidates.where[0], candidates.where[1]] = by_exposure
    return seeds


def _median_of_valid(cube, bad):
    masked = np.ma.masked_array(cube, bad)
    return np.ma.median(masked, axis=0).filled(0).astype(np.float32)


def _find_candidates(cube, variance, bad, detected):
    low, high = cube.min(axis=0), cube.max(axis=0)
    span = (high - low) / np.sqrt(np.maximum(low, 0) + variance)
    looked_at = span > SPAN.get(len(cube), 4.2)
    looked_at |= ndimage.maximum_filter(span > SURE_SPAN, size=3)
    if detected is not None:
        looked_at |= detected.any(axis=0)
    where = np.nonzero(looked_at)
    values = cube[:, where[0], where[1]]
    order = np.argsort(values, axis=0)
    unknown, seen = (
        None if one is None else np.take_along_axis(one[:, where[0], where[1]], order, axis=0)
        for one in (bad, detected)
    )
    return _Candidates(where, np.take_along_axis(values, order, axis=0), order, variance[where], unknown, seen)


def _fit_population(candidates, sets, shape, settings):
    """Expectation maximisation on all candidates, or on those of a band of rows."""
    rows = candidates.where[0]
    height = shape[1]
    if len(rows) > CANDIDATES_TO_FIT:
        height = max(16, int(shape[1] * CANDIDATES_TO_FIT / len(rows)))
        first = (shape[1] - height) // 2
        candidates = candidates.some((rows >= first) & (rows < first + height))
        candidates = replace(candidates, where=(candidates.where[0] - first, candidates.where[1]))
    population = Population()
    probability = np.zeros((shape[0], height, shape[2]), dtype=np.float32)
    for _ in range(settings.n_fits):
        evidence = _evidence(candidates, sets, population)
        for _ in range(settings.n_sweeps):
            found = _sweep(probability, candidates, evidence, sets, population)
        signal = (candidates.ranked * (1 - found)).sum(axis=0) / np.maximum((1 - found).sum(axis=0), 1e-3)
        charge = candidates.ranked - signal
        sums, totals = _class_sums(probability)
        population = population.refitted(charge.ravel(), (found * (charge > 0)).ravel(), sums, totals)
        if candidates.detected is not None:
            population = population.with_detector(found, candidates.detected)
    return population


def _evidence(candidates, sets, population):
    """Log evidence (sets, M) of every set of hit exposures."""
    log_density = population.charge_table()

    def work(part):
        unknown = None if candidates.unknown is None else candidates.unknown[:, part]
        values, variance = candidates.ranked[:, part], candidates.variance[part]
        return evidence_of_ranked(values, variance, sets, log_density, unknown)

    n = candidates.ranked.shape[1]
    parts = [slice(i, i + CANDIDATES_AT_ONCE) for i in range(0, n, CANDIDATES_AT_ONCE)]
    if not parts:
        return np.empty((len(sets.sets), 0), dtype=np.float32)
    return np.concatenate(map_threads(work, parts), axis=1)


def _sweep(probability, candidates, evidence, sets, population):
    """Update the images of probabilities in place; return those of the candidates by rank."""
    rows, columns = candidates.where
    log_odds = np.log(population.rate / (1 - population.rate)).astype(np.float32)
    odds = np.stack(map_threads(lambda plane: log_odds[neighbour_class(plane)[rows, columns]], probability))
    ranked_odds = np.take_along_axis(odds, candidates.order, axis=0)
    if candidates.detected is not None:
        ranked_odds += np.float32(population.detector_odds) * candidates.detected
    found = sets.probability(evidence, ranked_odds)
    by_exposure = np.empty_like(found)
    np.put_along_axis(by_exposure, candidates.order, found, axis=0)
    probability[:, rows, columns] = by_exposure
    return found


def _class_sums(probability):
    """Sum of probabilities and number of values by class of neighbourhood."""
    n = len(CLASS_EDGES) + 1
    sums, totals = np.zeros(n), np.zeros(n)
    for plane in probability:
        classes = neighbour_class(plane).ravel()
        sums += np.bincount(classes, weights=plane.ravel(), minlength=n)
        totals += np.bincount(classes, minlength=n)
    return sums, totals
