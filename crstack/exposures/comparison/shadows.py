"""Parts of one exposure that get less light than in the others: a dead amplifier, or the shadow of a probe or dome."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.exposures.comparison.displacement import displacement
from crstack.exposures.comparison.times import factors_of_times
from crstack.exposures.cube import ALIGNED
from crstack.exposures.scatter.noise_sample import mean_of_smallest
from crstack.utils.medians import median_of_values
from crstack.utils.memory import relax
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads

__all__ = ["Shadow", "find_shadows"]

#: side of the blocks (pixels), and size (pixels) of an image above which blocks have twice this side
SIDE, LARGE = 16, 2_000_000
#: values of a block along each axis of which the median is taken, and scatter of this median over that of a value
ACROSS, OF_MEDIAN = 8, 1.25 / 8
#: fewest blocks along an axis, and fewest blocks with light
FEWEST_ALONG, FEWEST_LIT = 6, 20
#: largest share of bad values of a block
MOST_BAD = 0.2
#: a block has light if its level is this number of standard deviations of its median above 0
LIT = 8.0
#: quantile of the ratios of two exposures that is the ratio of their light outside of a shadow
OUTSIDE = 0.75
#: a shadow is darker than the rest by this fraction, and by this number of standard deviations of a ratio
DEPTH, SIGNIFICANT = 0.25, 4.0
#: fewest blocks of a shadow, its least share of the image, and its largest share of the blocks with light
FEWEST, LEAST, MOST = 9, 0.01, 0.65
#: a part that covers this share of the blocks with light may as well be the part without stray light
AMBIGUOUS = 0.3
#: window (blocks) in which both sides of an edge are compared. An edge is sharp if their difference is the second
#: number times the depth. A shadow has such an edge on more than the third number of its border, a fraction
WINDOW, SHARP, MOST_OF_BORDER = 5, 0.65, 0.7
#: largest change of the level of the other exposures across the edge, over that of the ratio, as logarithms
OF_SCENE = 0.5
#: values of a shadow from which the noise is measured
SAMPLE = 40_000
#: blocks beside a shadow belong to its penumbra if they are darker by this fraction and number of standard deviations
PENUMBRA, FAINTEST = 0.05, 3.0
#: least level that counts, relative to that of the other exposures
FLOOR = 0.02
#: neighbours of a block
AROUND = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Shadow:
    """Part of an exposure that has less light than in the others.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 0.
    share : float
        Median ratio of its light there to that of the other exposures.
    where : `~numpy.ndarray` of bool
        (ny, nx), its pixels and a margin of a block.
    """

    exposure: int
    share: float
    where: np.ndarray


def find_shadows(exposures):
    """Large parts of single exposures that have less light than in the others, with a sharp edge.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.

    Returns
    -------
    shadows : list of Shadow
        One for each exposure that has such parts.

    Notes
    -----
    The medians of blocks of 16 x 16 pixels (32 x 32 in large images) are compared with those of the other exposures,
    relative to the ratio of their light in the rest of the image. A shadow is a connected group of blocks that are
    darker by a quarter or more. It covers 1 % of the image or more. It has five properties:

    - The ratio changes within two blocks on most of its border. Gradients of the sky, clouds and vignetting are
      smoother.
    - The other exposures have no such edge at this place. Otherwise they have more light there, as that of a ghost.
    - The noise is less than in the other exposures, as that of less light is. A bias that is too high changes the level
      only.
    - The other exposures have significant light there.
    - If it covers 30 % of the light or more, its own level differs more from that of the other exposures than the
      level of the rest does. Otherwise the rest has stray light.

    With three exposures or more, two that are dark at the same place are found, too, because the brighter exposures
    represent the others.
    """
    side = SIDE if exposures.data[0].size <= LARGE else 2 * SIDE
    if min(exposures.shape) < FEWEST_ALONG * side:
        return []
    factors = factors_of_times(exposures)
    factors = np.ones(len(exposures)) if factors is None else np.array(factors)
    works = [(exposures, i, side, factors[i]) for i in range(len(exposures))]
    levels = np.stack(map_threads(lambda work: _levels_of_blocks(*work), works))
    errors = np.array([OF_MEDIAN * np.sqrt(_variance(exposures, *work)) for work in enumerate(_middles(levels))])
    light = _light(levels, errors / factors)
    if light is None:
        return []
    levels, errors = levels / light[:, None, None], errors / (factors * light)
    usual = [one / np.nanmedian(np.delete(light, i)) for i, one in enumerate(light)]
    found = [_shadow_of(exposures, levels, errors, i, (usual[i], factors * light), side) for i in range(len(exposures))]
    return [one for one in found if one is not None and not _is_displaced(exposures, one)]


def _is_displaced(exposures, shadow):
    """Whether an exposure shows the structures of another one too far away."""
    other = exposures.data[1 if shadow.exposure == 0 else 0]
    shift = displacement(*(np.where(shadow.where, 0, one) for one in (exposures.data[shadow.exposure], other)))
    return shift is not None and max(map(abs, shift)) > ALIGNED


def _middles(levels):
    """Median level of each exposure; 0 where no block is valid."""
    return [float(median_of_values(one[np.isfinite(one)])) if np.isfinite(one).any() else 0.0 for one in levels]


def _levels_of_blocks(exposures, i, side, factor):
    """Medians of the blocks of an exposure, over the ratio of its time to the mean; NaN where many values are bad."""
    step, (ny, nx) = side // ACROSS, (length // side for length in exposures.shape)

    def blocks(plane):
        some = plane[: ny * side : step, : nx * side : step]
        return some.reshape(ny, ACROSS, nx, ACROSS).swapaxes(1, 2).reshape(ny, nx, ACROSS**2)

    levels = median_of_values(blocks(exposures.data[i]), axis=2)
    bad = exposures.bad_of(i)
    if bad is not None:
        levels[blocks(bad).mean(axis=2) > MOST_BAD] = np.nan
    relax()
    return levels / np.float32(factor)


def _variance(exposures, i, level):
    """Median of the stated variance of an exposure at a level."""
    part = tuple(slice(None, None, max(length // 100, 1)) for length in exposures.shape)
    expected = np.full_like(exposures.data[i][part], max(level, 0), np.float32)
    return float(median_of_values(exposures.noise_of(i).cutout(part).variance(expected)))


def _light(levels, errors):
    """Light of the exposures (N,) relative to each other, outside of shadows; None where there is too little."""
    if len(levels) == 2:
        one, other = (_ratio(levels[i], levels[1 - i], LIT * errors.max()) for i in (0, 1))
        if one is None or other is None:
            return None
        # of two explanations, the one with more equal exposures
        return np.array([one if abs(np.log(one)) <= abs(np.log(other)) else 1 / other, 1.0])
    common = _from_top(levels, lambda number: number // 2)
    light = [_ratio(one, common, LIT * median_of_values(errors)) for one in levels]
    # an exposure without light, or without valid blocks, is left out
    return None if sum(one is not None for one in light) < 2 else np.array([one or np.nan for one in light])


def _ratio(one, other, least):
    """Ratio of two levels of blocks outside of shadows, where the other one has light; None if there is none."""
    lit = np.isfinite(one) & (other > least)
    if np.count_nonzero(lit) < FEWEST_LIT:
        return None
    ratio = float(np.quantile(one[lit] / other[lit], OUTSIDE))
    return ratio if ratio > FLOOR else None


def _from_top(levels, rank):
    """Level of each block with a rank among the valid exposures, from the highest; NaN where none is valid."""
    ordered = np.sort(np.where(np.isfinite(levels), levels, -np.inf), axis=0)[::-1]
    number = np.isfinite(levels).sum(axis=0)
    found = np.take_along_axis(ordered, np.minimum(rank(number), len(levels) - 1)[None], axis=0)[0]
    return np.where(np.isfinite(found), found, np.nan)


def _shadow_of(exposures, levels, errors, i, lights, side):
    """The shadow of an exposure, or None.

    ``lights`` are the light of the exposure relative to the others, over the exposure time, and that of all (N,).
    """
    usual, light = lights
    own = levels[i]
    # of four or more, one may have more light than the others
    others = _from_top(np.delete(levels, i, axis=0), lambda number: np.maximum(number // 4, number > 2))
    least = LIT * np.nanmax(errors)
    lit = np.isfinite(own) & (np.nan_to_num(others) > least)
    if np.count_nonzero(lit) < FEWEST_LIT:
        return None
    ratio = np.full(own.shape, np.nan)
    ratio[lit] = own[lit] / others[lit]
    outside = np.quantile(ratio[lit], OUTSIDE)
    if not outside > FLOOR:
        return None
    ratio = np.clip(ratio / outside, FLOOR, 2)
    scatter = max(_scatter(np.diff(ratio, axis=axis)) for axis in (0, 1))
    dark = lit & (ratio < 1 - max(DEPTH, SIGNIFICANT * scatter))
    if np.count_nonzero(dark) < FEWEST:
        return None
    labels, number = ndimage.label(dark)
    least, most = max(FEWEST, LEAST * dark.size), MOST * np.count_nonzero(lit)
    sizes = np.bincount(labels.ravel())
    kept = np.zeros_like(dark)
    for k in range(1, number + 1):
        inside = labels == k
        if (
            least <= sizes[k] <= most
            and ndimage.binary_erosion(inside, AROUND, border_value=1).any()
            and _has_edge(ratio, own, others * outside, inside)
            and not (
                sizes[k] > AMBIGUOUS * np.count_nonzero(lit)
                and _is_usual(usual * outside, float(median_of_values(ratio[inside])))
            )
            and _has_less_noise(exposures, i, inside, (own, others * outside), light, side)
        ):
            kept |= inside
    if not kept.any():
        return None
    share = float(median_of_values(own[kept] / others[kept] / outside))
    return Shadow(i, share, _pixels(_with_penumbra(kept, ratio, scatter), side, exposures.shape))


def _is_usual(outside, share):
    """Whether a part is nearer to the level of the other exposures than the rest of the exposure is.

    ``outside`` is the level of the rest over that of the others, ``share`` the level of the part over that of the rest.
    """
    return abs(np.log(outside * share)) < abs(np.log(outside))


def _scatter(steps):
    """Scatter of values, from the steps between neighbours; 0 where none is known."""
    steps = np.abs(steps[np.isfinite(steps)])
    return SIGMA_PER_MAD / np.sqrt(2) * float(median_of_values(steps)) if steps.size else 0.0


def _has_edge(ratio, own, others, inside):
    """Whether the ratio changes within few blocks on most of the border, and the others have no such edge there.

    Where the others have more light inside, as of a ghost or a nodded object, or where gaps between orders or fibres
    have another sky, the others change at the edge.
    """
    lit = np.isfinite(ratio)
    border = inside & ~ndimage.binary_erosion(inside, AROUND, border_value=1)
    parts = lit & inside, lit & ~inside
    weights = [ndimage.uniform_filter(part.astype(float), WINDOW, mode="constant") for part in parts]
    border &= (weights[0] * WINDOW**2 > 1.5) & (weights[1] * WINDOW**2 > 1.5)
    if not border.any():
        return False

    def sides(values):
        sums = (ndimage.uniform_filter(np.where(part, values, 0.0), WINDOW, mode="constant") for part in parts)
        return [one[border] / weight[border] for one, weight in zip(sums, weights, strict=True)]

    within, beyond = sides(ratio)
    sharp = beyond - within > SHARP * (1 - median_of_values(ratio[inside]))
    if np.mean(sharp) <= MOST_OF_BORDER:
        return False
    changes = []
    for one in (own, others):
        within, beyond = (np.maximum(part, FLOOR) for part in sides(one / median_of_values(others[lit])))
        changes.append(float(median_of_values(np.log(within / beyond))))
    here, there = changes
    return abs(there) < OF_SCENE * abs(here - there)


def _has_less_noise(exposures, i, inside, levels, light, side):
    """Whether the values of a part of an exposure scatter less than in the others, as those of less light do.

    ``levels`` are those of the blocks in the exposure, and as expected from the others.
    """
    rows, columns = np.nonzero(inside)
    step = max(len(rows) * side * side // SAMPLE, 1)
    rows, columns = rows[:: max(step // 2, 1)], columns[:: max(step // 2, 1)]
    inner = np.arange(0, side - 1)
    y = (rows[:, None] * side + inner[None, ::2])[:, :, None]
    x = (columns[:, None] * side + inner[None, ::2])[:, None, :]
    y, x = np.broadcast_arrays(y, x)

    def found(k):
        values, valid = exposures.data[k][y, x + 1] - exposures.data[k][y, x], np.ones(y.shape, bool)
        bad = exposures.bad_of(k)
        if bad is not None:
            valid = ~(bad[y, x] | bad[y, x + 1])
        return float(mean_of_smallest(values[valid].astype(np.float64) ** 2)) / 2 if valid.any() else np.nan

    own, level = (float(median_of_values(one[inside])) for one in levels)
    usable = [k for k in range(len(exposures)) if k != i and np.isfinite(light[k])]
    usual = np.nanmedian([found(k) / _variance(exposures, k, level * light[k]) for k in usable])
    bright = _variance(exposures, i, level * light[i])
    share = own / level
    if exposures.variances[i] is None:
        share = _variance(exposures, i, share * level * light[i]) / bright
    return found(i) / bright < (1 + share) / 2 * usual


def _with_penumbra(dark, ratio, scatter):
    """Blocks of a shadow with those beside it that are a little darker, and a margin of one block."""
    faint = np.nan_to_num(ratio, nan=1.0) < 1 - max(PENUMBRA, FAINTEST * scatter)
    grown = ndimage.binary_fill_holes(dark | (ndimage.binary_dilation(dark, AROUND) & faint))
    return ndimage.binary_dilation(grown, AROUND)


def _pixels(blocks, side, shape):
    """Pixels of some blocks; the last blocks extend to the edges of the image."""
    rows, columns = (
        np.minimum(np.arange(length) // side, n - 1) for length, n in zip(shape, blocks.shape, strict=True)
    )
    return blocks[rows[:, None], columns]
