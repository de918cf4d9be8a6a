"""The common image of the exposures, and the expected difference of each exposure from it."""

from functools import reduce

import numpy as np
from scipy import ndimage

from crstack.equalize.terms.clean import CLIP_SIGMA, filled, median_of_scaled, neighbour_mean
from crstack.equalize.terms.hot_pixels import hot_pixels, medians_around
from crstack.equalize.terms.offsets import CONTRAST, plausible_maxima, shifted
from crstack.normal_samples import normal_order_moments
from crstack.utils.filters import mean_around
from crstack.utils.medians import median_of_values
from crstack.utils.memory import empty_image, kept, stacked, zero_image
from crstack.utils.pixels import at_pixels, by_rows, contrast_of
from crstack.utils.threads import map_images, map_threads, row_bands

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

        planes = stacked(_each(shift_back, range(len(exposures))))
    (median,) = kept((median_of_scaled(planes, factors),))
    lowest = by_rows(
        lambda *each: reduce(np.minimum, (one / np.float32(factor) for one, factor in zip(each, factors, strict=True))),
        *planes,
    )
    variance = _mean_variance(exposures, neighbour_mean(lowest))
    contrast = np.float32(0) if offsets is None else contrast_of(lowest)

    def lowest_if_hit(median, lowest, variance, contrast):
        hit = median - lowest > CLIP_SIGMA * np.sqrt(variance) + CONTRAST * contrast
        return np.where(hit, lowest, median)

    return by_rows(lowest_if_hit, median, lowest, variance, contrast)


def _each(function, items):
    """The results of a function that makes an image of each item; where these are kept in files, one at a time."""
    return map_images(lambda one: kept((function(one),))[0], items)


def _mean_variance(exposures, signal):
    """`Exposures.mean_variance` by bands of rows."""
    variance = empty_image(exposures.shape)

    def work(rows):
        variance[rows] = exposures.cutout((rows, slice(None))).mean_variance(signal[rows])

    map_threads(work, row_bands(*exposures.shape))
    return variance


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

    def moved_by(offset):
        one = shifted(scene, offset)
        one = one.copy() if one is scene else one
        one[hot] += common[hot] - scene[hot]
        return one

    return _each(moved_by, offsets)


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
    factors = [np.float32(factor) for factor in factors]
    if offsets is None:
        return [by_rows(lambda image, factor: factor * image - image, common, factor) for factor in factors]
    variance = exposures.mean_variance(common) * _variance_of_median(len(exposures))
    moved = moved_images(exposures, common, offsets) if moved is None else moved

    def change_by(pair):
        offset, change = pair[0], pair[1] - common
        if not any(offset):
            return np.float32(0)
        square = mean_around(change**2, WINDOW)
        noise = NOISE_LIMIT * _noise_of_change(offset) * variance
        change *= np.clip(1 - noise / np.maximum(square, 1e-30), 0, 1)
        return change

    changes = _each(change_by, list(zip(offsets, moved, strict=True)))
    static = _static(exposures, common, factors, changes)
    for change in changes:
        if np.ndim(change):
            change[static] = 0
    return [
        by_rows(lambda image, change, factor: factor * (image + change) - image, common, change, factor)
        for factor, change in zip(factors, changes, strict=True)
    ]


def _static(exposures, common, factors, changes):
    """bool (ny, nx): pixels around which the exposures agree better without the changes."""
    gain = zero_image(common.shape, common.dtype)

    def work(rows):
        some = exposures.cutout((rows, slice(None)))
        own = [at_pixels(one, rows) for one in changes]
        gain[rows] = _gain_at_rest(some, common[rows], factors, own)

    map_threads(work, row_bands(*common.shape))
    # mean of the neighbours, times their number
    static = AROUND**2 * ndimage.uniform_filter(gain, AROUND, mode="constant") < -STATIC
    return ndimage.maximum_filter(static.view(np.uint8), RINGING).view(bool)


def _gain_at_rest(exposures, common, factors, changes):
    """By how much the exposures disagree more without the changes than with them, where these exceed the noise."""
    largest = np.zeros(common.shape, np.float32)
    for change in changes:
        np.maximum(largest, np.abs(change), out=largest)
    where = np.nonzero(largest > np.sqrt(exposures.mean_variance(common)))
    gain = np.zeros_like(common)
    if not len(where[0]):
        return gain
    levels, sigmas = [], []
    for i, factor in enumerate(factors):
        sigmas.append(np.sqrt(exposures.noise_of(i).cutout(where).variance(factor * common[where])) / factor)
        levels.append(exposures.data[i][where] / factor)
    levels, valid = np.stack(levels), np.bool_(True)
    if exposures.bad is not None:
        valid = ~exposures.bad[:, *where]
        levels = np.where(valid, levels, common[where])
    moved = np.stack([level - at_pixels(one, where) for level, one in zip(levels, changes, strict=True)])
    gain[where] = _disagreement(levels, sigmas, valid) - _disagreement(moved, sigmas, valid)
    return gain


def _disagreement(levels, sigmas, valid):
    """Sum (M,) over the exposures of squared deviations from their median, in standard deviations."""
    squares = np.minimum(((levels - median_of_values(levels, axis=0)) / np.stack(sigmas)) ** 2, MOST**2)
    return (squares * valid).sum(axis=0)


def _variance_of_median(n):
    middle = slice((n - 1) // 2, n // 2 + 1)
    return np.float32(normal_order_moments(n)[1][middle, middle].mean())


def _noise_of_change(offset):
    """Variance of a shifted minus the original image, for white noise of variance 1."""
    point = np.zeros((21, 21), dtype=np.float32)
    point[10, 10] = 1
    return np.float32(((shifted(point, offset) - point) ** 2).sum())
