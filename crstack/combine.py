"""Combined images: values, variances, counts and flags."""

from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property, lru_cache

import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack._validation import check_choice
from crstack.exceptions import InputError
from crstack.local_median import check_local_medians, listed_pixels, median_of_boxes
from crstack.statistics import normal_order_moments

__all__ = ["COMBINATIONS", "Combination", "Combiner", "PixelFlag"]

#: combinations without masks, then those that need them
COMBINATIONS = ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2")


#: a masked value so many standard deviations up has left its place among the others
MOVED = 2.0


class PixelFlag(IntFlag):
    """Where the value of a combined pixel comes from; 0 if it is what the name says."""

    MINIMUM = 1  #: min2d stands in
    AUXMEDIAN = 2  #: the detector's cleaned median stands in
    MEDIANCR = 4  #: the value of mediancr stands in
    ALL_HIT = 8  #: every valid exposure is hit: no clean measurement
    NO_DATA = 16  #: no exposure is valid
    LOCAL_MEDIAN = 32  #: the median of a box around the pixel stands in


@dataclass(frozen=True, eq=False, repr=False)
class Combination:
    """A combined image and where each of its pixels comes from.

    Attributes
    ----------
    name : str
        One of `COMBINATIONS`.
    ccd : `~astropy.nddata.CCDData`
        Value, unit, mask (no clean measurement), variance of the value, header
        and WCS of the first exposure.
    count : `~numpy.ndarray`
        int16 (ny, nx), number of exposures in the value; 0 where the value is
        no clean measurement.
    flags : `~numpy.ndarray`
        uint8 (ny, nx) of `PixelFlag`.
    """

    name: str
    ccd: CCDData
    count: np.ndarray
    flags: np.ndarray

    def __repr__(self):
        replaced = np.count_nonzero(self.flags & ~np.uint8(PixelFlag.NO_DATA | PixelFlag.ALL_HIT))
        return f"<Combination {self.name}: {replaced} replaced, {np.count_nonzero(self.ccd.mask)} masked pixels>"


@dataclass
class _Planes:
    """The planes of a combination while it is made."""

    value: np.ndarray
    variance: np.ndarray
    count: np.ndarray
    flags: np.ndarray

    def copy(self):
        return _Planes(self.value.copy(), self.variance.copy(), self.count.copy(), self.flags.copy())

    def replaced(self, where, other, flag):
        """Return a copy with the values of ``other`` where a mask is set."""
        new = self.copy()
        new.value[where] = other.value[where]
        new.variance[where] = other.variance[where]
        new.count[where] = other.count[where]
        new.flags[where] = other.flags[where] | np.uint8(flag)
        return new


@lru_cache(maxsize=256)
def order_variance(n_valid, n_clean, lowest, highest):
    """Variance of the mean of sorted values ``lowest`` to ``highest`` (from 0, inclusive).

    Of ``n_valid`` values with unit variance, ``n_clean`` come from one normal
    distribution and the others are hit, and so lie above them. A hit value
    counts as independent, with unit variance.
    """
    positions = np.arange(lowest, highest + 1)
    clean = positions[positions < n_clean]
    _, covariance = normal_order_moments(max(n_clean, 1))
    total = covariance[np.ix_(clean, clean)].sum() + np.count_nonzero(positions >= n_clean)
    return float(total) / len(positions) ** 2


