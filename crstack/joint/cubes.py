"""Cubes of exposures that are read or computed where they are used, without a copy."""

from itertools import pairwise
from threading import Lock

import numpy as np

from crstack.utils.memory import empty_image, relax
from crstack.utils.threads import map_images, map_threads, row_bands

__all__ = ["LevelCube", "PlanesInOrder", "by_parts", "in_order", "joined", "means_of", "taken"]

#: pixels of the rows from which single pixels are taken, or whose bad values are filled, at a time
PIXELS_PER_BAND = 1 << 18


class PlanesInOrder:
    """The planes of a cube in another order.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx).
    order : `~numpy.ndarray` of int
        (N,) indices of its planes.
    """

    ndim = 3

    def __init__(self, cube, order):
        self._cube, self._order = cube, np.asarray(order)
        self.shape, self.dtype = (len(self._order), *cube.shape[1:]), cube.dtype

    def __len__(self):
        return len(self._order)

    def __iter__(self):
        return (self._cube[i] for i in self._order)

    def __getitem__(self, key):
        first, *rest = key if isinstance(key, tuple) else (key,)
        chosen = self._order[first]
        if np.ndim(chosen) == 0:
            return self._cube[(int(chosen), *rest)]
        return np.stack([self._cube[(i, *rest)] for i in chosen])


def in_order(cube, order):
    """The planes of a cube (or None) in an order, or some of them, without a copy."""
    if cube is None or (len(order) == len(cube) and (np.diff(order) == 1).all()):
        return cube
    return PlanesInOrder(cube, order)


class LevelCube:
    """The common signals of the values of `~crstack.joint.counts.Counts`, computed where they are used.

    Parameters
    ----------
    counts : Counts
        The exposures.
    """

    ndim, dtype = 3, np.dtype(np.float32)

    def __init__(self, counts):
        self._counts = counts
        self.shape = tuple(counts.data.shape)

    def __len__(self):
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        first, *rest = key if isinstance(key, tuple) else (key,)
        part = self._counts.rows(tuple(rest)) if rest else self._counts
        if np.ndim(first) == 0 and not isinstance(first, slice):
            if part.bad is None:
                return part.level_of(first)
            return self._plane(first, part)
        return part.levels[first]

    def _plane(self, i, part):
        """Levels of one exposure, where those of the others fill bad values."""
        plane = part.level_of(i).copy()
        for rows in row_bands(*plane.shape, PIXELS_PER_BAND) if plane.ndim == 2 else [slice(None)]:
            if part.bad[i][rows].any():
                plane[rows] = part.rows(rows).levels[i]
        return plane


def joined(parts):
    """Arrays (N, m) in one, (N, M)."""
    whole = empty_image((len(parts[0]), sum(one.shape[1] for one in parts)), parts[0].dtype)
    return np.concatenate(parts, axis=1, out=whole)


def by_parts(work, parts, number):
    """Arrays (N, M) that are computed by parts, in threads.

    Parameters
    ----------
    work : callable
        ``work(part)`` gives a tuple of arrays (N, m) for a slice of the M pixels.
    parts : list of slice
        One or more, which cover the pixels.
    number : int
        M.

    Returns
    -------
    arrays : list of `~numpy.ndarray`
    """
    arrays, lock = [], Lock()

    def fill(part):
        found = work(part)
        with lock:
            if not arrays:
                arrays.extend(empty_image((len(one), number), one.dtype) for one in found)
        for array, one in zip(arrays, found, strict=True):
            array[:, part] = one

    map_threads(fill, parts)
    return arrays


def means_of(cube):
    """Mean of each plane of a cube, float64."""

    def mean_of(i):
        mean = cube[i].mean(dtype=np.float64)
        relax()
        return mean

    return np.array(map_images(mean_of, range(len(cube))))


def taken(function, places, shape):
    """Values of single pixels, which are read a few rows at a time, in threads.

    Parameters
    ----------
    function : callable
        ``function(where)`` gives an array (..., m) for the rows and columns of m pixels.
    places : `~numpy.ndarray` of int
        (M,) ascending places in the flattened image.
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    values : `~numpy.ndarray`
        (..., M).
    """
    ends = [rows.stop * shape[1] for rows in row_bands(*shape, PIXELS_PER_BAND)]
    cuts = [0, *places.searchsorted(ends)]
    parts = [slice(first, last) for first, last in pairwise(cuts) if first < last] or [slice(0)]
    return np.concatenate(map_threads(lambda part: function(np.unravel_index(places[part], shape)), parts), axis=-1)
