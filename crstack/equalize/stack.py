"""The part of a stack that makes its exposures equivalent."""

import time

from crstack._validation import check_integer
from crstack.equalize.flux import estimate_flux_factors
from crstack.equalize.offsets import estimate_offsets
from crstack.equalize.response import estimate_response
from crstack.equalize.settings import equalize
from crstack.statistics import normal_order_moments, order_statistics

__all__ = ["EqualizedStack"]


class EqualizedStack:
    """Exposures, what makes them equivalent, and their order statistics.

    Parameters
    ----------
    given : Exposures
        As they were read.
    cr_coincidences : int
        See `~crstack.CRStack`.
    equalization : Equalization
        What to do.
    """

    def __init__(self, given, cr_coincidences, equalization):
        check_integer("cr_coincidences", cr_coincidences, minimum=2, maximum=len(given) - 1)
        equalization.check_for(given)
        self._given = given
        self.cr_coincidences = cr_coincidences
        self.equalization = equalization
        #: seconds that each computed stage took, by its name
        self.timings = {}
        self._kept = {}

    def __len__(self):
        return len(self._given)

    def _once(self, stage, key, compute):
        """Return the kept result of a stage for these settings, or compute it."""
        if (stage, key) not in self._kept:
            start = time.perf_counter()
            self._kept[stage, key] = compute()
            self.timings[stage] = time.perf_counter() - start
        return self._kept[stage, key]

    @property
    def equalized(self):
        """The exposures made equivalent, as `~crstack.equalize.EqualizedExposures`.

        Its ``flux``, ``offsets`` and ``response`` are those that are used.
        """

        def compute():
            return equalize(self._given, lambda: self._statistics_of(self._given), self.equalization)

        return self._once("equalization", None, compute)

    @property
    def exposures(self):
        """The `~crstack.exposures.Exposures` that are combined, divided by what `equalized` says."""
        return self.equalized.exposures

    @property
    def statistics(self):
        """Order statistics of the exposures: `~crstack.statistics.OrderStatistics`."""
        return self._statistics_of(self.exposures)

    @property
    def compared(self):
        """Order statistics of what is compared: less what is expected to differ, see `equalized`."""
        return self._statistics_of(self.equalized.levelled)

    def _statistics_of(self, exposures):
        return self._once(
            "order statistics",
            id(exposures),
            lambda: order_statistics(exposures.data, self.cr_coincidences, exposures.bad),
        )

    def flux_factors(self, regions=None, method="ratio"):
        """Measure the flux factors of the exposures as they were given.

        Parameters
        ----------
        regions : sequence of (xmin, xmax, ymin, ymax), optional
            Where to measure; FITS convention. Everywhere by default.
        method : {"ratio", "slope"}, optional
            See `~crstack.equalize.estimate_flux_factors`.

        Returns
        -------
        factors : `~crstack.equalize.FluxFactors`
            Values, relative to the median image, and errors.
        """
        statistics = self._statistics_of(self._given)
        return estimate_flux_factors(self._given, statistics, regions, method)

    def offsets(self, region=None):
        """Measure the offsets of the exposures as they were given.

        Parameters
        ----------
        region : (xmin, xmax, ymin, ymax), optional
            Where to measure; FITS convention. Everywhere by default.

        Returns
        -------
        offsets : `~crstack.equalize.Offsets`
            (dx, dy) in pixels by which the median image must be shifted to
            coincide with each exposure, and errors.
        """
        return estimate_offsets(self._given, self._statistics_of(self._given), region)

    def response(self, settings=None):
        """Measure the local response of the exposures as they were given.

        Parameters
        ----------
        settings : `~crstack.equalize.ResponseSettings`, optional
            Direction and lengths of the smoothing.

        Returns
        -------
        response : `~crstack.equalize.Response`
        """
        return estimate_response(self._given, settings)

    @property
    def _nowhere_valid(self):
        """Pixels without a valid exposure, or None if there are none."""
        nothing = self.statistics.count == 0
        return nothing if nothing.any() else None

    def _noise_of_median(self):
        middle = slice((len(self) - 1) // 2, len(self) // 2 + 1)
        _, covariance = normal_order_moments(len(self))
        return self.exposures.noise_of_average(1 / covariance[middle, middle].mean())
