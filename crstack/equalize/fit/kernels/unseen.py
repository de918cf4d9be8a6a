"""Light of a scene that the common image does not show, in the exposures that are shifted by a pixel or more."""

from functools import reduce

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.kernels.beyond_edges import ALONG, FAINT, STEEPEST, smooth_along

__all__ = ["add_unseen", "most_light", "most_light_in_corners", "unseen_light", "unseen_pixels"]

#: pixels of the opening that leaves the light of stars and removes that of narrower hits; ratio of the light of the
#: core of an undersampled star to what is left of it
OPENING, CORE = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool), np.float32(1.5)
#: one in this number of rows and columns is enough for the level of the sky
SOME = 7
#: light beside it up to this number of standard deviations may be noise
DOUBTFUL = np.float32(2)


def unseen_pixels(shape, step, shown):
    """Pixels of an exposure whose scene the common image does not show.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    step : tuple of int
        Whole pixels (dx, dy) by which the exposure is shifted.
    shown : tuple of slice
        Rows and columns of the common image that show the scene.

    Returns
    -------
    unseen : `~numpy.ndarray` of bool
        (ny, nx).
    """
    unseen = np.ones(shape, bool)
    dx, dy = step
    seen = (slice(max(side.start + by, 0), max(side.stop + by, 0)) for side, by in zip(shown, (dy, dx), strict=True))
    unseen[*seen] = False
    return unseen


def unseen_light(left, unseen):
    """Light of the scene that the common image does not show, as one exposure has it.

    A morphological opening removes structures that are narrower than the image of a star, which are hits. It uses only
    pixels of such a scene: next to these, the exposure agrees with what is expected of it, stars included.

    Parameters
    ----------
    left : `~numpy.ndarray`
        (ny, nx) how much the exposure differs from what is expected of it, 0 or more.
    unseen : `~numpy.ndarray` of bool
        (ny, nx) its pixels of such a scene.

    Returns
    -------
    light : `~numpy.ndarray`
        (ny, nx) of these pixels; 0 in the others.
    """
    lowest = ndimage.grey_erosion(np.where(unseen, left, np.inf), footprint=OPENING)
    light = CORE * ndimage.grey_dilation(np.where(unseen, lowest, 0), footprint=OPENING)
    return np.where(unseen, light, 0)


def most_light(light, unseen, expected, variance, error):
    """The largest light that stars can have where the common image does not show the scene.

    A star is not narrower than the seeing: beside its light, the next row or column has a part of it, inwards too. A
    track along a row or column that one exposure alone shows has no light there.

    Parameters
    ----------
    light : `~numpy.ndarray`
        (ny, nx) light of unseen pixels, electrons; 0 in the others.
    unseen : `~numpy.ndarray` of bool
        (ny, nx) pixels of such a scene.
    expected : `~numpy.ndarray`
        (ny, nx) the scene that the common image shows, electrons, at the pixels of the exposure.
    variance, error : `~numpy.ndarray`
        (ny, nx) variance of a value, and of ``expected``.

    Returns
    -------
    most : `~numpy.ndarray`
        (ny, nx) the light, as far as the next rows or columns allow it.
    """
    most, sky = np.zeros_like(light), np.median(expected[::SOME, ::SOME])
    turned = [(one, one[::-1], one.T, one.T[::-1]) for one in (most, light, unseen, expected, variance, error)]
    for allowed, own, hidden, known, of_value, of_known in zip(*turned, strict=True):
        depth = int(hidden.all(axis=1).argmin())
        if hidden.all() or not depth:
            continue
        smooth = smooth_along(known[depth:])
        inside = np.minimum(smooth[-1], sky)
        beside = smooth[0] - inside - DOUBTFUL * np.sqrt(of_known[depth] + of_known[depth : depth + len(smooth)][-1])
        for row in reversed(range(depth)):
            sigma = np.sqrt(of_value[row])
            limit = FAINT * sigma + STEEPEST * ndimage.maximum_filter1d(beside.clip(0), 2 * ALONG + 1)
            one = np.minimum(own[row], limit)
            allowed[row] = np.maximum(allowed[row], one)
            beside = one - DOUBTFUL * sigma
    return most


def most_light_in_corners(light, places, unseen, expected, variance, error):
    """The largest light that stars can have in corners which one exposure alone shows.

    It is limited as in `most_light`, but by the light in the pixels beside a corner, from its inner pixels outwards.

    Parameters
    ----------
    light, unseen, expected, variance, error : `~numpy.ndarray`
        (ny, nx) as for `most_light`.
    places : tuple of `~numpy.ndarray`
        Rows and columns (M,) of the pixels in such corners, which are ``unseen`` too.

    Returns
    -------
    most : `~numpy.ndarray`
        (M,) the light, as far as the pixels beside allow it.
    """
    rows, columns = places
    known = (expected - np.median(expected[::SOME, ::SOME]) - DOUBTFUL * np.sqrt(error)).clip(0)
    # below 0 where it is unknown, with such pixels around the image
    known = np.pad(np.where(unseen, np.float32(-1), known), 1, constant_values=-1)
    most, sigmas, left = np.zeros(len(rows), light.dtype), np.sqrt(variance[places]), np.arange(len(rows))
    while len(left):
        around = [known[rows[left] + down, columns[left] + across] for down in range(3) for across in range(3)]
        beside = np.max(around, axis=0)
        ready, beside = left[beside >= 0], beside[beside >= 0]
        if not len(ready):
            break
        limit = FAINT * sigmas[ready] + STEEPEST * beside
        most[ready] = np.minimum(light[rows[ready], columns[ready]], limit)
        known[rows[ready] + 1, columns[ready] + 1] = (most[ready] - DOUBTFUL * sigmas[ready]).clip(0)
        left = np.setdiff1d(left, ready)
    return most


def add_unseen(noises, lights):
    """Add the light of a scene that the common image does not show to the variances of some exposures, in place.

    All these exposures are shifted alike and show the same scene. The square of the faintest of their lights is added,
    because a hit is in one of them only.

    Parameters
    ----------
    noises : sequence of `~numpy.ndarray`
        (ny, nx) variance of the change of each of these exposures.
    lights : iterable of `~numpy.ndarray`
        (ny, nx) `most_light` of each, one after the other, because they are as large as the exposures.
    """
    least = reduce(np.minimum, lights) ** 2
    for noise in noises:
        noise += least