class Combiner:
    """Makes the combinations of a stack, sharing what they have in common.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    statistics : OrderStatistics
        Of these exposures.
    masks : MaskSet, optional
        Needed by all but "mean", "median" and "min". Where given, the variances
        of those three know which exposures are hit.
    use_auxmedian : bool, optional
        Replace by the detector's cleaned median in place of min2d.
    variance : {"model", "sample"}, optional
        Variance of the combined value propagated from the noise, or the sample
        variance of the values combined (NaN where there are fewer than two).

    Raises
    ------
    InputError
        If the masks do not fit, or there is no cleaned median to use.

    Notes
    -----
    The model takes the expected signal from the mean of the clean exposures
    (the median, where no masks are known). A median or a minimum of n clean
    values has the variance of the order statistics of a normal sample; masked
    values count as clean there unless they stand out by two standard
    deviations, as most of those that a dilation masks do not. A pixel
    taken from the detector's cleaned median is given the variance of one
    exposure, as interpolation knows it no better than a measurement would. A
    local median differs from the truth by the structure in its box and by noise.
    """

    def __init__(self, exposures, statistics, masks=None, *, use_auxmedian=False, variance="model"):
        self.exposures = exposures
        self.statistics = statistics
        self.masks = masks
        self.use_auxmedian = use_auxmedian
        self.variance = check_choice("variance", variance, ("model", "sample"))
        if masks is not None:
            self._check_masks()

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

    def combine(self, name):
        """Make one combination.

        Parameters
        ----------
        name : str
            One of `COMBINATIONS`.

        Returns
        -------
        combination : Combination

        Raises
        ------
        InputError
            If the name is unknown or masks are missing.
        """
        check_choice("combination", name, COMBINATIONS)
        if name not in ("mean", "median", "min") and self.masks is None:
            raise InputError(f"masks must be given for {name}; got None")
        planes = getattr(self, f"_{name}")().copy()
        nothing = self.statistics.count == 0
        planes.flags[nothing] |= np.uint8(PixelFlag.NO_DATA)
        mask = nothing
        if name not in ("mean", "median", "min"):
            planes.flags[self._all_hit] |= np.uint8(PixelFlag.ALL_HIT)
            mask = nothing | self._all_hit
            if self.use_auxmedian:
                mask = mask | ((planes.flags & PixelFlag.AUXMEDIAN) > 0)
            if self.masks.local_medians:
                mask = mask | self._replace_by_local_medians(planes)
        planes.count[mask] = 0
        return Combination(name, self._ccd(planes, mask), planes.count, planes.flags)

    def _ccd(self, planes, mask):
        variance = planes.variance
        if self.variance == "sample":
            # the variance of a local median is that of a sample already
            local = (planes.flags & PixelFlag.LOCAL_MEDIAN) > 0
            variance = np.where(local, variance, self._sample_variance)
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

    # what the combinations share

    def _excluded(self, i):
        """True where exposure ``i`` is bad or hit; None if nowhere."""
        bad = self.exposures.bad_of(i)
        if self.masks is None:
            return bad
        hit = self.masks[f"CRMASK{i + 1}"]
        return hit if bad is None else hit | bad

    @cached_property
    def _clean(self):
        """Count of clean exposures, and the sum of their values (float64)."""
        count = np.zeros(self.exposures.shape, dtype=np.int16)
        total = np.zeros(self.exposures.shape)
        for i, plane in enumerate(self.exposures.data):
            excluded = self._excluded(i)
            clean = True if excluded is None else ~excluded
            np.add(total, plane, out=total, where=clean)
            np.add(count, 1, out=count, where=clean)
        return count, total

    @property
    def _n_clean(self):
        return self._clean[0]

    @cached_property
    def _all_hit(self):
        return (self._n_clean == 0) & (self.statistics.count > 0)

    @cached_property
    def _expected(self):
        """Best guess of the expected signal, for the variances: float32."""
        if self.masks is None:
            return self.statistics.median2d
        count, total = self._clean
        mean = (total / np.maximum(count, 1)).astype(np.float32)
        return np.where(count > 0, mean, self.statistics.min2d)

    @cached_property
    def _one_variance(self):
        """Variance of one exposure at the expected signal (mean over the exposures)."""
        return self.exposures.mean_variance(self._expected)

    @cached_property
    def _clean_variance(self):
        """Sum over the clean exposures of their variances, float32."""
        if self.exposures.share_noise:
            return self._one_variance * self._n_clean
        total = np.zeros(self.exposures.shape, dtype=np.float32)
        for i in range(len(self.exposures)):
            excluded = self._excluded(i)
            clean = True if excluded is None else ~excluded
            np.add(total, self.exposures.noise_of(i).variance(self._expected), out=total, where=clean)
        return total

    @cached_property
    def _sample_variance(self):
        """Sample variance of the clean values, NaN where there are fewer than two."""
        count, total = self._clean
        mean = total / np.maximum(count, 1)
        squares = np.zeros(self.exposures.shape)
        for i, plane in enumerate(self.exposures.data):
            excluded = self._excluded(i)
            np.add(squares, (plane - mean) ** 2, out=squares, where=True if excluded is None else ~excluded)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(count > 1, squares / (count - 1), np.nan).astype(np.float32)

    @cached_property
    def _n_in_place(self):
        """Count of valid values that no hit has moved up: a mask grown by dilation holds many."""
        if self.masks is None:
            return self.statistics.count
        moved = np.zeros(self.exposures.shape, dtype=np.int16)
        limit = self._expected + MOVED * np.sqrt(self._one_variance)
        for i, plane in enumerate(self.exposures.data):
            hit = self.masks[f"CRMASK{i + 1}"] & (plane > limit)
            bad = self.exposures.bad_of(i)
            moved += hit if bad is None else hit & ~bad
        return self.statistics.count - moved

    def _order_variance(self, positions):
        """Variance of a mean of sorted values; ``positions(n)`` gives the first and last used of n."""
        n_valid, n_clean = self.statistics.count, self._n_in_place
        most = len(self.exposures)
        table = np.ones((most + 1, most + 1), dtype=np.float32)
        for n in range(1, most + 1):
            for clean in range(n + 1):
                table[n, clean] = order_variance(n, clean, *positions(n))
        return self._one_variance * table[n_valid, n_clean]

    def _plain(self, value, variance, count):
        flags = np.zeros(self.exposures.shape, dtype=np.uint8)
        return _Planes(value, variance, count.astype(np.int16), flags)

    # the combinations; their planes may be shared and must not be changed

    def _mean(self):
        n_valid = self.statistics.count
        if self.exposures.bad is not None and not self.exposures.share_noise:
            variance = self._valid_variance() / np.maximum(n_valid, 1) ** 2
        else:
            variance = self._one_variance / np.maximum(n_valid, 1)
        return self._plain(self.statistics.mean2d, variance.astype(np.float32), n_valid)

    def _valid_variance(self):
        total = np.zeros(self.exposures.shape, dtype=np.float32)
        for i in range(len(self.exposures)):
            bad = self.exposures.bad_of(i)
            np.add(
                total,
                self.exposures.noise_of(i).variance(self._expected),
                out=total,
                where=True if bad is None else ~bad,
            )
        return total

    def _median(self):
        variance = self._order_variance(lambda n: ((n - 1) // 2, n // 2))
        return self._plain(self.statistics.median2d, variance, self.statistics.count)

    @cached_property
    def _minimum(self):
        k = self.statistics.cr_coincidences
        variance = self._order_variance(lambda n: (0, max(n - k, 1) - 1))
        n_valid = self.statistics.count
        count = np.where(n_valid > 0, np.maximum(n_valid - k, 1), 0)
        return self._plain(self.statistics.min2d, variance, count)

    def _min(self):
        return self._minimum

    @cached_property
    def _auxmedian(self):
        count = np.zeros(self.exposures.shape, dtype=np.int16)
        return self._plain(self.masks.auxclean, self._one_variance, count)

    @property
    def _stand_in(self):
        if self.use_auxmedian:
            return self._auxmedian, PixelFlag.AUXMEDIAN
        return self._minimum, PixelFlag.MINIMUM

    def _mediancr(self):
        return self._median().replaced(self.masks["MEDIANCR"], *self._stand_in)

    def _meancrt(self):
        by_minimum = self._median().replaced(self.masks["MEDIANCR"], self._minimum, PixelFlag.MINIMUM)
        planes = self._mean().replaced(self.masks["MEANCRT"], by_minimum, PixelFlag.MEDIANCR)
        if self.use_auxmedian:
            planes = planes.replaced(self.masks["MEANCRT"] & self.masks["MEDIANCR"], *self._stand_in)
        return planes

    def _meancr(self):
        count, total = self._clean
        some = np.maximum(count, 1).astype(np.float32)
        planes = self._plain((total / some).astype(np.float32), self._clean_variance / some**2, count)
        return planes.replaced(count == 0, *self._stand_in)

    def _meancr2(self):
        return self._meancr().replaced(self.masks["MEANCR"], *self._stand_in)
