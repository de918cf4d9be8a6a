"""The look-up tables of the densities of hits, only at the places that the values of a sample use.

The tables have a place for each class of neighbourhood, noise and excess. The values of a small stack use a few per
cent of them. Each step of the fit needs new tables, which would take longer than the sums over the values.
"""

from dataclasses import dataclass, replace

import numpy as np

from crstack.joint.charges import (
    ALL_NOISES,
    BEYOND,
    CELLS,
    CHARGE_STEP,
    CHARGES,
    FAINT_FACTOR,
    KINDS_AT_ONCE,
    LINEAR,
    NORMAL,
    Z,
    above_least,
    shares,
)
from crstack.joint.neighbourhoods import N_CLASSES, N_KINDS, charges_kind
from crstack.joint.population import two_log_ratios
from crstack.utils.cached import cached_property
from crstack.utils.memory import empty_image
from crstack.utils.threads import map_threads, slices

__all__ = ["Numbered", "UsedPlaces", "numbered"]

#: smallest number of rows of a product of matrices, because BLAS rounds very small ones differently
FEWEST_ROWS = 16


class UsedPlaces:
    """Places of the tables that are used.

    Parameters
    ----------
    classes, sigmas, places : `~numpy.ndarray`
        (U,) class of neighbourhood, place of the noise among the ``noises``, place of the excess; in ascending order.
    noises : slice
        Places in ``LOG_SIGMA`` of the noises.
    """

    def __init__(self, classes, sigmas, places, noises):
        self._classes, self._noises = classes, noises
        n_sigmas = noises.stop - noises.start
        self._shares = shares(noises.start, noises.stop)
        # classes share their distributions of charges
        codes = (charges_kind(classes) * n_sigmas + sigmas) * Z.size + places
        codes, self._of_kind = np.unique(codes, return_inverse=True)
        rows, self._places = np.divmod(codes, Z.size)
        self._kinds, self._sigmas = np.divmod(rows, n_sigmas)
        self._parts = [part for part in map(self._part, slices(N_KINDS, KINDS_AT_ONCE)) if part is not None]

    def __len__(self):
        return len(self._classes)

    def _part(self, kinds):
        """Places of some distributions (a slice), and the rows of their tables; None if no place is used."""
        here = slice(*np.searchsorted(self._kinds, (kinds.start, kinds.stop)))
        if here.start == here.stop:
            return None
        rows = np.zeros((kinds.stop - kinds.start, self._noises.stop - self._noises.start), bool)
        row = self._kinds[here] - kinds.start, self._sigmas[here]
        rows[row] = True
        if np.count_nonzero(rows) < FEWEST_ROWS:
            rows[:] = True
        row = (rows.cumsum() - 1).reshape(rows.shape)[row]
        return _Part(kinds, here, rows, row, self._places[here])

    def density(self, population):
        """The `_Densities` of hit values for the charges of a population."""
        shapes = population.shapes
        log_density, faint_factor, far, below = np.empty((4, len(self._kinds)), np.float32)

        def work(part):
            found = part.tables(shapes[part.kinds].astype(np.float32), self._shares)
            for whole, some in zip((log_density, faint_factor, far, below), found, strict=True):
                whole[part.here] = some

        map_threads(work, self._parts)
        return _Densities(self, shapes, log_density, faint_factor, far, below)

    def logs(self, population, density):
        """At each place (U,), the `two_log_ratios` of ``Population.log_ratios`` as one complex number."""
        of_kind = self._of_kind
        above = above_least(population.shapes)[:, self._noises][self._kinds, self._sigmas]
        rate = population.rate.astype(np.float32)[self._classes]
        found = (density.log_density, density.faint_factor, above, density.below)
        return two_log_ratios(rate, *(one[of_kind] for one in found))

    def histogram(self, numbers, weights):
        """Sums of ``weights`` of values by the distribution and the place that they use, from the `numbers`."""
        of_places = np.bincount(numbers.ravel(), weights.ravel(), minlength=len(self))
        return np.bincount(self._of_kind, of_places, minlength=len(self._kinds))


