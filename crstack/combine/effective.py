"""Gain and read noise that describe the variance of a combined image."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from crstack.combine.clean_values import middle
from crstack.combine.order import order_variance

__all__ = ["KEYWORDS", "EffectiveNoise", "effective_noise"]

#: keywords of the two numbers in the header
KEYWORDS = ("EFFGAIN", "EFFRN")
#: combinations of ordered values; the others are means
MEDIANS, MINIMA = ("median", "mediancr"), ("min",)


@dataclass(frozen=True)
class EffectiveNoise:
    """Gain and read noise of a combined image.

    The variance of a value with the expected signal s is s / gain + (readnoise / gain)^2, in the unit of the image
    squared.

    Attributes
    ----------
    gain : float
        Electrons per unit of the image.
    readnoise : float
        In electrons.
    unit : `~astropy.units.Unit`
        That of the gain.
    """

    gain: float
    readnoise: float
    unit: u.UnitBase

    def cards(self):
        """The cards of the header, as a mapping from keyword to value and comment."""
        unit = "" if self.unit == u.dimensionless_unscaled else f"[{str(self.unit).replace(' / ', '/')}] "
        return {
            KEYWORDS[0]: (float(f"{self.gain:.6g}"), f"{unit}gain of the combined image"),
            KEYWORDS[1]: (float(f"{self.readnoise:.6g}"), "[electron] read noise of the combined image"),
        }


def effective_noise(exposures, name, cr_coincidences, weights=None):
    """Gain and read noise that give the variance of a combination where no value is masked.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        What is combined.
    name : str
        Name of the combination.
    cr_coincidences : int
        As for `~crstack.CRStack`; the minimum depends on it.
    weights : sequence of float, optional
        Weights of the exposures in means.

    Returns
    -------
    noise : EffectiveNoise or None
        None if the variance is not the same function of the signal in all pixels: for images of gain or read noise,
        for exposures with uncertainties, and for photons that are overdispersed.
    """
    n = len(exposures)
    noises = [exposures.noise_of(i) for i in range(n)]
    if any(not one.is_uniform or one.nbinom_shape is not None for one in noises):
        return None
    constants = np.array([float(one.variance(0.0)) for one in noises])
    slopes = np.array([float(one.variance(1.0)) for one in noises]) - constants
    if name in MEDIANS or name in MINIMA:
        low, high = middle(n) if name in MEDIANS else (0, max(n - cr_coincidences, 1) - 1)
        factors = np.full(n, order_variance(n, n, low, high) / n)
    else:
        factors = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
        factors = (factors / factors.sum()) ** 2
    constant, slope = float(factors @ constants), float(factors @ slopes)
    unit, per_unit = u.electron / exposures.given_unit, exposures.rate_seconds or 1.0
    return EffectiveNoise(per_unit / slope, float(np.sqrt(constant)) / slope, unit)
