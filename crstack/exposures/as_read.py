"""What is known of the exposures as they were read."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

__all__ = ["AsRead", "least_noise"]


@dataclass(frozen=True, eq=False)
class AsRead:
    """What is known of the exposures as they were read.

    Attributes
    ----------
    first : `~numpy.ndarray`
        First exposure (ny, nx).
    same : `~numpy.ndarray` of bool
        (ny, nx), pixels with the same value in all exposures.
    unit : `~astropy.units.Unit`
        Unit of the exposures.
    plateaus : list of (int, Plateau)
        Saturated exposures by their number from 0, where no saturation is given.
    """

    first: np.ndarray
    same: np.ndarray
    unit: u.UnitBase
    plateaus: list


def least_noise(exposures):
    """Smallest read noise of the exposures, in the unit in which they were read."""
    return float(np.min(exposures.noise.readnoise_in_unit)) / (exposures.rate_seconds or 1)
