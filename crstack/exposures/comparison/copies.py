"""Exposures that are copies of one another, with changes or without."""

import numpy as np

from crstack.exposures.digits import digit_of
from crstack.exposures.scatter.noise_sample import middle_mean
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD

__all__ = ["is_nearly_same", "is_same"]

#: an image has no noise if this fraction of its pixels has one value
MOSTLY = 0.9

#: least share of the values of a copy that are those of the other image, and fewest values that are compared
OF_COPY, FEWEST_OF_COPY = 0.95, 200

#: rounds of the fit of factor and constant
ROUNDS_OF_LINE = 6

#: largest difference of such a value, in steps of the values and in standard deviations of neighbours
OF_STEP, OF_SCATTER = 1.0, 0.001


def is_same(one, other, bad_one=None, bad_other=None):
    """Whether two images hold the same values, or values that differ by one constant.

    Images with mostly one value are ignored, because they have no noise to compare.
    """

    def compare(step):
        first, second = _valid_of_both(one, other, bad_one, bad_other, step)
        if _has_no_noise(first):
            return False
        rounding = 4 * np.finfo(np.float32).eps * np.abs(first).max()
        return np.ptp(first - second) <= rounding

    step = _step_of_copies(one)
    return bool(compare(step) and (step == 1 or compare(1)))


def is_nearly_same(one, other, bad_one=None, bad_other=None):
    """Whether nearly all values of an image are those of another, times a factor, plus a constant.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        Images (ny, nx).
    bad_one, bad_other : `~numpy.ndarray` of bool, optional
        Their bad values.

    Returns
    -------
    same : bool

    Notes
    -----
    About 2000 values are compared. Factor and constant are fitted to 95 % of them, chosen again in each round. What
    remains in 95 % of the values of a copy is less than one step of the values and 0.1 % of the scatter of
    neighbours. Where this scatter is less than one step, nothing is known: values of independent exposures are equal,
    too.
    """
    step = _step_of_copies(one)
    first, second = (part.astype(np.float64) for part in _valid_of_both(one, other, bad_one, bad_other, step))
    if len(first) < FEWEST_OF_COPY or _has_no_noise(first):
        return False
    digit, scatter = digit_of(second), _scatter_of_neighbours(other, step)
    if digit is None or not scatter > digit:
        return False
    rest = _without_line(first, second)
    return rest is not None and bool(np.mean(np.abs(rest) <= OF_STEP * digit + OF_SCATTER * scatter) >= OF_COPY)


def _without_line(first, second):
    """Values less a line in others, fitted to most of them, those nearest to it; None if most others are one value."""
    order, n = np.argsort(first), len(first)
    low, high = order[n // 10 : n // 2], order[n // 2 : n - n // 10]
    # means, because the values may have steps
    rise, run = (middle_mean(one[high]) - middle_mean(one[low]) for one in (second, first))
    if run == 0:
        return None
    line = np.array([rise / run, 0.0])
    line[1] = median_of_values(second - line[0] * first)
    for _ in range(ROUNDS_OF_LINE):
        rest = np.abs(second - np.polyval(line, first))
        nearest = rest <= np.quantile(rest, OF_COPY)
        line = np.polyfit(first[nearest], second[nearest], 1)
    return second - np.polyval(line, first)


def _step_of_copies(image):
    """Step between the rows and columns of an image of which about 2000 values are compared."""
    return max(int(np.sqrt(image.size / 2000)), 1)


def _valid_of_both(one, other, bad_one, bad_other, step):
    """Values of two images that are bad in neither, 1-D, from rows and columns at a step."""
    parts = [image[::step, ::step] for image in (one, other)]
    valid = np.ones(parts[0].shape, dtype=bool)
    for bad in (bad_one, bad_other):
        if bad is not None:
            valid &= ~bad[::step, ::step]
    return [part[valid] for part in parts]


def _has_no_noise(values):
    """Whether there are fewer than two values, or most of them are one value."""
    return values.size < 2 or np.mean(values == median_of_values(values)) > MOSTLY


def _scatter_of_neighbours(image, step):
    """Scatter of an image, from some values and their neighbours in the row; without slopes."""
    rows = image[::step]
    left, middle, right = rows[:, :-2:step], rows[:, 1:-1:step], rows[:, 2::step]
    return SIGMA_PER_MAD * float(median_of_values(np.abs(left - 2 * middle + right))) / np.sqrt(6)
