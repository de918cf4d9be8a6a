"""Equalized exposures: what is known of their differences, and what is measured beyond it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np

from crstack.equalize.fit.differences import Differences
from crstack.equalize.fit.given_seeing import seeing_changes, seeing_kernels
from crstack.equalize.measure import measure_differences
from crstack.equalize.settings import Equalization, known_steps, open_settings
from crstack.equalize.terms.common import common_image, expected_differences, moved_images
from crstack.equalize.terms.flux import FluxFactors, check_flux_factors, estimate_flux_factors
from crstack.equalize.terms.given_terms import rough_levels
from crstack.equalize.terms.offsets import Offsets, estimate_offsets
from crstack.equalize.terms.response import Response, ResponseSettings, estimate_response
from crstack.exposures import Exposures
from crstack.exposures.comparison.times import factors_of_times
from crstack.statistics import OrderStatistics, order_statistics, with_bad_filled
from crstack.utils.cached import cached_property
from crstack.utils.memory import empty_image, stacked
from crstack.utils.pixels import at_pixels, by_rows
from crstack.utils.threads import map_threads, row_bands

__all__ = ["EqualizedExposures", "before_shifts", "equalize", "equalize_as_known", "with_measured"]

#: method of flux factors that are ratios of exposure times
OF_TIMES = "exposure times"


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
    added : list of `~numpy.ndarray` or None
        The part of ``differences`` that comes from given added levels (minus their mean) and from given seeing.
    words : tuple of str
        Descriptions of these.
    measured : Differences or None
        What was measured in addition; None if nothing more was to be measured.
    """

    exposures: Exposures
    flux: FluxFactors | None = None
    offsets: Offsets | None = None
    response: Response | None = None
    common: np.ndarray | None = None
    differences: list | None = None
    factors: tuple = ()
    added: list | None = None
    words: tuple[str, ...] = ()
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
        """Description of the equalization, as a tuple of lines.

        Returns
        -------
        lines : tuple of str
            For the history of the masks.
        """
        lines = []
        if self.flux is not None:
            lines.append(f"flux factors, {self.flux.method}: {self.flux}")
        if self.offsets is not None:
            lines.append(f"offsets (dx, dy): {self.offsets}")
        if self.response is not None:
            settings = "" if self.response.settings is None else f", {self.response.settings!r}"
            lines.append(f"local response: {self.response!r}{settings}")
        lines.extend(self.words)
        if self.measured is not None:
            lines.extend(f"{name}: {value}" for name, value in self.measured.in_words().items())
        return tuple(lines)


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
        The exposures, and the expected image of each.

    Notes
    -----
    Exposure i is expected to be the common image times the flux factor f_i, shifted by its offset, and times the
    response r_i. The exposure and its noise are divided by r_i, and also by f_i if the factors apply to the original
    exposures. The difference from the common image that then remains, by f_i or by the offset, is subtracted where
    exposures are compared, but not where they are combined. The expected image is shifted, and not the data. Further
    differences, which `measure_differences` finds, are subtracted in the same way.
    """
    known, names = equalize_as_known(exposures, statistics, settings), open_settings(settings)
    steps = known_steps(settings)
    return with_measured(known if steps is None else before_shifts(known), names, steps)


def before_shifts(known: EqualizedExposures) -> EqualizedExposures:
    """Equalized exposures without their given offsets.

    Parameters
    ----------
    known : EqualizedExposures
        As `equalize_as_known` returns them, without given seeing.

    Returns
    -------
    equalized : EqualizedExposures
        The same object if it has no offsets.
    """
    if known.offsets is None:
        return known
    exposures, levels, factors = known.exposures, known.added, known.factors
    bare = EqualizedExposures(exposures, known.flux, None, known.response, words=known.words)
    if levels is None and all(one == 1 for one in factors):
        return bare
    flat = exposures if levels is None else exposures.minus(levels)
    common = common_image(flat, None, factors)
    differences = _with_levels(expected_differences(flat, common, factors), levels)
    return replace(bare, common=common, differences=differences, factors=factors, added=levels)


def _with_levels(differences, levels):
    """Differences of the exposures from the common image, with their added levels, if there are any."""
    if levels is None:
        return differences
    return [by_rows(_sum, one, level) for one, level in zip(differences, levels, strict=True)]


def with_measured(
    found: EqualizedExposures, names: Collection[str], steps: tuple[tuple[int, int], ...] | None = None
) -> EqualizedExposures:
    """Equalized exposures with measured differences beyond the known ones.

    Parameters
    ----------
    found : EqualizedExposures
        As `equalize_as_known` returns them; without their offsets if steps are given, see `before_shifts`.
    names : collection of str
        Terms to measure, see `open_settings`; nothing is measured if it is empty.
    steps : tuple of (int, int), optional
        Known shifts in whole pixels.

    Returns
    -------
    equalized : EqualizedExposures
    """
    if not names:
        return found
    electrons, variance_of, unit = _in_electrons(found.levelled)
    levelled = found.levelled
    measured = measure_differences(
        electrons, variance_of, levelled.bad, names, steps=steps, comparable=levelled.comparable
    )
    if not measured or measured.common is None:
        return replace(found, measured=measured)
    common = by_rows(np.divide, measured.common, unit)
    known = found.differences or [np.float32(0)] * len(found.exposures)
    differences = [
        by_rows(_difference, one, scale, common, added, unit)
        for one, scale, added in zip(known, measured.scales, measured.added, strict=True)
    ]
    return replace(found, common=common, differences=differences, measured=measured)


def _difference(known, scale, common, added, unit):
    """The expected image of an exposure minus the common image, in the unit of the exposures."""
    return known + (scale - np.float32(1)) * common + added / unit


def _in_electrons(levelled):
    """Exposures (N, ny, nx) in electrons without bad values, a function of their variance, and electrons per unit."""
    unit = np.float32(levelled.noise.electrons_per_unit)

    def variance_of(signal, box=None):
        some = levelled if box is None else levelled.cutout(box)
        per_unit = unit if box is None or np.ndim(unit) == 0 else unit[box]
        return some.mean_variance(signal / per_unit) * per_unit**2

    if levelled.bad is None and np.ndim(unit) == 0 and unit == 1:
        return levelled.data, variance_of, unit
    electrons = empty_image(levelled.data.shape)

    def work(rows):
        data = levelled.data[:, rows]
        data = with_bad_filled(data, None if levelled.bad is None else levelled.bad[:, rows])
        electrons[:, rows] = data * at_pixels(unit, rows)

    map_threads(work, row_bands(*levelled.shape))
    return electrons, variance_of, unit


def _with_seeing(found, settings):
    """Equalized exposures with the changes by given seeing."""
    if settings.seeing is None or isinstance(settings.seeing, str):
        return found
    n = len(found.exposures)
    factors = np.array(found.factors or (1.0,) * n)
    electrons, variance_of, unit = _in_electrons(found.levelled)
    common, changes = seeing_changes(
        electrons,
        variance_of,
        found.levelled.bad,
        seeing_kernels(settings.seeing) * factors[:, None, None],
        with_levels="backgrounds" in open_settings(settings),
    )
    changes = [by_rows(np.divide, one, unit) for one in changes]
    known = found.differences or [np.float32(0)] * n
    added = found.added or [np.float32(0)] * n
    differences, added = ([by_rows(np.add, a, b) for a, b in zip(one, changes, strict=True)] for one in (known, added))
    words = (f"seeing, given, FWHM: {', '.join(f'{one:g}' for one in settings.seeing)} pixels",)
    return replace(
        found,
        common=by_rows(np.divide, common, unit) if found.common is None else found.common,
        differences=differences,
        factors=tuple(factors.tolist()),
        added=added,
        words=(*found.words, *words),
    )


def equalize_as_known(
    exposures: Exposures, statistics: Callable[[], OrderStatistics], settings: Equalization
) -> EqualizedExposures:
    """Equalized exposures with what is given, and what is measured before all other terms.

    Parameters
    ----------
    exposures, statistics, settings
        As for `equalize`.

    Returns
    -------
    equalized : EqualizedExposures
    """
    return _with_seeing(_without_seeing(exposures, statistics, settings), settings)


def _without_seeing(exposures, statistics, settings):
    """The exposures with all that is known of their differences, except the given seeing."""
    n, words = len(exposures), ()
    known, given = _known_factors(exposures, settings), statistics
    levels, flat = _given_levels(exposures, settings, known), exposures
    if levels is not None:
        flat = exposures.minus(levels)
        statistics = lambda: order_statistics(flat.data, given().cr_coincidences, flat.bad)  # noqa: E731
    flux, offsets = _flux_and_offsets(flat, statistics, settings)
    factors = (1.0,) * n if flux is None else flux.values
    if levels is not None and known is None and flux is not None:
        levels = _given_levels(exposures, settings, factors)
        flat = exposures.minus(levels)
    shifts = None if offsets is None else offsets.values
    common = moved = None
    if shifts is not None:
        flat, statistics = _on_one_level(flat, statistics, settings, factors)
        common = common_image(flat, statistics(), factors, shifts)
        moved = moved_images(flat, common, shifts)
    response = _response(flat, settings, factors, moved)
    divisors = []
    if flux is not None and _divides(settings, flux):
        divisors.append(factors)
        factors = (1.0,) * n
    if response is not None:
        divisors.append(response.maps)
    for scales in divisors:
        exposures, flat, levels = _divided(exposures, flat, levels, scales)
    if shifts is None and levels is None and all(factor == 1 for factor in factors):
        return EqualizedExposures(exposures, flux, offsets, response)
    if common is None:
        common = common_image(flat, None, factors)
    differences = _with_levels(expected_differences(flat, common, factors, shifts, moved), levels)
    if levels is not None:
        means = ", ".join(f"{np.mean(level):+.4g}" for level in levels)
        words = (f"added levels, given, less their mean: {means} {exposures.unit}",)
    return EqualizedExposures(
        exposures, flux, offsets, response, common, differences, factors, added=levels, words=words
    )


def _divided(exposures, flat, levels, scales):
    """The exposures, the same without added levels, and these levels (or None), all divided by ``scales``."""
    exposures = exposures.divided_by(scales)
    if levels is None:
        return exposures, exposures, None
    levels = [by_rows(_over, one, scale) for one, scale in zip(levels, scales, strict=True)]
    return exposures, flat.divided_by(scales), levels


def _over(level, scale):
    return level / np.float32(scale)


def _sum(difference, level):
    return np.asarray(difference + level, np.float32)


def _on_one_level(flat, statistics, settings, factors):
    """The exposures and their statistics minus rough added levels, if the levels are to be measured later.

    With levels that differ, the common image would be the median in some pixels and the lowest exposure in others. A
    shift of this image would make false edges.
    """
    levels = rough_levels(flat, factors) if "backgrounds" in open_settings(settings) else None
    if levels is None:
        return flat, statistics
    level = flat.minus(levels)
    return level, lambda: order_statistics(level.data, statistics().cr_coincidences, level.bad)


def _known_factors(exposures, settings):
    """Flux factors that need no measurement: those given, or of exposure times; None for others."""
    flux = None if settings.measures_factors else _flux(exposures, None, settings)
    return None if flux is None else flux.values


def _given_levels(exposures, settings, factors):
    """The given added levels minus the flux factors times a common level; None if none are given.

    They are in the unit of the exposures, and their mean is 0. An exposure minus its level is the flux factor times one
    image, which includes the common level.
    """
    if settings.backgrounds is None or isinstance(settings.backgrounds, str):
        return None
    seconds = exposures.rate_seconds or 1.0
    unit = exposures.given_unit
    levels = [one.to_value(unit) if isinstance(one, u.Quantity) else one for one in settings.backgrounds]
    levels = [by_rows(lambda one: np.asarray(one * seconds, np.float32), one) for one in levels]
    mean = by_rows(lambda *each: sum(each) / np.float32(len(each)), *levels)
    if factors is None or all(one == 1 for one in factors):
        return [by_rows(np.subtract, one, mean) for one in levels]
    shares = np.asarray(factors, np.float32) / np.float32(np.mean(factors))
    return [
        by_rows(lambda one, mean, share: one - mean * share, one, mean, share)
        for one, share in zip(levels, shares, strict=True)
    ]


def _response(exposures, settings, factors, moved):
    """The local response, given or measured; None for none."""
    if isinstance(settings.response, ResponseSettings):
        return estimate_response(exposures, settings.response, factors=factors, models=moved)
    if settings.response is None or isinstance(settings.response, str):
        return None
    return Response(stacked(np.broadcast_to(np.asarray(one, np.float32), exposures.shape) for one in settings.response))


def _divides(settings, flux):
    """Whether the exposures are divided by the flux factors."""
    return settings.apply_flux_factors_to == "original" or (
        settings.apply_flux_factors_to is None and flux.method == OF_TIMES
    )


def _flux_and_offsets(exposures, statistics, settings):
    """Flux factors and offsets, given or measured; each measurement uses the other."""
    if settings.offsets is not None and not isinstance(settings.offsets, str):
        offsets = Offsets(settings.offsets, ((0.0, 0.0),) * len(exposures))
        return _flux(exposures, statistics, settings, offsets.values), offsets
    flux = _flux(exposures, statistics, settings)
    if not settings.measures_offsets:
        return flux, None
    factors = (1.0,) * len(exposures) if flux is None else flux.values
    offsets = estimate_offsets(exposures, statistics(), settings.crosscorr_region, factors)
    if settings.measures_factors:
        flux = _flux(exposures, statistics, settings, offsets.values)
    return flux, offsets


def _flux(exposures, statistics, settings, shifts=None):
    """Flux factors that are given, measured, or ratios of exposure times; None for none."""
    if settings.flux_factors is None:
        return None
    n = len(exposures)
    if settings.measures_factors:
        options = (settings.flux_regions, settings.flux_method or "slope")
        return estimate_flux_factors(exposures, statistics(), *options, offsets=shifts)
    if settings.uses_times:
        values = factors_of_times(exposures)
        return None if values is None else FluxFactors(values, (0.0,) * n, OF_TIMES)
    values = check_flux_factors(settings.flux_factors, n)
    return FluxFactors(values, (0.0,) * n)
