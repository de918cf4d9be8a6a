"""Kinds of places of an image by their contrast, and the squared deviations of the exposures there."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from crstack.equalize.fit.common_image import CLIP_SIGMA_OF_TWO, MANY
from crstack.equalize.terms.hot_pixels import hot_pixels, medians_around
from crstack.equalize.variance.hits_of_two import CONTRAST, HitsOfTwo, crossings
from crstack.normal_samples import normal_order_moments
from crstack.statistics import sort_exposures
from crstack.utils.filters import mean_around
from crstack.utils.memory import empty_image, relax
from crstack.utils.pixels import contrast_of
from crstack.utils.threads import map_threads, row_bands, wide_bands

__all__ = ["HOT", "SPREAD", "WINDOW", "Places", "contrast_squared", "highest_of_noise", "in_both", "ordered"]

#: window (pixels) of a neighbourhood
WINDOW = 5
#: a squared deviation counts up to this number of variances plus this share of the squared contrast
MOST, MOST_OF_CONTRAST = 9.0, 0.25
#: squared contrast of the median of three values of pure noise, in units of their variance
NOISE_CONTRAST = 7.6
#: the median may exceed the lowest value by this number of standard deviations plus the share `CONTRAST` of contrast
CLIP_SIGMA = 4.0
#: the excess variance of a kind of place counts if it is at least this number of standard errors
SIGNIFICANCE = 5.0
#: fewest places of a kind that give a measurement
FEWEST = 10
#: number of the faintest kinds whose contrast may come from hits, with two exposures
FAINT_KINDS_OF_TWO = 3
#: with two exposures: a squared deviation counts up to this number of its expected variances; mean of such clipped
#: deviations of noise; and rounds in which the variances are found
MOST_OF_TWO, CLIPPED_OF_TWO, ROUNDS_OF_TWO = 4.0, 0.92, 6
#: variance of the squared deviation, over the square of the variance
SPREAD = 3.0
#: this quantile of the deviations of a kind is made that of normal values, and number of draws that measure it
TAIL, PIXELS_OF_TAIL = 0.98, 100_000
#: with two exposures, hits are among the deviations: lowest quantile, and largest factor of the variance
LEAST_TAIL, MOST_TAIL_OF_TWO = 0.8, 2.0
#: kinds of places: each has twice the contrast of the one before
N_KINDS = 13
#: the last kind: hot pixels, whose signal varies
HOT = N_KINDS - 1
#: rows beside a band on which the contrast beside hot pixels depends
HOT_MARGIN = 5
#: an expected change counts as a contrast of this number of times the change
OF_CHANGE = 3.0
#: share of the squared contrast that is added to the variance in the weights
SMOOTH = 0.01


def contrast_squared(image, variance):
    """Square of the contrast of an image, minus that of its noise; 0 where the image is flat."""
    return np.maximum(contrast_of(image) ** 2 - np.float32(NOISE_CONTRAST) * variance, 0)


@functools.cache
def _expected_square(n, of):
    """Mean square of the median of n minus the lowest of ``of`` standard normal values; ``n - of`` values are
    higher."""
    mean, covariance = normal_order_moments(of)
    weight = np.zeros(of)
    weight[min((n - 1) // 2, of - 1)] += 0.5
    weight[min(n // 2, of - 1)] += 0.5
    weight[0] -= 1
    return float(weight @ (covariance + np.outer(mean, mean)) @ weight)


@dataclass(frozen=True, eq=False)
class _Two:
    """What is known of each pixel of two exposures.

    Attributes
    ----------
    apart : `~numpy.ndarray` or None
        float32 (ny, nx) absolute difference, electrons; until the hits are counted.
    first : `~numpy.ndarray` of bool
        (ny, nx) where the first exposure is the higher one.
    crossings : `~numpy.ndarray` of bool or None
        (ny, nx), see `~crstack.equalize.variance.hits_of_two.crossings`.
    hits : HitsOfTwo or None
        As counted in flat places.
    """

    apart: np.ndarray | None
    first: np.ndarray
    crossings: np.ndarray | None = None
    hits: HitsOfTwo | None = None

    def fill(self, rows, pair):
        """Keep the difference of some rows (2, k, nx), in place."""
        np.abs(pair[0] - pair[1], out=self.apart[rows])
        np.greater(*pair, out=self.first[rows])

    def with_hits(self, flat, variance):
        """Count the hits in flat places (ny, nx), and find their crossings."""
        parts = [(self.apart[rows][flat[rows]], variance[rows][flat[rows]]) for rows in row_bands(*flat.shape)]
        hits = HitsOfTwo.of_flat(parts, _expected_square(2, 2))
        return _Two(None, self.first, crossings(self.first, self.apart, variance, flat), hits)


@dataclass(frozen=True, eq=False)
class Places:
    """What is known of each pixel.

    Attributes
    ----------
    contrast2, square, variance : `~numpy.ndarray`
        float32 (ny, nx) squared contrast, squared deviation of the lowest value from the median, variance of noise.
    kind : `~numpy.ndarray`
        int8 (ny, nx).
    of_two : _Two or None
        What is known of each pixel of two exposures.
    """

    contrast2: np.ndarray
    square: np.ndarray
    variance: np.ndarray
    kind: np.ndarray
    of_two: _Two | None = None

    @classmethod
    def of(cls, levels, variance_of, change):
        """Measure exposures, band by band."""
        shape = levels.shape[1:]
        places = cls(*(empty_image(shape) for _ in range(3)), empty_image(shape, np.int8))
        if len(levels) == 2:
            places = replace(places, of_two=_Two(empty_image(shape), empty_image(shape, bool)))

        def work(band):
            rows, wide, inner = band
            part = None if change is None else change[wide]
            cube = np.array(levels[:, wide])
            if places.of_two is not None:
                places.of_two.fill(rows, cube[:, inner])
            found = _deviations(cube, lambda signal: variance_of(signal, (wide, np.s_[:])), part)
            for plane, one in zip((places.contrast2, places.square, places.variance, places.kind), found, strict=True):
                plane[rows] = one[inner]

        map_threads(work, wide_bands(*shape, margin=HOT_MARGIN))
        return places if places.of_two is None else places._without_hits()

    def _without_hits(self):
        """The places of two exposures, with the contribution of hits removed; changed in place."""
        two = self.of_two.with_hits(self.kind == 0, self.variance)
        self.contrast2[two.crossings], self.kind[two.crossings] = 0, 0
        return replace(self, of_two=two)

    def _squares(self, rows, shares):
        """Squared deviations of some rows; with two exposures, without the contribution of hits.

        If the shares of the kinds are known, a deviation counts up to `MOST_OF_TWO` times its expected variance. This
        limits the effect of few hits in a rare kind of place, for which a subtraction of their mean is not precise.
        """
        square = self.square[rows]
        if self.of_two is None:
            return square
        contrast2, variance = self.contrast2[rows], self.variance[rows]
        some, square = contrast2 > 0, square.copy()
        contrast2, variance = contrast2[some], variance[some]
        if shares is None:
            square[some] -= self.of_two.hits.added(contrast2, variance, _most(contrast2, variance))
            return square
        expected = variance + shares[self.kind[rows][some]] * contrast2
        number = np.float32(self.of_two.hits.number(contrast2, variance))
        square[some] = np.minimum(square[some], MOST_OF_TWO * expected)
        square[some] /= CLIPPED_OF_TWO + (MOST_OF_TWO - CLIPPED_OF_TWO) * number
        return square

    def excess_around(self, weighted_excess, rows, window):
        """Mean of the weighted excess in the window around each pixel of some rows.

        With two exposures, a track of hits makes one exposure higher in the whole window. Therefore the excess is
        computed twice: where the first exposure is higher, and where the second is. Twice the smaller one is used.
        """
        if self.of_two is None:
            return mean_around(weighted_excess, window)
        first = self.of_two.first[rows]
        sides = [mean_around(np.where(one, weighted_excess, 0), window) for one in (first, ~first)]
        return 2 * np.minimum(*sides)

    def weighted(self, rows, shares=None):
        """Squared contrast, weight, weight times excess, and weight times variance, of some rows; see `_squares`."""
        contrast2, variance = self.contrast2[rows], self.variance[rows]
        weight = contrast2 / (variance + np.float32(SMOOTH) * contrast2) ** 2
        return contrast2, weight, weight * (self._squares(rows, shares) - variance), weight * variance

    def shares_of_kinds(self):
        """Excess variance of each kind of place over the squared contrast; 0 where it is not significant."""
        shares = self._shares()
        for _ in range(0 if self.of_two is None else ROUNDS_OF_TWO):
            if shares.any():
                shares = self._shares(shares)
        return shares

    def _shares(self, shares=None):
        """Shares of the kinds; from those of the round before, if there was one."""
        sums, number = np.zeros((3, N_KINDS)), np.zeros(N_KINDS, int)
        for rows in row_bands(*self.kind.shape):
            contrast2, weight, weighted_excess, known = self.weighted(rows, shares)
            kind = self.kind[rows].ravel()
            number += np.bincount(kind, minlength=N_KINDS)
            # each band continues the sums of the band before, so that rounding does not depend on the bands
            kind = np.concatenate([np.arange(N_KINDS, dtype=np.int8), kind])
            for total, one in zip(sums, (weighted_excess, weight * contrast2, known**2), strict=True):
                total[:] = np.bincount(kind, np.concatenate([total, one.ravel()]), minlength=N_KINDS)
            relax()
        total, known, error2 = sums
        sure = total > SIGNIFICANCE * np.sqrt(SPREAD * error2)
        sure &= number >= FEWEST
        sure[: 1 if self.of_two is None else FAINT_KINDS_OF_TWO] = False
        return np.where(sure, total / np.maximum(known, 1e-30), 0).astype(np.float32)

    def tails(self, shares, of_noise):
        """Factors of the shares that make the largest deviations of each kind agree with those of normal values."""
        factors = np.ones(len(shares), np.float32)
        for k in np.flatnonzero(shares):
            ratios, hits = [], []
            for rows in row_bands(*self.kind.shape):
                where = self.kind[rows] == k
                variance, contrast2 = self.variance[rows][where], self.contrast2[rows][where]
                ratios.append(self.square[rows][where] / (variance + shares[k] * contrast2))
                if self.of_two is not None:
                    hits.append(self.of_two.hits.number(contrast2, variance))
                relax()
            # hits are among the largest deviations of two exposures
            share = max(TAIL - np.concatenate(hits).mean(), LEAST_TAIL) if hits else TAIL
            found = np.quantile(np.concatenate(ratios), share) / of_noise
            factors[k] = np.clip(found, 1, MOST_TAIL_OF_TWO if hits else None)
        return factors


def ordered(cube, variance_of):
    """Lowest, median and highest value, variance, common image, and limit of a hit; the cube is sorted in place."""
    sort_exposures(cube)
    n, low = len(cube), cube[0]
    median = (cube[(n - 1) // 2] + cube[n // 2]) / 2
    variance = variance_of(median)
    sigmas = CLIP_SIGMA if n > 2 else CLIP_SIGMA_OF_TWO
    limit = sigmas * np.sqrt(variance) + np.float32(CONTRAST) * contrast_of(low)
    # where most exposures are hit, a low value is used; with many exposures, noise makes the lowest value too low
    lower = cube[1] if n >= MANY else low
    return low, median, cube[-1], variance, np.where(median - lower > limit, lower, median), limit


def _deviations(cube, variance_of, change):
    """Squared contrast, squared deviation, variance and kind of the pixels of a band; the cube is sorted in place."""
    n = len(cube)
    low, median, high, variance, image, limit = ordered(cube, variance_of)
    hot = hot_pixels(low, np.sqrt(variance), shared=True)
    scenes = (_without_hot(one, hot) for one in (image, low))
    contrast2 = in_both(n, lambda one: contrast_squared(one, variance * np.float32(3 / n)), *scenes)
    if change is not None:
        np.maximum(contrast2, np.square(np.float32(OF_CHANGE) * change), out=contrast2)
    contrast2[hot] = np.square(low[hot])
    square = (median - low) ** 2
    # if one is hit, the lowest is the lowest of fewer clean values
    one_hit = high - median > limit
    square[~one_hit] /= np.float32(_expected_square(n, n))
    square[one_hit] = square[one_hit] / np.float32(_expected_square(n, n - 1)) if n > 2 else variance[one_hit]
    # if most exposures are hit, the median is hit too: its difference from the lowest value must not count
    np.minimum(square, _most(contrast2, variance), out=square)
    kind = _kinds(contrast2, variance)
    kind[hot] = HOT
    return contrast2, square, variance, kind


def in_both(n, function, image, low):
    """A function of the common image; with two exposures, the smaller of its results for this and the lower values.

    A faint hit in one of two exposures is structure in the common image, but not in the lower values. A value that is
    far too low is mainly structure in the lower values. Either would look like an error on structures.
    """
    return function(image) if n > 2 else np.minimum(function(image), function(low))


def _without_hot(image, hot):
    """An image without its hot pixels. These neither move nor blur, so that they cause no differences beside them."""
    if not len(hot[0]):
        return image
    image = image.copy()
    image[hot] = medians_around(image, *hot)
    return image


def _most(contrast2, variance):
    """Largest squared deviation that counts."""
    return MOST * variance + np.float32(MOST_OF_CONTRAST) * contrast2


def _kinds(contrast2, variance):
    """Class (ny, nx) of each place by its contrast over noise; 0 for places that are flat."""
    with np.errstate(divide="ignore"):
        steps = np.log2(contrast2 / variance) / 2
    return np.clip(np.nan_to_num(steps, neginf=-1) + 1, 0, N_KINDS - 2).astype(np.int8)


@functools.cache
def highest_of_noise(n):
    """Value below which `TAIL` of the squared deviations lie, for noise of variance 1."""
    values = np.sort(np.random.default_rng(1).standard_normal((n, PIXELS_OF_TAIL)), axis=0)
    deviation = (values[(n - 1) // 2] + values[n // 2]) / 2 - values[0]
    return float(np.quantile(deviation**2, TAIL) / _expected_square(n, n))
