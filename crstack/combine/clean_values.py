"""The clean values of each pixel, and their probabilities."""

import numpy as np

from crstack.combine.order import order_table
from crstack.combine.posterior_mean import SURE, posterior_mean, uncertain
from crstack.combine.smooth_signal import smoothed_by_bands
from crstack.combine.weights import weighted_mean, weighted_variance
from crstack.masks.codes import ADDED
from crstack.utils.cached import cached_property
from crstack.utils.pixels import at_pixels

__all__ = ["CleanValues", "expected_signal", "middle", "variance_for_median"]

#: masked values this many standard deviations above the others count as moved by a hit
MOVED = 2.0


class CleanValues:
    """Clean values of a stack, their number, sum and variance, each computed at first use.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    statistics : OrderStatistics
        Of these exposures.
    masks : MaskSet, optional
        Masks of the hit values.
    weights : `~numpy.ndarray`, optional
        (N,) weights of the exposures in means; equal by default.
    expected : `~numpy.ndarray`, optional
        float32 (ny, nx) estimate of the expected signal, if it is known already: see `expected_signal`.
    """

    def __init__(self, exposures, statistics, masks=None, weights=None, expected=None):
        self.exposures = exposures
        self.statistics = statistics
        self.masks = masks
        self.weights = weights
        self._expected = expected

    def excluded(self, i):
        """True where exposure ``i`` is bad or hit; None if there is no such pixel."""
        bad = self.exposures.bad_of(i)
        if self.masks is None:
            return bad
        hit = self.masks[f"CRMASK{i + 1}"]
        return hit if bad is None else hit | bad

    @cached_property
    def count_and_sum(self):
        """Count of clean exposures, and the sum of their values (float64)."""
        count = np.zeros(self.exposures.shape, dtype=np.int16)
        total = np.zeros(self.exposures.shape)
        for i, plane in enumerate(self.exposures.data):
            excluded = self.excluded(i)
            clean = True if excluded is None else ~excluded
            np.add(total, plane, out=total, where=clean)
            np.add(count, 1, out=count, where=clean)
        return count, total

    @property
    def n_clean(self):
        """Count of clean exposures."""
        return self.count_and_sum[0]

    @cached_property
    def mean(self):
        """Mean of the clean values, float32; 0 where there are none."""
        if self.weights is not None:
            return weighted_mean(self.exposures.data, self.weights, self._all_excluded()).astype(np.float32)
        count, total = self.count_and_sum
        return (total / np.maximum(count, 1)).astype(np.float32)

    def _all_excluded(self):
        return (self.excluded(i) for i in range(len(self.exposures)))

    @property
    def variance_of_mean(self):
        """Variance of the mean of the clean values, float32; 0 where there are none."""
        if self.weights is None:
            variance = self.clean_variance / np.maximum(self.n_clean, 1).astype(np.float32) ** 2
            # the mean of the clean exposures is brought to that of all, here or by the signal shift
            to_all = self.exposures.levels or (self.masks is not None and self.masks.signal_shift is not None)
            return variance * self._gain_of_clean() ** 2 if to_all else variance
        variances = (self.variance_of(i) for i in range(len(self.exposures)))
        return weighted_variance(variances, self.weights, self._all_excluded()).astype(np.float32)

    def _gain_of_clean(self):
        """Factor from the mean of the clean values to that of all valid ones, by their throughputs: float32 or 1."""
        if self.masks is None or not self.masks.throughputs:
            return np.float32(1)
        clean = valid = np.zeros(self.exposures.shape, np.float32)
        n_clean = n_valid = np.zeros(self.exposures.shape, np.float32)
        for i, throughput in enumerate(self.masks.throughputs):
            bad, excluded = (np.False_ if one is None else one for one in (self.exposures.bad_of(i), self.excluded(i)))
            valid, n_valid = valid + ~bad * np.float32(throughput), n_valid + ~bad
            clean, n_clean = clean + ~excluded * np.float32(throughput), n_clean + ~excluded
        return _ratio(valid * n_clean, clean * n_valid)

    @property
    def mean_of_valid(self):
        """Weighted mean of the valid values, hit or not, and its variance, float32."""
        bad = [self.exposures.bad_of(i) for i in range(len(self.exposures))]
        mean = weighted_mean(self.exposures.data, self.weights, bad)
        variances = (self.variance_of(i) for i in range(len(self.exposures)))
        variance = weighted_variance(variances, self.weights, bad)
        nothing = self.statistics.count == 0
        return np.where(nothing, np.nan, mean).astype(np.float32), variance.astype(np.float32)

    @cached_property
    def all_hit(self):
        """True where each valid exposure is hit."""
        return (self.n_clean == 0) & (self.statistics.count > 0)

    @property
    def expected(self):
        """Estimate of the expected signal, for the variances: float32."""
        if self._expected is None:
            self._expected = expected_signal(self.exposures, self.statistics, self.masks, self.weights)
        return self._expected

    def first_estimate(self):
        """Mean clean value of each pixel, its variance, and the pixels that have one."""
        n_values = self.n_clean
        if self.masks is None:
            value = self.statistics.median2d
            table = order_table(len(self.exposures), middle)
            relative = table[n_values, n_values]
        else:
            value = np.where(n_values > 0, self.mean, self.statistics.min2d)
            relative = 1 / np.maximum(n_values, 1)
        return value, self.exposures.mean_variance(value) * relative, n_values > 0

    @cached_property
    def _excess(self):
        """Variance of an exposure beyond its noise, (ny, nx) or 0."""
        if self.masks is None or self.masks.excess_variance is None:
            return np.float32(0)
        return self.masks.excess_variance / np.square(self.exposures.noise.electrons_per_unit, dtype=np.float32)

    @cached_property
    def one_variance(self):
        """Variance of one exposure at the expected signal (mean over the exposures)."""
        return self.exposures.mean_variance(self.expected) + self._excess

    def variance_of(self, i):
        """Variance of exposure ``i`` at the expected signal."""
        return self.exposures.variance_of(i, self.expected) + self._excess

    @cached_property
    def variance_in_middle(self):
        """Variance of one exposure for a median of the valid ones: see `variance_for_median`."""
        if not self.exposures.levels:
            return self.one_variance
        bad = self.exposures.bad
        valid = np.ones(self.exposures.data.shape, bool) if bad is None else ~bad
        return variance_for_median(np.stack([self.variance_of(i) for i in range(len(self.exposures))]), valid)

    def variances_at(self, where):
        """Variances (N, M) of the exposures in some pixels, bool (ny, nx)."""
        return np.stack([self.variance_of(i)[where] for i in range(len(self.exposures))])

    @cached_property
    def clean_variance(self):
        """Sum over the clean exposures of their variances, float32."""
        if self.exposures.share_noise:
            return self.one_variance * self.n_clean
        total = np.zeros(self.exposures.shape, dtype=np.float32)
        for i in range(len(self.exposures)):
            excluded = self.excluded(i)
            clean = True if excluded is None else ~excluded
            np.add(total, self.variance_of(i), out=total, where=clean)
        return total

    @cached_property
    def valid_variance(self):
        """Sum over the valid exposures of their variances, float32."""
        total = np.zeros(self.exposures.shape, dtype=np.float32)
        for i in range(len(self.exposures)):
            bad = self.exposures.bad_of(i)
            np.add(total, self.variance_of(i), out=total, where=True if bad is None else ~bad)
        return total

    @cached_property
    def sample_variance(self):
        """Sample variance of the clean values, NaN where there are fewer than two."""
        count, total = self.count_and_sum
        mean = total / np.maximum(count, 1)
        squares = np.zeros(self.exposures.shape)
        for i, plane in enumerate(self.exposures.data):
            excluded = self.excluded(i)
            np.add(squares, (plane - mean) ** 2, out=squares, where=True if excluded is None else ~excluded)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(count > 1, squares / (count - 1), np.nan).astype(np.float32)

    def moved(self, i):
        """True where exposure ``i`` is bad, or masked and moved up; None if there is no such pixel.

        A dilated mask holds many values without a hit. Values whose probability to be hit is above one half count as
        moved.
        """
        bad = self.exposures.bad_of(i)
        if self.masks is None:
            return bad
        # few values are masked
        masked = np.flatnonzero(self.masks[f"CRMASK{i + 1}"])
        value, expected, variance = (
            one.take(masked) for one in (self.exposures.data[i], self.expected, self.one_variance)
        )
        up = value > expected + MOVED * np.sqrt(variance)
        if self.masks.probability is not None:
            up |= self.masks.probability[i].take(masked) > 0.5
        moved = np.zeros(self.exposures.shape, dtype=bool) if bad is None else bad.copy()
        np.put(moved, masked[up], True)
        return moved

    @cached_property
    def n_in_place(self):
        """Count of valid values that are not moved up by a hit."""
        count = np.full(self.exposures.shape, len(self.exposures), dtype=np.int16)
        for i in range(len(self.exposures)):
            moved = self.moved(i)
            if moved is not None:
                count -= moved
        return count

    def moved_at(self, where):
        """Bad or moved values of some pixels: bool (N, M)."""
        moved = np.zeros((len(self.exposures), np.count_nonzero(where)), dtype=bool)
        for i in range(len(self.exposures)):
            one = self.moved(i)
            if one is not None:
                moved[i] = one[where]
        return moved

    @cached_property
    def posterior(self):
        """Pixels with uncertain values; their posterior mean, its variance and the count."""
        # elsewhere each value is certainly clean or certainly hit: use the mean of the clean ones
        shift, numbers = self.masks.signal_shift, range(len(self.exposures))
        where = np.zeros(self.exposures.shape, dtype=bool) if shift is None else shift != 0
        for i in numbers:
            excluded = self.excluded(i)
            likely = np.nonzero(excluded | _not_zero(self.masks.probability[i]))
            chance = self._chance_of(i, likely)
            where[likely] |= uncertain(chance) | ((chance > 0.5) != excluded[likely])
        where &= ~self.all_hit
        variance = np.array([self.variance_of(i)[where] for i in numbers])
        chances = np.array([self._chance_of(i, where) for i in numbers])
        values = self.exposures.data[:, where].astype(np.float64)
        if self.exposures.levels:
            # the signal shift of the masks belongs to the exposures without changes
            values += [at_pixels(one, where) for one in self.exposures.levels]
        weights = None if self.weights is None else np.broadcast_to(self.weights[:, None], values.shape)
        of_signal, scales = (None, None) if shift is None else (self._of_signal(where), self._scales_at(where))
        value, error, count = posterior_mean(values, chances, variance, weights, scales=scales, of_signal=of_signal)
        if of_signal is not None and (scales is not None or not self.exposures.share_noise):
            error = _error_of_signal(values, chances, variance, scales, of_signal, error)
        some = count > 0
        where = tuple(index[some] for index in np.nonzero(where))
        return where, value[some] + self._signal_shift(where), error[some], count[some]

    def _of_signal(self, where):
        """Pixels (M,) of some whose mean is that of the posterior signal, because a value may be hit."""
        if self.weights is not None:
            return None
        likely, added = np.zeros((2, np.count_nonzero(where)), bool)
        for i, plane in enumerate(self.masks.probability):
            bad = self.exposures.bad_of(i)
            likely |= (plane[where] >= SURE) & (True if bad is None else ~bad[where])
            added |= np.isin(self.masks.codes[f"CRMASK{i + 1}"][where], ADDED)
        # the shift of pixels that were masked after the decision is that of the mean of the values that are left
        return likely & ~added & (self.masks.signal_shift[where] != 0)

    def _scales_at(self, where):
        """Throughputs (N, M) of the exposures over the mean of the valid ones, in some pixels; None if equal."""
        if not self.masks.throughputs:
            return None
        bad = [self.exposures.bad_of(i) for i in range(len(self.exposures))]
        valid = np.array([np.ones(np.count_nonzero(where), np.bool_) if one is None else ~one[where] for one in bad])
        throughputs = np.array(self.masks.throughputs)[:, None]
        return throughputs / _ratio((throughputs * valid).sum(axis=0), valid.sum(axis=0))

    def _signal_shift(self, where):
        """Signal shift of the masks at some pixels, in the unit of the exposures."""
        if self.masks.signal_shift is None:
            return 0.0
        return self.masks.signal_shift[where] / at_pixels(self.exposures.noise.electrons_per_unit, where)

    def _chance_of(self, i, where):
        """Probability of some pixels (M,) that exposure ``i`` is hit; 1 where it is bad, too low, forced or dilated."""
        chance = self.masks.probability[i][where].astype(np.float32)
        chance[np.isin(self.masks.codes[f"CRMASK{i + 1}"][where], ADDED)] = 1
        bad = self.exposures.bad_of(i)
        if bad is not None:
            chance[bad[where]] = 1
        return chance

    @cached_property
    def _moved_to_posterior(self):
        """Pixels whose masked values are left out and which have a posterior mean: their places, and which they are."""
        where = self.posterior[0]
        count = self.n_clean[where]
        masked = (count > 0) & (count < len(self.exposures))
        return tuple(index[masked] for index in where), masked

    @cached_property
    def lowered(self):
        """Bias of the mean of the clean values by the selection of the masked ones, float32 (ny, nx)."""
        where, masked = self._moved_to_posterior
        lowered = np.zeros(self.exposures.shape, dtype=np.float32)
        lowered[where] = self.posterior[1][masked] - self.mean[where]
        return lowered

    @property
    def variance_of_moved(self):
        """Pixels in which `lowered` is added to the mean of the clean values, and the variances of the sums."""
        where, masked = self._moved_to_posterior
        return where, self.posterior[2][masked]


