"""Thresholds at a known rate of false alarms, from simulated values without hits."""

from dataclasses import dataclass

import numpy as np

from crstack.joint.candidates import Candidates, examined_share
from crstack.joint.odds import log_odds_alone

__all__ = ["CleanNoise", "calibrated_threshold"]

#: number of pixels that are drawn at each level of signal
DRAWS = 1_200_000
#: simulated signals (electrons): these, and then in steps of this factor
FEW, FACTOR = (0.0, 1.0, 2.5, 5.0, 8.0, 12.0, 18.0, 27.0, 40.0, 60.0, 100.0), 3.0
#: number of highest values that determine the tail, and fewest beyond a threshold that is counted without the tail
TAIL, READ_OFF = 300, 100


@dataclass(frozen=True, eq=False)
class CleanNoise:
    """Noise of clean values, typical of a stack.

    Parameters
    ----------
    variance, scales, poisson : `~numpy.ndarray`
        (N,) of each exposure, see `~crstack.joint.counts.Counts`.
    excess : ExcessVariance
        Its part relative to the signal is simulated too.
    """

    variance: np.ndarray
    scales: np.ndarray
    poisson: np.ndarray
    excess: object

    def draw(self, signal, n_pixels, rng):
        """`Candidates` with few exclusions: ``n_pixels`` at a signal, electrons."""
        column = (slice(None), None)
        variance = (self.variance + self.scales**2 * self.excess.of(signal, 0.0)).astype(np.float32)
        expected = self.scales * signal
        values = rng.standard_normal((len(variance), n_pixels), dtype=np.float32) * np.sqrt(variance)[column]
        for plane, one, photons in zip(values, expected, self.poisson, strict=True):
            plane += rng.poisson(one, n_pixels) if photons else np.float32(one)
        columns = [
            np.asarray(one, np.float32)[column] for one in (self.scales, 0 * self.scales, variance, self.poisson)
        ]
        return Candidates((np.zeros(n_pixels, int),) * 2, values, *columns)


def calibrated_threshold(rate, noise, population, highest, lowest=0.0, seed=20260101):
    """Threshold of the log odds of a hit that clean values exceed at a given rate.

    Parameters
    ----------
    rate : float
        False alarms per value (pixel and exposure).
    noise : CleanNoise
        Of the exposures.
    population : Population
        As fitted to the stack.
    highest : float
        Largest signal of the stack, electrons.
    lowest : float, optional
        Smallest signal at which the threshold is needed, electrons.
    seed : int, optional
        Of the simulations.

    Returns
    -------
    threshold : callable
        Of the signal of pixels (electrons), for the log odds of `log_odds_alone`.

    Notes
    -----
    If too few simulated values exceed the threshold, the tail is extrapolated as an exponential.
    """
    signals = list(FEW)
    while signals[-1] < highest:
        signals.append(signals[-1] * FACTOR)
    # the last signal that is not above the lowest one, and all beyond; each keeps its random numbers
    first = max(int(np.searchsorted(signals, lowest, side="right")) - 1, 0)
    numbered = list(enumerate(signals))[first:]
    wanted = rate * len(noise.variance) * DRAWS
    share = examined_share(rate)

    def simulate(item):
        number, signal = item
        drawn = noise.draw(signal, DRAWS, np.random.default_rng([seed, number]))
        levels = drawn.levels
        span = levels.max(axis=0) - levels.min(axis=0)
        wide = drawn.some(np.flatnonzero(span > np.quantile(span, 1 - share)))
        return _tail_quantile(log_odds_alone(wide, wide.tables(), population).ravel(), wanted)

    thresholds = np.array([simulate(item) for item in numbered])
    places = np.log10(np.array(signals[first:]) + 1)
    return lambda signal: np.interp(np.log10(np.maximum(signal, 0) + 1), places, thresholds)


def _tail_quantile(values, wanted):
    """Value that ``wanted`` of the simulated ones exceed; it may be less than one."""
    size = int(max(TAIL, wanted)) + 1
    values = np.sort(np.partition(values, -min(size, len(values)))[-min(size, len(values)) :])[::-1]
    if wanted >= READ_OFF:
        return values[int(min(wanted, len(values) - 1))]
    tail = values[: min(TAIL, max(len(values) // 4, 2))]
    scale = (tail - tail[-1]).mean()
    return tail[-1] + scale * np.log(len(tail) / wanted)
