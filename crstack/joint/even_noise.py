"""A coordinate of the signal in which the noise of a value is the same everywhere."""

from dataclasses import dataclass

import numpy as np

from crstack.utils.medians import median_of_values

__all__ = ["EvenNoise", "even_noise"]

#: least variance (electrons squared) that does not come from photons
LEAST_CONSTANT = 0.1


@dataclass(frozen=True)
class EvenNoise:
    """The coordinate in which photon noise and a constant variance have a standard deviation of 1.

    It is proportional to the signal below 0, where the noise does not depend on the signal.

    Attributes
    ----------
    constant : float
        Variance of a value that does not come from photons, electrons squared.
    """

    constant: float

    def place_of(self, signal):
        """The coordinate of some signals in electrons."""
        root = np.sqrt(self.constant)
        return 2 * signal / (np.sqrt(np.maximum(signal, 0) + self.constant) + root)

    def signal_of(self, place):
        """The signal at some places of the coordinate, electrons."""
        root = np.sqrt(self.constant)
        return place * (np.maximum(place, 0) / 4 + root)


def even_noise(signal, noise):
    """The coordinate for pixels of a ``signal`` and a ``noise`` (M,), electrons."""
    constant = float(median_of_values(noise**2 - np.maximum(signal, 0)))
    return EvenNoise(max(constant, LEAST_CONSTANT))
