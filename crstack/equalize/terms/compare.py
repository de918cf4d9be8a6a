"""Comparison of each exposure with the others, pixel by pixel, for the figures of the flux factors."""

from dataclasses import dataclass

import numpy as np

from crstack.equalize.terms.clean import neighbour_mean, reject_hits
from crstack.equalize.terms.common import common_image, moved_images
from crstack.equalize.terms.flux import FIRST_GUESS, pixels_of_regions

__all__ = ["FluxComparison", "compare_fluxes"]


@dataclass(frozen=True, eq=False, repr=False)
class FluxComparison:
    """Exposures in clean pixels that are well above the noise.

    Attributes
    ----------
    level : `~numpy.ndarray`
        (n,) mean of the neighbours of each pixel in the common image. Its noise is independent of that of the pixel,
        so that pixels can be selected and sorted by it.
    signals : `~numpy.ndarray`
        (N, n) signal of each exposure.
    references : `~numpy.ndarray`
        (N, n) mean of the others over their flux factors, for each exposure.
    """

    level: np.ndarray
    signals: np.ndarray
    references: np.ndarray


def compare_fluxes(exposures, statistics, factors, regions=None, offsets=None):
    """Compare each exposure with the mean of the others.

    The median of all is not used, because an exposure is itself the median in some pixels and would agree too well.

    Parameters
    ----------
    exposures : Exposures
        Three or more, bias subtracted.
    statistics : OrderStatistics
        Of these exposures.
    factors : sequence of float
        Their flux factors.
    regions : sequence of (xmin, xmax, ymin, ymax), optional
        Where to compare; FITS convention. Everywhere by default.
    offsets : sequence of (dx, dy), optional
        Shifts (pixels) from the common image to each exposure: their changes are added to the others.

    Returns
    -------
    comparison : FluxComparison
    """
    models = None
    if offsets is not None:
        common = common_image(exposures, statistics, factors, offsets)
        models = moved_images(exposures, common, offsets)
    clean = reject_hits(exposures, pixels_of_regions(exposures.usable, regions), factors, models)
    level = neighbour_mean(clean.common, clean.ok)
    sure = clean.ok & (level > FIRST_GUESS * np.sqrt(exposures.mean_variance(np.maximum(level, 0))))
    signals = np.stack([plane[sure] for plane in exposures.data])
    levelled = signals / np.asarray(factors, dtype=np.float32)[:, np.newaxis]
    expected = np.zeros_like(signals) if models is None else np.stack([model[sure] for model in models])
    differences = levelled - expected
    others = (differences.sum(axis=0) - differences) / (len(factors) - 1)
    return FluxComparison(level[sure], signals, others + expected)
