"""The common image of the exposures, and the expected difference of each exposure from it."""

from functools import reduce

import numpy as np
from scipy import ndimage

from crstack.equalize.clean import filled, median_of_scaled, neighbour_mean
from crstack.equalize.offsets import (
    CLIP_SIGMA,
    CONTRAST,
    hot_pixels,
    medians_around,
    plausible_maxima,
    shifted,
    shifted_each,
)
from crstack.statistics import normal_order_moments
from crstack.utils.pixels import at_pixels, contrast_of
from crstack.utils.threads import map_threads

__all__ = ["common_image", "expected_differences", "moved_images"]

#: window (pixels) in which a difference is compared with its noise
WINDOW = 5
#: largest mean square, relative to that of noise, of a difference that counts as noise
NOISE_LIMIT = 2.0
#: window (pixels) in which exposures are compared with and without their shifts, and limit of a deviation (sigma)
AROUND, MOST = 3, 3.0
#: window (pixels) of the ringing of a spline around pixels that do not move
RINGING = 5
#: least decrease of the sum of squared deviations (sigma squared) without the shift where the scene does not move
STATIC = 25.0


def common_image(exposures, statistics, factors, offsets=None):
    """Image that all exposures share, at the level and on the grid of the median.

    It is the median of the exposures over their factors, each first shifted back by its offset. Where the median
    exceeds the lowest by 5 standard deviations, most exposures are hit, and the lowest replaces the median.

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
        plausible_maximum = plausible_maxima(exposures, statistics, factors)

        # shifted sharp hits would ring
        def shift_back(i):
            plane = np.minimum(filled(exposures, statistics, i, factors), plausible_maximum(i))
            return shifted(plane, tuple(-one for one in offsets[i]))

        planes = np.stack(map_threads(shift_back, range(len(exposures))))
    median = median_of_scaled(planes, factors)
    lowest = reduce(np.minimum, (plane / np.float32(factor) for plane, factor in zip(planes, factors, strict=True)))
    sigma = np.sqrt(exposures.mean_variance(neighbour_mean(lowest)))
    hit = median - lowest > CLIP_SIGMA * sigma + (0 if offsets is None else CONTRAST * contrast_of(lowest))
    return np.where(hit, lowest, median)


def moved_images(exposures, common, offsets):
    """The common image for each exposure: shifted by its offset, except for hot pixels.

    Parameters
    ----------
    exposures : Exposures
        For their noise.
    common : `~numpy.ndarray`
        (ny, nx), see `common_image`.
    offsets : sequence of (dx, dy)
        Shifts in pixels from the common image to each exposure.

    Returns
    -------
    moved : list of `~numpy.ndarray`
        float32 (ny, nx).
    """
    hot = hot_pixels(common, np.sqrt(exposures.mean_variance(common)))
    scene = common.copy()
    scene[hot] = medians_around(common, *hot)
    moved = [one.copy() if one is scene else one for one in shifted_each(scene, offsets)]
    for one in moved:
        one[hot] += common[hot] - scene[hot]
    return moved


def expected_differences(exposures, common, factors, offsets=None, moved=None):
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
    moved : list of `~numpy.ndarray`, optional
        The `moved_images`, where they are known.

    Returns
    -------
    differences : list of `~numpy.ndarray`
        float32 (ny, nx). The change by a shift is 0 where it is no more than noise, and where the exposures agree
        better without it, as for features of the detector.
    """
    variance = exposures.mean_variance(common) * _variance_of_median(len(exposures))
    if offsets is None:
        return [np.float32(factor) * common - common for factor in factors]
    moved = moved_images(exposures, common, offsets) if moved is None else moved

    def change_by(pair):
        offset, change = pair[0], pair[1] - common
        if not any(offset):
            return np.float32(0)
        square = ndimage.uniform_filter(change**2, WINDOW)
        noise = NOISE_LIMIT * _noise_of_change(offset) * variance
        change *= np.clip(1 - noise / np.maximum(square, 1e-30), 0, 1)
        return change

    changes = map_threads(change_by, zip(offsets, moved, strict=True))
    static = _static(exposures, common, factors, changes)
    for change in changes:
        if np.ndim(change):
            change[static] = 0
    return [np.float32(factor) * (common + one) - common for factor, one in zip(factors, changes, strict=True)]


def _static(exposures, common, factors, changes):
    """bool (ny, nx): pixels around which the exposures agree better without the changes."""
    largest = np.zeros(common.shape, np.float32)
    for change in changes:
        np.maximum(largest, np.abs(change), out=largest)
    where = np.nonzero(largest > np.sqrt(exposures.mean_variance(common)))

    levels, sigmas = [], []
    for i, factor in enumerate(np.asarray(factors, np.float32)):
        sigmas.append(np.sqrt(exposures.noise_of(i).cutout(where).variance(factor * common[where])) / factor)
        levels.append(exposures.data[i][where] / factor)
    levels, valid = np.stack(levels), np.bool_(True)
    if exposures.bad is not None:
        valid = ~exposures.bad[:, *where]
        levels = np.where(valid, levels, common[where])
    moved = np.stack([level - at_pixels(one, where) for level, one in zip(levels, changes, strict=True)])
    gain = np.zeros_like(common)
    gain[where] = _disagreement(levels, sigmas, valid) - _disagreement(moved, sigmas, valid)
    # mean of the neighbours, times their number
    static = AROUND**2 * ndimage.uniform_filter(gain, AROUND, mode="constant") < -STATIC
    return ndimage.maximum_filter(static.view(np.uint8), RINGING).view(bool)


def _disagreement(levels, sigmas, valid):
    """Sum (M,) over the exposures of squared deviations from their median, in standard deviations."""
    squares = np.minimum(((levels - np.median(levels, axis=0)) / np.stack(sigmas)) ** 2, MOST**2)
    return (squares * valid).sum(axis=0)


def _variance_of_median(n):
    middle = slice((n - 1) // 2, n // 2 + 1)
    return np.float32(normal_order_moments(n)[1][middle, middle].mean())


def _noise_of_change(offset):
    """Variance of a shifted minus the original image, for white noise of variance 1."""
    point = np.zeros((21, 21), dtype=np.float32)
    point[10, 10] = 1
    return np.float32(((shifted(point, offset) - point) ** 2).sum())
