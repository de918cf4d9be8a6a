"""A coordinate of the signal in which the noise of a value is the same everywhere."""

from dataclasses import dataclass

import numpy as np

from crstack.utils.medians import median_of_values

__all__ = ["EvenNoise", "even_noise"]

#: least variance (electrons squared) that does not come from photons
LEAST_CONSTANT = 0.1
#: pixels from which the variance per electron is measured: most pixels have a level, and these differ from it by this
#: number of standard deviations; and the fewest of them
FAR, FEWEST_FAR = 3.0, 50
#: limits of the variance per electron
LEAST_SLOPE, LARGEST_SLOPE = 0.01, 100.0


@dataclass(frozen=True)
class EvenNoise:
    """The coordinate in which photon noise and a constant variance have a standard deviation of 1.

    It is proportional to the signal below the level without photons, where the noise does not depend on the signal.

    Attributes
    ----------
    constant : float
        Variance of a value that does not come from photons, electrons squared.
    slope : float
        Variance of the photons over the signal, electrons. It is 1 where the signal is that of the exposure.
    zero : float
        Signal without photons, electrons. The sky that an exposure has less than the others is above 0.
    """

    constant: float
    slope: float = 1.0
    zero: float = 0.0

    def place_of(self, signal):
        """The coordinate of some signals in electrons."""
        root, above = np.sqrt(self.constant), signal - self.zero
        return 2 * above / (np.sqrt(self.slope * np.maximum(above, 0) + self.constant) + root)

    def signal_of(self, place):
        """The signal at some places of the coordinate, electrons."""
        root = np.sqrt(self.constant)
        return place * (self.slope * np.maximum(place, 0) / 4 + root) + self.zero


def even_noise(signal, noise, slope=1.0):
    """The coordinate for pixels of a ``signal`` and a ``noise`` (M,), electrons.

    The ``slope`` is the variance of the photons over the signal; if None, it is measured.
    """
    if slope is None:
        slope = _measured_slope(signal, noise**2)
    constant = float(median_of_values(noise**2 - slope * np.maximum(signal, 0)))
    if constant >= LEAST_CONSTANT:
        return EvenNoise(constant, slope)
    # the photons of this exposure are fewer than those of the common signal
    return EvenNoise(LEAST_CONSTANT, slope, (LEAST_CONSTANT - constant) / slope)


def _measured_slope(signal, variance):
    """Change of the ``variance`` with the ``signal`` (M,); 1 where most pixels have one level."""
    step, more = signal - median_of_values(signal), variance - median_of_values(variance)
    far = np.abs(step) > FAR * np.sqrt(median_of_values(variance))
    if np.count_nonzero(far) < FEWEST_FAR:
        return 1.0
    return float(np.clip(median_of_values(more[far] / step[far]), LEAST_SLOPE, LARGEST_SLOPE))