def _error_of_signal(values, chances, variance, scales, of_signal, error):
    """Variances (M,) of means: of the posterior signal where ``of_signal`` is True, and ``error`` elsewhere.

    The estimates of different sets of clean values scatter. Those of the signal have the inverse variances as weights.
    Where throughputs differ, the values also differ by them (stars) or by levels (sky): the smaller scatter counts.
    """
    scales = np.ones_like(values) if scales is None else scales
    found = posterior_mean(
        values / scales, chances, variance, scales**2 / variance, scales=scales, of_signal=of_signal
    )[1]
    return np.where(of_signal, found if (scales == 1).all() else np.minimum(found, error), error)


def _not_zero(probability):
    """True where a probability is not 0. In half precision, its bits are compared much faster than its values."""
    return (probability.view(np.uint16) if probability.dtype == np.float16 else probability) != 0


def _ratio(value, divisor):
    """``value / divisor``; 1 where the divisor is 0."""
    return np.where(divisor > 0, value / np.where(divisor > 0, divisor, 1), 1).astype(np.float32)


def expected_signal(exposures, statistics, masks=None, weights=None):
    """Estimate of the expected signal, for the variances: the smoothed mean of the clean values.

    Parameters
    ----------
    exposures, statistics, masks, weights
        As for `CleanValues`.

    Returns
    -------
    expected : `~numpy.ndarray`
        float32 (ny, nx).
    """

    def estimate(rows):
        box = rows, slice(None)
        parts = exposures.cutout(box), statistics.rows(rows), masks and masks.rows(rows)
        return CleanValues(*parts, weights).first_estimate()

    return smoothed_by_bands(estimate, exposures.shape)


def variance_for_median(variances, used):
    """Variance of equal values whose median has the variance of that of unequal ones.

    Parameters
    ----------
    variances : `~numpy.ndarray`
        (N, ...).
    used : `~numpy.ndarray` of bool
        (N, ...), the values of which the median is taken.

    Returns
    -------
    variance : `~numpy.ndarray`
        (...): the square of the harmonic mean of the standard deviations, because the variance of a median depends on
        the density in the middle. For two values, whose median is a mean, it is the mean variance. 0 without values.
    """
    number = used.sum(axis=0)
    harmonic = (used / np.sqrt(np.maximum(variances, 1e-30))).sum(axis=0) / np.maximum(number, 1)
    mean = (used * variances).sum(axis=0) / np.maximum(number, 1)
    return np.where(number > 2, 1 / np.maximum(harmonic, 1e-15) ** 2, mean).astype(np.float32)


def middle(n):
    """Positions of the median of n sorted values."""
    return (n - 1) // 2, n // 2
