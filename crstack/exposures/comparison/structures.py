"""Structures of the exposures: stars, lines and traces that exposures of one field share."""

from dataclasses import dataclass
from math import comb

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values, of_rank
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.pixels import highest_around, middle_of
from crstack.utils.threads import map_threads

__all__ = [
    "IN_ONE",
    "IN_TWO",
    "MIDDLE",
    "Structures",
    "agree",
    "agree_well",
    "agreement",
    "compared",
    "labelled",
    "lacking",
    "lacking_of",
    "light_of",
    "lowest_of_blocks",
    "share_few",
    "significances",
]

#: largest side (pixels) of the central part of an image that is compared
MIDDLE = 2048
#: side (blocks of 2 x 2 pixels) of the cells in which the level is measured
CELL = 16
#: significance of a block that belongs to a structure
SIGNIFICANT = 5.0
#: fewest significant blocks, of 3 x 3, in a structure: in two exposures, and in one if there are only two exposures
IN_TWO, IN_ONE = 6, 7
#: side (blocks) of the square in which the light of a structure is searched; it allows for small shifts
AROUND = 3
#: an exposure shows a structure if it has this fraction of the expected light
SEEN = 0.25
#: least fraction of the structures that an exposure of the same field shows, and fewest structures that are compared
SHARED, FEWEST = 1 / 3, 3
#: this share of the structures, the brightest ones, measures the light of an exposure relative to the others
BRIGHTEST = 0.25
#: blocks around a hit in which those of other exposures make a structure with it, and number of standard deviations by
#: which structures must exceed the number of these coincidences
COINCIDE, OVER_CHANCE = 20, 4.0
#: fewest structures that are compared with only two exposures, where some are hits: number, and number per pixel
FEWEST_OF_TWO, PER_PIXEL = 5, 20e-6


@dataclass(frozen=True)
class Structures:
    """Structures of the other exposures that an exposure shows.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 0.
    seen, number : int
        Structures that it shows, and structures of the others.
    own : int
        Structures of its own, with those that it shares.
    """

    exposure: int
    seen: int
    number: int
    own: int


def lacking(data, bad=None, factors=None):
    """Exposures that lack most structures of the others.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures (N, ny, nx); bad values are 0.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), their bad values.
    factors : sequence of float, optional
        Light of each exposure over that of an average one, where exposure times differ. The light that an exposure must
        show is multiplied by its factor, and structures that are then too faint for it are not compared.

    Returns
    -------
    found : list of Structures
        Of two exposures, both or none.

    Notes
    -----
    The lowest value of each block of 2 x 2 pixels is used, in units of its scatter, because most hits are narrower. A
    structure is a connected group of blocks that are significant in at least half of the other exposures, with
    significant blocks around them. Hits are hardly ever so wide in two exposures. An exposure shows a structure if it
    has at least a quarter of its light at the same place or beside it. An exposure is of another field if it shows less
    than a third of the structures. At least three structures are needed for this, and clearly more than there would be
    if all structures of the exposures were wide hits, of which some coincide. With two exposures groups of hits are
    among the structures, and at least five, and 20 per million pixels, are needed.
    """
    planes = significances(data, bad)
    return lacking_of(compared(planes, factors), planes[0][0].size)


def compared(planes, factors=None):
    """Structures of the other exposures that each exposure shows.

    Parameters
    ----------
    planes : list of (`~numpy.ndarray`, float)
        What `significances` returns.
    factors : sequence of float, optional
        As for `lacking`.

    Returns
    -------
    found : list of Structures
        One for each exposure.
    """
    levels, scatters = zip(*planes, strict=True)
    # significance of the same structure in each exposure, up to a constant
    worth = None if factors is None else np.array(factors) / np.maximum(scatters, 1e-30)
    return map_threads(lambda i: _compared(levels, i, worth), range(len(levels)))


def lacking_of(found, size):
    """Those of some exposures that lack most structures of the others; see `lacking`.

    Parameters
    ----------
    found : list of Structures
        Of all exposures.
    size : int
        Blocks of an exposure.
    """
    n = len(found)
    few = [one for one in found if one.number >= _fewest(found, one, size) and one.seen < SHARED * one.number]
    return few if n > 2 or len(few) == n else []


