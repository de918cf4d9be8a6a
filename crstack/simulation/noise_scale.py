"""One scale for pixels of different gain and read noise, such as those of several amplifiers."""

from dataclasses import dataclass

import numpy as np

from crstack.utils.pixels import at_pixels

__all__ = ["NoiseScale"]


@dataclass(frozen=True, eq=False)
class NoiseScale:
    """Converts the coordinates of the median-minimum diagram to those of one typical pixel.

    Pixels of different gain or read noise fill different parts of the diagram, and a boundary over all of them is too
    high for the quieter ones. This class converts min2d and T - min2d of each pixel to a pixel with the median gain
    and the median read noise. The signal stays the same number of electrons, and differences scale with the noise at
    that signal. Simulated and observed pixels are scaled in the same way. The scale therefore changes the sharpness of
    the diagram, but causes no error.

    Parameters
    ----------
    to_unit : `~numpy.ndarray`
        Electrons per unit of a pixel over those of the typical one, (ny, nx) or
        a number.
    electrons_per_unit : float or `~numpy.ndarray`
        Of each pixel.
    variance : float or `~numpy.ndarray`
        Of the read noise of each pixel, in electrons squared.
    typical_variance : float
        Of the typical pixel.
    """

    to_unit: float | np.ndarray
    electrons_per_unit: float | np.ndarray
    variance: float | np.ndarray
    typical_variance: float

    @classmethod
    def of(cls, noise):
        """The scale for a `~crstack.noise.NoiseModel`; None where all pixels are alike."""
        gain, readnoise = noise.electrons_per_unit, noise.readnoise_electrons
        if np.ndim(gain) == 0 and np.ndim(readnoise) == 0:
            return None
        # one electron more keeps ratios finite where the read noise is 0
        variance = readnoise**2 + np.float32(1)
        typical = float(np.median(readnoise)) ** 2 + 1
        return cls(gain / np.float32(np.median(gain)), gain, variance, typical)

    def of_pixel(self, electrons_per_unit, readnoise):
        """The scale of a single kind of pixel, with its read noise in electrons."""
        typical_gain = np.float32(np.median(self.electrons_per_unit))
        return NoiseScale(
            np.float32(electrons_per_unit) / typical_gain,
            np.float32(electrons_per_unit),
            np.float32(readnoise**2 + 1),
            self.typical_variance,
        )

    def cutout(self, rows):
        """The scale of some rows of the image (``rows`` is a slice)."""
        parts = (self.to_unit, self.electrons_per_unit, self.variance)
        cut = (at_pixels(value, rows) for value in parts)
        return NoiseScale(*cut, self.typical_variance)

    def _stretch(self, min2d):
        """Factors from a pixel to the typical one, of min2d and of differences from it."""
        electrons = np.maximum(min2d * self.electrons_per_unit, 0)
        ratio = np.sqrt((electrons + self.typical_variance) / (electrons + self.variance))
        # below 0 only the read noise is scaled; above 0 the signal stays the same
        return np.where(min2d < 0, ratio, np.float32(1)) * self.to_unit, ratio * self.to_unit

    def typical(self, min2d, difference):
        """Coordinates of the typical pixel.

        Parameters
        ----------
        min2d, difference : `~numpy.ndarray`
            (ny, nx) min2d and T - min2d, in the unit of the exposures.

        Returns
        -------
        x, y : `~numpy.ndarray`
            float32, the same for the typical pixel.
        """
        of_x, of_y = self._stretch(min2d)
        return (min2d * of_x).astype(np.float32), (difference * of_y).astype(np.float32)

    def boundary(self, boundary, min2d):
        """A boundary of the typical pixel, for each pixel: the least T - min2d of a hit, (ny, nx)."""
        of_x, of_y = self._stretch(min2d)
        return (boundary(min2d * of_x) / of_y).astype(np.float32)
