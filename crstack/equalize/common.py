"""What the exposures have in common, and by how much each is expected to differ from it."""

import numpy as np
from scipy import ndimage

from crstack.equalize.clean import median_of_scaled, neighbour_mean
from crstack.equalize.offsets import CLIP_SIGMA, CONTRAST, local_contrast, plausible_maximum, shifted
from crstack.statistics import normal_order_moments

__all__ = ["common_image", "expected_differences"]

#: window (pixels) in which a difference is compared with its noise
WINDOW = 5
#: mean square over that of noise up to which a difference is taken to be noise
NOISE_LIMIT = 2.0


def common_image(exposures, statistics, factors, offsets=None):
    """Image that all exposures share, on the level and the grid of the median.

    The median of the exposures over their factors, each first shifted back by its
    offset. There they agree, and where the median exceeds the lowest by 5
    standard deviations, most of them are hit: the lowest stands in.

    Parameters
    ----------
    exposures : Exposures
        As they were read.
    statistics : OrderStatistics
        Of these exposures.
    factors : sequence of float
        Flux factors.
    offsets : sequence of (dx, dy), optional
        Shifts in pixels from the common image to each exposure.

    Returns
    -------
    common : `~numpy.ndarray`
        float32 (ny, nx).
    """
    if offsets is None:
        planes = exposures.data
    else:
        # sharp hits would ring all around when they are shifted
        ceilings = (plausible_maximum(exposures, statistics, i, factors) for i in range(len(exposures)))
        planes = np.stack(
            [
                shifted(np.minimum(plane, ceiling), (-dx, -dy))
                for plane, ceiling, (dx, dy) in zip(exposures.data, ceilings, offsets, strict=True)
            ]
        )
    median = median_of_scaled(planes, factors)
    lowest = np.min([plane / np.float32(factor) for plane, factor in zip(planes, factors, strict=True)], axis=0)
    sigma = np.sqrt(exposures.mean_variance(neighbour_mean(lowest)))
    hit = median - lowest > CLIP_SIGMA * sigma + (0 if offsets is None else CONTRAST * local_contrast(lowest))
    return np.where(hit, lowest, median)


def expected_differences(exposures, common, factors, offsets=None):
    """Expected image of each exposure minus the common image.

    Parameters
    ----------
    exposures : Exposures
        For their noise.
    common : `~numpy.ndarray`
        (ny, nx), see `common_image`.
    factors : sequence of float
        Flux factors.
    offsets : sequence of (dx, dy), optional
        Shifts in pixels from the common image to each exposure.

    Returns
    -------
    differences : list of `~numpy.ndarray`
        float32 (ny, nx). What a shift changes is 0 where it is no more than noise.
    """
    variance = exposures.mean_variance(common) * _variance_of_median(len(exposures))
    differences = []
    for factor, offset in zip(factors, offsets or ((0.0, 0.0),) * len(factors), strict=True):
        moved = common
        if any(offset):
            change = shifted(common, offset) - common
            square = ndimage.uniform_filter(change**2, WINDOW)
            noise = NOISE_LIMIT * _noise_of_change(offset) * variance
            moved = common + change * np.clip(1 - noise / np.maximum(square, 1e-30), 0, 1)
        differences.append(np.float32(factor) * moved - common)
    return differences


def _variance_of_median(n):
    middle = slice((n - 1) // 2, n // 2 + 1)
    return np.float32(normal_order_moments(n)[1][middle, middle].mean())


def _noise_of_change(offset):
    """Variance of a shifted minus the original image, for white noise of variance 1."""
    point = np.zeros((21, 21), dtype=np.float32)
    point[10, 10] = 1
    return np.float32(((shifted(point, offset) - point) ** 2).sum())
