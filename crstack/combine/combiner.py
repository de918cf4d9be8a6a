"""Makes combined images of a stack."""

from functools import cached_property

import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack._validation import check_boolean, check_choice
from crstack.combine.clean_values import CleanValues, middle
from crstack.combine.fill import fill_from_neighbours
from crstack.combine.order import order_mean, order_table, order_variance
from crstack.combine.result import COMBINATIONS, Combination, PixelFlag, Planes
from crstack.combine.weights import exposure_weights
from crstack.exceptions import InputError
from crstack.masks.local_median import check_local_medians, listed_pixels, median_of_boxes

__all__ = ["FILLS", "Combiner"]

#: replacements where every valid exposure is hit
FILLS = ("minimum", "neighbours")
WITHOUT_MASKS = ("mean", "median", "min")


class Combiner:
    """Makes the combinations of a stack. Shared intermediate results are computed once.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    statistics : OrderStatistics
        Of these exposures.
    masks : MaskSet, optional
        Needed by all but "mean", "median" and "min". If given, the variances of these three include which exposures
        are hit.
    use_auxmedian : bool, optional
        Replace hits by the detector's cleaned median instead of min2d.
    variance : {"model", "sample"}, optional
        Variance of the combined value propagated from the noise, or the sample
        variance of the values combined (NaN where there are fewer than two).
    unbiased : bool, optional
        Whether medians and minima of combinations with masks exclude the masked values. Minima are corrected for the
        bias of the lowest value. If the masks have probabilities, the selection effect of the masks is corrected too.
        Default: True if the masks have probabilities, that is, if the joint decision made them.
    fill : {"minimum", "neighbours"}, optional
        Replacement where every valid exposure is hit: min2d (or the cleaned median), or a surface fitted to the
        neighbours. Default: "neighbours" if the masks have probabilities and ``use_auxmedian`` is not set.
    weights : {"variance", "exptime"} or sequence of float, optional
        Weights of the exposures in the means ("mean", "meancrt", "meancr", "meancr2", "meanjoint"), see
        `~crstack.combine.exposure_weights`; equal by default. The corrections of the joint decision assume
        equal weights: use other weights only where the exposures have one level.

    Raises
    ------
    InputError
        If the masks or the weights do not match the exposures, or there is no cleaned median to use.

    Notes
    -----
    The model estimates the expected signal from the mean of the clean exposures (from the median without masks), see
    ``crstack.combine.smooth_signal``. A median or a minimum of n clean values has the variance of the
    order statistics of a normal sample. Masked values count as clean there unless they lie two standard deviations
    above the others, because most pixels of a dilated mask are not hit. A pixel from the detector's cleaned median has
    the variance of one exposure, because interpolation is no better than a measurement. A local median differs from
    the truth by the structure in its box and by noise.
    """

    def __init__(
        self,
        exposures,
        statistics,
        masks=None,
        *,
        use_auxmedian=False,
        variance="model",
        unbiased=None,
        fill=None,
        weights=None,
    ):
        self.exposures = exposures
        self.statistics = statistics
        self.masks = masks
        self.use_auxmedian = use_auxmedian
        self.variance = check_choice("variance", variance, ("model", "sample"))
        joint = masks is not None and masks.probability is not None
        self.unbiased = joint if unbiased is None else check_boolean("unbiased", unbiased)
        usual = FILLS[1] if joint and not use_auxmedian else FILLS[0]
        self.fill = usual if fill is None else check_choice("fill", fill, FILLS)
        if masks is not None:
            self._check_masks()
        self.weights = None if weights is None else exposure_weights(weights, exposures)
        self.clean_values = CleanValues(exposures, statistics, masks, self.weights)

    def _check_masks(self):
        if self.masks.shape != self.exposures.shape:
            raise InputError(
                f"masks must have the shape {self.exposures.shape} of the exposures; got {self.masks.shape}"
            )
        if self.masks.n_exposures != len(self.exposures):
            raise InputError(f"masks must be of {len(self.exposures)} exposures; got {self.masks.n_exposures}")
        check_local_medians(self.masks.local_medians, self.exposures.shape)
        if self.use_auxmedian and self.masks.auxclean is None:
            raise InputError("use_auxmedian must come with a detector that cleans; got masks without AUXCLEAN")

    def combine(self, name: str) -> Combination:
        """Make one combination.

        Parameters
        ----------
        name : str
            One of ``COMBINATIONS``.

        Returns
        -------
        combination : Combination

        Raises
        ------
        InputError
            If the name is unknown, or masks or their probabilities are missing.
        """
        check_choice("combination", name, COMBINATIONS)
        if name not in WITHOUT_MASKS and self.masks is None:
            raise InputError(f"masks must be given for {name}; got None")
        if name == "meanjoint" and self.masks.probability is None:
            raise InputError("masks must come from the joint decision for meanjoint; got none with probabilities")
        planes = getattr(self, f"_{name}")().copy()
        nothing = self.statistics.count == 0
        planes.flags[nothing] |= np.uint8(PixelFlag.NO_DATA)
        mask = nothing
        if name not in WITHOUT_MASKS:
            if self.fill == "neighbours":
                self._fill(planes)
            planes.flags[self.clean_values.all_hit] |= np.uint8(PixelFlag.ALL_HIT)
            mask = nothing | self.clean_values.all_hit
            if self.use_auxmedian:
                mask = mask | ((planes.flags & PixelFlag.AUXMEDIAN) > 0)
            if self.masks.local_medians:
                mask = mask | self._replace_by_local_medians(planes)
        planes.count[mask] = 0
        return Combination(name, self._ccd(planes, mask), planes.count, planes.flags)

    def _ccd(self, planes, mask):
        variance = planes.variance
        if self.variance == "sample":
            # the variance of values from the neighbours is already that of a sample
            lent = (planes.flags & (PixelFlag.LOCAL_MEDIAN | PixelFlag.INTERPOLATED)) > 0
            variance = np.where(lent, variance, self.clean_values.sample_variance)
        return CCDData(
            planes.value,
            unit=self.exposures.unit,
            mask=mask,
            uncertainty=VarianceUncertainty(variance, unit=self.exposures.unit**2),
            meta=self.exposures.header.copy(),
            wcs=self.exposures.wcs,
        )

    def _replace_by_local_medians(self, planes):
        """Replace the listed pixels, in place; return where they are."""
        items = self.masks.local_medians
        listed = listed_pixels(items, self.exposures.shape)
        value, error = median_of_boxes(planes.value, planes.variance, items, self.statistics.count == 0)
        x, y, _, _ = np.array(items).T
        planes.value[y - 1, x - 1], planes.variance[y - 1, x - 1] = value, error
        planes.flags[listed] = planes.flags[listed] & np.uint8(PixelFlag.NO_DATA) | np.uint8(PixelFlag.LOCAL_MEDIAN)
        return listed

    def _fill(self, planes):
        """Interpolate the pixels that are hit in every exposure, in place."""
        where = self.clean_values.all_hit
        if where.any():
            nothing = self.statistics.count == 0
            value, error = fill_from_neighbours(planes.value, planes.variance, where, nothing)
            some = np.isfinite(value)
            rows, columns = (index[some] for index in np.nonzero(where))
            planes.value[rows, columns], planes.variance[rows, columns] = value[some], error[some]
            planes.flags[rows, columns] = np.uint8(PixelFlag.INTERPOLATED)

    # shared results of the combinations

    def _order_variance(self, positions):
        """Variance of a mean of sorted values; ``positions(n)`` gives the first and last used of n."""
        table = order_table(len(self.exposures), positions)
        return self.clean_values.one_variance * table[self.statistics.count, self.clean_values.n_in_place]

    def _of_clean(self, planes, where, positions):
        """Replace ordered values by those of the values that are not moved by a hit.

        ``positions(n_valid, n_clean)`` gives the first and last clean value to use. The bias of their order is
        subtracted.
        """
        where = where & (self.clean_values.n_in_place > 0)
        planes = planes.copy()
        rows, columns = np.nonzero(where)
        values = np.where(self.clean_values.moved_at(where), np.inf, self.exposures.data[:, rows, columns])
        values.sort(axis=0)
        n_clean, n_valid = self.clean_values.n_in_place[where], self.statistics.count[where]
        for n, valid in np.unique(np.stack([n_clean, n_valid]), axis=1).T.tolist():
            some = (n_clean == n) & (n_valid == valid)
            place, (low, high) = (rows[some], columns[some]), positions(valid, n)
            variance = self.clean_values.one_variance[place]
            shift = order_mean(n, low, high) * np.sqrt(variance)
            planes.value[place] = values[low : high + 1, some].mean(axis=0) - shift
            if self._moves:
                planes.value[place] += self.clean_values.lowered[place]
            planes.variance[place] = order_variance(n, n, low, high) * variance
            planes.count[place] = n if low else high + 1
        return planes

    def _plain(self, value, variance, count):
        flags = np.zeros(self.exposures.shape, dtype=np.uint8)
        return Planes(value, variance, count.astype(np.int16), flags)

    # the combinations; their planes may be shared and must not be changed

    def _mean(self):
        n_valid = self.statistics.count
        if self.weights is not None:
            return self._plain(*self.clean_values.mean_of_valid, n_valid)
        if self.exposures.bad is not None and not self.exposures.share_noise:
            variance = self.clean_values.valid_variance / np.maximum(n_valid, 1) ** 2
        else:
            variance = self.clean_values.one_variance / np.maximum(n_valid, 1)
        return self._plain(self.statistics.mean2d, variance.astype(np.float32), n_valid)

    def _median(self):
        return self._plain(self.statistics.median2d, self._order_variance(middle), self.statistics.count)

    def _median_for_masks(self):
        """The median; with ``unbiased``, of the clean values."""
        if not self.unbiased:
            return self._median()
        return self._of_clean(
            self._median(), self.clean_values.n_in_place < self.statistics.count, lambda _, n: middle(n)
        )

    @property
    def _moves(self):
        """Whether the bias by the selection of masked values is corrected."""
        return self.unbiased and self.masks.probability is not None

    def _n_lowest(self, n_valid):
        return np.maximum(n_valid - self.statistics.cr_coincidences, 1)

    @cached_property
    def _minimum(self):
        n_valid = self.statistics.count
        count = np.where(n_valid > 0, self._n_lowest(n_valid), 0)
        variance = self._order_variance(lambda n: (0, self._n_lowest(n) - 1))
        return self._plain(self.statistics.min2d, variance, count)

    @cached_property
    def _minimum_for_masks(self):
        """The replacement of hits: the minimum; with ``unbiased``, of the clean values."""
        if not self.unbiased:
            return self._minimum
        where = self.masks["MEDIANCR"] | self.masks["MEANCR"] | (self.clean_values.n_clean == 0)
        return self._of_clean(self._minimum, where, lambda valid, n: (0, min(self._n_lowest(valid), n) - 1))

    def _min(self):
        return self._minimum

    @cached_property
    def _auxmedian(self):
        count = np.zeros(self.exposures.shape, dtype=np.int16)
        return self._plain(self.masks.auxclean, self.clean_values.one_variance, count)

    @property
    def _stand_in(self):
        if self.use_auxmedian:
            return self._auxmedian, PixelFlag.AUXMEDIAN
        return self._minimum_for_masks, PixelFlag.MINIMUM

    def _mediancr(self):
        return self._median_for_masks().replaced(self.masks["MEDIANCR"], *self._stand_in)

    def _meancrt(self):
        by_minimum = self._median_for_masks().replaced(
            self.masks["MEDIANCR"], self._minimum_for_masks, PixelFlag.MINIMUM
        )
        planes = self._mean().replaced(self.masks["MEANCRT"], by_minimum, PixelFlag.MEDIANCR)
        if self.use_auxmedian:
            planes = planes.replaced(self.masks["MEANCRT"] & self.masks["MEDIANCR"], *self._stand_in)
        return planes

    @cached_property
    def _mean_of_clean(self):
        return self._plain(self.clean_values.mean, self.clean_values.variance_of_mean, self.clean_values.n_clean)

    def _meancr(self):
        planes = self._mean_of_clean
        if self._moves:
            planes = planes.copy()
            planes.value += self.clean_values.lowered
        return planes.replaced(planes.count == 0, *self._stand_in)

    def _meancr2(self):
        return self._meancr().replaced(self.masks["MEANCR"], *self._stand_in)

    def _meanjoint(self):
        planes = self._mean_of_clean.replaced(self.clean_values.n_clean == 0, *self._stand_in)
        where, value, variance, count = self.clean_values.posterior
        planes.value[where], planes.variance[where], planes.count[where] = value, variance, count
        return planes
