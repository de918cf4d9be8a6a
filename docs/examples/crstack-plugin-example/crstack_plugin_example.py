"""A method, a detector and a boundary model for crstack, to copy and change."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack import BoundaryModel, Decision, Detection, Detector, FittedBoundary, Method

__all__ = ["ClipMethod", "LevelBoundary", "SharpDetector"]


@dataclass(frozen=True)
class ClipMethod(Method):
    """A value is hit where it lies many sigma above the minimum of the exposures.

    Parameters
    ----------
    n_sigma : float
        Least height over the minimum, in standard deviations of the noise of one exposure.
    """

    n_sigma: float = 7.0

    # its name in legends and logs
    label = "clipping"

    def decide(self, prepared, detected, rules, progress=None):
        """Decide which values are hit; see `crstack.Method.decide`."""
        exposures, minimum = prepared.exposures, prepared.statistics.min2d
        sigma = np.sqrt(exposures.mean_variance(np.nan_to_num(minimum)))
        hit = exposures.data - minimum > self.n_sigma * sigma
        if exposures.bad is not None:
            hit &= ~exposures.bad
        return Decision.of_hits(self, hit, prepared, detected, rules)


@dataclass(frozen=True)
class SharpDetector(Detector):
    """Pixels brighter than the local median by so many sigma of the noise.

    Parameters
    ----------
    n_sigma : float
        Least height over the median of the pixels around.
    size : int
        Side of the box of the median, in pixels.
    """

    n_sigma: float = 8.0
    size: int = 5

    # whether Detection.cleaned is there
    cleans = True

    def detect(self, image, noise, mask=None):
        """Find the cosmic rays of one image; see `crstack.Detector.detect`."""
        bad = ~np.isfinite(image)
        if mask is not None:
            bad = bad | mask
        background = ndimage.median_filter(
            np.where(bad, np.median(image[~bad]) if not bad.all() else 0, image), self.size
        )
        sigma = np.sqrt(noise.variance(background))
        hits = ~bad & (np.where(bad, 0, image) - background > self.n_sigma * sigma)
        return Detection(hits, np.where(hits, background, image).astype(np.float32))


@dataclass(frozen=True)
class LevelBoundary(BoundaryModel):
    """The same boundary at every min2d: the highest simulated bin.

    Parameters
    ----------
    factor : float
        What the height of the highest simulated bin is multiplied with.
    """

    factor: float = 1.0

    def fit(self, diagram):
        """Fit the boundary to a diagram; see `crstack.BoundaryModel.fit`."""
        filled = np.flatnonzero(diagram.simulated.any(axis=0))
        height = self.factor * diagram.y_edges[filled[-1] + 1]
        x = np.array([diagram.x_edges[0], diagram.x_edges[-1]])
        return FittedBoundary(self, x, np.full(2, height))
