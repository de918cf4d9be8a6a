"""Means of parts of columns and rows, and robust statistics of them."""

import numpy as np

from crstack.utils.memory import relax
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads

__all__ = ["FEWEST_PARTS", "MOSTLY", "SIDE", "means_of_parts", "median_of_valid", "side_of_parts", "sigma_of"]

#: lines are compared by parts of this number of pixels, or longer ones where there would be more than this number
SIDE, MOST_PARTS = 16, 64
#: fewest parts that count, and the share of them that is most of them
FEWEST_PARTS, MOSTLY = 5, 0.75


def means_of_parts(exposures):
    """Means of the valid values of parts of columns and of rows, each (N, parts, lines); NaN where most are bad."""
    sides = [side_of_parts(length) for length in exposures.shape]
    numbers = [length // side for length, side in zip(exposures.shape, sides, strict=True)]
    ny, nx = exposures.shape
    columns = np.full((len(exposures), numbers[0], nx), np.nan, np.float32)
    rows = np.full((len(exposures), ny, numbers[1]), np.nan, np.float32)
    width = numbers[1] * sides[1]

    def work(item):
        i, part = item
        band = slice(part * sides[0], (part + 1) * sides[0] if part < numbers[0] else ny)
        plane, bad = exposures.data[i, band], exposures.bad_of(i)
        bad = None if bad is None else bad[band]
        if part < numbers[0]:
            columns[i, part] = _means(plane, bad, 0)
        blocks = (len(plane), numbers[1], sides[1])
        bad = None if bad is None else bad[:, :width].reshape(blocks)
        rows[i, band] = _means(plane[:, :width].reshape(blocks), bad, -1)
        relax()

    map_threads(work, [(i, part) for i in range(len(exposures)) for part in range(numbers[0] + 1)])
    return columns, rows.swapaxes(1, 2)


def _means(values, bad, axis):
    """Means of the values that are not bad, which are 0 where they are; NaN where most are bad."""
    total = values.sum(axis=axis)
    if bad is None:
        return total / np.float32(values.shape[axis])
    number = values.shape[axis] - np.count_nonzero(bad, axis=axis)
    return np.where(number > values.shape[axis] / 2, total / np.maximum(number, 1), np.nan)


def side_of_parts(length):
    """Pixels of a part of lines of some length."""
    return max(SIDE, -(-length // MOST_PARTS))


def median_of_valid(values):
    """Median along the first axis of the values that are not NaN; NaN where there are none."""
    ordered = np.sort(values, axis=0)
    number = np.count_nonzero(np.isfinite(ordered), axis=0)

    def of_rank(rank):
        return np.take_along_axis(ordered, np.asarray(np.maximum(rank, 0))[None], axis=0)[0]

    return (of_rank((number - 1) // 2) + of_rank(number // 2)) / 2


def sigma_of(deviations):
    """Standard deviation of normal values about 0, from the median of their absolute values."""
    return SIGMA_PER_MAD * float(median_of_valid(np.abs(np.asarray(deviations))))
