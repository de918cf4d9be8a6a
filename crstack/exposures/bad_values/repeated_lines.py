"""Rows and columns that repeat the one before, as by a fault of the readout."""

import numpy as np

from crstack.utils.memory import zero_image
from crstack.utils.threads import map_threads

__all__ = ["find_repeated_lines"]

#: step of the pixels of a line that are compared first
STEP = 16
#: largest share of lines that may be repeated, as otherwise the image was enlarged, or has no noise
MOST = 0.2
#: largest share of equal neighbours in other lines, and largest expected number of lines that are equal by chance
ALIKE, BY_CHANCE = 0.5, 1e-6


def find_repeated_lines(exposures):
    """Values in rows or columns of an exposure that are equal to the next ones, value by value.

    Parameters
    ----------
    exposures : Exposures
        The exposures.

    Returns
    -------
    repeated : `~numpy.ndarray` of bool or None
        (N, ny, nx), those that are not bad yet; None if there are none.

    Notes
    -----
    The noise of two lines is never the same. Which of some equal lines is the one that was read is not known, so all
    are repeated. Lines of one value are not: they are blank.
    """
    repeated = zero_image(exposures.data.shape, bool)

    def mark(i):
        plane, where = exposures.data[i], repeated[i]
        bad = np.zeros(plane.shape, dtype=bool) if exposures.bad is None else exposures.bad_of(i)
        rows, columns = _equal_rows(plane, bad), _equal_rows(plane.T, bad.T)
        if not (len(rows) or len(columns)):
            return False
        where[rows] = where[:, columns] = True
        where &= ~bad
        return where.any()

    return repeated if any(map_threads(mark, range(len(exposures)))) else None


def _equal_rows(image, bad):
    """Numbers (n,) of the rows that are equal to the one before or after where neither is bad, if this is a fault."""
    ny, nx = image.shape
    thin, unknown = image[:, ::STEP], bad[:, ::STEP]
    same = (thin[1:] == thin[:-1]) | unknown[1:] | unknown[:-1]
    pairs = np.flatnonzero(same.all(axis=1))
    pairs = pairs[[_is_equal(image[row : row + 2], ~bad[row : row + 2].any(axis=0)) for row in pairs]]
    if not 0 < len(pairs) <= MOST * ny:
        return np.array([], int)
    alike = np.delete(same, pairs, axis=0).mean()
    if alike > ALIKE or ny * alike**nx > BY_CHANCE:
        return np.array([], int)
    return np.unique(np.concatenate((pairs, pairs + 1)))


def _is_equal(pair, known):
    """Whether two rows (2, nx) are equal where they are known, and not of one value there."""
    first, second = pair[:, known]
    return len(first) > 1 and bool((first == second).all() and np.ptp(first) > 0)
