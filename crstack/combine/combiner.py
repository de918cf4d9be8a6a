"""Makes combined images of a stack."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.combine.band import BandCombiner
from crstack.combine.clean_values import CleanValues, expected_signal
from crstack.combine.fill import fill_from_neighbours
from crstack.combine.result import COMBINATIONS, WITHOUT_MASKS, Combination, PixelFlag, Planes
from crstack.combine.weights import exposure_weights
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.masks import MaskSet
from crstack.masks.codes import Code, exposure_name
from crstack.masks.local_median import check_local_medians, listed_pixels, median_of_boxes
from crstack.statistics import OrderStatistics
from crstack.utils.cached import cached_property
from crstack.utils.memory import empty_image, in_files
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.validation import check_boolean, check_choice

__all__ = ["FILLS", "WITHOUT_MASKS", "Combiner"]

#: replacements of pixels of which every valid exposure is hit
FILLS = ("minimum", "neighbours")
#: pixels of a band of rows
PIXELS_PER_BAND = 1 << 18
#: pixels of an image whose intermediate results would take too much memory
LARGE = 1 << 23


class Combiner:
    """Makes the combinations of a stack. Shared intermediate results are computed once.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    statistics : OrderStatistics
        Of these exposures.
    masks : MaskSet, optional
        Needed by all but "mean", "median" and "min". If given, the variances of these three allow for the hits.
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
        `~crstack.combine.exposure_weights`; equal by default. Where a value may be hit, the joint decision determines
        the value, whatever the weights are.
    expected : callable, optional
        ``expected()`` gives the expected signal (ny, nx) with equal weights, if it may be known already: see
        ``crstack.combine.clean_values.expected_signal``.
    levelled : callable, optional
        ``levelled()`` gives the exposures on their mean level, for the sample variance, where those that are combined
        are not, because the masks have the signal shift.

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
        exposures: Exposures,
        statistics: OrderStatistics,
        masks: MaskSet | None = None,
        *,
        use_auxmedian: bool = False,
        variance: Literal["model", "sample"] = "model",
        unbiased: bool | None = None,
        fill: Literal["minimum", "neighbours"] | None = None,
        weights: Literal["variance", "exptime"] | Sequence[float] | None = None,
        expected: Callable[[], np.ndarray] | None = None,
        levelled: Callable[[], Exposures] | None = None,
    ) -> None:
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
        self._made: dict[int, BandCombiner] = {}
        self._known_expected = expected
        self._levelled = levelled

    def _check_masks(self):
        """Raise `InputError` if the masks do not belong to the exposures, or lack what is requested."""
        if self.masks.shape != self.exposures.shape:
            raise InputError(
                f"masks must have the shape {self.exposures.shape} of the exposures; got {self.masks.shape}"
            )
        if self.masks.n_exposures != len(self.exposures):
            raise InputError(f"masks must be of {len(self.exposures)} exposures; got {self.masks.n_exposures}")
        check_local_medians(self.masks.local_medians, self.exposures.shape)
        if self.use_auxmedian and self.masks.auxclean is None:
            raise InputError(
                "use_auxmedian must be False for masks without a cleaned median (AUXCLEAN); got True: use a detector "
                "that cleans, such as lacosmic"
            )

    def combine(self, name: str) -> Combination:
        """Make one combination.

        Parameters
        ----------
        name : str
            One of ``COMBINATIONS``.

        Returns
        -------
        combination : Combination
            Image with variance and mask, counts and flags.

        Raises
        ------
        InputError
            If the name is unknown, or masks or their probabilities are missing.
        """
        check_choice("combination", name, COMBINATIONS)
        masks = self.masks
        if name not in WITHOUT_MASKS and masks is None:
            raise InputError(f"masks must be given for {name}; got None")
        if name == "meanjoint" and masks is not None and masks.probability is None:
            raise InputError(
                "masks must be those of the joint decision for meanjoint; got masks without probabilities: use another "
                "combination, such as meancr2"
            )
        planes, all_hit, sample_variance = self._planes(name)
        nothing = self.statistics.count == 0
        planes.flags[nothing] |= np.uint8(PixelFlag.NO_DATA)
        mask = nothing
        if masks is not None and name not in WITHOUT_MASKS:
            if self.fill == "neighbours":
                self._fill(planes, all_hit, nothing)
            planes.flags[all_hit] |= np.uint8(PixelFlag.ALL_HIT)
            mask = nothing | all_hit
            if self._moved is not None:
                planes.flags[self._moved] |= np.uint8(PixelFlag.MOVED)
                mask |= self._moved
            if self.use_auxmedian:
                mask |= (planes.flags & PixelFlag.AUXMEDIAN) > 0
            if masks.local_medians:
                mask |= self._replace_by_local_medians(planes, nothing)
        planes.count[mask] = 0
        if sample_variance is not None:
            # the variance of values from the neighbours is already that of a sample
            lent = (planes.flags & (PixelFlag.LOCAL_MEDIAN | PixelFlag.INTERPOLATED)) > 0
            planes.variance = np.where(lent, planes.variance, sample_variance)
        return Combination(name, self._ccd(planes, mask), planes.count, planes.flags)

    @cached_property
    def _expected(self):
        """Expected signal (ny, nx), for the variances."""
        if self._known_expected is not None and self.weights is None:
            return self._known_expected()
        return expected_signal(self.exposures, self.statistics, self.masks, self.weights)

    def _band(self, rows):
        """The `BandCombiner` of some rows."""
        if rows.start not in self._made:
            self._made[rows.start] = BandCombiner(
                self.exposures.cutout((rows, slice(None))),
                self.statistics.rows(rows),
                self.masks and self.masks.rows(rows),
                self._expected[rows],
                use_auxmedian=self.use_auxmedian,
                unbiased=self.unbiased,
                weights=self.weights,
            )
        return self._made[rows.start]

    def _planes(self, name):
        """`Planes` of a combination, pixels of which each valid exposure is hit, and the sample variance if needed."""
        shape, floats = self.exposures.shape, 3 if self.variance == "sample" else 2
        images = [empty_image(shape) for _ in range(floats)]
        count, flags, all_hit = (empty_image(shape, kind) for kind in (np.int16, np.uint8, bool))

        def work(rows):
            band = self._band(rows)
            planes = band.planes(name)
            images[0][rows], images[1][rows] = planes.value, planes.variance
            count[rows], flags[rows], all_hit[rows] = planes.count, planes.flags, band.values.all_hit
            if floats > 2:
                images[2][rows] = self._sample_variance(band, rows)
            if in_files():
                del self._made[rows.start]
            else:
                band.forget(slow=shape[0] * shape[1] > LARGE)

        self._expected  # noqa: B018 (computed once, not in each thread)
        map_threads(work, row_bands(*shape, PIXELS_PER_BAND))
        return Planes(*images[:2], count, flags), all_hit, images[2] if floats > 2 else None

    def _sample_variance(self, band, rows):
        """Sample variance of the clean values in some rows, on one level."""
        if self._levelled is None:
            return band.values.sample_variance
        levelled = self._levelled().cutout((rows, slice(None)))
        return CleanValues(levelled, band.statistics, band.masks).sample_variance

    def _ccd(self, planes, mask):
        """A combined image with its variance and mask, and the header of the exposures."""
        return CCDData(
            planes.value,
            unit=self.exposures.unit,
            mask=mask,
            uncertainty=VarianceUncertainty(planes.variance, unit=self.exposures.unit**2, copy=False),
            meta=self.exposures.header.copy(),
            wcs=self.exposures.wcs,
        )

    @cached_property
    def _moved(self):
        """The places of a target that moved between the exposures; None if there are none."""
        moved = np.zeros(self.exposures.shape, dtype=bool)
        for i in range(self.masks.n_exposures):
            moved |= self.masks.codes[exposure_name(i)] == Code.MOVED
        return moved if moved.any() else None

    def _replace_by_local_medians(self, planes, nothing):
        """Replace the listed pixels, in place; return where they are."""
        items = self.masks.local_medians
        listed = listed_pixels(items, self.exposures.shape)
        value, error = median_of_boxes(planes.value, planes.variance, items, nothing)
        x, y, _, _ = np.array(items).T
        planes.value[y - 1, x - 1], planes.variance[y - 1, x - 1] = value, error
        planes.flags[listed] = planes.flags[listed] & np.uint8(PixelFlag.NO_DATA) | np.uint8(PixelFlag.LOCAL_MEDIAN)
        return listed

    def _fill(self, planes, where, nothing):
        """Interpolate the pixels that are hit in every exposure, in place."""
        if where.any():
            value, error = fill_from_neighbours(planes.value, planes.variance, where, nothing)
            some = np.isfinite(value)
            rows, columns = (index[some] for index in np.nonzero(where))
            planes.value[rows, columns], planes.variance[rows, columns] = value[some], error[some]
            planes.flags[rows, columns] = np.uint8(PixelFlag.INTERPOLATED)
