"""Equalized exposures with the differences that are measured beyond the known ones."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from crstack.equalize.electrons import in_electrons
from crstack.equalize.equalized import EqualizedExposures
from crstack.equalize.known import before_shifts, equalize_as_known
from crstack.equalize.measure import measure_differences, with_values
from crstack.equalize.settings import Equalization, known_steps, open_settings
from crstack.exposures import Exposures
from crstack.statistics import OrderStatistics
from crstack.utils.pixels import by_rows

__all__ = ["equalize", "with_measured"]


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
    electrons, variance_of, unit = in_electrons(found.levelled)
    levelled = found.levelled
    bad, n = levelled.bad, len(levelled)
    used = with_values(bad, n)
    if len(used) < n:
        electrons, bad = electrons[used], bad[used]
        steps = None if steps is None else tuple(steps[i] for i in used)
    measured = measure_differences(electrons, variance_of, bad, names, steps=steps, comparable=levelled.comparable)
    measured = measured.placed(used, n)
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
