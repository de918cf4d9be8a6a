"""Deviations of cells in which an exposure has bad values, from the cells of the rows beside them."""

import numpy as np
from scipy import ndimage

__all__ = ["complete"]

#: standard deviation (rows) of the weights of the rows beside a cell, and their largest distance in units of it
BESIDE, REACH = 2.0, 6.0
#: largest deviation of a cell over that of the rows beside it
LARGEST = 8.0
#: a cell is not known if its valid values hold less than this share of the information of the cell
LEAST_KNOWN = 0.1


def complete(deviations, information, reliable):
    """Deviations in which those of unknown cells come from the rows beside them.

    Parameters
    ----------
    deviations : `~numpy.ndarray`
        (N, ny, n, 2) deviations of halves of cells from the mean of the exposures that are known there.
    information : `~numpy.ndarray`
        (N, ny, n, 2) their information; 0 where all values of an exposure are bad.
    reliable : `~numpy.ndarray`
        (ny, n, 2) share of the squared deviation of a half that is not noise.

    Returns
    -------
    deviations : `~numpy.ndarray`
        (N, ny, n, 2) deviations from the mean of all exposures.
    information : `~numpy.ndarray`
        (N, ny, n, 2) in which a half whose deviation comes from the rows beside it counts as one of valid values.

    Notes
    -----
    The mean of the exposures that are known in a cell is not the mean of all: of exposures that rise, it is too low
    where the last one is saturated. The rows beside a cell that are known in all exposures give the deviation of the
    unknown exposure from the mean of the known ones. The known exposures give its size, which differs where a line has
    its peak, and show whether the rows are alike at all.
    """
    most = information.max(axis=0)
    unknown = (information < LEAST_KNOWN * most) & (most > 0)
    complete_ones = np.where(unknown.any(axis=0), 0, reliable)
    beside = _mean_beside(deviations, complete_ones)
    # relative to the exposures that are known in the cell
    number = np.maximum((~unknown).sum(axis=0), 1)
    beside -= np.where(unknown, 0, beside).sum(axis=0) / number
    factor = _factor(deviations, np.where(unknown, 0, beside), reliable)
    deviations = np.where(unknown, factor * beside, deviations)
    return deviations - deviations.mean(axis=0), np.where(unknown, most, information)


def _around(image):
    """Weighted sums of the values (..., ny, n, 2) in the rows beside each row, without its own value."""
    rows = np.arange(-int(BESIDE * REACH), int(BESIDE * REACH) + 1)
    kernel = np.where(rows == 0, 0, np.exp(-0.5 * (rows / BESIDE) ** 2))
    return ndimage.correlate1d(image, kernel, axis=-3, mode="constant")


def _mean_beside(deviations, weight):
    """Weighted means (N, ny, n, 2) of the deviations in the rows beside each row; 0 where no row is near."""
    sums = _around(weight)
    return np.where(sums > 0, _around(weight * deviations) / np.maximum(sums, 1e-30), 0)


def _factor(deviations, beside, reliable):
    """Factor (ny, n, 2) by which the deviations ``beside`` a half give its own.

    The known exposures of the half give its size. Their correlation, also in the rows around, gives its share.
    """
    product, own, others = ((a * b).sum(axis=0) for a, b in ((deviations, beside), (deviations,) * 2, (beside,) * 2))
    both = np.sqrt(own * others)
    correlation = np.where(both > 0, product / np.maximum(both, 1e-30), 0)
    weight = np.where(both > 0, reliable, 0)
    total, sums = (one + _around(one) for one in (weight * correlation, weight))
    share = np.where(sums > 0, np.clip(total / np.maximum(sums, 1e-30), 0, 1), 0)
    return share * np.where(both > 0, np.minimum(np.sqrt(own / np.maximum(others, 1e-30)), LARGEST), 1)
