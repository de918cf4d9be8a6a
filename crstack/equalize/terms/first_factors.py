"""A start for the throughputs of exposures that differ by large factors."""

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.normal import MEDIAN_DIFFERENCE
from crstack.utils.pixels import contrast_of
from crstack.utils.threads import map_threads

__all__ = ["first_factors"]

#: least contrast, in standard deviations in every exposure, of the pixels that count
CLEAR = 4.0
#: fewest and most such pixels
FEWEST, MOST = 20, 3000
#: largest ratio of two throughputs up to which 1 is a good start
ALIKE = 1.6


def first_factors(levels):
    """Throughput of each exposure, from the contrast of its structures, if the throughputs differ by much.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.

    Returns
    -------
    factors : `~numpy.ndarray` or None
        (N,) relative to their mean; None if they are similar, or if there is too little structure.

    Notes
    -----
    A level that is added to an exposure does not change the contrast. Medians of three pixels remove hits of one pixel.
    Larger hits count only where they are in all exposures. The factors come from the pixels with the highest contrast.
    They are not precise, because the seeing changes the contrast too.
    """
    planes = map_threads(_smooth, levels[:, :])
    sigmas = map_threads(_scatter, levels[:, :])
    if min(planes[0].shape) < 3 or not min(sigmas) > 0:
        return None
    contrasts = np.stack([contrast_of(plane) for plane in planes])
    clear = np.min([one / sigma for one, sigma in zip(contrasts, sigmas, strict=True)], axis=0).ravel()
    number = min(np.count_nonzero(clear > CLEAR), MOST)
    if number < FEWEST:
        return None
    some = contrasts.reshape(len(contrasts), -1)[:, np.argpartition(clear, -number)[-number:]]
    factors = median_of_values(some / some.mean(axis=0), axis=1)
    return factors / factors.mean() if factors.max() > ALIKE * factors.min() else None


def _smooth(plane):
    """Medians of three pixels along rows, and of three of these along columns, without the edges."""
    for axis in (0, 1):
        first, middle, last = (np.moveaxis(plane, axis, 0)[k : plane.shape[axis] - 2 + k] for k in range(3))
        median = np.maximum(np.minimum(first, middle), np.minimum(np.maximum(first, middle), last))
        plane = np.ascontiguousarray(np.moveaxis(median, 0, axis))
    return plane


def _scatter(plane):
    """Standard deviation of a value, from the differences of neighbours, which hits hardly change."""
    return float(median_of_values(np.abs(np.diff(plane, axis=1)))) / MEDIAN_DIFFERENCE
