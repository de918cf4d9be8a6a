"""Hits among the differences of two exposures."""

from dataclasses import dataclass

import numpy as np

from crstack.equalize.fit.common_image import CLIP_SIGMA_OF_TWO
from crstack.utils.pixels import dilate

__all__ = ["CONTRAST", "HitsOfTwo", "crossings"]

#: a pixel of two exposures is certainly hit if their mean exceeds the lower value by `CLIP_SIGMA_OF_TWO` standard
#: deviations plus this share of the contrast
CONTRAST = 0.2
#: in a flat place, a difference of two exposures of more than this number of its standard deviations is a hit
HIT_SIGMA = 3.7
#: tracks may cross in pixels that are at most this far (pixels) from hits of both exposures
REACH_OF_CROSSING = 3


@dataclass(frozen=True, eq=False)
class HitsOfTwo:
    """Hits among the differences of two exposures, as counted in flat places.

    An error of the expected exposures and a hit are both a difference of two exposures. Hits have the same rate and the
    same charges everywhere. In flat places, where no error is expected, they are counted.

    Attributes
    ----------
    charges : `~numpy.ndarray`
        float64, ascending: differences (electrons) in flat places that are too large for noise.
    n_flat : int
        Number of flat pixels.
    scale : float
        Mean square of the mean of two standard normal values minus the lower one.
    """

    charges: np.ndarray
    n_flat: int
    scale: float

    @classmethod
    def of_flat(cls, parts, scale):
        """Make it from the flat pixels of some bands: a pair ``(differences, variance)`` for each band."""
        charges = [apart[apart > HIT_SIGMA * np.sqrt(2 * variance)] for apart, variance in parts]
        return cls(np.sort(np.concatenate(charges)).astype(np.float64), sum(apart.size for apart, _ in parts), scale)

    def number(self, contrast2, variance):
        """Number of hits per pixel that count as a deviation, for squared contrasts and variances of the noise."""
        return self._below(contrast2, variance) / max(self.n_flat, 1)

    def added(self, contrast2, variance, most):
        """Mean of what hits add to the squared deviations.

        A hit of charge q adds ``min((q / 2)**2 / scale, most) - variance`` if its charge is below the limit of an
        obvious hit. The mean is taken over the pixels of flat places.

        Parameters
        ----------
        contrast2, variance, most : `~numpy.ndarray`
            Squared contrast, variance of the noise, and largest squared deviation that counts.

        Returns
        -------
        added : `~numpy.ndarray`
            float32, electrons squared.
        """
        below = self._below(contrast2, variance)
        unclipped = np.minimum(self.charges.searchsorted(2 * np.sqrt(self.scale * most)), below)
        squares = np.concatenate([[0], np.cumsum(np.square(self.charges / 2) / self.scale)])
        total = squares[unclipped] + (below - unclipped) * most - below * variance
        return (total / max(self.n_flat, 1)).astype(np.float32)

    def _below(self, contrast2, variance):
        limit = CLIP_SIGMA_OF_TWO * np.sqrt(variance) + np.float32(CONTRAST) * np.sqrt(contrast2)
        return self.charges.searchsorted(2 * limit)


def crossings(first, apart, variance, flat):
    """Places where hits of both exposures cross, which look like structure in the lower one.

    Parameters
    ----------
    first : `~numpy.ndarray` of bool
        (ny, nx) where the first of two exposures is the higher one.
    apart, variance : `~numpy.ndarray`
        (ny, nx) absolute difference of the exposures, and variance of the noise of one value.
    flat : `~numpy.ndarray` of bool
        (ny, nx) places without structure.

    Returns
    -------
    crossings : `~numpy.ndarray` of bool
        (ny, nx) pixels with obvious hits of each exposure nearby, in flat places.
    """
    obvious = flat & (apart > 2 * CLIP_SIGMA_OF_TWO * np.sqrt(variance))
    return dilate(obvious & first, REACH_OF_CROSSING) & dilate(obvious & ~first, REACH_OF_CROSSING)
