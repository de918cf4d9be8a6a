"""What is known of hits before a pixel is looked at: rate, charges, neighbours.

All of it is fitted to the stack at hand by expectation maximisation.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from crstack.joint.charges import CHARGE_EDGES, LOG_SIGMA, HitDensity, above_least, counts_as_hit

__all__ = ["CORNER", "N_CLASSES", "Population", "charges_kind", "neighbour_class"]

#: weight of a neighbour at a corner; one at a side weighs 1
CORNER = 0.3
#: edges of the classes of the sum over hit neighbours, and of their charge in electrons
NUMBER_EDGES = np.array([0.05, 0.9, 1.4, 1.9, 2.4, 3.2], dtype=np.float32)
CHARGE_CLASSES = np.array([10, 30, 100, 300, 1000, 3000], dtype=np.float32)
#: distributions of charge beside few, some and many hit neighbours, by class of their number
GROUP = np.array([0, 0, 0, 0, 1, 1, 2], dtype=np.int32)
N_NUMBERS, N_CHARGES = len(NUMBER_EDGES) + 1, len(CHARGE_CLASSES) + 1
N_CLASSES = N_NUMBERS * N_CHARGES
#: as many pixels at the old rate keep a class with few pixels steady
STEADY = 20.0
#: the form of the distribution of charges is fitted from so many standard deviations of the noise on
RESOLVED = 2.5
LOWEST_RATE, HIGHEST_RATE = 1e-7, 0.99


def neighbour_class(number, charge):
    """Class of a neighbourhood.

    Parameters
    ----------
    number, charge : `~numpy.ndarray`
        Weighted sums over the neighbours of their probability to be hit, and of
        their expected charge in electrons.

    Returns
    -------
    classes : `~numpy.ndarray`
        int32, 0 to ``N_CLASSES - 1``; 0 to ``N_CHARGES - 1`` have no hit neighbour.
    """
    of_number = np.searchsorted(NUMBER_EDGES, number, side="right").astype(np.int32)
    of_charge = np.searchsorted(CHARGE_CLASSES, charge, side="right").astype(np.int32)
    return of_number * np.int32(N_CHARGES) + of_charge * (of_number > 0)


def charges_kind(classes):
    """Distribution of charges that goes with classes: 0 alone, else by the neighbours' number and charge."""
    return _KIND_OF.take(classes)


