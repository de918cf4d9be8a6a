"""By how much the exposures of a stack scatter beyond their noise."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack._threads import map_threads, wide_bands
from crstack.equalize.clean import median_of_scaled
from crstack.equalize.offsets import hot_pixels
from crstack.equalize.place_variance import place_variance
from crstack.joint.excess import ExcessFit, ExcessVariance, fit_excess_variance, squared_gradient
from crstack.statistics import sort_exposures

__all__ = ["Scatter", "scatter_of"]


@dataclass(frozen=True, eq=False)
class Scatter:
    """Excess variance of a stack.

    Attributes
    ----------
    signal, of_pixels : `~numpy.ndarray`
        (ny, nx) expected common signal, and excess variance there, electrons (squared).
    fit : ExcessFit or None
        Where the excess comes from; None where none was looked for.
    """

    signal: np.ndarray
    of_pixels: np.ndarray
    fit: ExcessFit | None = None

    @classmethod
    def none(cls, counts):
        """No excess, whatever the exposures say."""
        median = median_of_scaled(counts.levels, np.ones(len(counts.levels)))
        return cls(median, np.zeros_like(median))

    @property
    def excess(self):
        """The `ExcessVariance`."""
        return ExcessVariance() if self.fit is None else self.fit.excess


def scatter_of(counts, of_places=False, measured=None):
    """Fit the excess variance of `Counts`, as a `Scatter`; with that of each place where it is larger.

    ``measured`` are the `~crstack.equalize.Differences` that the counts include, if any.
    """
    levels = counts.levels
    median = median_of_scaled(levels, np.ones(len(levels)))
    variance = counts.mean_variance(median)
    gradient2 = squared_gradient(median, variance / len(levels))
    # steep, but the same in all exposures, however these differ
    hot = np.zeros(median.shape, dtype=bool)
    hot[hot_pixels(median, np.sqrt(variance))] = True
    hot = ndimage.binary_dilation(hot, np.ones((3, 3))) if hot.any() else None
    fit = fit_excess_variance(levels, median, _variances(counts, median), gradient2, counts.bad, hot)
    # a signal raised by two hits must not excuse them
    signal = np.minimum(median, _median_of_rows(median))
    of_pixels = fit.excess.of(signal, gradient2).astype(np.float32)
    if of_places:
        np.maximum(of_pixels, place_variance(levels, counts.mean_variance, measured)[0], out=of_pixels)
    return Scatter(signal, of_pixels, fit)


def _median_of_rows(image):
    """Median (ny, nx) of the five pixels around each along its row; beyond the edges the image is mirrored."""
    padded, median = np.pad(image, ((0, 0), (2, 2)), mode="symmetric"), np.empty_like(image)

    def work(band):
        rows, nx = band[0], image.shape[1]
        five = np.stack([padded[rows, first : first + nx] for first in range(5)])
        sort_exposures(five)
        median[rows] = five[2]

    map_threads(work, wide_bands(*image.shape))
    return median


def _variances(counts, signal):
    return [counts.variance_of(i, signal) for i in range(1 if counts.alike else len(counts.data))]
