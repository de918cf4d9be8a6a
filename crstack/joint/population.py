"""Prior of the hits: rate, charges, neighbours.

All of it is fitted to the stack by expectation maximisation.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import solveh_banded

from crstack.joint.charges import (
    ALL_NOISES,
    CHARGE_EDGES,
    LOG_SIGMA,
    HitDensity,
    counts_as_hit,
    sigma_index,
)
from crstack.utils.cached import cached_property

__all__ = [
    "CORNER",
    "N_CLASSES",
    "N_KINDS",
    "N_NUMBERS",
    "Population",
    "charges_kind",
    "neighbour_class",
    "side_by_side",
]

#: weight of a neighbour at a corner; one at a side has the weight 1
CORNER = 0.3
#: edges of the classes of the sum over hit neighbours, and of their charge in standard deviations of the noise
NUMBER_EDGES = np.array([0.05, 0.9, 1.4, 1.9, 2.4, 3.2], dtype=np.float32)
CHARGE_CLASSES = np.array([3, 8, 20, 50, 150, 500], dtype=np.float32)
#: group of each class of the number of hit neighbours; the classes of a group share their distributions of charge
GROUP = np.array([0, 0, 0, 1, 2, 3, 4], dtype=np.int32)
N_NUMBERS, N_CHARGES = len(NUMBER_EDGES) + 1, len(CHARGE_CLASSES) + 1
N_CLASSES = N_NUMBERS * N_CHARGES
#: initial probability of a hit
FIRST_RATE = 5e-3
#: weight of the prior of a class: as a number of hits with the mean distribution of charges, and of pixels with the
#: mean rate
STEADY = 10.0
#: standard deviation of the prior of the second differences of the log of a distribution of charges
BEND = 0.12
#: Newton steps in each step of expectation maximisation, and largest change of a logarithm in one of them
NEWTON_STEPS, LARGEST_STEP = 3, 1.5
#: share of the charges that is distributed evenly, so that every charge stays possible
FLOOR = 1e-3
#: largest extrapolation, in steps, and largest change of a logarithm by it
LONGEST_STEP, LARGEST_CHANGE = 5.0, 1.0
#: limits of the probability of a hit, and highest probability of a charge that does not count in a value without a hit
LOWEST_RATE, HIGHEST_RATE, HIGHEST_FAINT = 1e-7, 0.99, 0.98


def neighbour_class(number, charge):
    """Class of a neighbourhood.

    Parameters
    ----------
    number, charge : `~numpy.ndarray`
        Weighted sums over the neighbours of their probability to be hit, and of
        their expected charge in standard deviations of the noise.

    Returns
    -------
    classes : `~numpy.ndarray`
        int32, 0 to ``N_CLASSES - 1``; 0 to ``N_CHARGES - 1`` have no hit neighbour.
    """
    of_number = np.searchsorted(NUMBER_EDGES, number, side="right").astype(np.int32)
    of_charge = np.searchsorted(CHARGE_CLASSES, charge, side="right").astype(np.int32)
    return of_number * np.int32(N_CHARGES) + of_charge * (of_number > 0)


def charges_kind(classes):
    """Distribution of charges of the classes: 0 without neighbours, otherwise by their number and charge."""
    return _KIND_OF.take(classes)


_CLASSES = np.arange(N_CLASSES, dtype=np.int32)
_KIND_OF = np.where(_CLASSES < N_CHARGES, 0, 1 + GROUP[_CLASSES // N_CHARGES] * N_CHARGES + _CLASSES % N_CHARGES)
_KIND_OF = _KIND_OF.astype(np.int32)
N_KINDS = int(_KIND_OF.max()) + 1
#: distributions of charge next to hits, by group of their number
ALIKE = [slice(first, first + N_CHARGES) for first in range(1, N_KINDS, N_CHARGES)]


def _smooth_log_densities(counts, exposure, start):
    """Log densities (K, bins) of charges, per unit of the exposure, that are most probable with a smooth prior.

    The ``counts`` are taken as Poisson numbers with the expectation ``exposure`` times density. The second differences
    of the log density have a normal prior of standard deviation `BEND`. Where noise hides the charges, the counts have
    little information, and the prior continues the density as a power of the charge. Newton steps begin at ``start``.
    """
    n_kinds, bins = counts.shape
    second = np.diff(np.eye(bins), 2, axis=0) / BEND
    stiff, found = second.T @ second, start.copy()
    # a bin depends on the two before and the two after it: diagonals of one band matrix for all distributions
    diagonals = np.stack([np.pad(stiff.diagonal(-number), (0, number)) for number in range(3)])
    for _ in range(NEWTON_STEPS):
        expected = exposure * np.exp(found)
        rest = counts - expected - found @ stiff
        matrix = np.tile(diagonals, n_kinds)
        matrix[0] += expected.ravel() + 1e-3
        steps = solveh_banded(matrix, rest.ravel(), overwrite_ab=True, lower=True, check_finite=False)
        found += np.clip(steps.reshape(found.shape), -LARGEST_STEP, LARGEST_STEP)
    return found - found.max(axis=1, keepdims=True)


def _with_others_alike(counts, exposure):
    """Counts and exposures, with `STEADY` hits added from the other distributions of the same group."""
    counts, exposure = counts.copy(), exposure + 1e-9
    for alike in ALIKE:
        together = counts[alike].sum(axis=0) + 1e-9
        density = together / (exposure[alike].sum(axis=0) + 1e-3 * exposure[alike].sum(axis=0).max())
        weight = STEADY / (density * exposure[alike]).sum(axis=1, keepdims=True)
        counts[alike] += weight * density * exposure[alike]
        exposure[alike] *= 1 + weight
    return counts, exposure


def _extrapolated_rows(start, first, second, weights):
    """Rows (K, bins) of parameters, each with a step length of its own."""
    step, change = first - start, second - 2 * first + start
    norms = [np.sqrt((weights * one**2).sum(axis=1, keepdims=True)) for one in (step, change)]
    length = np.clip(norms[0] / np.maximum(norms[1], 1e-12), 1, LONGEST_STEP)
    found = start + 2 * length * step + length**2 * change
    return np.clip(found, second - LARGEST_CHANGE, second + LARGEST_CHANGE)


def _steady_rates(hits, exposed):
    """Rates of hits by class; those of classes with few pixels are those of their number of neighbours."""
    of_number = (one.reshape(N_NUMBERS, N_CHARGES).sum(axis=1, keepdims=True) for one in (hits, exposed))
    numbers, pixels = of_number
    overall = numbers[1:].sum() / max(pixels[1:].sum(), 1)
    common = np.repeat((numbers + STEADY * overall) / (pixels + STEADY), N_CHARGES, axis=1).ravel()
    return (hits + STEADY * common) / (exposed + STEADY)


def _even_rates():
    """Initial state: the same rate for every value, independent of its neighbours."""
    return np.full(N_CLASSES, FIRST_RATE)


def _even_shapes():
    """Initial state: uniform in the logarithm of the charge."""
    return np.full((N_KINDS, len(CHARGE_EDGES) - 1), 1 / (len(CHARGE_EDGES) - 1))


def _no_hit(rate, above):
    """Probability of no hit, from the rate and the share of the charges that count as hits."""
    return 1 - np.minimum(rate * above, np.float32(HIGHEST_RATE))


def side_by_side(rate, log_density, faint_factor, above, below):
    """Logs of the densities of hit over not hit values, with the odds of a hit, and of not hit over clean values.

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
        (N_CLASSES,) chance of a hit of any charge of ``CHARGE_EDGES`` by class of neighbourhood. It may exceed 1
        where the class has fewer faint hits than the others that share its distribution of charges.
    shapes : `~numpy.ndarray`
        (kinds, bins) share of the charges in each bin: of hits without a hit
        neighbour, and by number and charge of the neighbours.
    overall : float
        Fraction of all values that is hit.
    typical : float
        Geometric mean of the charges of hits, electrons.
    detector_odds : float
        Log odds that a detection of the auxiliary detector adds.
    noises : slice or None
        Indices in ``crstack.joint.charges.LOG_SIGMA`` that are needed; all of them if None.
    """

    rate: np.ndarray = field(default_factory=_even_rates)
    shapes: np.ndarray = field(default_factory=_even_shapes)
    overall: float = 0.0
    typical: float = 0.0
    detector_odds: float = 0.0
    noises: slice | None = None

    def __repr__(self):
        return f"<Population: {', '.join(f'{name} {value}' for name, value in self.in_words().items())}>"

    def summary(self) -> dict[str, object]:
        """What was fitted, as numbers by name.

        Rates count charges of any size, also those far below the noise. They are no probabilities and may exceed 1.

        Returns
        -------
        numbers : dict
            Numbers by name.
        """
        beside = self.rate.reshape(N_NUMBERS, N_CHARGES)[2]
        numbers = {
            "fraction of values hit": self.overall,
            "typical charge (electron)": self.typical,
            "rate where no neighbour is hit": self.rate[0],
            "rate beside a hit of 5 sigma": beside[1],
            "rate beside a hit of 90 sigma": beside[4],
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
            "values hit": f"{100 * self.overall:.3g} %",
            "typical charge": f"{self.typical:.3g} electron",
            "rate where no neighbour is hit": f"{self.rate[0]:.2g} per value",
            "rate beside a hit of 5 sigma": f"{beside[1]:.2g} per value",
            "rate beside a hit of 90 sigma": f"{beside[4]:.2g} per value",
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
        """By class and noise: logs of hit over not hit and of not hit over clean, side by side, for the needed noises;
        log of no hit, for all noises."""
        rate = self.rate.astype(np.float32)[:, None]
        log_density, faint_factor, above, below = self.density.by_kind(charges_kind(_CLASSES))
        logs = side_by_side(rate[..., None], log_density, faint_factor, above[..., None], below[..., None])
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

    def log_none(self, classes: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Log of the probability of no hit, for classes and noise (electrons) of values.

        Parameters
        ----------
        classes : `~numpy.ndarray`
            Classes of neighbourhood.
        sigma : `~numpy.ndarray`
            Standard deviation of the noise of each value, electrons. Shapes that broadcast.

        Returns
        -------
        log : `~numpy.ndarray`
            Natural logarithms, of the shape of ``classes``.
        """
        return self._tables[1][classes, sigma_index(sigma)]

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
        kinds = charges_kind(_CLASSES)
        seen = totals @ counts_as_hit() if seen is None else seen
        # charges are assumed to be equally frequent in pixels that are examined and in those that are not
        exposure = np.zeros_like(counts)
        np.add.at(exposure, kinds, self.rate[:, None] * seen)
        shapes = np.exp(_smooth_log_densities(*_with_others_alike(counts, exposure), np.log(self.shapes)))
        # a lower limit keeps charges possible that do not occur in this stack
        shapes = shapes / shapes.sum(axis=1, keepdims=True) + FLOOR / shapes.shape[1]
        shapes /= shapes.sum(axis=1, keepdims=True)
        exposed = (seen * shapes[kinds]).sum(axis=1)
        rate = _steady_rates(hits, exposed)
        highest = HIGHEST_RATE * np.maximum(totals.sum(axis=1) / np.maximum(exposed, 1), 1)
        centres = np.log(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1]) / 2
        return replace(
            self,
            shapes=shapes,
            rate=np.clip(rate, LOWEST_RATE, highest),
            overall=float(hits.sum() / max(totals.sum(), 1)),
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
        rate = np.exp(_extrapolated_rows(*logs, np.ones((N_CLASSES, 1))))[:, 0]
        logs = [np.log(one.shapes) for one in (self, first, second)]
        shapes = np.exp(_extrapolated_rows(*logs, second.shapes))
        shapes /= shapes.sum(axis=1, keepdims=True)
        return replace(second, shapes=shapes, rate=np.clip(rate, LOWEST_RATE, second.rate.max()))

    def with_detector(self, probability: np.ndarray, detected: np.ndarray) -> "Population":
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

        Returns
        -------
        population : Population
            The same rates and distributions, with the odds of a detection.
        """
        highest = probability.argmax(axis=0)[None]
        other = 1 - np.take_along_axis(probability, highest, axis=0)
        found_there = np.take_along_axis(detected, highest, axis=0)
        of_hits = (probability[detected].sum() + 1.0) / (probability.sum() + 2.0)
        of_others = (other[found_there].sum() + 1.0) / (other.sum() + 2.0)
        return replace(self, detector_odds=float(max(np.log(of_hits / of_others), 0.0)))
