"""Probability that each value of a stack is hit, from exposures in electrons."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from crstack.equalize.fit.differences import Differences
from crstack.joint.candidates import clean_signal, examined_share, find_candidates
from crstack.joint.clean_surroundings import with_hits_left_out
from crstack.joint.counts import Counts
from crstack.joint.cubes import in_order, means_of
from crstack.joint.excess import ExcessVariance
from crstack.joint.false_alarms import CleanNoise, calibrated_threshold
from crstack.joint.hit_everywhere import hit_everywhere
from crstack.joint.least_loss import least_loss
from crstack.joint.odds import log_odds_alone
from crstack.joint.population import Population
from crstack.joint.posterior_signal import maybe_hit, posterior_signal, signal_shift, signal_variance
from crstack.joint.scatter import Scatter, scatter_of
from crstack.joint.sweeps import probabilities
from crstack.joint.unlike_noise import unlike_noise
from crstack.utils.cached import cached_property
from crstack.utils.filters import mean_of_neighbours
from crstack.utils.memory import empty_image, zero_image
from crstack.utils.pixels import features_holding
from crstack.utils.summary import Summary
from crstack.utils.threads import map_threads, row_bands

__all__ = ["JointResult", "joint_posterior"]

#: expected number of hit values over that of masked ones from which words explain the difference
MANY_FAINT = 1.5


@dataclass(frozen=True, eq=False, repr=False)
class JointResult:
    """Result of `joint_posterior`.

    Attributes
    ----------
    rounded : `~numpy.ndarray`
        float16 (N, ny, nx): probability that each value is hit.
    mask : `~numpy.ndarray`
        bool (N, ny, nx): mask by the settings.
    population : Population
        Rate, neighbours and charges of the hits.
    excess : ExcessVariance
        Variance beyond photons and read noise.
    signal_shift : `~numpy.ndarray`
        float32 (ny, nx), electrons of the combined image: the mean of all exposures that is expected for the posterior
        mean of the signal, minus the mean of the values weighted by their probabilities. It is 0 where no value can be
        hit.
    signal_variance : `~numpy.ndarray`
        float32 (ny, nx), electrons squared of the combined image: variance of its mean by that of the posterior signal.
        It is 0 where no value can be hit.
    excess_variance : `~numpy.ndarray`
        float32 (ny, nx), electrons squared: ``excess`` of each pixel.
    measured : `~crstack.equalize.Differences` or None
        Differences between the exposures; None if they were not measured.
    shared_variance : float
        Electrons squared: variance of one exposure by random levels of its rows and columns, which are measured and do
        not disturb the decision. Combined images keep the mean of these levels.
    """

    rounded: np.ndarray
    mask: np.ndarray
    population: Population
    excess: ExcessVariance
    signal_shift: np.ndarray
    signal_variance: np.ndarray
    excess_variance: np.ndarray
    measured: Differences | None = None
    shared_variance: float = 0.0

    def __repr__(self):
        return f"<JointResult: {', '.join(f'{name} {value}' for name, value in self.in_words().items())}>"

    def _repr_html_(self):
        return Summary(self.in_words())._repr_html_()

    @property
    def probability(self):
        """Probability of each value to be hit, float32 (N, ny, nx)."""
        return self.rounded.astype(np.float32)

    @cached_property
    def _expected_hits(self):
        return float(sum(map_threads(lambda plane: plane.sum(dtype=np.float64), self.rounded)))

    @property
    def differences(self):
        """Differences between the exposures: ``measured``."""
        return self.measured

    def _expected_in_words(self):
        """Number of hit values and their fraction of all values; how many are masked, if these are far fewer."""
        expected, masked = self._expected_hits, int(np.count_nonzero(self.mask))
        words = f"{expected:.0f} ({100 * expected / self.mask.size:.3g} %)"
        if expected < MANY_FAINT * max(masked, 1):
            return words
        return f"{words} with those that are too faint to be masked; {masked} are masked"

    def summary(self) -> dict[str, object]:
        """What was found and fitted, as numbers by name; ``str()`` gives readable lines.

        Returns
        -------
        summary : dict
            Floats, and lists of one value for each exposure where differences were measured.
        """
        return Summary(
            {
                "hit values": self._expected_hits,
                **self.population.summary(),
                **({} if self.measured is None else self.measured.summary()),
                "scatter relative to the signal": float(self.excess.relative),
                "scatter of the position (pixel)": float(self.excess.shift),
                "scatter beside both (electron)": float(np.sqrt(self.excess.constant)),
            }
        )

    def in_words(self) -> dict[str, str]:
        """What was found and fitted, in words: a dict of str.

        Returns
        -------
        words : dict of str
            Text by name.
        """
        return {
            "hit values": self._expected_in_words(),
            **self.population.in_words(),
            **({} if self.measured is None else self.measured.in_words()),
            "scatter beyond the noise": f"{self.excess}",
        }


class PosteriorSettings(Protocol):
    """The settings of `~crstack.JointPosterior` that the posterior depends on."""

    @property
    def probability(self) -> float | None:
        """Limit of the probability from which on a value is masked; None without such a limit."""
        ...

    @property
    def false_alarm(self) -> float | None:
        """Fraction of the values without a hit that may be masked; None without such a fraction."""
        ...

    @property
    def excess(self) -> bool:
        """Whether scatter beyond photon and read noise is measured."""
        ...

    @property
    def n_sweeps(self) -> int:
        """Number of sweeps over the image in which neighbours change the probabilities."""
        ...

    @property
    def n_fits(self) -> int:
        """Number of fits of the population of hits."""
        ...


def joint_posterior(
    counts: Counts,
    settings: PosteriorSettings,
    detected: np.ndarray | None = None,
    scatter: Scatter | None = None,
) -> JointResult:
    """Probability that each value of a stack is hit.

    Parameters
    ----------
    counts : Counts
        The exposures in electrons, and their expected values.
    settings : JointPosterior
        Settings.
    detected : `~numpy.ndarray` of bool, optional
        (N, ny, nx), detections in each exposure. The rates of correct and of false detections are fitted, and used as
        evidence.
    scatter : Scatter, optional
        Scatter of the exposures, if it is known already.

    Returns
    -------
    result : JointResult
        Probabilities (N, ny, nx), and what was measured of the hits and of the exposures.
    """
    if scatter is None:
        scatter = scatter_of(counts) if settings.excess else Scatter.none(counts)
    excess, of_pixels = scatter.excess, scatter.of_pixels
    # in a fixed order, so that the rounding of sums does not depend on the order of the exposures
    order = means_of(counts.data).argsort(kind="stable")
    counts, back = counts.ordered(order), order.argsort()
    detected = in_order(detected, order)
    sigma = _sigma(counts, scatter)
    unlike = unlike_noise(counts, scatter.signal, of_pixels)
    examined = examined_share(settings.false_alarm)
    candidates = find_candidates(counts, of_pixels, sigma, detected, examined, unlike, scatter.signal)
    noise = sigma if unlike is None else unlike.values
    without_hits = partial(with_hits_left_out, counts=counts, sigma=sigma, unlike=unlike)
    candidates, field, population = probabilities(candidates, noise, counts.data.shape, settings, without_hits)
    del sigma, noise, unlike, without_hits
    rows, columns = candidates.where
    which, everywhere = hit_everywhere(counts, candidates, field, population)
    field.chance[:, which] = everywhere + (1 - everywhere) * field.chance[:, which]
    signal, variance = posterior_signal(field, candidates, population, maybe_hit(field.chance))
    of_signal = signal_variance(counts, candidates, signal, variance, field.chance)
    shift = signal_shift(counts, candidates, signal, field.chance)
    shift[rows[which], columns[which]] = 0  # where all may be hit, the values do not measure the signal
    # rounded as stored, so that a later threshold gives the same mask
    rounded = _by_exposure(lambda i: field.chance[i], field.chance.shape, np.float16)
    masked = _masked(settings, counts, excess, candidates, population, rounded)
    # a copy does not contain the tables, which are large
    population = replace(population)
    shape = counts.data.shape
    return JointResult(
        _cube_of(candidates, rounded, back, shape),
        _cube_of(candidates, masked, back, shape),
        population,
        excess,
        shift,
        of_signal,
        of_pixels,
    )


def _by_exposure(function, shape, dtype):
    """Values (N, M) of a shape and type, computed in threads by ``function(i)`` for each exposure."""
    values = empty_image(shape, dtype)

    def work(i):
        values[i] = function(i)

    map_threads(work, range(shape[0]))
    return values


def _masked(settings, counts, excess, candidates, population, rounded):
    """Mask (N, M) of the candidates by the settings, of their rounded probabilities."""
    if settings.probability is not None:
        return _by_exposure(lambda i: rounded[i].astype(np.float32) > settings.probability, rounded.shape, bool)
    if settings.false_alarm is None:
        return _by_exposure(lambda i: least_loss(rounded[i].astype(np.float32)), rounded.shape, bool)
    chance = rounded.astype(np.float32)
    over = _over_threshold(settings.false_alarm, counts, excess, candidates, population, chance)
    return _with_tails(candidates, chance > 0.5, over, counts.data.shape[1:])


def _sigma(counts, scatter):
    """Noise (ny, nx) of one value, electrons."""
    sigma = empty_image(scatter.signal.shape)

    def work(rows):
        sigma[rows] = np.sqrt(counts.rows(rows).mean_variance(scatter.signal[rows]) + scatter.of_pixels[rows])

    map_threads(work, row_bands(*sigma.shape))
    return sigma


def _cube_of(candidates, values, order, shape):
    """Cube (N, ny, nx) with the values (N, M) of the candidates, 0 elsewhere; ``order`` is that of the exposures."""
    cube = zero_image(shape, values.dtype)

    def work(item):
        plane, i = item
        plane[candidates.where] = values[i]

    map_threads(work, zip(cube, order, strict=True))
    return cube


def _with_tails(candidates, likely, seeds, shape):
    """Mask (N, M) of the seeds, and of the values connected with them that are more probably hit than not."""
    masks = []
    for some in zip(likely, seeds, strict=True):
        plane, one = np.zeros((2, *shape), dtype=bool)
        plane[candidates.where], one[candidates.where] = some
        masks.append(features_holding(plane | one, one)[candidates.where])
    return np.stack(masks)


def _over_threshold(rate, counts, excess, candidates, population, chance):
    """Values (N, M) whose odds exceed those that clean values reach at the given rate."""
    noise = CleanNoise(*counts.typical(), excess)
    highest = float(candidates.lowest.max(initial=10.0))
    signal = clean_signal(counts, candidates, chance)
    # the signal of the neighbours, because that of the pixel itself depends on its fluctuation
    signal = mean_of_neighbours(signal)[candidates.where]
    threshold = calibrated_threshold(rate, noise, population, highest, lowest=float(signal.min(initial=highest)))
    evenly = replace(candidates, prior=None)
    return log_odds_alone(evenly, evenly.tables(), population) > threshold(signal)
