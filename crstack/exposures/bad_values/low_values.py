"""Values that are too low: dead columns that move with a dither, blank rows, glitches."""

import numpy as np
from scipy import ndimage

from crstack.exposures.scatter.noise_sample import NoiseSample, cyclic_pairs
from crstack.utils.medians import median_of_values
from crstack.utils.memory import zero_image
from crstack.utils.threads import map_threads, row_bands

__all__ = ["find_low_values"]

#: a value is low if it is at least this number of standard deviations below its surroundings in the same exposure, or
#: below 0
FAR_BELOW = 6.0
#: it must also be lower than the other exposures by this number of standard deviations
BELOW_OTHERS = 4.0
#: two exposures agree within this number of standard deviations, or within this fraction of the depth of the low value
AGREE, OF_DEPTH = 5.0, 0.2
#: a pixel beside a low value reaches at least this fraction of its depth
REACHED = 0.5
#: a side of a line is sharp if the next pixel is brighter by this fraction of the depth of the line; least fraction of
#: its sides that are sharp
SHARP, OF_SIDES = 0.7, 0.5
#: distances of the pixels along a row or a column that are the surroundings
NEAR, FAR = (2, 3, 4), (5, 6, 7)
#: number of surrounding pixels that must be valid
FEWEST = 4
#: variance of a value minus the median of its surroundings, relative to that of a value
OF_DIFFERENCE = 1.25
#: a row or column with this number of low values is searched for more; length over which its other values are averaged
IN_LINE, LENGTH = 4, 9
#: the same number with two exposures, where hits of the other exposure look similar, and number in a part of the line
IN_LINE_OF_TWO, IN_RUN = 12, 3
#: window in which gaps are closed
GAP = 5
#: longest gap in such a line that is added, if the sum of its deviations is below this (standard deviations)
LONGEST_GAP, GAP_SUM = 100, -4.0
#: the same sum for gaps that are not longer than the number of low values of their line
SHORT_GAP_SUM = -2.0
#: neighbours along a line
ALONG = ((0, 0, 0), (1, 1, 1), (0, 0, 0))
#: values of such a line are added if their mean deviation, and the deviation of each, is below this (in sigma)
MEAN_IN_LINE, OF_ONE = -2.0, -1.0
#: largest fraction of an exposure that can be low
MOST = 0.1
#: candidates that are compared together
AT_ONCE = 1 << 15
#: size of the sample for the levels
SAMPLE = 20_000
#: ratio of the variance of one exposure to that of the others from which on it counts as noisier
NOISIER = 1.35


def find_low_values(exposures):
    """Values far below their surroundings and below the other exposures.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.

    Returns
    -------
    low : `~numpy.ndarray` of bool or None
        (N, ny, nx); None if there is none.

    Notes
    -----
    A value is low under two conditions. In its own exposure, it is 6 standard deviations below the median of the pixels
    at a distance of 2 to 4 (or 5 to 7) pixels on both sides in its row or column. And its difference from the other
    exposures is lower than the differences around it by 4 standard deviations. The variance is that of the noise or
    that of the surroundings, whichever is larger. Hits in the others do not fulfil the first condition. Gaps and
    absorption lines do not fulfil the second, because all exposures have them. A value is also low if it is 6 standard
    deviations below 0 and below the others. If a row or a column has four low values, less significant ones between
    them are added. Such lines have sharp sides. What is dark between smooth sides belongs to the scene, such as a lane
    of dust in a galaxy that has moved.

    With two exposures, if the other value is hit, a value in a gap or an absorption line may look low. There a value is
    low only if it is below its surroundings along both its row and its column, if it is below 0, or if its row or
    column has twelve low values.

    With three or more exposures, the others are represented by the median of all values of the pixel (the higher of two
    middle ones). Two of the others must agree with it, because charges of hits differ. And a pixel beside the value,
    along the same axis, must reach half of its depth, unless the value is low along both axes, below 0, or touches
    another low value. Both conditions protect a value in a gap that is the only clean one of its pixel.
    """
    search = _Search(exposures)
    which, rows, columns, sure = search.low()
    if not len(which):
        return None
    low = zero_image(exposures.data.shape, bool)
    for i, plane in enumerate(low):
        seeds = np.zeros(plane.shape, dtype=bool)
        seeds[rows[which == i], columns[which == i]] = True
        own = (which == i) & sure
        plane[rows[own], columns[own]] = True
        lines = [_low_in_lines(search, i, seeds, axis) for axis in (0, 1)]
        sharp = [_with_sharp_sides(search, i, one, axis) for axis, one in enumerate(lines)]
        if search.n > 2 and plane.any():
            seeds &= ~((lines[0] & ~sharp[0]) | (lines[1] & ~sharp[1]))
            plane |= ndimage.binary_propagation(plane, np.ones((3, 3)), seeds | plane)
        plane |= sharp[0] | sharp[1]
        if plane.mean() > MOST:
            plane[...] = False
    if exposures.bad is not None:
        low &= ~exposures.bad
    return low if low.any() else None


