"""Measurement of the expected values of exposures that are not equivalent."""

from dataclasses import replace

import numpy as np

from crstack.equalize.measure import measure_differences, with_values
from crstack.joint.cubes import means_of
from crstack.joint.unlike_noise import relative_noises
from crstack.utils.pixels import by_rows

__all__ = ["with_measured_differences"]


def with_measured_differences(counts, names, steps=None, comparable=True):
    """Measure the differences between exposures, and include them in the expected values.

    Parameters
    ----------
    counts : Counts
        The exposures in electrons, with their expected values so far.
    names : set of str
        Terms that may be measured: see `crstack.equalize.settings.open_settings`.
    steps : tuple of (int, int), optional
        Known shifts in whole pixels.
    comparable : bool, optional
        As for `crstack.equalize.measure.measure_differences`.

    Returns
    -------
    counts : Counts
        Exposures with the measured expected values; the same object if nothing differs.
    differences : `~crstack.equalize.Differences`
    """
    # in a fixed order, so that the rounding of sums does not depend on the order of the exposures
    order = means_of(counts.data).argsort(kind="stable")
    order = order[np.isin(order, with_values(counts.bad, len(order)))]
    ordered = counts.ordered(order)
    levels, noises = ordered.level_cube, relative_noises(ordered)
    steps = None if steps is None else tuple(steps[i] for i in order)
    known = levels, ordered.mean_variance_in, ordered.bad, names, noises, steps
    found = measure_differences(*known, comparable=comparable)
    found = found.placed(order, len(counts.data))
    return (_expecting(counts, found) if found else counts), found


def _expecting(counts, found):
    """The counts with the expected values and variances of the measured differences ``found``."""
    n = len(counts.data)
    scales = [np.float32(1) if counts.scales is None else np.asarray(counts.scales[i], np.float32) for i in range(n)]
    shifts = [np.float32(0) if counts.shifts is None else np.asarray(counts.shifts[i], np.float32) for i in range(n)]
    terms = list(zip(shifts, scales, found.added, strict=True))
    shifts = tuple(by_rows(lambda shift, scale, one: shift + scale * one, *term) for term in terms)
    scales = tuple(by_rows(np.multiply, scale, one) for scale, one in zip(scales, found.scales, strict=True))
    variance = counts.variance
    if any(np.ndim(one) for one in found.noises):
        variances = variance if isinstance(variance, tuple) else (variance,) * n
        variance = tuple(by_rows(np.add, one, noise) for one, noise in zip(variances, found.noises, strict=True))
    return replace(counts, scales=scales, shifts=shifts, variance=variance)
