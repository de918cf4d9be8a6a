"""The probability of each value to be hit, and the hits around it."""

from itertools import product

import numpy as np

from crstack.joint.neighbourhoods import CORNER, neighbour_class
from crstack.utils.memory import empty_image, zero_image
from crstack.utils.threads import map_threads, row_bands, slices

__all__ = ["PLACES_AT_ONCE", "Field"]

#: number of places whose neighbours are summed together
PLACES_AT_ONCE = 1 << 17


class Field:
    """Probability of every value to be hit, and the hits among its neighbours.

    A neighbour counts if its probability to be hit exceeds one half. If neighbours counted by their probability, a
    value would raise the probability of its neighbours, and these would raise its own. Only the candidates can be hit,
    and only their values are stored.

    Parameters
    ----------
    shape : tuple of int
        (N, ny, nx).

    Attributes
    ----------
    shape : tuple of int
        As given.
    chance : `~numpy.ndarray`
        float32 (N, M), probabilities of the candidates.
    """

    def __init__(self, shape):
        self.shape = shape
        self._width = shape[2] + 2
        self._where = None
        self.chance = self._hits = self._charge = np.zeros((shape[0], 0), dtype=np.float32)
        # with a rim of one pixel
        self._beside = zero_image((shape[0], (shape[1] + 2) * self._width), bool)

    @property
    def probability(self):
        """float32 (N, ny, nx)."""
        probability = np.zeros(self.shape, dtype=np.float32)
        if self._where is not None:
            probability[:, *self._where] = self.chance
        return probability

    def set(self, where, probability, charge):
        """Set the values (N, M) at rows and columns ``where``; ``charge`` if hit, in units of the noise."""
        if where is not self._where:
            # numbers of candidates by their place, and one more where there is none
            self._where = where
            self._number = empty_image(self._beside.shape[1], np.int32)
            self._number[:] = len(where[0])
            self._number[self._place(where)] = np.arange(len(where[0]))
        self.chance = probability.astype(np.float32, copy=False)
        n, m = probability.shape
        self._hits, self._charge = empty_image((n, m + 1)), empty_image((n, m + 1))
        place = self._place(where)

        def work(i):
            hits = np.where(probability[i] > 0.5, probability[i], np.float32(0))
            self._hits[i, :m], self._charge[i, :m] = hits, hits * charge[i]
            self._hits[i, m] = self._charge[i, m] = 0
            self._beside[i] = False
            hit = place[hits > 0]
            for step in self._steps(0):
                self._beside[i][hit + step] = True

        map_threads(work, range(n))

    def add_hits(self, which, probability, charge):
        """Add hits of all exposures at some candidates, for the classes of the values beside them.

        Parameters
        ----------
        which : `~numpy.ndarray` of int
            (K,) numbers of the candidates.
        probability : `~numpy.ndarray`
            (K,) that they are hit in every exposure.
        charge : `~numpy.ndarray`
            (N, K), if hit, in units of the noise.
        """
        self._hits[:, which], self._charge[:, which] = probability, probability * charge
        place = self._place(tuple(index[which] for index in self._where))
        for step in self._steps(0):
            self._beside[:, place + step] = True

    def _place(self, where):
        return (where[0] + 1) * self._width + where[1] + 1

    def _steps(self, least=1):
        """Steps in a plane from a pixel to those around it; with ``least`` of 0 also to itself."""
        around = product((-1, 0, 1), (-1, 0, 1))
        return [dy * self._width + dx for dy, dx in around if abs(dy) + abs(dx) >= least]

    def classes_at(self, where):
        """Class of the neighbourhood (N, M) of each value at rows and columns ``where``."""
        everywhere = self._place(where)
        classes = zero_image((self.shape[0], len(everywhere)), np.int32)
        weights = [np.float32(1 if abs(step) in (1, self._width) else CORNER) for step in self._steps()]

        def work(item):
            i, part = item
            place = everywhere[part]
            beside = np.flatnonzero(self._beside[i].take(place))
            if not len(beside):
                return
            place = place[beside]
            sums = [np.zeros(len(place), np.float32), np.zeros(len(place), np.float32)]
            for step, weight in zip(self._steps(), weights, strict=True):
                number = self._number.take(place + step)
                for total, values in zip(sums, (self._hits[i], self._charge[i]), strict=True):
                    total += weight * values.take(number)
            classes[i, part][beside] = neighbour_class(*sums)

        map_threads(work, product(range(len(classes)), slices(len(everywhere), PLACES_AT_ONCE)))
        return classes

    def beside_hits(self):
        """Rows and columns of all pixels beside a hit one, or hit themselves."""
        _, ny, nx = self.shape

        def work(rows):
            first = (rows.start + 1) * self._width
            places = slice(first, first + (rows.stop - rows.start) * self._width)
            near = self._beside[0, places].copy()
            for one in self._beside[1:, places]:
                near |= one
            row, column = np.divmod(np.flatnonzero(near), self._width)
            inside = (column > 0) & (column <= nx)
            return row[inside] + rows.start, column[inside] - 1

        return tuple(np.concatenate(one) for one in zip(*map_threads(work, row_bands(ny, nx)), strict=True))