def _fewest(found, one, size):
    """Fewest structures of the other exposures with which an exposure is compared."""
    n = len(found)
    if n == 2:
        return max(FEWEST_OF_TWO, PER_PIXEL * 4 * size)
    # a structure is significant in so many of the others
    needed = n - 1 - (n - 2) // 2
    own = float(np.mean([other.own for other in found if other is not one]))
    chance = comb(n - 1, needed) * own * (own * COINCIDE / size) ** (needed - 1)
    return max(FEWEST, chance + OVER_CHANCE * np.sqrt(chance))


def share_few(found):
    """Whether exposures share few of the structures that each of them shows.

    Parameters
    ----------
    found : list of Structures
        Of all exposures.
    """
    own = float(median_of_values([one.own for one in found]))
    # of hits at random places, hardly any are in two exposures
    return own >= FEWEST_OF_TWO and float(median_of_values([one.number for one in found])) < SHARED * own


def significances(data, bad=None):
    """Significance of the blocks of each exposure, in its central part.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures (N, ny, nx); bad values are 0.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), their bad values.

    Returns
    -------
    planes : list of (`~numpy.ndarray`, float)
        For each exposure the lowest value of each 2 x 2 pixels above its surroundings, in units of the scatter (NaN
        where bad), and the scatter.
    """
    return map_threads(lambda i: _significance(data[i], None if bad is None else bad[i]), range(len(data)))


def agree_well(one, other):
    """Whether an image shows several structures of another one, and the other those of this one.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        (ny, nx).
    """
    return all(each.seen >= max(FEWEST_OF_TWO, SHARED * each.number) for each in _compared_both(one, other))


def agreement(one, other):
    """Part of its structures that each of two images finds in the other one; the lower of the two.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        (ny, nx).

    Returns
    -------
    part : float
        From 0 to 1; 0 if an image has no structure.
    """
    return min(each.seen / max(each.number, 1) for each in _compared_both(one, other))


def _compared_both(one, other):
    """What each of two images shows of the structures of the other one."""
    planes = [_significance(plane, None)[0] for plane in (one, other)]
    return [_compared(planes, i) for i in (0, 1)]


def agree(one, other):
    """Whether an image shows a third of the structures of another one or more.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        (ny, nx).
    """
    found = _compared([_significance(one, None)[0], _significance(other, None)[0]], 0)
    return found.seen >= SHARED * found.number


def light_of(data, i, bad=None, planes=None):
    """Light of an exposure relative to the others, where it shows their structures in proportion.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures (N, ny, nx); bad values are 0.
    i : int
        Number of the exposure, from 0.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), their bad values.
    planes : list of (`~numpy.ndarray`, float), optional
        What `significances` returns for these, if it is known.

    Returns
    -------
    ratio : float or None
        None if fewer than three structures would be seen at this ratio, or if the exposure lacks most of these. It is
        then not known whether it shows the same field.

    Notes
    -----
    The ratio is the median of the brightest quarter of the structures of the others, and of at least three. A third of
    the structures that are significant at this ratio must have a quarter of their expected light or more. An exposure
    of another field has only noise at the brightest structures of the others, so that none is significant.
    """
    planes, scatters = zip(*(planes or significances(data, bad)), strict=True)
    _, _, labels, n = _with_structures_of_others(planes, i)
    if n < FEWEST:
        return None
    own, common, _, _ = _with_structures_of_others(
        [plane * scatter for plane, scatter in zip(planes, scatters, strict=True)], i
    )
    rows, columns = np.nonzero(labels)
    number, light, expected = (
        np.bincount(labels[rows, columns], None if plane is None else plane[rows, columns])[1:]
        for plane in (None, own, common)
    )
    brightest = np.argsort(expected)[-max(FEWEST, round(BRIGHTEST * n)) :]
    ratio = float(median_of_values(light[brightest] / expected[brightest]))
    visible = ratio * expected > SIGNIFICANT * scatters[i] * np.sqrt(number)
    seen = visible & (light > SEEN * ratio * expected)
    few = np.count_nonzero(visible) < FEWEST or np.count_nonzero(seen) < SHARED * np.count_nonzero(visible)
    return None if few else ratio


def lowest_of_blocks(image):
    """The lowest of each 2 x 2 pixels (ny // 2, nx // 2): most hits are narrower."""
    return _extremes_of_blocks(image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2], np.minimum)


