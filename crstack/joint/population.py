"""What is known of hits before a pixel is looked at: rate, charges, neighbours.

All of it is fitted to the stack at hand by expectation maximisation.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

__all__ = ["Population", "neighbour_class"]

#: edges of the bins of charge, electrons
CHARGE_EDGES = np.geomspace(0.5, 2e5, 45)
TABLE_SIZE = 4096
#: weight of a neighbour at a side and at a corner
NEIGHBOURS = np.array([[0.6, 1.0, 0.6], [1.0, 0.0, 1.0], [0.6, 1.0, 0.6]], dtype=np.float32)
#: edges of the classes of the sum over hit neighbours
CLASS_EDGES = np.array([0.05, 0.5, 0.9, 1.4, 1.9, 2.4, 3.2])


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """Hit rate by class of neighbourhood, and the distribution of charges.

    Attributes
    ----------
    rate : `~numpy.ndarray`
        Chance of a hit in each class of neighbourhood, from no hit neighbour to many.
    charge_density : `~numpy.ndarray`
        Density of log charge in each bin of `CHARGE_EDGES`, summing to 1 over the bins.
    detector_odds : float
        Log odds that a detection of the auxiliary detector adds.
    """

    rate: np.ndarray = field(default_factory=lambda: np.geomspace(2e-3, 0.6, len(CLASS_EDGES) + 1))
    charge_density: np.ndarray = field(
        default_factory=lambda: np.full(len(CHARGE_EDGES) - 1, 1 / (len(CHARGE_EDGES) - 1))
    )

    detector_odds: float = 0.0

    def __repr__(self):
        rates = ", ".join(f"{rate:.3g}" for rate in self.rate)
        centres = np.sqrt(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1])
        typical = np.exp(np.average(np.log(centres), weights=self.charge_density))
        return f"<Population: rate {rates} by hit neighbours, typical charge {typical:.3g} electron>"

    def charge_table(self):
        """Log density per electron as a function of charge in electrons.

        Returns
        -------
        log_density : callable
            Of an array of charges, float32: a look-up in a fine table.
        """
        log_edges = np.log(CHARGE_EDGES)
        centres = (log_edges[1:] + log_edges[:-1]) / 2
        grid = np.linspace(log_edges[0], log_edges[-1], TABLE_SIZE)
        table = np.interp(grid, centres, np.log(self.charge_density / (log_edges[1] - log_edges[0]))) - grid
        table = table.astype(np.float32)
        first, scale = np.float32(grid[0]), np.float32(1 / (grid[1] - grid[0]))

        def log_density(charge):
            index = (np.log(np.maximum(charge, CHARGE_EDGES[0], dtype=np.float32)) - first) * scale
            return table[np.minimum(index, TABLE_SIZE - 1).astype(np.int32)]

        return log_density

    def refitted(self, charges, weights, sums, totals):
        """The population after one step of expectation maximisation.

        Parameters
        ----------
        charges, weights : `~numpy.ndarray`
            Excess charge of the candidates, electrons, and their probability.
        sums, totals : `~numpy.ndarray`
            By class of neighbourhood, the sum of probabilities and the number
            of pixels.

        Returns
        -------
        population : Population
        """
        log_edges = np.log(CHARGE_EDGES)
        found = np.log(np.clip(charges, CHARGE_EDGES[0], CHARGE_EDGES[-1] * 0.999))
        counts, _ = np.histogram(found, bins=log_edges, weights=weights)
        smooth = ndimage.gaussian_filter1d(counts, 1.5, mode="nearest")
        # a floor keeps charges possible that this stack happens not to hold
        smooth += 0.02 * smooth.mean() + 1e-12
        few = 20.0  # as many pixels at the old rate keep a class with few pixels steady
        rate = (sums + few * self.rate) / (totals + few)
        return replace(self, rate=np.clip(rate, 1e-7, 0.95), charge_density=smooth / smooth.sum())

    def with_detector(self, probability, detected):
        """The population with what a detection is worth as evidence.

        The detector looks at the same values, and flags fluctuations of the noise:
        its false ones are counted among the highest values of the pixels that are
        looked at, which fluctuate as much. What it misses is no evidence, as it
        misses tails.

        Parameters
        ----------
        probability : `~numpy.ndarray`
            (N, M) of the candidates, in order of rank.
        detected : `~numpy.ndarray` of bool
            (N, M), what the detector found.

        Returns
        -------
        population : Population
        """
        hit, other = probability, 1 - probability[-1]
        of_hits = (hit[detected].sum() + 1.0) / (hit.sum() + 2.0)
        of_others = (other[detected[-1]].sum() + 1.0) / (other.sum() + 2.0)
        return replace(self, detector_odds=float(max(np.log(of_hits / of_others), 0.0)))


def neighbour_class(probability):
    """Class of each pixel of one exposure by its hit neighbours in that exposure.

    Parameters
    ----------
    probability : `~numpy.ndarray`
        (ny, nx) probability of a hit.

    Returns
    -------
    classes : `~numpy.ndarray`
        int, from 0 (no hit neighbour) to ``len(CLASS_EDGES)``.
    """
    return np.digitize(ndimage.correlate(probability, NEIGHBOURS, mode="constant"), CLASS_EDGES)
