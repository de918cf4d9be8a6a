"""Medians equal to those of NumPy, and running medians equal to those of ``astroscrappy.utils``, several times faster.

A running median of few values is a fixed list of comparisons (a network). NumPy makes each comparison for a whole band
of an image at once. A median is one of its values, so that the result does not depend on the algorithm.

The other functions take arrays (ny, nx) or stacks of patches (ny, nx, n), and no value may be NaN.
"""

import numpy as np
from scipy import ndimage

__all__ = [
    "box_median",
    "median_along_rows",
    "median_of",
    "median_of_values",
    "of_rank",
    "reflected_median",
    "running_median",
    "separable_median",
    "weighted_median",
]

#: networks of N. Devillard (public domain); each pair puts the smaller value first
NETWORKS = {
    3: "0,1 1,2 0,1",
    5: "0,1 3,4 0,3 1,4 1,2 2,3 1,2",
    7: "0,5 0,3 1,6 2,4 0,1 3,5 2,6 2,3 3,6 4,5 1,4 1,3 3,4",
    9: "1,2 4,5 7,8 0,1 3,4 6,7 1,2 4,5 7,8 0,3 5,8 4,7 3,6 1,4 2,5 4,7 4,2 6,4 4,2",
    25: (
        "0,1 3,4 2,4 2,3 6,7 5,7 5,6 9,10 8,10 8,9 12,13 11,13 11,12 15,16 14,16 14,15 18,19 17,19 17,18 21,22 20,22 "
        "20,21 23,24 2,5 3,6 0,6 0,3 4,7 1,7 1,4 11,14 8,14 8,11 12,15 9,15 9,12 13,16 10,16 10,13 20,23 17,23 17,20 "
        "21,24 18,24 18,21 19,22 8,17 9,18 0,18 0,9 10,19 1,19 1,10 11,20 2,20 2,11 12,21 3,21 3,12 13,22 4,22 4,13 "
        "14,23 5,23 5,14 15,24 6,24 6,15 7,16 7,19 13,21 15,23 7,13 7,15 1,9 3,11 5,17 11,17 9,17 4,10 6,12 7,14 4,6 "
        "4,7 12,14 10,14 6,7 10,12 6,10 6,17 12,17 7,17 7,10 12,18 7,12 10,18 12,20 10,20 10,12"
    ),
}
#: largest number of arrays of which `of_rank` compares pairs, and pixels that are compared at once
MOST_COMPARED, PIXELS_AT_ONCE = 32, 1 << 16
#: largest number of planes whose `median_of_values` is found by comparisons of planes, if they are large
FEW = 20


def median_of_values(values, axis=None):
    """`numpy.median`, several times faster. Where a value is NaN, the median is NaN.

    `numpy.median` also searches the largest value, in order to find NaN, and each value that it searches takes the same
    time.

    Parameters
    ----------
    values : array_like
        Numbers. Not modified.
    axis : int, optional
        Axis along which medians are computed; by default the median of all values.

    Returns
    -------
    median : `~numpy.ndarray` or scalar
        Equal to that of `numpy.median`, with the same type.
    """
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64) or not values.size:
        return np.median(values, axis=axis)
    if axis == 0 and 1 < len(values) <= FEW and values.size > len(values) ** 4:
        half = len(values) // 2
        return (of_rank(values, half) if len(values) % 2 else _between_ranks(values, half)) + 0
    if axis is None:
        ordered = values.flatten()
    else:
        ordered = (values if axis in (-1, values.ndim - 1) else np.moveaxis(values, axis, -1)).copy()
    half = ordered.shape[-1] // 2
    ordered.partition(half)
    found, highest = ordered[..., half], ordered[..., half:].max(axis=-1)
    if ordered.shape[-1] % 2 == 0:
        found = (ordered[..., :half].max(axis=-1) + found) / 2
    # NaN is the last in the order; the sum with 0 removes the sign of -0.0
    return np.where(np.isnan(highest), highest, found)[()] + 0