_CLASSES = np.arange(N_CLASSES, dtype=np.int32)
_KIND_OF = np.where(_CLASSES < N_CHARGES, 0, 1 + GROUP[_CLASSES // N_CHARGES] * N_CHARGES + _CLASSES % N_CHARGES)
_KIND_OF = _KIND_OF.astype(np.int32)
N_KINDS = int(_KIND_OF.max()) + 1


def _first_rates():
    """A start: the more neighbours are hit and the more charge they hold, the likelier is a hit."""
    number = np.concatenate([[0, 0.3], (NUMBER_EDGES[1:-1] + NUMBER_EDGES[2:]) / 2, [3.6]])[:, None]
    charge = np.concatenate([[0.8], np.log10(CHARGE_CLASSES) + 0.25])
    rate = 1 / (1 + np.exp(2.4 - 2.1 * (charge - 2.25) - 2.2 * (number - 1.15)))
    rate[0] = 2e-3
    return np.clip(rate, 2e-3, 0.97).ravel()


def _first_shapes():
    """A start: even in the logarithm of the charge, up to the charge of the neighbours."""
    shapes = np.ones((N_KINDS, len(CHARGE_EDGES) - 1))
    highest = np.append(CHARGE_CLASSES, np.inf)
    for kind in range(1, N_KINDS):
        shapes[kind, CHARGE_EDGES[:-1] > highest[(kind - 1) % N_CHARGES]] = 0.1
    return shapes / shapes.sum(axis=1, keepdims=True)


def _level_faint(shapes, seen, of_kind):
    """Make distributions even in the logarithm of the charge where noise hides their form, in place."""
    log_centres = np.log(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1]) / 2
    log_sigma = of_kind @ LOG_SIGMA / np.maximum(of_kind.sum(axis=1), 1)
    for shape, weight, middle in zip(shapes, seen, log_sigma, strict=True):
        faint = log_centres < middle + np.log(RESOLVED)
        if faint.any():
            shape[faint] = np.average(shape[faint], weights=weight[faint] + 1e-6)


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """Hit rate by class of neighbourhood, and the distributions of charges.

    Attributes
    ----------
    rate : `~numpy.ndarray`
        (N_CLASSES,) chance of a hit of any charge of `CHARGE_EDGES` by class of neighbourhood.
    shapes : `~numpy.ndarray`
        (kinds, bins) share of the charges in each bin: of hits without a hit
        neighbour, and by number and charge of the neighbours.
    overall : float
        Fraction of all values that is hit.
    typical : float
        Geometric mean of the charges of hits, electrons.
    detector_odds : float
        Log odds that a detection of the auxiliary detector adds.
    """

    rate: np.ndarray = field(default_factory=_first_rates)
    shapes: np.ndarray = field(default_factory=_first_shapes)
    overall: float = 0.0
    typical: float = 0.0
    detector_odds: float = 0.0

    def __repr__(self):
        return f"<Population: {', '.join(f'{name} {value}' for name, value in self.summary().items())}>"

    def summary(self):
        """What was fitted, in words: a dict of str."""
        beside = self.rate.reshape(N_NUMBERS, N_CHARGES)[2]
        words = {
            "values hit": f"{100 * self.overall:.3g} %",
            "typical charge": f"{self.typical:.3g} electron",
            "rate without a hit neighbour": f"{self.rate[0]:.2g}",
            "rate beside a hit of 20 electron": f"{beside[1]:.2g}",
            "rate beside a hit of 500 electron": f"{beside[4]:.2g}",
        }
        if self.detector_odds:
            words["log odds of a detection"] = f"{self.detector_odds:.2f}"
        return words

    @cached_property
    def density(self):
        """The `HitDensity` of these charges."""
        return HitDensity(self.shapes)

    def log_odds(self, classes, sigma):
        """Log of rate over chance of no hit, for classes and noise (electrons) of values."""
        rate = self.rate.astype(np.float32)[classes]
        return np.log(rate) - np.log1p(-rate * self.density.above(charges_kind(classes), sigma))

    def refitted(self, counts, hits, totals):
        """The population after one step of expectation maximisation.

        Parameters
        ----------
        counts : `~numpy.ndarray`
            Expected number of hits of each charge, from `HitDensity.expected_counts`.
        hits : `~numpy.ndarray`
            (N_CLASSES,) sum of the probabilities by class.
        totals : `~numpy.ndarray`
            (N_CLASSES, sigmas) number of values by class and noise.

        Returns
        -------
        population : Population
        """
        kinds = charges_kind(np.arange(N_CLASSES))
        of_kind = np.zeros((len(self.shapes), totals.shape[1]))
        np.add.at(of_kind, kinds, totals)
        # a charge that counts as a hit in few pixels is as frequent in the others
        seen = of_kind @ counts_as_hit()
        seen = seen / np.maximum(seen.max(axis=1, keepdims=True), 1)
        smooth = [ndimage.gaussian_filter1d(one, 1.0, axis=1, mode="nearest") for one in (counts, seen)]
        shapes = smooth[0] / np.maximum(smooth[1], 0.02)
        # a floor keeps charges possible that this stack happens not to hold
        shapes += 0.01 * shapes.mean(axis=1, keepdims=True) + STEADY * self.shapes
        _level_faint(shapes, seen, of_kind)
        shapes /= shapes.sum(axis=1, keepdims=True)
        exposed = (totals * above_least(shapes)[kinds]).sum(axis=1)
        rate = (hits + STEADY * self.rate) / (exposed + STEADY)
        centres = np.log(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1]) / 2
        return replace(
            self,
            shapes=shapes,
            rate=np.clip(rate, LOWEST_RATE, HIGHEST_RATE),
            overall=float(hits.sum() / max(totals.sum(), 1)),
            typical=float(np.exp((counts @ centres).sum() / max(counts.sum(), 1e-9))),
        )

    def with_detector(self, probability, detected):
        """The population with what a detection is worth as evidence.

        The detector looks at the same values, and flags fluctuations of the noise:
        its false ones are counted among the highest clean values of the pixels that are
        looked at, which fluctuate as much. What it misses is no evidence, as it
        misses tails.

        Parameters
        ----------
        probability : `~numpy.ndarray`
            (N, M) of the candidates.
        detected : `~numpy.ndarray` of bool
            (N, M), what the detector found.

        Returns
        -------
        population : Population
        """
        highest = probability.argmax(axis=0)[None]
        other = 1 - np.take_along_axis(probability, highest, axis=0)
        found_there = np.take_along_axis(detected, highest, axis=0)
        of_hits = (probability[detected].sum() + 1.0) / (probability.sum() + 2.0)
        of_others = (other[found_there].sum() + 1.0) / (other.sum() + 2.0)
        return replace(self, detector_odds=float(max(np.log(of_hits / of_others), 0.0)))