def _middle(image):
    """The middle of an image, with even sides."""
    part = image[middle_of(image.shape, MIDDLE)]
    return part[: len(part) // 2 * 2, : part.shape[1] // 2 * 2]


def _extremes_of_blocks(image, extreme):
    """Extreme of each 2 x 2 pixels."""
    across = extreme(image[:, ::2], image[:, 1::2])
    return extreme(across[::2], across[1::2])


def _significance(plane, bad):
    """Lowest value of each block above its surroundings, in units of the scatter (NaN where bad), and the scatter."""
    low = _extremes_of_blocks(_middle(plane), np.minimum)
    low = low - _level(low)
    missing = None if bad is None else _extremes_of_blocks(_middle(bad), np.logical_or)
    some = low[::3, ::3] if missing is None else low[::3, ::3][~missing[::3, ::3]]
    scatter = SIGMA_PER_MAD * median_of_values(np.abs(some - median_of_values(some))) if some.size else 0
    low = low / np.float32(scatter) if scatter > 0 else np.zeros_like(low)
    if missing is not None:
        low[missing] = np.nan
    return low, scatter


def _level(image):
    """Median in cells, interpolated."""
    shape = tuple(max(side // CELL, 1) for side in image.shape)
    height, width = (side // number for side, number in zip(image.shape, shape, strict=True))
    cells = image[: shape[0] * height, : shape[1] * width].reshape(shape[0], height, shape[1], width)
    cells = cells[:, ::2, :, ::2].transpose(0, 2, 1, 3).reshape(*shape, -1)
    medians = ndimage.median_filter(median_of_values(cells, axis=2), 3, mode="nearest")
    return _interpolated(_interpolated(medians, height, image.shape[0]).T, width, image.shape[1]).T


def _interpolated(rows, height, length):
    """Rows at the centres of cells, interpolated to each row."""
    place = np.clip((np.arange(length) + 0.5) / height - 0.5, 0, len(rows) - 1)
    before = np.minimum(place.astype(int), max(len(rows) - 2, 0))
    after = np.minimum(before + 1, len(rows) - 1)
    part = (place - before)[:, None].astype(np.float32)
    return rows[before] * (1 - part) + rows[after] * part


def _compared(planes, i, worth=None):
    """Structures of the other exposures, and those of them that exposure ``i`` shows.

    ``worth`` is the significance (N,) of one structure in each exposure, up to a constant; None if it is equal in all.
    """
    own, common, labels, n_structures = _with_structures_of_others(planes, i)
    if not n_structures:
        return Structures(i, 0, 0, labelled(own, IN_ONE)[1])
    rows, columns = np.nonzero(labels)
    light, expected = (
        np.bincount(labels[rows, columns], highest_around(plane, AROUND // 2)[rows, columns])[1:]
        for plane in (own, common)
    )
    if worth is not None:
        expected = expected * worth[i] / median_of_values(np.delete(worth, i))
        light, expected = light[expected > SIGNIFICANT], expected[expected > SIGNIFICANT]
    seen = int(np.count_nonzero(light > SEEN * expected))
    return Structures(i, seen, len(expected), labelled(own, IN_ONE)[1])


def _with_structures_of_others(planes, i):
    """Values of exposure ``i``, common values of the others, numbered structures of these, and how many there are."""
    n = len(planes)
    others = np.stack([np.nan_to_num(plane) for k, plane in enumerate(planes) if k != i])
    common = of_rank(others, (n - 2) // 2)
    common[np.isnan(planes[i])] = 0
    return np.nan_to_num(planes[i]), common, *labelled(common, IN_ONE if n == 2 else IN_TWO)


def labelled(plane, least):
    """Numbered structures of a plane, and how many there are.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        Significance of blocks.
    least : int
        Fewest significant blocks, of 3 x 3.
    """
    marked = (plane > SIGNIFICANT).view(np.uint8)
    rows = marked.copy()
    rows[1:] += marked[:-1]
    rows[:-1] += marked[1:]
    number = rows.copy()
    number[:, 1:] += rows[:, :-1]
    number[:, :-1] += rows[:, 1:]
    return ndimage.label(number >= least, np.ones((3, 3)))
