"""By how much the exposures of a stack scatter beyond their noise."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.joint.excess import ExcessFit, ExcessVariance, fit_excess_variance, squared_gradient

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
        median = np.median(counts.levels, axis=0)
        return cls(median, np.zeros_like(median))

    @property
    def excess(self):
        """The `ExcessVariance`."""
        return ExcessVariance() if self.fit is None else self.fit.excess

    def share_left(self, counts):
        """`ExcessFit.share_left` of the same exposures with something else expected of them."""
        return self.fit.share_left(counts.levels, _variances(counts, self.signal))


def scatter_of(counts):
    """Fit the excess variance of `Counts`, as a `Scatter`."""
    levels = counts.levels
    median = np.median(levels, axis=0)
    gradient2 = squared_gradient(median, counts.mean_variance(median) / len(levels))
    fit = fit_excess_variance(levels, median, _variances(counts, median), gradient2, counts.bad)
    # a signal raised by two hits must not excuse them
    signal = np.minimum(median, ndimage.median_filter(median, (1, 5)))
    return Scatter(signal, fit.excess.of(signal, gradient2).astype(np.float32), fit)


def _variances(counts, signal):
    return [counts.variance_of(i, signal) for i in range(1 if counts.alike else len(counts.data))]