def _needed(network, n_values):
    """Comparisons of a network, which results are used later, and which arrays are free afterwards.

    Each is (first, second, whether the smaller is used, whether the larger is used, places of arrays that are free
    afterwards). Only arrays made by earlier comparisons are ever free.
    """
    pairs = [tuple(int(place) for place in pair.split(",")) for pair in network.split()]
    used, needed = {n_values // 2}, []
    for first, second in reversed(pairs):
        if first in used or second in used:
            needed.append((first, second, first in used, second in used))
            used |= {first, second}
    made, steps = set(), []
    for first, second, smaller, larger in reversed(needed):
        steps.append((first, second, smaller, larger, tuple(place for place in (first, second) if place in made)))
        made = made - {first, second} | {place for place, one in ((first, smaller), (second, larger)) if one}
    return steps


STEPS = {n_values: _needed(network, n_values) for n_values, network in NETWORKS.items()}


def median_of(layers):
    """Median, pixel by pixel, of 3, 5, 7, 9 or 25 arrays of one shape. The arrays are not modified."""
    values, spare = list(layers), []
    for first, second, smaller, larger, free in STEPS[len(values)]:
        one, other = values[first], values[second]
        if smaller:
            values[first] = np.minimum(one, other, out=spare.pop() if spare else None)
        if larger:
            values[second] = np.maximum(one, other, out=spare.pop() if spare else None)
        for place in free:
            spare.append(one if place == first else other)
    return values[len(values) // 2]


def of_rank(cube, rank):
    """Value of a rank, pixel by pixel, of N arrays of one shape without NaN.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ...). Not modified.
    rank : int
        0 for the lowest value, N - 1 for the highest.

    Returns
    -------
    values : `~numpy.ndarray`
        (...), equal to ``np.partition(cube, rank, axis=0)[rank]``.
    """
    n = len(cube)
    if rank == 0:
        return cube.min(axis=0)
    if n > MOST_COMPARED:
        return np.partition(cube, rank, axis=0)[rank]
    # from the end to which the rank is closer
    place, lowest = (rank, True) if 2 * rank < n else (n - 1 - rank, False)
    return _by_parts(cube, lambda planes: _first_in_order(planes, place + 1, lowest)[place])


def _between_ranks(cube, rank):
    """Mean of the values of a rank and of the rank before, pixel by pixel, of N arrays of one shape."""

    def mean_of(planes):
        ordered = _first_in_order(planes, rank + 1)
        return (ordered[rank - 1] + ordered[rank]) / 2

    return _by_parts(cube, mean_of)


def _by_parts(cube, function):
    """A function of planes (N, m), which it may change, for all pixels of N arrays: its result has their shape."""
    planes = cube.reshape(len(cube), -1)
    found = np.empty(planes.shape[1], cube.dtype)
    for first in range(0, len(found), PIXELS_AT_ONCE):
        part = slice(first, first + PIXELS_AT_ONCE)
        found[part] = function(planes[:, part].copy())
    return found.reshape(cube.shape[1:])


def _first_in_order(planes, number, lowest=True):
    """Put the lowest values of each pixel of planes (N, M) first, in order, in place; or the highest ones."""
    spare = np.empty_like(planes[0])
    smaller, larger = (np.minimum, np.maximum) if lowest else (np.maximum, np.minimum)
    for place in range(number):
        # the extreme of the planes that are left moves to this place
        for k in range(place + 1, len(planes)):
            smaller(planes[place], planes[k], out=spare)
            if place < number - 1:
                larger(planes[place], planes[k], out=planes[k])
            planes[place] = spare
    return planes[:number]


def weighted_median(values, weights):
    """The value at which half of the sum of the weights is reached; both (M,)."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def running_median(values, size, axis):
    """Median of ``size`` values along axis 0 or 1: (n - size + 1) values, those with a complete window."""
    n_windows = values.shape[axis] - size + 1
    if axis == 0:
        return median_of([values[i : i + n_windows] for i in range(size)])
    return median_of([values[:, i : i + n_windows] for i in range(size)])


def median_along_rows(values, size):
    """Median of the ``size`` values, an odd number, around each one along the last axis.

    Beyond the edges, the last value is repeated. Equal to `scipy.ndimage.median_filter` with such a window, which is
    ten times faster for one long row.
    """
    half = size // 2
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(half, half)], mode="edge")
    medians = ndimage.median_filter(padded.ravel(), size).reshape(padded.shape)
    return medians[..., half : half + values.shape[-1]]


def _with_rim(image, size, medians):
    """A copy of ``image`` with ``medians`` in the middle; its outer size // 2 pixels do not change."""
    result = image.copy()
    half = size // 2
    result[half:-half, half:-half] = medians
    return result


def reflected_median(image):
    """Median of the 3 x 3 pixels around each; the image is reflected at its edges.

    Equal to ``scipy.ndimage.median_filter(image, 3)``.
    """
    ny, nx = image.shape
    padded = np.pad(image, 1, mode="symmetric")
    median = np.empty_like(image)
    step = max(PIXELS_AT_ONCE // nx, 1)
    for first in range(0, ny, step):
        last = min(first + step, ny)
        median[first:last] = median_of([padded[first + j : last + j, i : i + nx] for j in range(3) for i in range(3)])
    return median


def separable_median(image, size):
    """Median of the rows, then of the columns, as ``sepmedfilt3`` to ``sepmedfilt9`` of astroscrappy.

    The outer size // 2 pixels are those of the image.
    """
    if min(image.shape[:2]) < size:
        return image.copy()
    return _with_rim(image, size, running_median(running_median(image, size, axis=1), size, axis=0))


def box_median(image, size):
    """Median of a box of 3 x 3 or 5 x 5 pixels, as ``medfilt3`` and ``medfilt5`` of astroscrappy.

    The outer size // 2 pixels are those of the image.
    """
    if min(image.shape[:2]) < size:
        return image.copy()
    n_rows, n_columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    layers = [image[j : j + n_rows, i : i + n_columns] for j in range(size) for i in range(size)]
    return _with_rim(image, size, median_of(layers))
