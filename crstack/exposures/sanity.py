"""Plausibility of exposures: blank, identical or unlit exposures, and their noise."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.special import ndtr, ndtri
from scipy.stats import trim_mean

from crstack.exposures.digits import digit_of
from crstack.utils.medians import median_of, of_rank, reflected_median
from crstack.utils.threads import map_threads, wide_bands

__all__ = [
    "Correlations",
    "NoiseSample",
    "blank_part",
    "correlations",
    "cyclic_pairs",
    "displacement",
    "is_constant",
    "is_nearly_same",
    "is_same",
    "level_of_darkest_blocks",
    "mean_of_smallest",
    "noise_ratio",
    "ratio_of_squares",
    "unlit",
]

#: side of the smallest block of one value that counts as blank
BLOCK = 7

#: the smallest differences, of this fraction, measure the scatter; hits are among the others
CENTRAL = 0.8

#: side of blocks whose medians are compared, quantile of the medians, and fewest blocks
SIDE, DARKEST, FEWEST_BLOCKS = 32, 0.05, 20

#: if the variance exceeds the stated one by this factor, hits may be among the smallest differences too; these are
#: then clipped at this number of standard deviations, in this number of rounds
MANY_HITS, CORE, ROUNDS = 1.15, 2.0, 30

#: an image has no noise if this fraction of its pixels has one value
MOSTLY = 0.9

#: least share of the values of a copy that are those of the other image, and fewest values that are compared
OF_COPY, FEWEST_OF_COPY = 0.95, 200

#: rounds of the fit of factor and constant, and fraction at each end without which the first means are computed
ROUNDS_OF_LINE, TRIMMED = 6, 0.1

#: largest difference of such a value, in steps of the values and in standard deviations of neighbours
OF_STEP, OF_SCATTER = 1.0, 0.001

#: standard deviation over the median of absolute normal values
MAD = 1.4826

#: largest side (pixels) of the central part of an image in which a shift is searched
MIDDLE = 2048

#: least correlation of two shifted exposures, relative to that of each with itself
ALIKE = 0.3

#: size of a sample of values
SAMPLE = 200_000

#: least number of pixels that are bright in several exposures over those by chance; or their least excess over these,
#: as a fraction of the largest one
TIMES, TOGETHER = 2.0, 0.15


def is_constant(plane, bad=None):
    """Whether all valid values of an image are one value."""
    sample = plane[::7, ::7] if bad is None else plane[::7, ::7][~bad[::7, ::7]]
    if sample.size and (sample != sample.flat[0]).any():
        return False
    values = plane if bad is None else plane[~bad]
    return values.size > 0 and bool((values == values.flat[0]).all())


def blank_part(plane, side=BLOCK):
    """Pixels of blocks that hold one value.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        Image (ny, nx).
    side : int, optional
        Least side of the blocks, 7 pixels or more; the next odd number is used.

    Returns
    -------
    blank : `~numpy.ndarray` of bool or None
        True in every square of this size with one value; None if there is none. Noise makes no square of 7 x 7 pixels,
        also for integer values, unless it is far below one unit: see `crstack.exposures.digits.side_of_blocks`.
    """
    side += 1 - side % 2
    if min(plane.shape) < side or not _may_be_blank(plane):
        return None
    blank, edge = np.zeros(plane.shape, dtype=bool), side // 2

    def work(band):
        rows, wide, inside = band
        part = plane[wide]
        centres = ndimage.maximum_filter(part, side) == ndimage.minimum_filter(part, side)
        # centres of complete blocks
        centres[: max(edge - wide.start, 0)] = False
        centres[max(len(plane) - edge - wide.start, 0) :] = False
        centres[:, :edge] = centres[:, -edge:] = False
        if centres.any():
            blank[rows] = ndimage.maximum_filter(centres, side)[inside]

    map_threads(work, wide_bands(*plane.shape, margin=2 * edge))
    return blank if blank.any() else None


def _may_be_blank(plane):
    """Whether any pixel of every third row and column equals its four neighbours; each block has such a pixel."""
    middle = plane[1:-1:3, 1:-1:3]
    same = middle == plane[: 3 * len(middle) : 3, 1:-1:3]
    for rows, columns in ((np.s_[2::3], np.s_[1:-1:3]), (np.s_[1:-1:3], np.s_[::3]), (np.s_[1:-1:3], np.s_[2::3])):
        other = plane[rows, columns][: middle.shape[0], : middle.shape[1]]
        same &= middle == other
    return bool(same.any())


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
    return bool(np.mean(np.abs(rest) <= OF_STEP * digit + OF_SCATTER * scatter) >= OF_COPY)


def _without_line(first, second):
    """Values less a line in others; the line is fitted to most of the values, those that are nearest to it."""
    order, n = np.argsort(first), len(first)
    low, high = order[n // 10 : n // 2], order[n // 2 : n - n // 10]
    # means, because the values may have steps
    rise, run = (trim_mean(one[high], TRIMMED) - trim_mean(one[low], TRIMMED) for one in (second, first))
    line = np.array([rise / run, 0.0])
    line[1] = np.median(second - line[0] * first)
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
    return values.size < 2 or np.mean(values == np.median(values)) > MOSTLY


def _scatter_of_neighbours(image, step):
    """Scatter of an image, from some values and their neighbours in the row; without slopes."""
    rows = image[::step]
    left, middle, right = rows[:, :-2:step], rows[:, 1:-1:step], rows[:, 2::step]
    return MAD * float(np.median(np.abs(left - 2 * middle + right))) / np.sqrt(6)


def level_of_darkest_blocks(plane, bad=None):
    """Level of the darkest part of an image: a low quantile of the medians of blocks of 32 x 32 pixels.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        Image (ny, nx).
    bad : `~numpy.ndarray` of bool, optional
        Its bad values; blocks that have one are left out.

    Returns
    -------
    level : float
        0 if there are fewer than 20 blocks.
    """

    def blocks(image):
        ny, nx = (length // SIDE for length in image.shape)
        return image[: ny * SIDE, : nx * SIDE].reshape(ny, SIDE, nx, SIDE).swapaxes(1, 2).reshape(ny * nx, SIDE**2)

    values = blocks(plane)
    if bad is not None:
        values = values[~blocks(bad).any(axis=1)]
    if len(values) < FEWEST_BLOCKS:
        return 0.0
    return float(np.quantile(np.median(values[:, ::7], axis=1), DARKEST))


def noise_ratio(data, bad, variance):
    """Ratio of the scatter of the exposures to their stated noise.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures (N, ny, nx), bias subtracted.
    bad : `~numpy.ndarray` of bool or None
        Their bad values.
    variance : callable
        ``variance(i, expected, box)`` is the variance of exposure ``i`` at an expected signal, within a box.

    Returns
    -------
    ratios : list of float
        Measured over stated standard deviation, for each exposure and the next one, and for the last and the first if
        there are more than two. Empty if too few values are valid.
    level : float
        Median of the expected signal, a low value of the exposures.
    sigma : float
        Median of the stated standard deviations.

    Notes
    -----
    The difference of two exposures is computed, and the difference of the neighbour in the row is subtracted from it.
    This removes the scene and slow variations of the level. The stated noise of an exposure is that at its own expected
    signal: the median of three neighbours in its row, or a low value of all exposures, moved to the level of this one,
    if that is higher. The scatter is the mean square of the smallest four fifths, relative to that of a normal
    distribution that is cut at the same quantile. Hits are among the remaining fifth. Each square comes from four
    values, so a fifth is not enough if more than 5 % of the values are hit. If the scatter is larger than stated, it is
    therefore computed again, from the values within two standard deviations, by repeated clipping.
    """
    sample = NoiseSample.of(data, bad, variance)
    return sample.known_ratios(), sample.level, sample.sigma


def cyclic_pairs(which):
    """Pairs of each index and the next one, and of the last and the first if there are more than two."""
    which = list(which)
    return list(zip(which, which[1:] if len(which) < 3 else which[1:] + which[:1], strict=False))


@dataclass(frozen=True, eq=False)
class NoiseSample:
    """Some rows of exposures, and their stated noise there; see `noise_ratio`.

    Attributes
    ----------
    values, own, stated : `~numpy.ndarray`
        (N, rows, nx): values, expected signals and stated variances.
    valid : `~numpy.ndarray` of bool
        (N, rows, nx).
    level : float
        Median of the expected signal, a low value of the exposures.
    box : tuple
        Rows and columns.
    """

    values: np.ndarray
    own: np.ndarray
    stated: np.ndarray
    valid: np.ndarray
    level: float
    box: tuple
    _ratios: dict = field(default_factory=dict)

    @classmethod
    def of(cls, data, bad, variance):
        """The sample of exposures (N, ny, nx); arguments as of `noise_ratio`."""
        n, ny, nx = data.shape
        step = max(int(ny * nx / SAMPLE), 1)
        rows = np.s_[step // 2 :: step]
        box = (rows, np.s_[:])
        some = data[:, rows]
        valid = np.ones(some.shape, dtype=bool) if bad is None else ~bad[:, rows]
        # a low value of the exposures, because many may be hit; bad values are no part of it
        expected = _low(some, valid)
        # the sky of each exposure has its own noise; three neighbours hold less noise than one value
        own = _low_of_own_level(some, valid)

        def stated_of(i):
            np.maximum(_median_of_neighbours(some[i]), own[i], out=own[i])
            return variance(i, own[i], box)

        stated = map_threads(stated_of, range(n))
        known = valid.any(axis=0)
        return cls(some, own, stated, valid, float(np.median(expected[known] if known.any() else expected)), box)

    @classmethod
    def of_exposures(cls, exposures, left_out):
        """The sample of `~crstack.exposures.Exposures`, without values (N, ny, nx) that are left out."""

        def variance(i, expected, box):
            return exposures.noise_of(i).cutout(box).variance(expected)

        return cls.of(exposures.data, left_out, variance)

    @property
    def sigma(self):
        """Median of the stated standard deviations of the first exposure."""
        return float(np.median(np.sqrt(np.maximum(self.stated[0], 0))))

    def known_ratios(self):
        """The `ratios` of each exposure and the next one, where enough values are valid."""
        return [ratio for ratio in self.ratios(cyclic_pairs(range(len(self.values)))) if ratio is not None]

    def ratios(self, pairs):
        """Scatter of the difference of pairs of exposures over the stated one; None where too few values are valid."""
        pairs = [(min(pair), max(pair)) for pair in pairs]
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._ratios]
        self._ratios.update(zip(missing, map_threads(lambda pair: self._ratio(*pair), missing), strict=True))
        return [self._ratios[pair] for pair in pairs]

    def at_one_level(self, levels):
        """The same values, divided by the levels of the exposures over their mean.

        Parameters
        ----------
        levels : sequence of float
            N levels, above 0.
        """
        scales = (np.array(levels) / np.mean(levels)).astype(np.float32)[:, None, None]
        values, own, stated = self.values / scales, self.own / scales, np.asarray(self.stated) / scales**2
        return NoiseSample(values, own, stated, self.valid, self.level, self.box)

    def correlation(self, pairs):
        """Correlation of the noise of neighbours in a row, from the differences of pairs of exposures; 0 if unknown.

        Neighbours of uncorrelated noise differ by as much as pixels at a distance of three.
        """
        found = []
        for i, j in pairs:
            valid, difference = self.valid[i] & self.valid[j], self.values[i] - self.values[j]
            squares = [
                (difference[:, step:] - difference[:, :-step])[valid[:, step:] & valid[:, :-step]].astype(np.float64)
                ** 2
                for step in (1, 3)
            ]
            if min(one.size for one in squares) >= 1000:
                near, far = map(mean_of_smallest, squares)
                found.append(1 - near / far if far > 0 else 0.0)
        return float(np.median(found)) if found else 0.0

    def of_part(self, rows, columns):
        """The sample within slices of its rows and columns."""
        part = np.s_[:, rows, columns]
        stated = np.asarray(self.stated)[part]
        return NoiseSample(self.values[part], self.own[part], stated, self.valid[part], self.level, self.box)

    def squares(self, i, j):
        """Squared differences of two exposures and of neighbours, over their variance; and how many pairs there are.

        Only those of four valid values are given.
        """
        use = self.valid[i] & self.valid[j]
        use = use[:, 1:] & use[:, :-1]
        difference = np.diff(self.values[i] - self.values[j], axis=1)[use]
        both = self.stated[i] + self.stated[j]
        return difference.astype(np.float64) ** 2 / np.maximum((both[:, 1:] + both[:, :-1])[use], 1e-30), use.size

    def _ratio(self, i, j):
        squares, _ = self.squares(i, j)
        return ratio_of_squares(squares) if len(squares) >= 1000 else None


def ratio_of_squares(squares):
    """Measured over stated scatter, from squared differences over their variance; hits may be among them.

    Parameters
    ----------
    squares : `~numpy.ndarray`
        As from `NoiseSample.squares`.

    Returns
    -------
    ratio : float
    """
    found = mean_of_smallest(squares)
    return float(np.sqrt(found if found < MANY_HITS else _mean_of_core(squares, found)))


def _low(values, valid):
    """A low value (ny, nx) of the valid values (N, ny, nx) of each pixel; 0 where there is none."""
    place = (len(values) - 1) // 4
    if valid.all():
        return of_rank(values, place)
    # with fewer valid values, the same fraction of them
    ordered = np.sort(np.where(valid, values, np.inf), axis=0)
    places = np.maximum(np.count_nonzero(valid, axis=0) - 1, 0) // 4
    low = np.take_along_axis(ordered, places[None], axis=0)[0]
    return np.where(valid.any(axis=0), low, 0).astype(values.dtype)


def _median_of_neighbours(values):
    """Median of each value and its two neighbours in the row; a value at the end of a row is that itself."""
    median = values.copy()
    median[:, 1:-1] = median_of([values[:, :-2], values[:, 1:-1], values[:, 2:]])
    return median


def _low_of_own_level(some, valid):
    """A low value (N, ny, nx) of the valid exposures of each pixel, moved to the level of each exposure."""
    every = [one if use.all() or not use.any() else one[use] for one, use in zip(some, valid, strict=True)]
    levels = np.array(map_threads(_middle_mean, every), some.dtype)[:, None, None]
    return _low(some - levels, valid) + levels


def _middle_mean(values):
    """Mean of the middle half of some values, which is finer than a median where they are integers."""
    ordered = np.sort(values, axis=None)
    quarter = ordered.size // 4
    return ordered[quarter : ordered.size - quarter].mean(dtype=np.float64)


def mean_of_smallest(squares):
    """Variance of normal values, estimated from the smallest of their squares.

    Parameters
    ----------
    squares : `~numpy.ndarray`
        Squares of values with the mean 0, hits among them.

    Returns
    -------
    variance : float
        From the smallest four fifths.
    """
    k = int(CENTRAL * squares.size)
    smallest = np.partition(squares, k)[:k]
    cut = ndtri((1 + CENTRAL) / 2)
    density = np.exp(-(cut**2) / 2) / np.sqrt(2 * np.pi)
    return smallest.mean() / (1 - 2 * cut * density / CENTRAL)


def _mean_of_core(squares, first):
    """Variance of normal values, from those within `CORE` standard deviations; ``first`` is at least as large."""
    ordered = np.sort(squares)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    inside = 2 * ndtr(CORE) - 1
    of_normal = 1 - 2 * CORE * np.exp(-(CORE**2) / 2) / np.sqrt(2 * np.pi) / inside
    found = first
    for _ in range(ROUNDS):
        k = max(int(ordered.searchsorted(CORE**2 * found)), 1)
        found = min(sums[k] / k / of_normal, found)
    # no less than stated: values of few whole numbers have no core
    return max(found, 1.0)


def unlit(data, bad, sigma, factors=None):
    """Exposures that lack the structure of the others.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Three or more exposures (N, ny, nx), bias subtracted.
    bad : `~numpy.ndarray` of bool or None
        Their bad values.
    sigma : float
        Standard deviation of a value.
    factors : sequence of float, optional
        Light of each exposure over that of an average one, where exposure times differ.

    Returns
    -------
    found : list of (int, float, float)
        Exposure, its contrast of bright and faint pixels, and the contrast expected from the others. The level replaces
        the contrast if there is none.

    Notes
    -----
    Bright pixels are those in which all other exposures are bright, each above its own median: the lowest of exposures
    with unequal skies would be that of the darkest sky, with its hits. Hits of several exposures meet by chance. With a
    fraction p_k of bright pixels in exposure k, the product of all p_k is expected to be bright in all of them. A
    structure makes twice as many, or at least 15 % of the largest possible excess over this product.
    """
    n = len(data)
    if n < 3:
        return []
    step = max(int(np.sqrt(data[0].size / SAMPLE)), 1)
    some = data[:, ::step, ::step].reshape(n, -1)
    if bad is not None:
        some = some[:, ~bad[:, ::step, ::step].reshape(n, -1).any(axis=0)]
    if some.shape[1] < 1000:
        return []
    factors = np.ones(n, np.float32) if factors is None else np.asarray(factors, np.float32)
    some = some / factors[:, None]
    levels = np.median(some, axis=1)
    above = some - levels[:, None]

    def found_of(i):
        rest = np.delete(above, i, axis=0)
        others = rest.min(axis=0)
        faint, bright = np.quantile(others, [0.5, 0.98])
        top = others >= bright
        highest = np.median(others[top])
        contrast = (highest - faint) * factors[i]
        own = np.median(above[i][top]) * factors[i]
        level = np.median(np.delete(levels, i)) * factors[i]
        # the contrast must be significant in the shortest exposure too
        clear = 20 * sigma * factors[i] / min(factors)
        if contrast > clear and own < 0.1 * contrast and _is_shared(rest > (faint + highest) / 2):
            return i, float(own), float(contrast)
        if level > 3 * sigma * factors[i] / min(factors) and levels[i] * factors[i] < 0.1 * level:
            return i, float(levels[i] * factors[i]), float(level)
        return None

    return [one for one in map_threads(found_of, range(n)) if one is not None]


def _is_shared(bright):
    """Whether pixels are bright (N, pixels) together in some exposures more often than by chance; see `unlit`."""
    shares = bright.mean(axis=1)
    by_chance, together = float(np.prod(shares)), float(bright.all(axis=0).mean())
    return together > TIMES * by_chance or together - by_chance > TOGETHER * (shares.min() - by_chance)


def displacement(one, other):
    """Shift between two images of the same field.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        Images (ny, nx); bad values are 0.

    Returns
    -------
    shift : tuple of int or None
        (dx, dy) in pixels, by which ``other`` must be moved to coincide with ``one``; None if no shift makes them
        alike.
    """
    correlation, alike = _correlation(one, other)
    place = np.unravel_index(np.argmax(correlation), correlation.shape)
    if not correlation[place] > ALIKE * alike > 0:
        return None
    return _shift_at(place, correlation.shape)


@dataclass(frozen=True)
class Correlations:
    """Correlations of two images.

    Attributes
    ----------
    given, highest : float
        After a given shift, allowing for a pixel, and the highest one.
    shift : tuple of int
        (dx, dy) in pixels of the highest one.
    """

    given: float
    highest: float
    shift: tuple[int, int]


def correlations(one, other, shift):
    """Correlation of two images after a given shift, and the highest one.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        Images (ny, nx); bad values are 0.
    shift : (float, float)
        (dx, dy) in pixels, by which ``other`` is moved to coincide with ``one``.

    Returns
    -------
    found : Correlations or None
        None if no shift makes the images alike.
    """
    correlation, alike = _correlation(one, other)
    place = np.unravel_index(np.argmax(correlation), correlation.shape)
    if not correlation[place] > ALIKE * alike > 0:
        return None
    near = [round(one) + np.arange(-1, 2) for one in shift[::-1]]
    given = correlation[np.ix_(*(index % side for index, side in zip(near, correlation.shape, strict=True)))].max()
    return Correlations(float(given), float(correlation[place]), _shift_at(place, correlation.shape))


def _correlation(one, other):
    """Correlation of the structures of two images for each shift, and that of each with itself (geometric mean)."""
    first, second = _structure(one), _structure(other)
    alike = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return np.fft.irfft2(np.fft.rfft2(first) * np.fft.rfft2(second).conj(), first.shape), alike


def _shift_at(place, shape):
    dy, dx = (int(p) - side if p > side // 2 else int(p) for p, side in zip(place, shape, strict=True))
    return dx, dy


def _structure(image):
    """Square root of the light over the median and its noise, without hits and hot pixels."""
    rows, columns = (slice(max((side - MIDDLE) // 2, 0), (side + MIDDLE) // 2) for side in image.shape)
    image = reflected_median(image[rows, columns])
    low, middle = np.percentile(image[::4, ::4], [16, 50])
    return np.sqrt(np.maximum(image - middle - 3 * (middle - low), 0)).astype(np.float64)
