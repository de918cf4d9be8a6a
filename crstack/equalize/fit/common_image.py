"""The image that exposures share: their median or mean without hits, and the pixels that only one of them shows."""

import itertools

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.lines.line_hits import LineHits
from crstack.equalize.terms.steps import corners_of_one, shown_by_two
from crstack.statistics import sort_exposures
from crstack.utils.pixels import contrast_of

__all__ = [
    "CLIP_SIGMA",
    "CLIP_SIGMA_OF_TWO",
    "CONTRAST",
    "MANY",
    "fill_what_enters",
    "mean_without_hits",
    "median_without_hits",
    "middle_of",
    "scene_of_two",
]

#: the median of three or more may exceed the lowest value by this number of standard deviations, plus a share of the
#: contrast: one share for each round
CLIP_SIGMA, CONTRAST = 5.0, (0.2, 0.2, 0.1, 0.1, 0.1)
#: the same number for two exposures, whose median is their mean and contains half of a hit
CLIP_SIGMA_OF_TWO = CLIP_SIGMA / 2
#: of two exposures, the core of a star may differ by this share of how the seeing changes it. A core has at least this
#: share of the highest value in the pixels beside it
OF_CHANGES, OF_PEAK = np.float32(0.25), np.float32(0.9)
#: values of unlike noise agree if their intervals of this number of standard deviations overlap
REACH = 3.0
#: from this number of exposures on, the second lowest value replaces the lowest as the estimate without hits
MANY = 4


def fill_what_enters(cube, steps):
    """Fill the edges that a shift leaves empty with the values of other exposures, in place.

    The exposures that show an edge fill equally many of the others, so that a hit in one of them does not become the
    median. They take turns, that of the smallest step first.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        Exposures (N, ny, nx) that are moved back to the grid of the scene.
    steps : sequence of (int, int)
        Shift (dx, dy) of each from that grid, in whole pixels.
    """
    order = sorted(range(len(cube)), key=lambda i: sum(map(abs, steps[i])))
    for axis, along in zip((1, 2), reversed(list(zip(*steps, strict=True))), strict=True):
        length, lines = cube.shape[axis], np.moveaxis(cube, axis, 1)
        first, last = max(0, -min(along)), min(length, length - max(along))
        for place in (*range(min(first, length)), *range(max(last, first), length)):
            shows = [0 <= place + step < length for step in along]
            fill = itertools.cycle([i for i in order if shows[i]] or order[:1])
            for i in np.flatnonzero(np.logical_not(shows)):
                lines[i, place] = lines[next(fill), place]


def scene_of_two(common, steps):
    """A common image with its edge pixels repeated where only one exposure shows the scene, with its hits.

    Parameters
    ----------
    common : `~numpy.ndarray`
        Image (ny, nx) of the scene.
    steps : sequence of (int, int)
        Shift (dx, dy) of each exposure from its grid.

    Returns
    -------
    common : `~numpy.ndarray`
        The same object, if two or more exposures show all of the scene.
    """
    shown = shown_by_two(common.shape, steps)
    rows, columns, inwards = corners_of_one(common.shape, steps)
    if len(rows):
        common = common.copy()
        common[rows, columns] = common[rows, inwards]
    if common[*shown].shape == common.shape:
        return common
    # exposures that do not overlap show nothing twice; one row or column is then repeated
    rows, columns = (
        np.clip(np.arange(length), side.start, max(side.stop - 1, side.start))
        for length, side in zip(common.shape, shown, strict=True)
    )
    return common[rows[:, None], columns]


def middle_of(ordered):
    """Median of values (N, ny, nx) that are in order along the first axis."""
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def median_without_hits(cube, variance_of, contrast, changes=(), courses=None):
    """Median of the exposures; where it has a hit, their lowest or second lowest value.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        Exposures (N, ny, nx) at one level. They are put in order, in place.
    variance_of : callable
        Mean variance of the exposures at a signal (image).
    contrast : float
        Values may differ by this share of the contrast without a hit.
    changes : sequence of `~numpy.ndarray` or float, optional
        N changes (ny, nx) by seeing and shift, which were removed from the exposures. If the core of a star of two
        exposures is taken for a hit, the common image is too low there, and the next change too small: the core then
        stays a hit.
    courses : mapping, optional
        Courses of lines that are not straight, by the axis along them.

    Returns
    -------
    common : `~numpy.ndarray`
        (ny, nx).
    """
    sort_exposures(cube)
    n = len(cube)
    # with many exposures, noise makes the lowest value too low
    low = cube[1 if n >= MANY else 0]
    median = middle_of(cube)
    sigmas = np.float32(CLIP_SIGMA if n > 2 else CLIP_SIGMA_OF_TWO)
    limit = sigmas * np.sqrt(variance_of(low)) + np.float32(contrast) * contrast_of(low)
    if n == 2 and any(map(np.ndim, changes)):
        peak = low >= OF_PEAK * ndimage.maximum_filter(low, 3)
        limit += np.where(peak, OF_CHANGES * np.abs(changes[0] - changes[1]), 0)
    return np.where(LineHits(low, limit, courses).hits_in(median - low), low, median)


def mean_without_hits(cube, variances, contrast):
    """Mean of the values of unlike noise that have no hit, weighted by their inverse variances.

    A median gives a faint exposure the same weight as a bright one. The noise of the faint exposure would then be
    large in the common image too, and correlate with the exposure, so that its throughput would seem too high.

    Parameters
    ----------
    cube, variances : `~numpy.ndarray`
        Exposures (N, ny, nx) at one level, and their variances.
    contrast : float
        Values may differ by this share of the contrast without a hit.

    Returns
    -------
    common : `~numpy.ndarray`
        (ny, nx).
    """
    sigmas = np.sqrt(variances)
    highest = (cube + REACH * sigmas).min(axis=0)
    limit = highest + np.float32(contrast) * contrast_of(highest)
    weights = np.where(cube - REACH * sigmas <= limit, 1 / variances, 0)
    return (weights * cube).sum(axis=0) / weights.sum(axis=0)
