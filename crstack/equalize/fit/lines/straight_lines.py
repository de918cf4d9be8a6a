"""Lines that hardly change along the rows or the columns, such as those of the sky along a slit."""

import itertools

import numpy as np

from crstack.equalize.fit.surfaces import linear_weights
from crstack.utils.medians import median_of_values, of_rank
from crstack.utils.pixels import extreme_along
from crstack.utils.threads import contiguous, map_threads, row_bands

__all__ = ["BLOCK", "straight_blocks", "straight_part"]

#: pixels of a block, and number of blocks of a median, along a straight line
BLOCK, STRAIGHT = 8, 7
#: columns of the cells whose medians are the level around lines
CELL = 51
#: number of blocks after which a line is looked for again, on either side. It is found within a number of columns, and
#: the second number for each row
FURTHER, ASIDE, TILT = (4, 6, 8), 2, 0.05
#: a place further along is beyond the end of the slit if this quantile of the light is less than this share of it
OF_COLUMNS, OF_SLIT = 0.9, 0.5
#: light above the level is not that of a line if it exceeds this factor times the light at half of these places
BRIGHTER = 1.5


def straight_part(image, axis, course=None):
    """Part of an image that hardly changes along an axis, such as lines of the sky along a slit.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx).
    axis : {"x", "y"}
        The axis.
    course : ~crstack.equalize.fit.lines.courses.Course, optional
        Course of the lines along the axis, if they are not straight.

    Returns
    -------
    part : `~numpy.ndarray`
        float32 (ny, nx), medians over `STRAIGHT` blocks of `BLOCK` pixels along the axis, without light that ends along
        it, such as that of extended emission.
    """
    if axis == "x":
        return contiguous(straight_part(image.T, "y", course).T)
    if course is not None:
        return course.bent(straight_part(course.straightened(image), "y"))
    medians, centres = straight_blocks(image)
    medians, weights = _without_short_lines(medians), linear_weights(centres, len(image))
    part = np.empty(image.shape, np.float32)

    def work(rows):
        part[rows] = weights[rows] @ medians

    map_threads(work, row_bands(*part.shape))
    return part


def _without_short_lines(medians):
    """Medians (n, nx) of `straight_blocks` without light that ends along y, such as that of extended emission.

    A line of the sky goes on. Light above the level around that is far brighter than at the same place further along y
    is not that of a line. Tilted lines are further along at columns beside. Where no line goes on, the slit ends.
    """
    n, nx = medians.shape
    steps = [sign * step for step in FURTHER for sign in (-1, 1)]
    if n < 2 * max(FURTHER):
        return medians
    light = medians - _level(medians)
    further, rows, usual = np.empty((len(steps), n, nx)), np.arange(n), np.quantile(light, OF_COLUMNS, axis=1)
    for one, step in zip(further, steps, strict=True):
        there = rows + step
        # beyond an edge, on the other side
        there = np.where((there < 0) | (there >= n), rows - step, there)
        reach = 2 * round(ASIDE + TILT * BLOCK * abs(step)) + 1
        one[...] = extreme_along(light, reach, axis=1)[there]
        one[usual[there] < OF_SLIT * usual] = np.inf
    most = BRIGHTER * np.maximum(of_rank(further, len(steps) // 2), 0)
    return medians - np.maximum(light - most, 0)


def _level(medians):
    """Level (n, nx) around lines: medians in cells of columns, interpolated between them."""
    nx = medians.shape[1]
    edges = np.linspace(0, nx, max(round(nx / CELL), 1) + 1).round().astype(int)
    levels = [median_of_values(medians[:, one:end], axis=1) for one, end in itertools.pairwise(edges)]
    return np.stack(levels, axis=1) @ linear_weights((edges[1:] + edges[:-1] - 1) / 2, nx).T


def straight_blocks(image):
    """Medians (n, nx) over `STRAIGHT` blocks of `BLOCK` pixels along y, and centres (n,) of the blocks."""
    ny = len(image)
    n = max(ny // BLOCK, 1)
    edges = np.linspace(0, ny, n + 1).round().astype(int)
    means = np.add.reduceat(image, edges[:-1], axis=0, dtype=np.float64) / np.diff(edges)[:, None]
    half = min(STRAIGHT // 2, n - 1)
    # tilted lines go on beyond the edges
    padded = np.pad(means, ((half, half), (0, 0)), mode="reflect", reflect_type="odd")
    medians = median_of_values(np.stack([padded[k : k + n] for k in range(2 * half + 1)]), axis=0)
    return medians, (edges[1:] + edges[:-1] - 1) / 2
