"""One decision per pixel for all exposures: which of them are hit?"""

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import ndimage

from crstack._validation import check_boolean, check_integer, check_number
from crstack.detectors.two_pass import features_holding
from crstack.joint.calibration import Calibration, fit_calibration
from crstack.joint.candidates import LOOKED_AT, clean_signal, find_candidates
from crstack.joint.excess import ExcessVariance
from crstack.joint.false_alarms import CleanNoise, calibrated_threshold
from crstack.joint.hit_everywhere import hit_everywhere
from crstack.joint.measure import Measured
from crstack.joint.population import Population
from crstack.joint.posterior_signal import posterior_signal, signal_shift
from crstack.joint.scatter import Scatter, scatter_of
from crstack.joint.sweeps import log_odds_alone, probabilities

__all__ = ["JointPosterior", "JointResult", "joint_posterior"]


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
    measure : bool, optional
        Where the exposures scatter beyond their noise, measure which of flux factors, offsets and
        local response explains it, as far as the stack was not told: see
        `~crstack.joint.measure.measure_differences`. Needs ``excess``. Only what is expected of the exposures in this
        decision changes; they are combined as they are.

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
    measure: bool = True

    def __post_init__(self):
        check_number("probability", self.probability, minimum=0, maximum=1)
        if self.false_alarm is not None:
            check_number("false_alarm", self.false_alarm, minimum=0, maximum=0.01, exclusive=True)
        check_integer("n_fits", self.n_fits, minimum=1)
        check_integer("n_sweeps", self.n_sweeps, minimum=1)
        check_boolean("excess", self.excess)
        check_boolean("measure", self.measure)

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
    mask : `~numpy.ndarray`
        bool (N, ny, nx): what the settings make of it.
    population : Population
        Rate, neighbours and charges of the hits.
    excess : ExcessVariance
        Variance beyond photons and read noise.
    calibration : Calibration
        How a twin of the stack with known hits moved the probabilities.
    signal_shift : `~numpy.ndarray`
        float32 (ny, nx), electrons of the combined image: what a mean of all exposures should be, by the posterior
        mean of the signal, above the mean of the values weighted by their chances; 0 where it is sure that none is hit.
    excess_variance : `~numpy.ndarray`
        float32 (ny, nx), electrons squared: ``excess`` of each pixel.
    measured : Measured or None
        What was measured of exposures that are not equivalent; None where there was no need.
    """

    probability: np.ndarray
    mask: np.ndarray
    population: Population
    excess: ExcessVariance
    calibration: Calibration
    signal_shift: np.ndarray
    excess_variance: np.ndarray
    measured: Measured | None = None

    def __repr__(self):
        return f"<JointResult: {', '.join(f'{name} {value}' for name, value in self.summary().items())}>"

    def summary(self):
        """What was found and fitted, in words.

        Returns
        -------
        words : dict of str
        """
        calibration = self.calibration
        offsets = " ".join(f"{offset:.2f}" for offset in calibration.offsets)
        return {
            "hit values expected": f"{self.probability.sum():.0f}",
            **self.population.summary(),
            **({} if self.measured is None else self.measured.summary()),
            "scatter beyond the noise": f"{self.excess}",
            "calibration of the log odds": f"times {calibration.slope:.3f}, plus {offsets}",
        }


def joint_posterior(counts, settings, detected=None, scatter=None):
    """Probability of each value of a stack to be hit.

    Parameters
    ----------
    counts : Counts
        The exposures in electrons, and what is expected in them.
    settings : JointPosterior
        Settings.
    detected : `~numpy.ndarray` of bool, optional
        (N, ny, nx), what a detector found in each exposure. How often it finds
        hits and how often others is fitted, and counts as evidence.
    scatter : Scatter, optional
        That of the exposures, where it is known already.

    Returns
    -------
    result : JointResult
    """
    if scatter is None:
        scatter = scatter_of(counts) if settings.excess else Scatter.none(counts)
    excess, of_pixels = scatter.excess, scatter.of_pixels
    # sums over the exposures round, and a twin is drawn with numbers of each: in one order, whatever they come in
    order = counts.data.mean(axis=(1, 2), dtype=np.float64).argsort(kind="stable")
    counts, back = counts.ordered(order), order.argsort()
    detected = None if detected is None else detected[order]
    # a clean pixel must be looked at ten times as often as it may be flagged
    looked_at = LOOKED_AT if settings.false_alarm is None else max(LOOKED_AT, 10 * settings.false_alarm)
    sigma = np.sqrt(counts.mean_variance(scatter.signal) + of_pixels)
    candidates = find_candidates(counts, of_pixels, sigma, detected, min(looked_at, 0.2))
    field, tables, population = probabilities(candidates, sigma, counts.data.shape, settings)
    signal = posterior_signal(field, candidates, tables, population)
    if settings.false_alarm is None:
        tables = None  # large, and no longer needed
    calibration = fit_calibration(counts, of_pixels, candidates, field, population, settings)
    rows, columns = candidates.where
    classes = field.classes_at(candidates.where)
    field.probability[:, rows, columns] = calibration(field.probability[:, rows, columns], classes)
    which, everywhere = hit_everywhere(counts, of_pixels, candidates, field, population)
    rest = field.probability[:, rows[which], columns[which]]
    field.probability[:, rows[which], columns[which]] = everywhere + (1 - everywhere) * rest
    shift = signal_shift(counts, candidates, signal, field.probability)
    shift[rows[which], columns[which]] = 0  # where all may be hit, others than these values tell
    # as precise as they are kept, so that a threshold taken later gives the same mask
    probability = field.probability.astype(np.float16).astype(np.float32)
    if settings.false_alarm is None:
        mask = probability > settings.probability
    else:
        seeds = _seeds(settings.false_alarm, counts, excess, candidates, tables, population, probability)
        mask = np.stack(
            [features_holding(plane | one, one) for plane, one in zip(probability > 0.5, seeds, strict=True)]
        )
    # a copy is without the tables, which are large
    population = replace(population)
    return JointResult(probability[back], mask[back], population, excess, calibration, shift, of_pixels)


def _seeds(rate, counts, excess, candidates, tables, population, probability):
    """Values whose odds clean ones exceed at the given rate."""
    noise = CleanNoise(*counts.typical(), excess)
    highest = float(candidates.lowest.max(initial=10.0))
    threshold = calibrated_threshold(rate, noise, population, highest)
    signal = clean_signal(counts, candidates, probability)
    # that of the neighbours: a pixel's own would follow its fluctuation
    signal = (9 * ndimage.uniform_filter(signal, 3) - signal) / 8
    over = log_odds_alone(candidates, tables, population) > threshold(signal[candidates.where])
    seeds = np.zeros(counts.data.shape, dtype=bool)
    seeds[:, candidates.where[0], candidates.where[1]] = over
    return seeds
