"""Blank and unlit exposures."""

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values
from crstack.utils.pixels import dilate, extreme_along
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["BLOCK", "blank_part", "is_constant", "level_of_darkest_blocks", "unlit"]

#: side of the smallest block of one value that counts as blank
BLOCK = 7

#: side of blocks whose medians are compared, quantile of the medians, and fewest blocks
SIDE, DARKEST, FEWEST_BLOCKS = 32, 0.05, 20

#: size of a sample of values
SAMPLE = 200_000

#: pixels that are bright in several exposures belong to structures if they are at least ``TIMES`` as many as by chance,
#: or if their excess over this number is at least the fraction ``TOGETHER`` of the largest possible excess
TIMES, TOGETHER = 2.0, 0.15


#: pixels above the quantile ``BRIGHT`` of the other exposures are bright. Their contrast and their level count from
#: these numbers of standard deviations on. An exposure with less than the share ``UNLIT`` of them has no light
BRIGHT, CLEAR_CONTRAST, CLEAR_LEVEL, UNLIT = 0.98, 20, 3, 0.1
#: fewest pixels of a sample
FEWEST_PIXELS = 1000


def is_constant(plane, bad=None):
    """Whether all valid values of an image are one value."""
    # a small sample first, because hardly any image is constant
    sample = plane[::7, ::7] if bad is None else plane[::7, ::7][~bad[::7, ::7]]
    if sample.size and (sample != sample.flat[0]).any():
        return False
    values = plane if bad is None else plane[~bad]
    return values.size > 0 and bool((values == values.flat[0]).all())


def blank_part(plane, side=BLOCK):
    """Pixels of blocks, and of long lines at the edges, that hold one value.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        Image (ny, nx).
    side : int, optional
        Least side of the blocks, 7 pixels or more; the next odd number is used.

    Returns
    -------
    blank : `~numpy.ndarray` of bool or None
        True in every square of this size with one value. Also in lines of one value along the first and last row and
        column, if they have as many pixels as a square. None if there is none. Noise gives no square of 7 x 7 pixels
        with one value, also for integers, unless it is far below one unit: see
        `crstack.exposures.digits.side_of_blocks`.
    """
    side += 1 - side % 2
    blank = np.zeros(plane.shape, dtype=bool)
    _mark_edges(blank, plane, side * side)
    if min(plane.shape) >= side and _may_be_blank(plane):
        _mark_squares(blank, plane, side)
    return blank if blank.any() else None


