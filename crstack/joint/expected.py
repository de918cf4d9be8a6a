"""Expected values of equalized exposures for the joint decision."""

import numpy as np

from crstack.joint.counts import Counts
from crstack.utils.memory import empty_image, relax

__all__ = ["counts_of"]


def counts_of(equalized, data=None):
    """The exposures in electrons without correction, and their expected values.

    Parameters
    ----------
    equalized : `~crstack.equalize.EqualizedExposures`
        Exposures with their known differences, and without measured ones.
    data : `~numpy.ndarray`, optional
        float32 (N, ny, nx), the exposures in electrons without correction, if available.

    Returns
    -------
    counts : Counts
    """
    exposures, n = equalized.exposures, len(equalized.exposures)
    base, noises = exposures.noise, [exposures.noise_of(i) for i in range(n)]
    per_unit = [noise.electrons_per_unit for noise in noises]
    data = _in_electrons(exposures.data, per_unit) if data is None else data
    readnoise2 = np.square(base.readnoise_electrons, dtype=np.float32)
    variance, poisson = readnoise2, None
    if any(noise.known_variance is not None for noise in noises):
        poisson = tuple(noise.known_variance is None for noise in noises)
        variance = tuple(
            np.square(noise.readnoise_electrons, dtype=np.float32)
            if own
            else noise.known_variance * np.square(one, dtype=np.float32)
            for own, noise, one in zip(poisson, noises, per_unit, strict=True)
        )
    elif exposures.missing:
        variance = tuple(np.square(noise.readnoise_electrons, dtype=np.float32) for noise in noises)
    factors = equalized.factors or (1.0,) * n
    scales = shifts = worth = None
    unit = base.electrons_per_unit
    if exposures.scales:
        worth = tuple(unit / one for one in per_unit)
    if exposures.scales or any(factor != 1 for factor in factors):
        scales = tuple(factor * one / unit for factor, one in zip(factors, per_unit, strict=True))
    if equalized.offsets is not None:
        offsets, known = equalized.offsets.values, equalized.differences
        if equalized.added is not None:
            known = [one - more for one, more in zip(known, equalized.added, strict=True)]
        shifts = tuple(
            (difference - np.float32(factor - 1) * equalized.common) * np.float32(one) if any(offset) else 0.0
            for difference, factor, one, offset in zip(known, factors, per_unit, offsets, strict=True)
        )
    if equalized.added is not None:
        added = [more * np.float32(one) for more, one in zip(equalized.added, per_unit, strict=True)]
        shifts = tuple(added if shifts is None else map(np.add, shifts, added))
    return Counts(data, variance, exposures.bad, scales, shifts, poisson, worth)


def _in_electrons(data, per_unit):
    if all(np.ndim(one) == 0 and one == 1 for one in per_unit):
        return data
    electrons = empty_image(data.shape)
    for plane, own, one in zip(electrons, data, per_unit, strict=True):
        np.multiply(own, np.float32(one), out=plane)
        relax()
    return electrons