@dataclass(frozen=True, eq=False)
class _Part:
    """Used places of some distributions.

    Attributes
    ----------
    kinds, here : slice
        The distributions, and their places among all used ones.
    rows : `~numpy.ndarray` of bool
        (K, sigmas) whether the rows of the tables are used.
    row, places : `~numpy.ndarray`
        (V,) row of each place among the used ones, and place of the excess.
    """

    kinds: slice
    here: slice
    rows: np.ndarray
    row: np.ndarray
    places: np.ndarray

    @cached_property
    def _near_and_far(self):
        """For the places of small excess and for the others: numbers, rows, and places in the cells."""
        near = np.flatnonzero(self.places < len(LINEAR))
        far = np.flatnonzero(self.places >= len(LINEAR))
        return (near, self.row[near], self.places[near]), (far, self.row[far], self.places[far] - len(LINEAR))

    def tables(self, shapes, shares):
        """Log density, factor by faint charges, share of the far cells, share of faint charges: (V,) each."""
        # shares of the charges in each cell: (rows, cells)
        below, near, far = (np.tensordot(shapes, one, (1, 2))[self.rows] for one in shares)
        (at_near, row, place), (at_far, far_row, far_place) = self._near_and_far
        density, share = np.empty((2, len(self.places)), np.float32)
        # a product of two matrices, which is much faster than a stack of small ones
        density[at_near] = (near @ NORMAL.T)[row, place] / np.float32(CHARGE_STEP)
        share[at_near], share[at_far] = 0, far[far_row, far_place]
        density[at_far] = share[at_far] / np.diff(CELLS[2], axis=0)[0][far_place]
        np.log(np.maximum(density, np.float32(1e-30), out=density), out=density)
        total = below.sum(axis=1)
        faint_factor = (below @ FAINT_FACTOR.T)[self.row, self.places]
        total = total[self.row]
        faint_factor /= np.maximum(total, np.float32(1e-30))
        return density, faint_factor, share, total

    def weights(self, histogram, log_density, share):
        """Weights (K, sigmas, cells) of the cells near and far, from the values of a histogram (V,)."""
        (at_near, row, place), (at_far, far_row, far_place) = self._near_and_far
        found = np.zeros((np.count_nonzero(self.rows), len(LINEAR)), np.float32)
        found[row, place] = histogram[at_near] / np.exp(log_density[at_near])
        beyond = np.zeros((len(found), len(BEYOND)))
        beyond[far_row, far_place] = histogram[at_far] / np.maximum(share[at_far], np.float32(1e-30))
        near, far = np.zeros((*self.rows.shape, len(CHARGES)), np.float32), np.zeros((*self.rows.shape, len(BEYOND)))
        near[self.rows] = found @ NORMAL / np.float32(CHARGE_STEP)
        far[self.rows] = beyond
        return near, far


@dataclass(frozen=True, eq=False)
class _Densities:
    """Densities of hit values at the used places.

    Attributes
    ----------
    used : UsedPlaces
    shapes : `~numpy.ndarray`
        (K, bins) share of the charges in each bin, for each distribution.
    log_density, faint_factor, share, below : `~numpy.ndarray`
        (V,) see `_Part.tables`.
    """

    used: UsedPlaces
    shapes: np.ndarray
    log_density: np.ndarray
    faint_factor: np.ndarray
    share: np.ndarray
    below: np.ndarray

    def expected_counts(self, histogram):
        """Expected number of hits (K, bins) of each charge, from the values of a histogram of `UsedPlaces`.

        Each value is distributed among its possible charges, as in a step of expectation maximisation.
        """
        used = self.used
        n_sigmas = used._noises.stop - used._noises.start
        near = np.zeros((len(self.shapes), n_sigmas, len(CHARGES)), np.float32)
        far = np.zeros((len(self.shapes), n_sigmas, len(BEYOND)))

        def work(part):
            here = part.here
            near[part.kinds], far[part.kinds] = part.weights(histogram[here], self.log_density[here], self.share[here])

        map_threads(work, used._parts)
        weights = (
            one.reshape(len(one), -1) @ share.reshape(-1, share.shape[-1])
            for one, share in zip((near, far), used._shares[1:], strict=True)
        )
        return self.shapes * sum(weights)


@dataclass(frozen=True, eq=False)
class Numbered:
    """Places used by the values of a sample, and the number of the place of each value.

    Attributes
    ----------
    used : UsedPlaces
    asked, classes : list of `~numpy.ndarray`
        (N, J, M) of each part: numbers for the classes of the probabilities, and for those of the counts. Their type is
        that of the indices of NumPy, which would convert others in each step of the fit.
    """

    used: UsedPlaces
    asked: list
    classes: list

    def settled(self):
        """The same with the classes of the counts for the probabilities."""
        return replace(self, asked=self.classes)


def numbered(asked, classes, parts, indices, noises=None):
    """Find the places of the tables that values use, and number them.

    Parameters
    ----------
    asked, classes : `~numpy.ndarray`
        (N, M) classes of neighbourhood for the probabilities, and those for the counts.
    parts : list of slice
        Parts of the values.
    indices : list of `~numpy.ndarray`
        (N, J, M) places of each part, see ``HitDensity.index``.
    noises : slice, optional
        Places in ``LOG_SIGMA`` that occur; all of them by default.

    Returns
    -------
    places : Numbered
    """
    noises = noises or ALL_NOISES
    n_sigmas = noises.stop - noises.start
    size, first = np.int32(n_sigmas * Z.size), np.int32(noises.start * Z.size)
    every = [asked] if asked is classes else [asked, classes]
    is_used = np.zeros(N_CLASSES * size, bool)

    def codes(item):
        which, part, index = item
        return (which * size - first)[:, None, part] + index

    def mark(item):
        is_used[codes(item)] = True

    items = [(which, part, index) for which in every for part, index in zip(parts, indices, strict=True)]
    map_threads(mark, items)
    number = is_used.cumsum() - 1

    def number_of(item):
        found = empty_image(item[2].shape, np.intp)
        np.take(number, codes(item), out=found, mode="clip")
        return found

    found = map_threads(number_of, items)
    rows, places = np.divmod(np.flatnonzero(is_used), Z.size)
    used = UsedPlaces(*np.divmod(rows, n_sigmas), places, noises)
    return Numbered(used, found[: len(parts)], found[-len(parts) :])
