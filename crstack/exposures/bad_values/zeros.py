"""Values of exactly 0 that mark missing data, where light gives hardly any value near 0."""

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.memory import relax, zero_image
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads, row_bands

__all__ = ["find_zeros"]

#: zeros mark missing data if the median of the exposure is above 0 by ``ABOVE`` standard deviations, and if there are
#: more than ``TIMES`` as many of them as of other values near 0
ABOVE, TIMES = 3.0, 3.0
#: values are near 0 within ``NEAR`` standard deviations, or within ``STEPS`` steps of the values if that is more
NEAR, STEPS = 0.5, 1.5
#: fewest zeros, and their largest share of an exposure
FEWEST, MOST = 3, 0.1
#: step (pixels) of a sample of an exposure
STEP = 7


def find_zeros(exposures):
    """Values of exactly 0, more than light gives near 0: pixels without data, or values that were lost.

    Parameters
    ----------
    exposures : Exposures
        Two or more, from which no bias was subtracted, so that 0 is the value that was read.

    Returns
    -------
    zeros : `~numpy.ndarray` of bool or None
        (N, ny, nx), those that are not bad yet; None if there are none.

    Notes
    -----
    In a faint sky, some values are 0, but about as many are 1 and 2. Where negative values were cut, all of them are 0.
    In a normal distribution whose mean is 3 standard deviations above 0 or more, these are at most a third of the
    values between 0 and half a standard deviation.
    """
    zeros = zero_image(exposures.data.shape, bool)
    found = map_threads(lambda i: _mark(exposures.data[i], exposures.bad_of(i), zeros[i]), range(len(exposures)))
    return zeros if any(found) else None


def _mark(plane, bad, zeros):
    """Mark the zeros of an exposure that mark missing data, and return whether there are any."""
    some = plane[::STEP, ::STEP]
    some = some if bad is None else some[~bad[::STEP, ::STEP]]
    if not some.size:
        return False
    middle = float(median_of_values(some))
    scatter = SIGMA_PER_MAD * float(median_of_values(np.abs(some - middle)))
    if not middle > ABOVE * scatter > 0:
        return False
    reach, number, near = max(NEAR * scatter, STEPS * _step(some)), 0, 0
    for rows in row_bands(*plane.shape):
        band, where = plane[rows], zeros[rows]
        np.equal(band, 0, out=where)
        close = np.abs(band) <= reach
        if bad is not None:
            where &= ~bad[rows]
            close &= ~bad[rows]
        number += np.count_nonzero(where)
        near += np.count_nonzero(close)
        relax()
    if FEWEST <= number <= MOST * plane.size and number > TIMES * (near - number):
        return True
    zeros[...] = False
    return False


def _step(values):
    """Smallest difference of some values; 0 where there are no different ones."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if len(steps) else 0.0