def _mark_edges(blank, plane, length):
    """Mark lines of one value, of at least this length (odd), along the edges: a border narrower than a square."""
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        line = plane[edge]
        if len(line) < length:
            continue
        same = ndimage.maximum_filter1d(line, length) == ndimage.minimum_filter1d(line, length)
        # centres of complete lines
        same[: length // 2] = same[len(line) - length // 2 :] = False
        if same.any():
            blank[edge] |= ndimage.maximum_filter1d(same, length)


def _mark_squares(blank, plane, side):
    """Mark squares of one value, of this side (odd)."""
    edge = side // 2

    def work(band):
        rows, wide, inside = band
        part = plane[wide]
        highest, lowest = (
            extreme_along(extreme_along(part, side, 0, one), side, 1, one) for one in (np.maximum, np.minimum)
        )
        centres = highest == lowest
        # centres of complete blocks
        centres[: max(edge - wide.start, 0)] = False
        centres[max(len(plane) - edge - wide.start, 0) :] = False
        centres[:, :edge] = centres[:, -edge:] = False
        if centres.any():
            blank[rows] |= dilate(centres, edge)[inside]

    map_threads(work, wide_bands(*plane.shape, margin=2 * edge))


def _may_be_blank(plane):
    """Whether any pixel of every third row and column equals its four neighbours; each block has such a pixel."""
    middle = plane[1:-1:3, 1:-1:3]
    same = middle == plane[: 3 * len(middle) : 3, 1:-1:3]
    for rows, columns in ((np.s_[2::3], np.s_[1:-1:3]), (np.s_[1:-1:3], np.s_[::3]), (np.s_[1:-1:3], np.s_[2::3])):
        other = plane[rows, columns][: middle.shape[0], : middle.shape[1]]
        same &= middle == other
    return bool(same.any())


def level_of_darkest_blocks(plane, bad=None):
    """Level of the darkest part of an image: a low quantile of the medians of blocks of 32 x 32 pixels.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        Image (ny, nx).
    bad : `~numpy.ndarray` of bool, optional
        Its bad values; blocks that have one are left out.

    Returns
    -------
    level : float
        0 if there are fewer than 20 blocks.
    """

    def blocks(image):
        ny, nx = (length // SIDE for length in image.shape)
        return image[: ny * SIDE, : nx * SIDE].reshape(ny, SIDE, nx, SIDE).swapaxes(1, 2).reshape(ny * nx, SIDE**2)

    values = blocks(plane)
    if bad is not None:
        values = values[~blocks(bad).any(axis=1)]
    if len(values) < FEWEST_BLOCKS:
        return 0.0
    return float(np.quantile(median_of_values(values[:, ::7], axis=1), DARKEST))


def unlit(data, bad, sigma, factors=None):
    """Exposures that lack the structure of the others.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Three or more exposures (N, ny, nx), bias subtracted.
    bad : `~numpy.ndarray` of bool or None
        Their bad values.
    sigma : float
        Standard deviation of a value.
    factors : sequence of float, optional
        Light of each exposure over that of an average one, where exposure times differ.

    Returns
    -------
    found : list of (int, float, float)
        Exposure, its contrast of bright and faint pixels, and the contrast expected from the others. The level replaces
        the contrast if there is none.

    Notes
    -----
    Bright pixels are those in which all other exposures are bright, each above its own median: the lowest of exposures
    with unequal skies would be that of the darkest sky, with its hits. Hits of several exposures meet by chance. With a
    fraction p_k of bright pixels in exposure k, the product of all p_k is expected to be bright in all of them. A
    structure makes twice as many, or at least 15 % of the largest possible excess over this product.
    """
    n = len(data)
    if n < 3:
        return []
    step = max(int(np.sqrt(data[0].size / SAMPLE)), 1)
    some = data[:, ::step, ::step].reshape(n, -1)
    if bad is not None:
        some = some[:, ~bad[:, ::step, ::step].reshape(n, -1).any(axis=0)]
    if some.shape[1] < FEWEST_PIXELS:
        return []
    factors = np.ones(n, np.float32) if factors is None else np.asarray(factors, np.float32)
    some = some / factors[:, None]
    levels = median_of_values(some, axis=1)
    above = some - levels[:, None]

    def found_of(i):
        rest = np.delete(above, i, axis=0)
        others = rest.min(axis=0)
        faint, bright = np.quantile(others, [0.5, BRIGHT])
        top = others >= bright
        highest = median_of_values(others[top])
        contrast = (highest - faint) * factors[i]
        own = median_of_values(above[i][top]) * factors[i]
        level = median_of_values(np.delete(levels, i)) * factors[i]
        # it must be significant in the shortest exposure too
        scatter = sigma * factors[i] / min(factors)
        if contrast > CLEAR_CONTRAST * scatter and own < UNLIT * contrast and _is_shared(rest > (faint + highest) / 2):
            return i, float(own), float(contrast)
        if level > CLEAR_LEVEL * scatter and levels[i] * factors[i] < UNLIT * level:
            return i, float(levels[i] * factors[i]), float(level)
        return None

    return [one for one in map_threads(found_of, range(n)) if one is not None]


def _is_shared(bright):
    """Whether pixels are bright (N, pixels) together in some exposures more often than by chance; see `unlit`."""
    shares = bright.mean(axis=1)
    by_chance, together = float(np.prod(shares)), float(bright.all(axis=0).mean())
    return together > TIMES * by_chance or together - by_chance > TOGETHER * (shares.min() - by_chance)