class _Search:
    """Exposures that are searched for low values."""

    def __init__(self, exposures):
        self.exposures = exposures
        self.n, *self.shape = exposures.data.shape
        self.noises = [exposures.noise_of(i) for i in range(self.n)]
        step = max(int(np.sqrt(np.prod(self.shape) / SAMPLE)), 1)
        levels = np.array([median_of_values(plane[::step, ::step]) for plane in exposures.data], np.float32)
        self.levels = levels - median_of_values(levels)
        sample = NoiseSample.of(exposures.data, exposures.bad, self._variance_in)
        #: variance of each exposure over that of the stated noise, at least 1
        self.factors = _variances_over_stated(sample.ratios(cyclic_pairs(range(self.n))), self.n)

    def _variance_in(self, i, expected, box):
        return self.noises[i].cutout(box).variance(expected)

    def variance(self, i, where, signal):
        """Variance of values of an exposure at some pixels."""
        if not np.size(signal):  # images of gain or read noise have no cut-out of no pixels
            return np.zeros_like(signal)
        return self.factors[i] * self.noises[i].cutout(where).variance(signal)

    def values(self, where):
        """Values of all exposures (N, ...) at a common level; NaN where bad."""
        shape = (self.n,) + (1,) * np.ndim(where[0])
        values = self.exposures.data[:, *where] - self.levels.reshape(shape)
        return values if self.exposures.bad is None else np.where(self.exposures.bad[:, *where], np.nan, values)

    def middle(self, where):
        """Median of all exposures at some pixels, the higher one of an even number."""
        values = np.sort(self.values(where), axis=0)  # NaN at the end
        number = np.count_nonzero(np.isfinite(values), axis=0)
        middle = np.take_along_axis(values, np.minimum(number // 2, np.maximum(number - 1, 0))[None], axis=0)[0]
        return np.where(number > 1, middle, np.nan)

    def low(self):
        """Exposures, rows, columns of the low values, and whether each is sure."""
        bands = map_threads(self._candidates, row_bands(*self.shape, 1 << 18))
        # the candidates of all bands together: there are few
        every = [tuple(np.concatenate([band[i][k] for band in bands]) for k in (0, 1)) for i in range(self.n)]
        parts = [(i, *(one[part] for one in where)) for i, where in enumerate(every) for part in _parts(where[0])]
        found = map_threads(lambda part: self._low_of(*part), parts)
        return tuple(np.concatenate([one[k] for one in found]) for k in range(4))

    def _candidates(self, rows):
        """Rows and columns of the values of some rows that are below the other exposures, for each exposure."""
        band = self.exposures.data[:, rows]
        lowest = band[0] - self.levels[0]
        highest = lowest.copy()
        for plane, level in zip(band[1:], self.levels[1:], strict=True):
            plane = plane - level
            np.minimum(lowest, plane, out=lowest)
            np.maximum(highest, plane, out=highest)
        variance = self.variance(0, (rows, slice(None)), lowest)
        y, x = np.nonzero(np.square(highest - lowest) > FAR_BELOW**2 * variance)
        where = y + rows.start, x
        values, middle = self.values(where), self.middle(where)
        found = []
        for i in range(self.n):
            variance = 2 * self.variance(i, where, np.nan_to_num(middle))
            some = np.flatnonzero(values[i] - middle < -BELOW_OTHERS * np.sqrt(variance))
            found.append(tuple(one[some] for one in where))
        return found

    def _low_of(self, i, rows, columns):
        """The candidates of one exposure that are low."""
        where = rows, columns
        own = self.exposures.data[i][where]
        below = own < -FAR_BELOW * np.sqrt(self.variance(i, where, np.zeros_like(own)))
        if below.any():
            middle = self.middle(where)
            variance = 2 * self.variance(i, where, np.nan_to_num(middle))
            below &= own - self.levels[i] - middle < -FAR_BELOW * np.sqrt(variance)
        along = [self._below_along(i, where, axis) for axis in (0, 1)]
        low = below | along[0] | along[1]
        if self.n > 2:
            low[low] = below[low] | self._confirmed(i, tuple(one[low] for one in where))
        sure = below | (along[0] & along[1])
        if self.n > 2:
            reached = [self._reached(i, where, axis) & self.sharp(i, where, axis) for axis in (0, 1)]
            sure = low & (sure | along[0] & reached[0] | along[1] & reached[1])
        return np.full(np.count_nonzero(low), i), rows[low], columns[low], sure[low]

    def _confirmed(self, i, where):
        """Whether two other exposures or more agree with their middle; True where fewer than two are valid."""
        values, middle = self.values(where), self.middle(where)
        others = np.delete(np.arange(self.n), i)
        valid, agreeing = (np.zeros(len(middle), dtype=int) for _ in range(2))
        for k in others:
            sigma = np.sqrt(2 * self.variance(k, where, np.nan_to_num(middle)))
            limit = np.maximum(AGREE * sigma, OF_DEPTH * (middle - values[i]))
            valid += np.isfinite(values[k])
            agreeing += np.abs(values[k] - middle) < limit
        return (agreeing >= 2) | (valid < 2)

    def _reached(self, i, where, axis):
        """Whether a pixel beside values, along an axis of the same exposure, comes close to the other exposures."""
        own, middle = self._own(i, where), self.middle(where)
        beside = self._own(i, _around(where, axis, (1,), self.shape))
        highest = np.fmax(beside[0], beside[1])
        return highest - own >= REACHED * (middle + self.levels[i] - own)

    def sharp(self, i, where, axis):
        """Whether a pixel beside values, along an axis, is above them by most of the depth of the low values there."""
        own, beside, near, far = (
            self._own(i, _around(where, axis, distances, self.shape)) for distances in ((0,), (1,), NEAR, FAR)
        )
        level = np.fmax(*(_deviation(own[0], one)[2] for one in (near, far)))
        lowest = np.fmin.reduce([own[0], *beside, *near[:2]])
        return np.fmax(*beside) - own[0] >= SHARP * (level - lowest)

    def _below_along(self, i, where, axis):
        """Whether values are below their surroundings along an axis, near or far."""
        low = self._below_surroundings(i, where, axis, NEAR)
        rest = np.flatnonzero(~low)
        low[rest] = self._below_surroundings(i, tuple(one[rest] for one in where), axis, FAR)
        return low

    def _below_surroundings(self, i, where, axis, distances):
        """Whether values are below their surroundings by themselves and relative to the other exposures."""
        around = _around(where, axis, distances, self.shape)
        own, near = self.exposures.data[i][where], self._own(i, around)
        deviation, spread, level = _deviation(own, near)
        variance = self.variance(i, where, np.nan_to_num(level))
        low = deviation < -FAR_BELOW * np.sqrt(np.maximum(OF_DIFFERENCE * variance, spread**2))
        some = np.flatnonzero(low)
        where, around = tuple(one[some] for one in where), tuple(one[:, some] for one in around)
        low[some] = self.differing(i, where, around, variance[some]) < -BELOW_OTHERS
        return low

    def _own(self, i, where):
        values = self.exposures.data[i][where]
        return values if self.exposures.bad is None else np.where(self.exposures.bad[i][where], np.nan, values)

    def differing(self, i, where, around, variance):
        """Difference from the other exposures minus that of the values around, in standard deviations."""
        own, near = self._own(i, where), self._own(i, around)
        middle, near_middle = self.middle(where), self.middle(around)
        deviation, spread, _ = _deviation(own - middle, near - near_middle)
        # a dip of the scene is deeper in a longer exposure
        _, _, level = _deviation(own, near)
        _, _, expected = _deviation(middle, near_middle)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = own - middle * (level / expected)
        deviation = np.where((level > 0) & (expected > 0), np.maximum(deviation, scaled), deviation)
        return deviation / np.sqrt(np.maximum(2 * OF_DIFFERENCE * variance, spread**2))


def _variances_over_stated(ratios, n):
    """Variance of each of ``n`` exposures over the stated one, at least 1, from the ratios of `cyclic_pairs`.

    It is that of the usual pair, except for one exposure whose two pairs scatter more than the others.
    """
    known = [one for one in ratios if one is not None]
    usual = max(float(median_of_values(known)) ** 2, 1.0) if known else 1.0
    if n < 3 or len(known) < n:
        return [usual] * n
    # the variance of a difference is the sum of two
    pairs = np.square(ratios)
    own = 2 * np.minimum(pairs, np.roll(pairs, 1)) - pairs.min()
    return [float(max(one, usual)) if one > NOISIER * pairs.min() else usual for one in own]


def _parts(values):
    """Slices of some values that are compared together; one where there are none."""
    return [slice(start, start + AT_ONCE) for start in range(0, max(len(values), 1), AT_ONCE)]


def _around(where, axis, distances, shape):
    """Rows and columns (2 n, M) of the pixels at some distances on both sides along an axis, reflected at the edges."""
    steps = np.array([sign * one for one in distances for sign in (-1, 1)])[:, None]
    last = shape[axis] - 1
    along = np.abs(where[axis] + steps)
    along = np.clip(last - np.abs(last - along), 0, last)
    across = np.broadcast_to(where[1 - axis], along.shape)
    return (along, across) if axis == 0 else (across, along)


def _deviation(values, around):
    """Values (M,) minus the median of those around (n, M), the spread of the latter, and their median."""
    ordered = np.sort(around, axis=0)
    number = np.count_nonzero(np.isfinite(ordered), axis=0)

    def of_rank(rank):
        return np.take_along_axis(ordered, np.clip(rank, 0, len(ordered) - 1)[None], axis=0)[0]

    median = (of_rank((number - 1) // 2) + of_rank(number // 2)) / 2
    spread = (of_rank(number - 2) - of_rank(np.ones_like(number))) / 2
    return np.where(number >= FEWEST, values - median, np.nan), spread, median


def _low_in_lines(search, i, seeds, axis):
    """Low values (ny, nx) of rows (axis 1) or columns (axis 0) of one exposure that hold several low values."""
    low, least = np.zeros(seeds.shape, dtype=bool), IN_LINE_OF_TWO if search.n == 2 else IN_LINE
    lines = np.flatnonzero(np.count_nonzero(seeds, axis=axis) >= least)
    if not len(lines):
        return low
    along, across = np.meshgrid(np.arange(low.shape[axis]), lines)
    where = (along, across) if axis == 0 else (across, along)
    flat = tuple(one.ravel() for one in where)
    variance = search.variance(i, flat, np.nan_to_num(search.middle(flat)))
    deviations = [
        search.differing(i, flat, _around(flat, 1 - axis, distances, low.shape), variance) for distances in (NEAR, FAR)
    ]
    deviation = np.nan_to_num(np.fmin(*deviations)).reshape(along.shape)
    mean = ndimage.uniform_filter1d(np.clip(deviation, -2 * FAR_BELOW, 2 * FAR_BELOW), LENGTH, axis=1)
    known = seeds[where]
    likely = known | ((mean < MEAN_IN_LINE) & (deviation < OF_ONE))
    joined = likely | ndimage.binary_closing(likely, np.ones((1, GAP)))
    labels, n = ndimage.label(joined, ALONG)
    number = np.bincount(labels[known], minlength=n + 1)
    low[where] = _without_gaps((labels > 0) & (number[labels] >= (IN_RUN if search.n == 2 else IN_LINE)), deviation)
    return low


def _with_sharp_sides(search, i, low, axis):
    """Low values of rows (axis 1) or columns (axis 0) of one exposure, in connected groups with sharp sides.

    Light passes through the optics, which blurs the sides of a dark structure. There, the values return to those of the
    surroundings over several pixels.
    """
    if not low.any():
        return low
    across = 1 - axis
    inner = ndimage.minimum_filter1d(low.view(np.uint8), 3, axis=across).view(bool)
    where = np.nonzero(low & ~inner)
    labels, n = ndimage.label(low, np.ones((3, 3)))
    sides = labels[where]
    sharp = np.bincount(sides[search.sharp(i, where, across)], minlength=n + 1)
    return low & (sharp >= OF_SIDES * np.bincount(sides, minlength=n + 1))[labels]


def _without_gaps(low, deviation):
    """Low values of lines (L, n), and the gaps between them, and up to the edges, that are lower on average."""
    labels, n = ndimage.label(~low, ALONG)
    numbers = np.arange(1, n + 1)
    size, total = np.bincount(labels.ravel(), minlength=n + 1)[1:], ndimage.sum_labels(deviation, labels, numbers)
    lines = ndimage.minimum(np.indices(low.shape)[0], labels, numbers).astype(int)
    least = np.where(size <= low.sum(axis=1)[lines], SHORT_GAP_SUM, GAP_SUM)
    fill = (size <= LONGEST_GAP) & (total < least * np.sqrt(size))
    return low | np.concatenate([[False], fill])[labels] & low.any(axis=1, keepdims=True)
