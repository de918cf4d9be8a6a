"""Combinations of a band of rows, pixel by pixel."""

import numpy as np

from crstack.combine.clean_values import CleanValues, middle, variance_for_median
from crstack.combine.order import order_mean, order_table, order_variance
from crstack.combine.result import PixelFlag, Planes
from crstack.combine.uncertain_pixels import PosteriorMeans
from crstack.statistics import sort_exposures
from crstack.utils.cached import cached_property

__all__ = ["BandCombiner"]

#: names of small shared results, which are kept between two combinations ...
SMALL = ("means",)
#: ... and of larger ones that take the longest to compute, which are kept unless the images are large
SLOW = ("count_and_sum", "n_not_raised", "one_variance", "_minimum_for_masks")


class BandCombiner:
    """Makes the combinations of some rows of a stack, without the steps that need neighbours in other rows.

    Parameters
    ----------
    exposures : Exposures
        The rows of the exposures.
    statistics : OrderStatistics
        Of these rows.
    masks : MaskSet or None
        Of these rows.
    expected : `~numpy.ndarray`
        float32, expected signal of these rows, see `~crstack.combine.clean_values.expected_signal`.
    use_auxmedian, unbiased, weights : optional
        As for `~crstack.combine.Combiner`.
    """

    def __init__(self, exposures, statistics, masks, expected, *, use_auxmedian=False, unbiased=False, weights=None):
        self.exposures = exposures
        self.statistics = statistics
        self.masks = masks
        self.use_auxmedian, self.unbiased = use_auxmedian, unbiased
        self.values = CleanValues(exposures, statistics, masks, weights, expected)
        self.posterior = PosteriorMeans(self.values)

    def planes(self, name):
        """`Planes` of a combination, without its last flags; they may be shared and must not be changed."""
        return getattr(self, f"_{name}")()

    def forget(self, *, slow=True):
        """Free the shared results that are as large as images; if ``slow``, also those that take long to compute."""
        kept = SMALL if slow else SMALL + SLOW
        for owner in (self, self.values, self.posterior):
            for name in [one for one in vars(owner) if isinstance(getattr(type(owner), one, None), cached_property)]:
                if name not in kept:
                    delattr(owner, name)

    # shared results of the combinations

    def _order_variance(self, positions):
        """Variance of a mean of sorted values; ``positions(n)`` gives the first and last used of n."""
        n, count, n_clean = len(self.exposures), self.statistics.count, self.values.n_not_raised
        table = order_table(n, positions)
        variance = self.values.variance_in_middle if positions is middle else self.values.one_variance
        found = variance * table[n, n]
        # in few pixels a value is bad or raised by a hit
        fewer = np.flatnonzero((count < n) | (n_clean < n))
        np.put(found, fewer, variance.take(fewer) * table[count.take(fewer), n_clean.take(fewer)])
        return found

    def _with_ordered_clean(self, planes, where, positions):
        """Replace ordered values by those of the values that are not raised by a hit.

        ``positions(n_valid, n_clean)`` gives the first and last clean value to use. The bias of their order is
        subtracted.
        """
        where = where & (self.values.n_not_raised > 0)
        planes = planes.copy()
        rows, columns = np.nonzero(where)
        raised = self.values.raised_at(where)
        values = np.where(raised, np.inf, self.exposures.data[:, rows, columns])
        sort_exposures(values)
        n_clean, n_valid = self.values.n_not_raised[where], self.statistics.count[where]
        variances = self.values.one_variance[where]
        if self.exposures.levels:
            variances = variance_for_median(self.values.variances_at(where), ~raised)
        cases = n_clean.astype(np.intp) * (len(self.exposures) + 1) + n_valid
        for n, valid in (divmod(case, len(self.exposures) + 1) for case in np.flatnonzero(np.bincount(cases)).tolist()):
            some = (n_clean == n) & (n_valid == valid)
            place, (low, high) = (rows[some], columns[some]), positions(valid, n)
            variance = variances[some]
            shift = order_mean(n, low, high) * np.sqrt(variance)
            planes.value[place] = values[low : high + 1, some].mean(axis=0) - shift
            if self._corrects:
                planes.value[place] += self.posterior.correction[place]
            planes.variance[place] = order_variance(n, n, low, high) * variance
            if self._corrects:
                planes.variance[place] = self.posterior.variance_of_ordered(place, planes.variance[place])
            planes.count[place] = n if low else high + 1
        return planes

    def _plain(self, value, variance, count):
        flags = np.zeros(self.exposures.shape, dtype=np.uint8)
        return Planes(value, variance, count.astype(np.int16), flags)

    # the combinations; their planes may be shared and must not be changed

    def _mean(self):
        """Mean of the valid values."""
        n_valid = self.statistics.count
        if self.values.weights is not None:
            return self._plain(*self.values.mean_of_valid, n_valid)
        if self.exposures.bad is not None and not self.exposures.share_noise:
            variance = self.values.valid_variance / np.maximum(n_valid, 1) ** 2
        else:
            variance = self.values.one_variance / np.maximum(n_valid, 1)
        return self._plain(self.statistics.mean2d, variance.astype(np.float32), n_valid)

    def _median(self):
        return self._plain(self.statistics.median2d, self._order_variance(middle), self.statistics.count)

    @cached_property
    def _median_for_masks(self):
        """The median; with ``unbiased``, of the clean values."""
        if not self.unbiased:
            return self._median()
        return self._with_ordered_clean(
            self._median(), self.values.n_not_raised < self.statistics.count, lambda _, n: middle(n)
        )

    @property
    def _corrects(self):
        """Whether the bias by the selection of masked values is corrected."""
        return self.unbiased and self.masks.probability is not None

    def _n_lowest(self, n_valid):
        return np.maximum(n_valid - self.statistics.cr_coincidences, 1)

    @cached_property
    def _minimum(self):
        """Mean of the lowest valid values."""
        n_valid = self.statistics.count
        count = np.where(n_valid > 0, self._n_lowest(n_valid), 0)
        variance = self._order_variance(lambda n: (0, self._n_lowest(n) - 1))
        return self._plain(self.statistics.min2d, variance, count)

    @cached_property
    def _minimum_for_masks(self):
        """The replacement of hits: the minimum; with ``unbiased``, of the clean values."""
        if not self.unbiased:
            return self._minimum
        where = self.masks["MEDIANCR"] | self.masks["MEANCR"] | (self.values.n_clean == 0)
        return self._with_ordered_clean(self._minimum, where, lambda valid, n: (0, min(self._n_lowest(valid), n) - 1))

    def _min(self):
        return self._minimum

    @cached_property
    def _auxmedian(self):
        count = np.zeros(self.exposures.shape, dtype=np.int16)
        return self._plain(self.masks.auxclean, self.values.one_variance, count)

    @property
    def _stand_in(self):
        """The `Planes` that replace hits, and their flag."""
        if self.use_auxmedian:
            return self._auxmedian, PixelFlag.AUXMEDIAN
        return self._minimum_for_masks, PixelFlag.MINIMUM

    def _mediancr(self):
        return self._median_for_masks.replaced(self.masks["MEDIANCR"], *self._stand_in)

    def _meancrt(self):
        """The mean, with the cleaned median where any exposure is hit."""
        by_minimum = self._median_for_masks.replaced(self.masks["MEDIANCR"], self._minimum_for_masks, PixelFlag.MINIMUM)
        planes = self._mean().replaced(self.masks["MEANCRT"], by_minimum, PixelFlag.MEDIANCR)
        if self.use_auxmedian:
            planes = planes.replaced(self.masks["MEANCRT"] & self.masks["MEDIANCR"], *self._stand_in)
        return planes

    @cached_property
    def _mean_of_clean(self):
        return self._plain(self.values.mean, self.values.variance_of_mean, self.values.n_clean)

    def _meancr(self):
        """Mean of the clean values; where there are none, the stand-in."""
        planes = self._mean_of_clean
        if self._corrects:
            planes = planes.copy()
            planes.value += self.posterior.correction
            where, variance = self.posterior.variance_of_corrected
            planes.variance[where] = variance
        return planes.replaced(planes.count == 0, *self._stand_in)

    def _meancr2(self):
        return self._meancr().replaced(self.masks["MEANCR"], *self._stand_in)

    def _meanjoint(self):
        """Mean of the clean values, with the posterior mean where a value is uncertain."""
        planes = self._mean_of_clean.replaced(self.values.n_clean == 0, *self._stand_in)
        where, value, variance, count = self.posterior.means
        planes.value[where], planes.variance[where], planes.count[where] = value, variance, count
        return planes
