"""Light around saturated stars, which changes with the seeing at larger distances than a kernel reaches."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from crstack.utils.memory import filled_image
from crstack.utils.normal import SIGMA_PER_MAD

__all__ = ["with_saturated_stars"]

#: a group of pixels without a valid value is a star if it has at least this number of pixels, and at most this side
FEWEST, LARGEST_SIDE = 4, 200
#: largest distance from the star (pixels) that is examined
REACH = 40
#: fewest values at one distance, and least median of these in standard errors
IN_RING, SIGNIFICANT = 12, 4.0
#: least excess of the light beside the star over the light far from it, in standard deviations of a value
BRIGHT = 10.0
#: largest distance (pixels) of the light beside the star, and least distance of the light far from it, in `REACH`
BESIDE, FAR = 2, 0.8
#: standard error of a median over that of a mean
OF_MEDIAN = 1.25


def with_saturated_stars(found, levels, bad, variance_of):
    """Add the residuals around saturated stars to the differences.

    Parameters
    ----------
    found : Differences
        What was measured.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx) values that are bad, such as saturated ones.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).

    Returns
    -------
    differences : Differences
        The same object where there are no such stars.

    Notes
    -----
    The light in the middle of the star is not known, so the modelled change by the seeing is too small around it. The
    median of the residuals at each distance from the saturated pixels is added to the expected image of each exposure,
    if it is significant. A hit does not change the median of a ring. The scatter in a ring beyond the noise becomes
    variance.
    """
    if bad is None or not found or found.common is None:
        return found
    labels, boxes = _groups_without_values(bad)
    shape, added, noises = labels.shape, list(found.added), list(found.noises)
    for k, box in boxes:
        wide = tuple(slice(max(one.start - REACH, 0), one.stop + REACH) for one in box)
        distance = _distances(labels[wide], k)
        common = np.asarray(found.common[wide])
        sigma = np.sqrt(variance_of(common, wide))
        if not _is_star(common, sigma, distance):
            continue
        valid = ~np.asarray(bad[:, *wide]).any(axis=0)
        for i in range(len(added)):
            expected = _part(found.scales[i], wide) * common + _part(found.added[i], wide)
            left = np.asarray(levels[i, *wide]) - expected
            more, variance = _rings(left, sigma, distance, valid)
            if more is None:
                continue
            added[i], noises[i] = _image(added[i], shape, found.added[i]), _image(noises[i], shape, found.noises[i])
            added[i][wide] += more
            noises[i][wide] += variance
    return replace(found, added=tuple(added), noises=tuple(noises)) if boxes else found


def _groups_without_values(bad):
    """Numbers (ny, nx) of the connected pixels without a valid value; number and box of those that may be stars."""
    labels, _ = ndimage.label(np.logical_and.reduce([np.asarray(one) for one in bad[:, :]]), np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    boxes = enumerate(ndimage.find_objects(labels), start=1)
    return labels, [
        (k, box) for k, box in boxes if sizes[k] >= FEWEST and max(one.stop - one.start for one in box) <= LARGEST_SIDE
    ]


def _is_star(common, sigma, distance):
    """Whether an image is brighter beside a group of pixels than far from it."""
    far, near = distance > FAR * REACH, (distance > 0) & (distance <= BESIDE)
    return far.any() and np.median(common[near]) - np.median(common[far]) >= BRIGHT * np.median(sigma[far])


def _part(value, box):
    """A number, or the part of an image in a box."""
    return value if np.ndim(value) == 0 else value[box]


def _image(value, shape, original):
    """A copy of a number or an image as an image; ``value`` itself if it is such a copy already."""
    return filled_image(shape, value) if value is original else value


def _distances(labels, k):
    """Distance (whole pixels) from a feature; 0 in features, and where another one is nearer."""
    own = ndimage.distance_transform_edt(labels != k)
    others = (labels > 0) & (labels != k)
    if others.any():
        own = np.where(ndimage.distance_transform_edt(~others) < own, 0, own)
    return np.where(own > REACH, REACH + 1, np.ceil(own)).astype(int)


def _rings(left, sigma, distance, valid):
    """Images of the median residual at each distance, and of the variance beyond the noise; None if none counts."""
    inside = valid & (distance > 0) & (distance <= REACH)
    order = np.argsort(distance[inside], kind="stable")
    ends = np.cumsum(np.bincount(distance[inside], minlength=REACH + 1))[:-1]
    rings = zip(*(np.split(one[inside][order], ends) for one in (left, sigma)), strict=True)
    medians, variances = np.zeros(REACH + 2), np.zeros(REACH + 2)
    for k, (values, noise) in enumerate(rings):
        if k == 0 or len(values) < IN_RING:
            continue
        median, square = np.median(values), np.median(noise) ** 2
        scatter = SIGMA_PER_MAD * np.median(np.abs(values - median))
        if abs(median) < SIGNIFICANT * OF_MEDIAN * max(scatter, np.sqrt(square)) / np.sqrt(len(values)):
            continue
        medians[k], variances[k] = median, max(scatter**2 - square, 0)
    if not medians.any():
        return None, None
    return medians[distance].astype(np.float32), variances[distance].astype(np.float32)
