"""Equalized exposures with what is given of their differences, and what is measured term by term."""

from collections.abc import Callable
from dataclasses import replace

import astropy.units as u
import numpy as np

from crstack.equalize.electrons import in_electrons
from crstack.equalize.equalized import EqualizedExposures
from crstack.equalize.fit.given_seeing import seeing_changes, seeing_kernels
from crstack.equalize.settings import Equalization, open_settings
from crstack.equalize.terms.common import common_image, expected_differences, moved_images
from crstack.equalize.terms.flux import FluxFactors, check_flux_factors, estimate_flux_factors
from crstack.equalize.terms.given_terms import rough_levels
from crstack.equalize.terms.offsets import Offsets, estimate_offsets
from crstack.equalize.terms.response import Response, ResponseSettings, estimate_response
from crstack.exposures import Exposures
from crstack.exposures.comparison.times import factors_of_times
from crstack.statistics import OrderStatistics, order_statistics
from crstack.utils.memory import stacked
from crstack.utils.pixels import by_rows

__all__ = ["before_shifts", "equalize_as_known"]

#: method of flux factors that are ratios of exposure times
OF_TIMES = "exposure times"


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


def _with_seeing(found, settings):
    """Equalized exposures with the changes by given seeing."""
    if settings.seeing is None or isinstance(settings.seeing, str):
        return found
    n = len(found.exposures)
    factors = np.array(found.factors or (1.0,) * n)
    electrons, variance_of, unit = in_electrons(found.levelled)
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


def _without_seeing(exposures, statistics, settings):
    """The exposures with all that is known of their differences, except the given seeing."""
    levels, flat, statistics, flux, offsets = _levels_factors_and_offsets(exposures, statistics, settings)
    ones = (1.0,) * len(exposures)
    factors = ones if flux is None else flux.values
    shifts = None if offsets is None else offsets.values
    common = moved = None
    if shifts is not None:
        flat, statistics = _on_one_level(flat, statistics, settings, factors)
        common = common_image(flat, statistics(), factors, shifts)
        moved = moved_images(flat, common, shifts)
    response = _response(flat, settings, factors, moved)
    if flux is not None and _divides(settings, flux):
        exposures, flat, levels = _divided(exposures, flat, levels, factors)
        factors = ones
    if response is not None:
        exposures, flat, levels = _divided(exposures, flat, levels, response.maps)
    if shifts is None and levels is None and all(factor == 1 for factor in factors):
        return EqualizedExposures(exposures, flux, offsets, response)
    if common is None:
        common = common_image(flat, None, factors)
    differences = _with_levels(expected_differences(flat, common, factors, shifts, moved), levels)
    words = _words_of_levels(levels, exposures.unit)
    return EqualizedExposures(exposures, flux, offsets, response, common, differences, factors, levels, words)


def _levels_factors_and_offsets(exposures, statistics, settings):
    """Added levels, the exposures minus these and their statistics, flux factors and offsets; None for what is absent.

    Each measurement uses the others: the levels include a common level times the flux factors.
    """
    known = _known_factors(exposures, settings)
    levels = _given_levels(exposures, settings, known)
    flat, of_flat = _minus_levels(exposures, statistics, levels)
    flux, offsets = _flux_and_offsets(flat, of_flat, settings)
    if levels is not None and known is None and flux is not None:
        levels = _given_levels(exposures, settings, flux.values)
        flat, of_flat = _minus_levels(exposures, statistics, levels)
    return levels, flat, of_flat, flux, offsets


def _minus_levels(exposures, statistics, levels):
    """The exposures minus added levels, if there are any, and a function that gives their statistics."""
    if levels is None:
        return exposures, statistics
    flat = exposures.minus(levels)
    return flat, lambda: order_statistics(flat.data, statistics().cr_coincidences, flat.bad)


def _words_of_levels(levels, unit):
    """The description of given added levels, a tuple of str."""
    if levels is None:
        return ()
    means = ", ".join(f"{np.mean(level):+.4g}" for level in levels)
    return (f"added levels, given, less their mean: {means} {unit}",)


def _on_one_level(flat, statistics, settings, factors):
    """The exposures and their statistics minus rough added levels, if the levels are to be measured later.

    With levels that differ, the common image would be the median in some pixels and the lowest exposure in others. A
    shift of this image would make false edges.
    """
    levels = rough_levels(flat, factors) if "backgrounds" in open_settings(settings) else None
    return _minus_levels(flat, statistics, levels)


def _divided(exposures, flat, levels, scales):
    """The exposures, the same without added levels, and these levels (or None), all divided by ``scales``."""
    exposures = exposures.divided_by(scales)
    if levels is None:
        return exposures, exposures, None
    levels = [by_rows(_over, one, scale) for one, scale in zip(levels, scales, strict=True)]
    return exposures, flat.divided_by(scales), levels


def _over(level, scale):
    return level / np.float32(scale)


def _with_levels(differences, levels):
    """Differences of the exposures from the common image, with their added levels, if there are any."""
    if levels is None:
        return differences
    return [by_rows(_sum, one, level) for one, level in zip(differences, levels, strict=True)]


def _sum(difference, level):
    return np.asarray(difference + level, np.float32)


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
