"""Settings of the equalization, and equalized exposures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crstack._cached import cached_property
from crstack._validation import check_choice, check_number, check_region
from crstack.equalize.common import common_image, expected_differences, moved_images
from crstack.equalize.differences import NAMES, Differences
from crstack.equalize.flux import METHODS, FluxFactors, check_flux_factors, estimate_flux_factors
from crstack.equalize.measure import measure_differences
from crstack.equalize.offsets import Offsets, check_offsets, check_region_size, estimate_offsets
from crstack.equalize.response import Response, ResponseSettings, estimate_response
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.statistics import OrderStatistics

__all__ = ["Equalization", "EqualizedExposures", "equalize", "open_settings"]

AUTO = "auto"
TARGETS = ("simulated", "original")


@dataclass(frozen=True)
class Equalization:
    """Given differences of exposures that are not quite equivalent, and those to be measured.

    Parameters
    ----------
    flux_factors : None, "auto", float or sequence of float, optional
        Signal of each exposure over that of the median image; "auto" measures them. A single number is used for all
        exposures.
    flux_regions : sequence of (xmin, xmax, ymin, ymax), optional
        Where "auto" measures; FITS convention. Everywhere by default.
    flux_method : {"ratio", "slope"}, optional
        As for `estimate_flux_factors`: a slope with a free level by default, which does not take sky for throughput.
    apply_flux_factors_to : {"simulated", "original"}, optional
        Apply the factors to the simulated exposures only, or divide the exposures by them, so that all combined images
        have one level.
    offsets : None, "auto" or sequence of (dx, dy), optional
        Shift (pixels) to apply to the median image so that it coincides with
        each exposure; "auto" measures them on the whole image.
    crosscorr_region : (xmin, xmax, ymin, ymax), optional
        Measure the offsets in this region; FITS convention.
    response : None, "auto" or ResponseSettings, optional
        Measure the local response of each exposure and divide by it.
    differences : None or "auto", optional
        Measure differences beyond the parameters above, with `measure_differences`. M.M.Cosmic then uses them in its
        simulations and comparisons. The joint decision always measures them.

    Raises
    ------
    InputError
        If a value is wrong, or offsets are both given and to be measured.
    """

    flux_factors: object = None
    flux_regions: Sequence[Sequence[int]] = ()
    flux_method: str = "slope"
    apply_flux_factors_to: str = "simulated"
    offsets: object = None
    crosscorr_region: Sequence[int] | None = None
    response: object = None
    differences: str | None = None

    def __post_init__(self):
        self._coerce_factors()
        regions = tuple(
            check_region(f"flux_regions {i}", one) for i, one in enumerate(self.flux_regions or (), start=1)
        )
        object.__setattr__(self, "flux_regions", regions)
        check_choice("flux_method", self.flux_method, METHODS)
        check_choice("apply_flux_factors_to", self.apply_flux_factors_to, TARGETS)
        self._coerce_offsets()
        if self.differences is not None:
            check_choice("differences", self.differences, (AUTO,))
        if isinstance(self.response, str):
            check_choice("response", self.response, (AUTO,))
            object.__setattr__(self, "response", ResponseSettings())
        elif self.response is not None and not isinstance(self.response, ResponseSettings):
            raise InputError(f'response must be "auto", a ResponseSettings or None; got {self.response!r}')

    def _coerce_factors(self):
        factors = self.flux_factors
        if isinstance(factors, str):
            check_choice("flux_factors", factors, (AUTO,))
        elif factors is not None:
            if np.ndim(factors):
                factors = check_flux_factors(factors, len(factors))
            else:
                check_number("flux_factors", factors, minimum=0, exclusive=True)
            object.__setattr__(self, "flux_factors", factors)

    def _coerce_offsets(self):
        if self.crosscorr_region is not None:
            if self.offsets is not None:
                raise InputError(
                    f"crosscorr_region must be None where offsets are given; got {list(self.crosscorr_region)}"
                )
            object.__setattr__(self, "crosscorr_region", check_region("crosscorr_region", self.crosscorr_region))
        if isinstance(self.offsets, str):
            check_choice("offsets", self.offsets, (AUTO,))
        elif self.offsets is not None:
            object.__setattr__(self, "offsets", check_offsets(self.offsets))

    @property
    def of_whole_images(self):
        """Names of the settings that need whole images at once."""
        names = ("flux_factors", "offsets", "crosscorr_region", "response", "differences")
        return tuple(name for name in names if getattr(self, name) is not None)

    def check_for(self, exposures: Exposures) -> None:
        """Raise `InputError` unless the settings fit the number and the shape of the exposures.

        Parameters
        ----------
        exposures : Exposures
            The exposures.
        """
        n = len(exposures)
        if self.flux_factors is not None and self.flux_factors != AUTO:
            check_flux_factors(self.flux_factors, n)
        if self.offsets is not None and self.offsets != AUTO:
            check_offsets(self.offsets, n)
        for number, region in enumerate(self.flux_regions, start=1):
            check_region(f"flux_regions {number}", region, exposures.shape)
        if self.crosscorr_region is not None:
            check_region_size(self.crosscorr_region, exposures.shape)


@dataclass(frozen=True, eq=False, repr=False)
class EqualizedExposures:
    """Equalized exposures, and their remaining differences.

    Attributes
    ----------
    exposures : Exposures
        The exposures to combine: divided by the local response, and by the flux factors if those apply to the
        originals.
    levelled : Exposures
        The exposures to compare: ``exposures`` minus ``differences``, so that clean pixels differ by noise alone; the
        same object if there are no differences.
    flux : FluxFactors or None
        As measured or given.
    offsets : Offsets or None
        As measured or given.
    response : Response or None
        As measured.
    common : `~numpy.ndarray` or None
        (ny, nx) common image of the exposures; None if the median is used.
    differences : list of `~numpy.ndarray` or None
        Expected image of each exposure minus ``common``; None if all exposures have the same expected image.
    factors : tuple of float
        Flux factors that ``exposures`` still have; empty if there are none.
    known : list of `~numpy.ndarray` or None
        The part of ``differences`` that is not ``measured``, where something is.
    measured : Differences or None
        What was measured in addition; None where it was not asked for.
    """

    exposures: Exposures
    flux: FluxFactors | None = None
    offsets: Offsets | None = None
    response: Response | None = None
    common: np.ndarray | None = None
    differences: list | None = None
    factors: tuple = ()
    known: list | None = None
    measured: Differences | None = None

    @cached_property
    def levelled(self):
        """The exposures to compare: ``exposures`` minus ``differences``, if there are any."""
        return self.exposures if self.differences is None else self.exposures.minus(self.differences)

    def __repr__(self):
        return f"<EqualizedExposures: {'; '.join(self.describe()) or 'as they are'}>"

    def expected_images(self, median2d: np.ndarray) -> list[np.ndarray]:
        """Expected image (ny, nx) of each exposure, in the unit of the exposures.

        Parameters
        ----------
        median2d : `~numpy.ndarray`
            (ny, nx) median of the exposures, for those that share one image.

        Returns
        -------
        images : list of `~numpy.ndarray`
            The common image times the flux factor, shifted by the offset.
        """
        if self.differences is None:
            return [np.nan_to_num(median2d)] * len(self.exposures)
        return [self.common + difference for difference in self.differences]

    def describe(self) -> tuple[str, ...]:
        """Description of the equalization, as a tuple of lines."""
        lines = []
        if self.flux is not None:
            lines.append(f"flux factors, {self.flux.method}: {self.flux}")
        if self.offsets is not None:
            lines.append(f"offsets (dx, dy): {self.offsets}")
        if self.response is not None:
            lines.append(f"local response: {self.response!r}, {self.response.settings!r}")
        if self.measured is not None:
            lines.extend(f"{name}: {value}" for name, value in self.measured.in_words().items())
        return tuple(lines)


def open_settings(settings):
    """Parameters of an `Equalization` that are neither given nor measured, as a set of names."""
    given = {name for name in ("flux_factors", "offsets", "response") if getattr(settings, name) is not None}
    if settings.crosscorr_region is not None:
        given.add("offsets")
    return set(NAMES) - given


def equalize(
    exposures: Exposures, statistics: Callable[[], OrderStatistics], settings: Equalization
) -> EqualizedExposures:
    """Measure the requested differences and equalize the exposures.

    Parameters
    ----------
    exposures : Exposures
        Exposures as read.
    statistics : callable
        Gives their `OrderStatistics`; called only if needed.
    settings : Equalization
        Settings of the equalization.

    Returns
    -------
    equalized : EqualizedExposures

    Notes
    -----
    Exposure i is expected to be (common image x flux factor f_i, shifted by its offset) x
    response r_i. It is divided by r_i, and by f_i where the factors apply to the
    original exposures; its noise goes with it. What remains expected to differ
    from the common image, through f_i or the offset, is subtracted where
    exposures are compared, never where they are combined: the expected
    image is shifted, not the data. What `measure_differences` finds beyond that is subtracted likewise.
    """
    found = _equalize_as_known(exposures, statistics, settings)
    names = open_settings(settings)
    if settings.differences is None or not names:
        return found
    return _with_measured(found, names)


def _with_measured(found, names):
    """Exposures with their differences beyond the known ones."""
    levelled = found.levelled

    def variance_of(signal, box=None):
        return (levelled if box is None else levelled.cutout(box)).mean_variance(signal)

    data = levelled.data
    if levelled.bad is not None:
        data = np.where(levelled.bad, np.ma.median(np.ma.masked_array(data, levelled.bad), axis=0).filled(0), data)
    measured = measure_differences(data.astype(np.float32, copy=False), variance_of, levelled.bad, names)
    if not measured:
        return replace(found, measured=measured)
    known = found.differences or [np.float32(0)] * len(found.exposures)
    differences = [
        one + (scale - np.float32(1)) * measured.common + added
        for one, scale, added in zip(known, measured.scales, measured.added, strict=True)
    ]
    return replace(found, common=measured.common, differences=differences, known=found.differences, measured=measured)


def _equalize_as_known(exposures, statistics, settings):
    """The exposures with flux factors, offsets and response as given or asked for."""
    n = len(exposures)
    flux, offsets = _flux_and_offsets(exposures, statistics, settings)
    factors = (1.0,) * n if flux is None else flux.values
    shifts = None if offsets is None else offsets.values
    common = moved = None
    if shifts is not None:
        common = common_image(exposures, statistics(), factors, shifts)
        moved = moved_images(exposures, common, shifts)
    response = None
    if settings.response is not None:
        response = estimate_response(exposures, settings.response, factors=factors, models=moved)
    if flux is not None and settings.apply_flux_factors_to == "original":
        exposures, factors = exposures.divided_by(factors), (1.0,) * n
    if response is not None:
        exposures = exposures.divided_by(response.maps)
    if shifts is None and all(factor == 1 for factor in factors):
        return EqualizedExposures(exposures, flux, offsets, response)
    if common is None:
        common = common_image(exposures, None, factors)
    differences = expected_differences(exposures, common, factors, shifts, moved)
    return EqualizedExposures(exposures, flux, offsets, response, common, differences, factors)


def _flux_and_offsets(exposures, statistics, settings):
    """Flux factors and offsets, given or measured; each measurement uses the other."""
    if settings.offsets is not None and not isinstance(settings.offsets, str):
        offsets = Offsets(settings.offsets, ((0.0, 0.0),) * len(exposures))
        return _flux(exposures, statistics, settings, offsets.values), offsets
    flux = _flux(exposures, statistics, settings)
    if settings.offsets is None and settings.crosscorr_region is None:
        return flux, None
    factors = (1.0,) * len(exposures) if flux is None else flux.values
    offsets = estimate_offsets(exposures, statistics(), settings.crosscorr_region, factors)
    if isinstance(settings.flux_factors, str):
        flux = _flux(exposures, statistics, settings, offsets.values)
    return flux, offsets


def _flux(exposures, statistics, settings, shifts=None):
    if settings.flux_factors is None:
        return None
    if isinstance(settings.flux_factors, str):
        options = (settings.flux_regions, settings.flux_method)
        return estimate_flux_factors(exposures, statistics(), *options, offsets=shifts)
    values = check_flux_factors(settings.flux_factors, len(exposures))
    return FluxFactors(values, (0.0,) * len(exposures))
