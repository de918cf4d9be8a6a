"""The clean values of each pixel: their number, sum and variance."""

import numpy as np

from crstack.combine.order import order_table
from crstack.combine.smooth_signal import smoothed_signal
from crstack.combine.weights import weighted_mean, weighted_variance
from crstack.masks.codes import exposure_name
from crstack.utils.cached import cached_property

__all__ = ["CleanValues", "expected_signal", "middle", "ratio", "variance_for_median"]

#: masked values this many standard deviations above the others count as raised by a hit
RAISED = 2.0


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
        hit = self.masks[exposure_name(i)]
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
            return variance * self._from_clean_to_valid() ** 2 if to_all else variance
        variances = (self.variance_of(i) for i in range(len(self.exposures)))
        return weighted_variance(variances, self.weights, self._all_excluded()).astype(np.float32)

    def _from_clean_to_valid(self):
        """Factor from the mean of the clean values to that of all valid ones, by their throughputs: float32 or 1."""
        if self.masks is None or not self.masks.throughputs:
            return np.float32(1)
        clean = valid = np.zeros(self.exposures.shape, np.float32)
        n_clean = n_valid = np.zeros(self.exposures.shape, np.float32)
        for i, throughput in enumerate(self.masks.throughputs):
            bad, excluded = (np.False_ if one is None else one for one in (self.exposures.bad_of(i), self.excluded(i)))
            valid, n_valid = valid + ~bad * np.float32(throughput), n_valid + ~bad
            clean, n_clean = clean + ~excluded * np.float32(throughput), n_clean + ~excluded
        return ratio(valid * n_clean, clean * n_valid)

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

    def raised(self, i):
        """True where exposure ``i`` is bad, or masked and raised; None if there is no such pixel.

        A dilated mask holds many values without a hit. Values whose probability to be hit is above one half count as
        raised.
        """
        bad = self.exposures.bad_of(i)
        if self.masks is None:
            return bad
        # few values are masked
        masked = np.flatnonzero(self.masks[exposure_name(i)])
        value, expected, variance = (
            one.take(masked) for one in (self.exposures.data[i], self.expected, self.one_variance)
        )
        up = value > expected + RAISED * np.sqrt(variance)
        if self.masks.probability is not None:
            up |= self.masks.probability[i].take(masked) > 0.5
        raised = np.zeros(self.exposures.shape, dtype=bool) if bad is None else bad.copy()
        np.put(raised, masked[up], True)
        return raised

    @cached_property
    def n_not_raised(self):
        """Count of valid values that are not raised by a hit."""
        count = np.full(self.exposures.shape, len(self.exposures), dtype=np.int16)
        for i in range(len(self.exposures)):
            raised = self.raised(i)
            if raised is not None:
                count -= raised
        return count

    def raised_at(self, where):
        """Bad or raised values of some pixels: bool (N, M)."""
        raised = np.zeros((len(self.exposures), np.count_nonzero(where)), dtype=bool)
        for i in range(len(self.exposures)):
            one = self.raised(i)
            if one is not None:
                raised[i] = one[where]
        return raised


def ratio(value, divisor):
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

    return smoothed_signal(estimate, exposures.shape)


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
