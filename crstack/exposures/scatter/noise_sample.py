"""The scatter of exposures in a sample of their values, compared with their stated noise."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.special import ndtr, ndtri

from crstack.utils.medians import median_of, median_of_values, of_rank
from crstack.utils.pixels import extreme_along
from crstack.utils.threads import map_threads

__all__ = ["NoiseSample", "cyclic_pairs", "mean_of_smallest", "middle_mean", "ratio_of_squares"]

#: the smallest differences, of this fraction, measure the scatter; hits are among the others
CENTRAL = 0.8

#: if the variance exceeds the stated one by this factor, hits may be among the smallest differences too; these are
#: then clipped at this number of standard deviations, in this number of rounds
MANY_HITS, CORE, ROUNDS = 1.15, 2.0, 30

#: fewest values of a sample whose flat half suffices, and pixels along a row in which the steps are compared
SMALL, BESIDE = 8000, 5
#: changes of up to this multiple of their quantile are those of noise
OF_NOISE, FLATTEST = 3.0, 0.1
#: part of a sample that is flattest
FLATTEST_FIFTH = 0.2

#: size of a sample of values
SAMPLE = 200_000


def cyclic_pairs(which):
    """Pairs of each index and the next one, and of the last and the first if there are more than two."""
    which = list(which)
    return list(zip(which, which[1:] if len(which) < 3 else which[1:] + which[:1], strict=False))


@dataclass(frozen=True, eq=False)
class NoiseSample:
    """Some rows of exposures, and their stated noise there.

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

    Notes
    -----
    The scatter is that of the difference of two exposures, minus the same difference of the neighbour in the row.
    This removes the scene and slow variations of the level. The stated noise of an exposure is that at its own
    expected signal: the median of three neighbours in its row, or a low value of all exposures, moved to the level of
    this one, if that is higher. Where the exposures differ by a factor, the moved value is too high between bright
    structures; it is therefore no higher than the highest of the three neighbours. The scatter is the mean square of
    the smallest four fifths, relative to that of a normal distribution that is cut at the same quantile. Hits are
    among the remaining fifth. Each square comes from four values, so a fifth is not enough if more than 5 % of the
    values are hit. If the scatter is larger than stated, it is therefore computed again, from the values within two
    standard deviations, by repeated clipping.
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
        """The sample of exposures.

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
        sample : NoiseSample
            About `SAMPLE` values of each exposure.
        """
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
            own[i] = _expected_of_one(some[i], own[i])
            return variance(i, own[i], box)

        stated = map_threads(stated_of, range(n))
        known = valid.any(axis=0)
        return cls(some, own, stated, valid, float(median_of_values(expected[known] if known.any() else expected)), box)

    @classmethod
    def of_exposures(cls, exposures, left_out):
        """The sample of `~crstack.exposures.Exposures`, without values (N, ny, nx) that are left out."""

        def variance(i, expected, box):
            return exposures.noise_of(i).cutout(box).variance(expected)

        return cls.of(exposures.data, left_out, variance)

    @property
    def sigma(self):
        """Median of the stated standard deviations of the first exposure."""
        return float(median_of_values(np.sqrt(np.maximum(self.stated[0], 0))))

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
        return float(median_of_values(found)) if found else 0.0

    def of_part(self, rows, columns):
        """The sample within slices of its rows and columns."""
        part = np.s_[:, rows, columns]
        stated = np.asarray(self.stated)[part]
        return NoiseSample(self.values[part], self.own[part], stated, self.valid[part], self.level, self.box)

    def of_flat(self):
        """The sample without structures: where the exposures change most along the row, in at most half of its values.

        What structures leave in the differences of exposures is no noise. The same sample if it is small. Changes as
        those of noise are no structures: if they were left out, the noise would seem too small.
        """
        known = self.valid.all(axis=0)
        if np.count_nonzero(known) < SMALL:
            return self
        around = self._changes()
        some = around[known]
        flat = around <= max(float(median_of_values(some)), OF_NOISE * float(np.quantile(some, FLATTEST)))
        return NoiseSample(self.values, self.own, self.stated, self.valid & flat, self.level, self.box)

    def of_flattest(self, without=None):
        """The fifth of the sample in which the exposures change least along the row; the same sample if it is small.

        The mean of the exposures selects it, with which the differences of exposures of equal noise do not correlate.
        The mean may be that of the exposures ``without`` one (its number), which has more noise.
        """
        known = self.valid.all(axis=0)
        if np.count_nonzero(known) < SMALL:
            return self
        around = self._changes(without)
        flat = around <= float(np.quantile(around[known], FLATTEST_FIFTH))
        return NoiseSample(self.values, self.own, self.stated, self.valid & flat, self.level, self.box)

    def _changes(self, without=None):
        """Mean absolute change (rows, nx) of the mean of the exposures along the row, around each value."""
        values = self.values if without is None else np.delete(self.values, without, axis=0)
        mean = values.mean(axis=0)
        steps = np.abs(np.diff(mean, axis=1, append=mean[:, -1:]))
        return ndimage.uniform_filter1d(steps, BESIDE, axis=1)

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


def _expected_of_one(values, low):
    """Expected signal of one exposure, from three neighbours in its row, and from the low value of its own level.

    The median of a value at the end of a row is that itself.
    """
    median = values.copy()
    median[:, 1:-1] = median_of([values[:, :-2], values[:, 1:-1], values[:, 2:]])
    return np.maximum(median, np.minimum(low, extreme_along(values, 3, axis=1)), out=median)


def _low_of_own_level(some, valid):
    """A low value (N, ny, nx) of the valid exposures of each pixel, moved to the level of each exposure."""
    every = [one if use.all() or not use.any() else one[use] for one, use in zip(some, valid, strict=True)]
    levels = np.array(map_threads(middle_mean, every), some.dtype)[:, None, None]
    return _low(some - levels, valid) + levels


def middle_mean(values):
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
