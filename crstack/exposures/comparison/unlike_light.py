"""Hits of the exposure with most light that the noise of the others hides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crstack.exposures.cube import Exposures
from crstack.utils.medians import median_of_values

__all__ = ["LEVELS", "HiddenHits", "hidden_hits", "usual_variances"]

#: a hit is seen from this many standard deviations of the difference from the other exposures
SEEN = 3.0
#: number of values that give the usual level
LEVELS = 100_000


@dataclass(frozen=True)
class HiddenHits:
    """Size of the hits that the noise of the other exposures hides.

    Attributes
    ----------
    long : int
        Number of the exposure with most light, from 0.
    short : tuple of int
        The others, that with least light first.
    sigmas : float
        Most of the hits of this size are found: in standard deviations of the exposure.
    charge : float
        The same in the unit of the exposures as they were read.
    as_combined, by_light : float
        The same in standard deviations of a mean with equal weights, and with weights in proportion to the light.
    """

    long: int
    short: tuple[int, ...]
    sigmas: float
    charge: float
    as_combined: float
    by_light: float


def usual_variances(exposures: Exposures) -> np.ndarray:
    """Variance (N,) of the values of each exposure at its usual level.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    """
    step = max(exposures.data[0].size // LEVELS, 1)
    variances = np.empty(len(exposures))
    for i, plane in enumerate(exposures.data):
        level = max(float(median_of_values(plane.ravel()[::step])), 0.0)
        variances[i] = max(float(median_of_values(exposures.noise_of(i).variance(level))), 1e-30)
    return variances


def hidden_hits(exposures: Exposures, factors: Sequence[float], light: Sequence[float]) -> HiddenHits:
    """Size of the hits of the exposure with most light that the noise of the others hides.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    factors : sequence of float
        N positive numbers: the level of each exposure, as it is here, over a common level.
    light : sequence of float
        N positive numbers, in proportion to the light that each exposure has collected.

    Returns
    -------
    hidden : HiddenHits

    Notes
    -----
    A value of the longest exposure, of variance V, is compared with the weighted mean of those of the others, each
    multiplied by the ratio r of the levels. Its variance W is given by 1 / W = sum 1 / (r^2 V_i). A hit is seen if it
    exceeds three standard deviations of the difference, which are 3 sqrt(1 + W / V) of those of the longest exposure.
    """
    left, total = np.array(factors, dtype=float), np.array(light, dtype=float)
    *short, long = np.argsort(total, kind="stable").tolist()
    variances = usual_variances(exposures)
    compared = (left[long] / left) ** 2 * variances
    of_others = 1 / np.sum(1 / compared[short])
    sigmas = SEEN * np.sqrt(1 + of_others / variances[long])
    charge = sigmas * np.sqrt(variances[long])
    in_mean = [float(one[long] * charge / np.sqrt(np.sum(one**2 * compared))) for one in (left, total)]
    divisor = float(median_of_values(exposures.scales[long])) if exposures.scales else 1.0
    return HiddenHits(long, tuple(short), float(sigmas), float(charge * divisor), *in_mean)
