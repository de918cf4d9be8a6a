"""Expected values of equalized exposures for the joint decision."""

import operator

import numpy as np

from crstack.joint.counts import Counts
from crstack.utils.memory import empty_image, kept, relax
from crstack.utils.pixels import by_rows

__all__ = ["counts_of"]


def counts_of(equalized):
    """The exposures in electrons without correction, and their expected values.

    Parameters
    ----------
    equalized : `~crstack.equalize.EqualizedExposures`
        Exposures with their known differences, and without measured ones.

    Returns
    -------
    counts : Counts
    """
    exposures, n = equalized.exposures, len(equalized.exposures)
    per_unit, variances, poisson = zip(*(_noise_of(exposures, i) for i in range(n)), strict=True)
    data = _in_electrons(exposures.data, per_unit)
    variance = np.square(exposures.noise.readnoise_electrons, dtype=np.float32)
    if not all(poisson) or exposures.missing:
        variance = variances
    factors = equalized.factors or (1.0,) * n
    scales = worth = None
    unit = exposures.noise.electrons_per_unit
    if exposures.scales:
        worth = tuple(by_rows(operator.truediv, unit, one) for one in per_unit)
    if exposures.scales or any(factor != 1 for factor in factors):
        scales = tuple(by_rows(_scale, factor, one, unit) for factor, one in zip(factors, per_unit, strict=True))
    shifts = _shifts(equalized, factors, per_unit)
    return Counts(data, variance, exposures.bad, scales, shifts, None if all(poisson) else poisson, worth)


def _noise_of(exposures, i):
    """Electrons per unit of an exposure, its variance (electrons squared), and whether this lacks the photons."""
    noise = exposures.noise_of(i)
    (per_unit,) = kept((noise.electrons_per_unit,))
    if noise.known_variance is None:
        (variance,) = kept((np.square(noise.readnoise_electrons, dtype=np.float32),))
        return per_unit, variance, True
    return per_unit, by_rows(_in_squared_electrons, noise.known_variance, per_unit), False


def _in_squared_electrons(variance, per_unit):
    return variance * np.square(per_unit, dtype=np.float32)


def _scale(factor, per_unit, unit):
    return factor * per_unit / unit


def _shifts(equalized, factors, per_unit):
    """What is added to the expected counts of each exposure, by given offsets, levels and seeing; None for nothing."""
    shifts, added = None, equalized.added
    if equalized.offsets is not None:
        offsets, known = equalized.offsets.values, equalized.differences
        if added is not None:
            known = [by_rows(np.subtract, one, more) for one, more in zip(known, added, strict=True)]
        shifts = tuple(
            by_rows(_moved, difference, np.float32(factor - 1), equalized.common, one) if any(offset) else 0.0
            for difference, factor, one, offset in zip(known, factors, per_unit, offsets, strict=True)
        )
    if added is not None:
        added = tuple(by_rows(_in_counts, more, one) for more, one in zip(added, per_unit, strict=True))
        shifts = added if shifts is None else tuple(by_rows(np.add, *pair) for pair in zip(shifts, added, strict=True))
    return shifts


def _moved(difference, factor, common, per_unit):
    return (difference - factor * common) * np.float32(per_unit)


def _in_counts(added, per_unit):
    return added * np.float32(per_unit)


def _in_electrons(data, per_unit):
    """The cube in electrons; the same object if the exposures are in electrons."""
    if all(np.ndim(one) == 0 and one == 1 for one in per_unit):
        return data
    electrons = empty_image(data.shape)
    for plane, own, one in zip(electrons, data, per_unit, strict=True):
        np.multiply(own, np.float32(one), out=plane)
        relax()
    return electrons
