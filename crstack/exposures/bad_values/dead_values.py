"""Dead pixels: values in all exposures that light does not give, far below their surroundings."""

import numpy as np
from scipy import ndimage

from crstack.exposures.digits import digit_of
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD

__all__ = ["find_dead_values", "find_full_values", "find_negative_values"]

#: distances of the pixels on each side, along a row or a column, that are the surroundings
DISTANCES = (5, 6, 7)
#: a value is dead if it is at least this number of standard deviations below its surroundings on both sides
FAR_BELOW = 6.0
#: largest number of groups of connected pixels that noise may give
BY_CHANCE = 1e-3
#: light does not give values this number of read noises below 0, and of standard deviations below the median
NEGATIVE, BELOW_MEDIAN = 10.0, 30.0
#: highest values of converters of 16 bits
HIGHEST = (65535, 32767)
#: step (pixels) of a sample of an exposure
STEP = 7
#: highest probability of one value, times the standard deviation of the values in units of their steps
PEAK = 0.4
#: number of shapes of a group grows by about this factor with each pixel
NEIGHBOURS = 6


def find_dead_values(exposures, raw, same, negative=None):
    """Connected pixels with one value in all exposures, far below their surroundings.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.
    raw : `~numpy.ndarray`
        First exposure (ny, nx) as it was read.
    same : `~numpy.ndarray` of bool
        (ny, nx), pixels that had the same value in all exposures when they were read.
    negative : `~numpy.ndarray` of bool, optional
        (ny, nx), pixels that are far below 0 in all exposures: see `find_negative_values`.

    Returns
    -------
    dead : `~numpy.ndarray` of bool or None
        (ny, nx); None if there is none.

    Notes
    -----
    Light has noise, so values of independent exposures differ. Values in steps, such as whole numbers, may be equal by
    chance, where the noise is about one step. The smallest group is therefore so large that noise gives none. The
    surroundings are the pixels at a distance of 5 to 7 on both sides, along the row or the column. Wider areas of one
    value, such as the border of a registered image, are what `crstack.exposures.blank.blank_part` finds.
    """
    least = _least_pixels(exposures, raw)
    if least is None:
        return None
    # noise gives no single pixel far below 0
    fewest = least if negative is None else 1
    inner = _inner(same)
    candidates = same & ~inner
    if exposures.bad is not None:
        candidates &= ~exposures.bad.all(axis=0)
    rows, columns = np.nonzero(candidates)
    for i in range(len(exposures)):
        if len(rows) < fewest:
            return None
        low = _below_both_sides(exposures, i, rows, columns)
        rows, columns = rows[low], columns[low]
    if len(rows) < fewest:
        return None
    values, number = np.unique(raw[rows, columns], return_counts=True)
    dead = np.zeros(exposures.shape, dtype=bool)
    usual = raw[rows, columns] == values[np.argmax(number)]
    dead[rows[usual], columns[usual]] = True
    labels, _ = ndimage.label(dead, np.ones((3, 3)))
    large = np.bincount(labels.ravel()) >= least
    large[0] = False
    dead = large[labels] if negative is None else large[labels] | (dead & negative)
    return dead if dead.any() else None


def find_full_values(exposures, raw, same):
    """Pixels with the highest value of a converter in all exposures, such as hot pixels that are saturated.

    Parameters
    ----------
    exposures, raw, same
        As of `find_dead_values`.

    Returns
    -------
    full : `~numpy.ndarray` of bool or None
        (ny, nx); None if there is none.
    """
    full, equal = np.zeros_like(same), np.flatnonzero(same)
    np.put(full, equal, np.isin(raw.take(equal), HIGHEST))
    if exposures.bad is not None and full.any():
        full &= ~exposures.bad.all(axis=0)
    return full if full.any() else None


def find_negative_values(exposures):
    """Pixels that are far below 0 in all exposures, such as those of a value that marks bad pixels.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.

    Returns
    -------
    negative : `~numpy.ndarray` of bool or None
        (ny, nx); None if there is none.

    Notes
    -----
    Noise reaches below 0 by a few read noises. The limit is also far below the median, because a sky may be subtracted.
    """
    negative = None
    for plane in exposures.data:
        some = plane[::STEP, ::STEP]
        middle = float(median_of_values(some))
        readnoise = float(np.max(exposures.noise.readnoise_in_unit))
        scatter = max(SIGMA_PER_MAD * float(median_of_values(np.abs(some - middle))), readnoise)
        low = plane < min(middle - BELOW_MEDIAN * scatter, -NEGATIVE * readnoise)
        negative = low if negative is None else negative & low
        if not negative.any():
            return None
    if exposures.bad is not None:
        negative &= ~exposures.bad.all(axis=0)
    return negative if negative.any() else None


def _least_pixels(exposures, raw):
    """Number of pixels of a group that noise does not give; None if it gives groups of any size."""
    digit = digit_of(raw)
    sigma = float(np.min(exposures.noise.readnoise_in_unit)) / (exposures.rate_seconds or 1)
    if not (sigma > 0 and digit):
        return None
    # each pixel of a group may be one of several neighbours of the one before
    chance = NEIGHBOURS * (PEAK * digit / sigma) ** len(exposures)
    if chance > 0.5:
        return None
    return max(int(np.ceil(np.log(BY_CHANCE / raw.size) / np.log(max(chance, 1e-30)))), 1)


def _inner(same):
    """The pixels inside wide areas, which have others far away in all four directions."""
    far, inner = DISTANCES[-1], np.zeros_like(same)
    middle = np.s_[far:-far, far:-far]
    if min(same.shape) > 2 * far:
        inner[middle] = same[: -2 * far, far:-far] & same[2 * far :, far:-far]
        inner[middle] &= same[far:-far, : -2 * far] & same[far:-far, 2 * far :]
    return same & inner


def _below_both_sides(exposures, i, rows, columns):
    """Whether values of an exposure are far below their surroundings on both sides, along the row or the column."""
    own = exposures.data[i][rows, columns]
    low = np.zeros(len(rows), dtype=bool)
    for axis in (0, 1):
        level = np.full(len(rows), np.inf, np.float32)
        for sign in (-1, 1):
            values = np.stack([_at(exposures, i, (rows, columns), axis, sign * one) for one in DISTANCES])
            level = np.minimum(level, median_of_values(values, axis=0))
        variance = exposures.noise_of(i).cutout((rows, columns)).variance(np.maximum(level, 0))
        low |= level - own > FAR_BELOW * np.sqrt(variance)
    return low


def _at(exposures, i, where, axis, step):
    """Values of an exposure beside some pixels, reflected at the edges."""
    where = list(where)
    last = exposures.shape[axis] - 1
    place = np.abs(where[axis] + step)
    where[axis] = np.clip(last - np.abs(last - place), 0, last)
    return exposures.data[i][tuple(where)]
