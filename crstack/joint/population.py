"""Prior of the hits: rate, charges, neighbours.

All of it is fitted to the stack by expectation maximisation.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from crstack.joint.charges import (
    ALL_NOISES,
    CHARGE_EDGES,
    LOG_SIGMA,
    HitDensity,
    counts_as_hit,
)
from crstack.joint.neighbourhoods import CLASSES, N_CHARGES, N_CLASSES, N_KINDS, N_NUMBERS, charges_kind
from crstack.joint.population_fit import extrapolated_rows, smooth_shapes, steady_rates
from crstack.utils.cached import cached_property

__all__ = ["Population", "two_log_ratios"]

#: initial probability of a hit
FIRST_RATE = 5e-3
#: limits of the probability of a hit, and highest probability of a charge that does not count in a value without a hit
LOWEST_RATE, HIGHEST_RATE, HIGHEST_FAINT = 1e-7, 0.99, 0.98


def _even_rates():
    """Initial state: the same rate for every value, independent of its neighbours."""
    return np.full(N_CLASSES, FIRST_RATE)


def _even_shapes():
    """Initial state: uniform in the logarithm of the charge."""
    return np.full((N_KINDS, len(CHARGE_EDGES) - 1), 1 / (len(CHARGE_EDGES) - 1))


def _no_hit(rate, above):
    """Probability of no hit, from the rate and the share of the charges that count as hits."""
    return 1 - np.minimum(rate * above, np.float32(HIGHEST_RATE))


def two_log_ratios(rate, log_density, faint_factor, above, below):
    """Two logarithms: odds of a hit times density of hit over not hit values; and density of not hit over clean values.

    Parameters
    ----------
    rate : `~numpy.ndarray`
        Rate of hits. The shapes broadcast against that of ``log_density``.
    log_density : `~numpy.ndarray`
        Log density of hit values, per standard deviation; overwritten.
    faint_factor : `~numpy.ndarray`
        Factor of the density of a clean value with a charge that does not count as a hit; overwritten.
    above, below : `~numpy.ndarray`
        Share of the charges that count as hits, and of those below.

    Returns
    -------
    logs : `~numpy.ndarray`
        complex64; the first is the real part. Both are used together, and adjacent in memory they are read together.
    """
    no_hit = _no_hit(rate, above)
    faint = np.minimum(rate * below / no_hit, np.float32(HIGHEST_FAINT))
    logs = np.empty(log_density.shape, np.complex64)
    faint_factor -= 1
    faint_factor *= faint
    not_hit = np.log1p(faint_factor, out=faint_factor)
    log_density += np.log(rate) - np.log(no_hit)
    np.subtract(log_density, not_hit, out=logs.real)
    logs.imag = not_hit
    return logs


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """Hit rate by class of neighbourhood, and the distributions of charges.

    Attributes
    ----------
    rate : `~numpy.ndarray`
        (N_CLASSES,) mean number of charges of ``CHARGE_EDGES`` by class of neighbourhood. It may exceed 1
        where the class has fewer faint hits than the others that share its distribution of charges.
    shapes : `~numpy.ndarray`
        (kinds, bins) share of the charges in each bin: of hits without a hit
        neighbour, and by number and charge of the neighbours.
    typical : float
        Geometric mean of the charges of hits, electrons.
    detector_odds : float
        Log odds that a detection of the auxiliary detector adds.
    noises : slice or None
        Indices in ``crstack.joint.charges.LOG_SIGMA`` that are needed; all of them if None.
    """

    rate: np.ndarray = field(default_factory=_even_rates)
    shapes: np.ndarray = field(default_factory=_even_shapes)
    typical: float = 0.0
    detector_odds: float = 0.0
    noises: slice | None = None

    def __repr__(self):
        return f"<Population: {', '.join(f'{name} {value}' for name, value in self.in_words().items())}>"

    def summary(self) -> dict[str, object]:
        """What was fitted, as numbers by name.

        The charges of a value are a mean number. They include those far below the noise, and may exceed 1.

        Returns
        -------
        numbers : dict
            Numbers by name.
        """
        beside = self.rate.reshape(N_NUMBERS, N_CHARGES)[2]
        numbers = {
            "typical charge (electron)": self.typical,
            "charges of a value if no neighbour is hit": self.rate[0],
            "charges of a value beside a hit of 5 sigma": beside[1],
            "charges of a value beside a hit of 90 sigma": beside[4],
            "log odds of a detection": self.detector_odds,
        }
        return {name: float(value) for name, value in numbers.items()}

    def in_words(self) -> dict[str, str]:
        """What was fitted, in words: a dict of str.

        Returns
        -------
        words : dict of str
            Text by name.
        """
        beside = self.rate.reshape(N_NUMBERS, N_CHARGES)[2]
        words = {
            "typical charge": f"{self.typical:.3g} electron",
            "charges of a value if no neighbour is hit": f"{self.rate[0]:.2g}, faint ones included",
            "charges of a value beside a hit of 5 sigma": f"{beside[1]:.2g}, faint ones included",
            "charges of a value beside a hit of 90 sigma": f"{beside[4]:.2g}, faint ones included",
        }
        if self.detector_odds:
            words["log odds of a detection"] = f"{self.detector_odds:.2f}"
        return words

    @cached_property
    def density(self):
        """The ``HitDensity`` of these charges."""
        return HitDensity(self.shapes, self.noises or ALL_NOISES)

    def log_odds(self, classes: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Log of rate over probability of no hit, for classes and noise (electrons) of values.

        Parameters
        ----------
        classes : `~numpy.ndarray` of int
            Class of each value.
        sigma : `~numpy.ndarray`
            Standard deviation of each value without a hit, in electrons.

        Returns
        -------
        log : `~numpy.ndarray`
            Natural logarithms, of the shape of ``classes``.
        """
        rate = self.rate.astype(np.float32)[classes]
        chance = np.minimum(rate * self.density.above(charges_kind(classes), sigma), np.float32(HIGHEST_RATE))
        return np.log(rate) - np.log1p(-chance)

    @cached_property
    def _tables(self):
        """Tables by class and noise: `two_log_ratios` for the needed noises; log probability of no hit for all."""
        rate = self.rate.astype(np.float32)[:, None]
        log_density, faint_factor, above, below = self.density.by_kind(charges_kind(CLASSES))
        logs = two_log_ratios(rate[..., None], log_density, faint_factor, above[..., None], below[..., None])
        return logs, self._at_noises(np.log(_no_hit(rate, above)))

    def make_tables(self) -> None:
        """Make the tables of `log_ratios` now, once and not in each thread that uses them."""
        self._tables  # noqa: B018 (kept)

    def _at_noises(self, values):
        """Tables (N_CLASSES, sigmas) of all noises, from those of the needed noises."""
        if self.noises is None:
            return values
        table = np.zeros((len(values), LOG_SIGMA.size), values.dtype)
        table[:, self.noises] = values
        return table

    def log_ratios(self, classes: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logarithms of two ratios of densities: hit over not hit, and not hit over clean.

        A value that is not hit may have a charge below ``LEAST_CHARGE``. Beside a track such charges are as frequent as
        hits, and would look like hits if the value were taken as clean. The density of values that are not hit is that
        of clean values times the second result.

        Parameters
        ----------
        classes : `~numpy.ndarray`
            Classes of neighbourhood.
        index : `~numpy.ndarray`
            Of the values, see ``HitDensity.index``; shapes that broadcast.

        Returns
        -------
        log_hit : `~numpy.ndarray`
            Odds times density of hit values per standard deviation, over the second of the results; subtract the
            log density of clean ones per standard deviation.
        log_not_hit : `~numpy.ndarray`
            Density of values that are not hit, over that of clean ones.
        """
        logs = self._tables[0]
        first = (self.noises or ALL_NOISES).start * logs.shape[2]
        found = logs.ravel().take(classes * np.intp(logs[0].size) - np.intp(first) + index)
        return found.real, found.imag

    def log_none(self, classes: np.ndarray, noises: np.ndarray) -> np.ndarray:
        """Log of the probability of no hit, for classes and noise of values.

        Parameters
        ----------
        classes : `~numpy.ndarray`
            Classes of neighbourhood.
        noises : `~numpy.ndarray` of int
            Places of the noise of each value in ``crstack.joint.charges.LOG_SIGMA``. Shapes that broadcast.

        Returns
        -------
        log : `~numpy.ndarray`
            Natural logarithms, of the shape of ``classes``.
        """
        return self._tables[1].ravel().take(classes * np.intp(LOG_SIGMA.size) + noises)

    def refitted(
        self, counts: np.ndarray, hits: np.ndarray, totals: np.ndarray, seen: np.ndarray | None = None
    ) -> "Population":
        """The population after one step of expectation maximisation.

        Parameters
        ----------
        counts : `~numpy.ndarray`
            Expected number of hits of each charge, from ``HitDensity.expected_counts``.
        hits : `~numpy.ndarray`
            (N_CLASSES,) sum of the probabilities by class.
        totals : `~numpy.ndarray`
            (N_CLASSES, sigmas) number of values by class and noise.
        seen : `~numpy.ndarray`, optional
            (N_CLASSES, bins) number of the values for which a charge of a bin counts as a hit, and that would be
            examined if they had it. By default, all values are examined.

        Returns
        -------
        population : Population
            Its rates and distributions of charges are new.
        """
        kinds = charges_kind(CLASSES)
        seen = totals @ counts_as_hit() if seen is None else seen
        # charges are assumed to be equally frequent in pixels that are examined and in those that are not
        exposure = np.zeros_like(counts)
        np.add.at(exposure, kinds, self.rate[:, None] * seen)
        shapes = smooth_shapes(counts, exposure, self.shapes)
        exposed = (seen * shapes[kinds]).sum(axis=1)
        rate = steady_rates(hits, exposed)
        highest = HIGHEST_RATE * np.maximum(totals.sum(axis=1) / np.maximum(exposed, 1), 1)
        centres = np.log(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1]) / 2
        return replace(
            self,
            shapes=shapes,
            rate=np.clip(rate, LOWEST_RATE, highest),
            typical=float(np.exp((counts @ centres).sum() / max(counts.sum(), 1e-9))),
        )

    def with_charges_of_all(self) -> "Population":
        """The population with the charges of values without hit neighbours for all neighbourhoods.

        Returns
        -------
        population : Population
            The same rates, with one distribution of charges for all classes.
        """
        return replace(self, shapes=np.repeat(self.shapes[:1], len(self.shapes), axis=0))

    def extrapolated(self, first: "Population", second: "Population") -> "Population":
        """Extrapolation of the expectation maximisation from two steps.

        Squared extrapolation (Varadhan & Roland 2008, Scand. J. Stat. 35, 335), in the logarithms of the rate of each
        class and of each distribution of charges. Its length depends on the ratio of the two steps.

        Parameters
        ----------
        first, second : Population
            After one step from this population, and after two.

        Returns
        -------
        population : Population
            The population beyond the second step.
        """
        logs = [np.log(one.rate)[:, None] for one in (self, first, second)]
        rate = np.exp(extrapolated_rows(*logs, np.ones((N_CLASSES, 1))))[:, 0]
        logs = [np.log(one.shapes) for one in (self, first, second)]
        shapes = np.exp(extrapolated_rows(*logs, second.shapes))
        shapes /= shapes.sum(axis=1, keepdims=True)
        return replace(second, shapes=shapes, rate=np.clip(rate, LOWEST_RATE, second.rate.max()))

    def with_detector(self, probability: np.ndarray, detected: np.ndarray, weights: np.ndarray) -> "Population":
        """The population with the log odds of a detection.

        The detector uses the same values, and also flags fluctuations of the noise. Its false detections are therefore
        counted among the clean values of the examined pixels, which have the largest fluctuations. A missing detection
        is no evidence, because the detector misses the tails of tracks.

        Parameters
        ----------
        probability : `~numpy.ndarray`
            (N, M) of the candidates.
        detected : `~numpy.ndarray` of bool
            (N, M), the detections.
        weights : `~numpy.ndarray`
            (N, M) number of candidates that each value represents.

        Returns
        -------
        population : Population
            The same rates and distributions, with the odds of a detection.
        """
        highest = probability.argmax(axis=0)[None]
        other = 1 - np.take_along_axis(probability, highest, axis=0)
        found_there = np.take_along_axis(detected, highest, axis=0)
        other, probability = other * np.take_along_axis(weights, highest, axis=0), probability * weights
        of_hits = (probability[detected].sum() + 1.0) / (probability.sum() + 2.0)
        of_others = (other[found_there].sum() + 1.0) / (other.sum() + 2.0)
        return replace(self, detector_odds=float(max(np.log(of_hits / of_others), 0.0)))
