"""Warning about flagged pixels that are far more frequent on stars, lines and traces than elsewhere."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import ndimage, special

from crstack.exposures import Exposures
from crstack.masks import MaskSet
from crstack.masks.codes import Code, exposure_name, is_hit
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user

__all__ = ["OnStructures", "flagged_on_structures", "warn_of_flagged_structures"]

#: side (pixels) of the blocks whose medians are the level, and step of the values that are used
BLOCK, STEP = 32, 4
#: structures exceed the level by these numbers of standard deviations in the other exposures; each is tried
CLEAR = (5.0, 20.0, 60.0)
#: most other exposures that are compared, most hits of an exposure, and number of pixels that show the share of the
#: image which structures cover
OTHERS, PIXELS = 8, 20_000
#: length (pixels) of the line across a trace, or a line of the sky, whose median is the level beside it, most other
#: exposures that are compared there, and most places
ACROSS, OTHERS_ACROSS, PLACES_ACROSS = 31, 3, 5000
#: largest probability that hits alone are as many on structures, and least ratio to the number that they give
CHANCE, TIMES = 1e-6, 2.5
#: standard deviations by which the share of the image which structures cover is raised, because a sample shows it
RAISED = 2.0


@dataclass(frozen=True)
class OnStructures:
    """Flagged pixels of an exposure on structures.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 0.
    flagged : float
        Share of the pixels of structures that are flagged.
    times : float
        How many times as frequent they are as elsewhere.
    """

    exposure: int
    flagged: float
    times: float


def flagged_on_structures(masks: MaskSet, exposures: Exposures) -> list[OnStructures]:
    """Exposures in which pixels of structures are flagged far more frequently than others.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.

    Returns
    -------
    found : list of OnStructures

    Notes
    -----
    Cosmic rays hit all places alike. A structure is a pixel at which the other exposures exceed their level, which is
    the median of blocks of 32 pixels. The exposure itself does not count, because its hits would be structures. Of each
    group of connected flagged pixels, one pixel is compared with pixels at random places. So a long track counts once,
    the number on structures is a binomial number, and coincidences with hits of the others change nothing.

    Lines of the sky and gaps between slices are structures too, and traces may be faint against the level of a block.
    So pixels are also compared with the median of those across a trace, and across a line.
    """
    n, shape = len(exposures), exposures.shape
    rng = np.random.default_rng(0)
    levels = [_levels(plane) for plane in exposures.data]
    usual = np.divmod(rng.integers(0, shape[0] * shape[1], PIXELS), shape[1])
    few_usual = tuple(one[:PLACES_ACROSS] for one in usual)
    # each exposure is compared with several others, whose values at the usual places are the same
    usual_level = cache(lambda k: _above_level(exposures, k, levels, usual))
    usual_beside = cache(lambda k, axis: _above_beside(exposures, k, few_usual, axis))
    found = []
    for i in range(n):
        groups = _one_of_each_group(is_hit(masks.codes[exposure_name(i)]), rng)
        if not len(groups.places):
            continue
        others = [k for k in range(n) if k != i][:OTHERS]
        places = np.divmod(groups.places, shape[1])
        of_groups = _lower_median([_above_level(exposures, k, levels, places) for k in others])
        of_all = _lower_median([usual_level(k) for k in others])
        tried = [_compared(i, groups, of_groups > clear, of_all > clear, shape) for clear in CLEAR]
        tried += _compared_across(i, groups, exposures, usual_beside)
        found += sorted(filter(None, tried), key=lambda one: one.times)[-1:]
    return found


@dataclass(frozen=True)
class _Groups:
    """Groups of connected flagged pixels: the place of one pixel of each, its number of pixels, and how many there are.

    The places are a random part if there are many.
    """

    places: np.ndarray
    sizes: np.ndarray
    number: int


def _one_of_each_group(flagged, rng):
    """The `_Groups` of a mask, with a random pixel of each."""
    labels, number = ndimage.label(flagged, np.ones((3, 3)))
    places = rng.permutation(np.flatnonzero(flagged))
    of_group, first, sizes = np.unique(labels.ravel()[places], return_index=True, return_counts=True)
    some = rng.permutation(len(of_group))[:PIXELS]
    return _Groups(places[first[some]], sizes[some], number)


def _compared(i, groups, on, of_all, shape):
    """The `OnStructures` if far more of the groups than of all pixels lie on structures (bool arrays), or None."""
    share, scale = float(of_all.mean()), groups.number / len(on)
    if not 0 < share < 1:
        return None
    number = np.count_nonzero(on)
    by_hits = (len(on) - number) * share / (1 - share)
    most = min(share * (1 + RAISED / np.sqrt(np.count_nonzero(of_all))), 1.0)
    if number < TIMES * by_hits or special.bdtrc(number - 1, len(on), most) > CHANCE:
        return None
    flagged = float(groups.sizes[on].sum()) * scale / (share * shape[0] * shape[1])
    return OnStructures(i, flagged, float(number / max(by_hits, 1.0)))


def _compared_across(i, groups, exposures, usual_beside):
    """As `_compared`, for traces and for lines of the sky: pixels above those beside them along columns, or rows.

    ``usual_beside(k, axis)`` is how far exposure ``k`` exceeds the pixels beside, at places all over the image.
    """
    some = replace(groups, places=groups.places[:PLACES_ACROSS], sizes=groups.sizes[:PLACES_ACROSS])
    places = np.divmod(some.places, exposures.shape[1])
    others = [k for k in range(len(exposures)) if k != i][:OTHERS_ACROSS]
    found = []
    for axis, side in enumerate(exposures.shape):
        if side < ACROSS:
            continue
        of_groups = _lower_median([_above_beside(exposures, k, places, axis) for k in others])
        of_all = _lower_median([usual_beside(k, axis) for k in others])
        found.append(_compared(i, some, of_groups > CLEAR[0], of_all > CLEAR[0], exposures.shape))
    return found


def _lower_median(above):
    """Lower median of values (N, M), which the hits of half of the exposures do not raise."""
    return np.sort(above, axis=0)[(len(above) - 1) // 2]


def _above_beside(exposures, k, where, axis):
    """As `_above_level`, above the median of the pixels along an axis around each one."""
    steps = np.arange(ACROSS) - ACROSS // 2
    line = [one[:, None] + (steps if number == axis else 0) for number, one in enumerate(where)]
    line[axis] = np.clip(line[axis], 0, exposures.shape[axis] - 1)
    return _above(exposures, k, median_of_values(exposures.data[k][*line], axis=1), where)


def _levels(plane):
    """Medians (rows, columns) of the blocks of an exposure."""
    some = np.asarray(plane[::STEP, ::STEP])
    side = BLOCK // STEP
    rows, columns = (max(length // side, 1) for length in some.shape)
    blocks = some[: rows * side, : columns * side]
    blocks = blocks.reshape(rows, -1, columns, blocks.shape[1] // columns).transpose(0, 2, 1, 3)
    return median_of_values(blocks.reshape(rows, columns, -1), axis=-1)


def _above_level(exposures, k, levels, where):
    """How far exposure ``k`` exceeds its level at some pixels, in standard deviations."""
    blocks = [np.minimum(place // BLOCK, side - 1) for place, side in zip(where, levels[k].shape, strict=True)]
    return _above(exposures, k, levels[k][*blocks], where)


def _above(exposures, k, level, where):
    """How far exposure ``k`` exceeds a ``level`` at some pixels, in standard deviations of that level."""
    noise = exposures.noise_of(k).cutout(where).variance(np.maximum(level, 0))
    return (exposures.data[k][where] - level) / np.sqrt(noise)


def warn_of_flagged_structures(masks: MaskSet, exposures: Exposures) -> None:
    """Warn of exposures whose structures are flagged far more frequently than the rest.

    Parameters
    ----------
    masks, exposures
        As for `flagged_on_structures`.

    Warns
    -----
    CRStackWarning
        If there are such exposures.
    """
    found = flagged_on_structures(masks, exposures)
    # traces of a nod have a warning of their own, and their wings are flagged
    if not found or any((masks.codes[exposure_name(i)] == Code.MOVED).any() for i in range(len(exposures))):
        return
    numbers = ", ".join(
        f"{min(one.flagged, 1):.1%} of those of {exposures.names[one.exposure]} "
        f"({one.times:.2g} times the share elsewhere)"
        for one in found
    )
    warn_user(
        f"pixels of stars, lines or traces are flagged far more often than others: {numbers}. Cosmic rays hit all "
        "places alike, so these exposures differ there by more than is measured, and combined images lack their light. "
        "Look at the masks there. Leave out these exposures, or give skip_regions or ignore_pixels for the structures"
    )
