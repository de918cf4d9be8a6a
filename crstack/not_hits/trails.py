"""Trails of satellites and aeroplanes: straight features that cross most of one exposure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crstack.exposures import Exposures
from crstack.exposures.digits import digit_of
from crstack.lines_in_masks.search import BLOCK, FILLED, MOST, fitted_line, in_blocks, lengths_in_blocks, line_of_most
from crstack.not_hits.others import own_and_others
from crstack.utils.medians import median_of_values
from crstack.utils.threads import map_images

__all__ = [
    "Trail",
    "ends_of",
    "features_along",
    "planes_of",
    "sentence_of_trails",
    "straight_features",
]

#: largest distance from the line (pixels) that is examined, and distance beyond which the level is measured
REACH, OUTSIDE = 40, 30
#: the same for a trail that is wider
WIDE_REACH, WIDE_OUTSIDE = 100, 70
#: least light at the edge of a trail, in standard deviations of a pixel, and of the median at one distance
EDGE, SIGNIFICANT = 0.15, 4.0
#: standard error of a median over that of a mean
OF_MEDIAN = 1.25
#: noise of a difference, in units of the step of the values, below which medians differ by one step by chance
FEW_STEPS = 2.0
#: largest light of the other exposures relative to that of the trail
ALSO_IN_OTHERS = 0.3
#: pixels that are added at each edge
MARGIN = 1


@dataclass(frozen=True)
class Trail:
    """A trail in one exposure.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 1.
    x1, y1, x2, y2 : float
        Ends of its middle line (FITS: the first pixel is 1, 1).
    width : float
        Pixels across.
    n_pixels : int
        Number of its pixels.
    """

    exposure: int
    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    n_pixels: int


def straight_features(flagged: Callable[[int], np.ndarray], exposures: Exposures) -> list[tuple[Trail, np.ndarray]]:
    """Straight features among the flagged pixels of each exposure, with their faint edges: trails, or traces of a nod.

    Parameters
    ----------
    flagged, exposures
        As for `~crstack.not_hits.sources.find_sources`.

    Returns
    -------
    features : list of (Trail, `~numpy.ndarray`)
        Each with its pixels, bool (ny, nx).

    Notes
    -----
    Flagged pixels are counted in blocks of 4 x 4. A line is a candidate if it crosses 60 per cent of the larger side of
    the image, and 100 pixels or more. Also, 70 per cent of its blocks must have four flagged pixels or more. Where hits
    fill many blocks, this fraction must exceed that of all blocks by six standard deviations. The line is fitted to the
    flagged pixels near it. The medians of the exposure minus the others, at each distance from the line, give its
    edges. A line that the others show too, such as the trace of a spectrum, is no trail.
    """
    lengths = lengths_in_blocks(exposures.shape)
    found = map_images(lambda i: _trails_of_exposure(flagged(i), exposures, i, lengths), range(len(exposures)))
    return [one for of_one in found for one in of_one]


def features_along(
    line: tuple[float, float, float, float], flagged: np.ndarray, exposures: Exposures
) -> list[tuple[Trail, np.ndarray]]:
    """The straight features of all exposures along a line (x1, y1, x2, y2; pixels from 0), each with its pixels.

    The light of an exposure is compared with that of the faintest other one. A feature ends with its last flagged
    pixels, or those that have half of its median light.
    """
    rows, columns = np.indices(exposures.shape, dtype=np.float32, sparse=True)
    dx, dy = np.array(line[2:]) - line[:2]
    near = np.nonzero(np.abs((columns - line[0]) * dy - (rows - line[1]) * dx) < REACH * np.hypot(dx, dy))
    found = []
    for i in range(len(exposures)):
        point, direction = fitted_line(line, _brighter(near, exposures, i))
        found.append(_beside(point, direction, flagged, exposures, i, (REACH, OUTSIDE), lowest=True)[0])
    return [one for one in found if one is not None]


def _brighter(near, exposures, i):
    """Which of some pixels (rows, columns) are clearly brighter than in the faintest other exposure, bool (ny, nx)."""
    own, others = own_and_others(exposures, i, near, lowest=True)
    excess = np.nan_to_num(own - others)
    variance = exposures.noise_of(i).cutout(near).variance(np.maximum(np.nan_to_num(others), 0))
    bright = np.zeros(exposures.shape, dtype=bool)
    bright[near] = excess - np.median(excess) > SIGNIFICANT * np.sqrt(2 * variance)
    return bright


def planes_of(found: Sequence[tuple[Trail, np.ndarray]]) -> dict[int, np.ndarray]:
    """The pixels of all features of each exposure (from 0) that has some."""
    planes: dict[int, np.ndarray] = {}
    for trail, where in found:
        i = trail.exposure - 1
        planes[i] = planes[i] | where if i in planes else where
    return planes


def _trails_of_exposure(flagged, exposures, i, lengths):
    """The trails of one exposure, each with its pixels."""
    trails: list = []
    counts = in_blocks(flagged)
    for _ in range(MOST):
        line = line_of_most(counts, lengths)
        found = None if line is None else _traced(line, flagged, exposures, i)
        if found is None:
            break
        trails.append(found)
        counts[in_blocks(found[1]) > 0] = 0
    return trails


def _traced(line, flagged, exposures, i):
    """The trail along a line, and its pixels; None if the other exposures show it too, or if there is no light."""
    point, direction = fitted_line(line, flagged)
    found, is_wide = _beside(point, direction, flagged, exposures, i, (REACH, OUTSIDE))
    if not is_wide:
        return found
    # in a wide trail the line may have another direction than the trail
    point, direction = fitted_line(line, flagged, WIDE_OUTSIDE / 2)
    return _beside(point, direction, flagged, exposures, i, (WIDE_REACH, WIDE_OUTSIDE))[0]


def _beside(point, direction, flagged, exposures, i, limits, *, lowest=False):
    """The trail beside a fitted line, and its pixels, or None; and whether there may be one that is wider."""
    reach, outside = limits
    rows, columns = np.indices(flagged.shape, dtype=np.float32, sparse=True)
    across = (columns - point[0]) * direction[1] - (rows - point[1]) * direction[0]
    near = np.nonzero(np.abs(across) < reach)
    distance, along = across[near], (near[1] - point[0]) * direction[0] + (near[0] - point[1]) * direction[1]
    own, others = own_and_others(exposures, i, near, lowest=lowest)
    profile, light = (_profile(distance, values, limits) for values in (own - others, others))
    centre = reach
    sigma = np.sqrt(2 * np.nanmedian(exposures.noise_of(i).cutout(near).variance(np.maximum(np.nan_to_num(others), 0))))
    number = np.bincount(_bins(distance, reach), minlength=2 * reach + 1)
    inside = profile > _least_light(sigma, number, digit_of(own - others) or 0.0)
    middle = slice(centre - 1, centre + 2)
    if not inside[middle].any() or light[centre] > ALSO_IN_OTHERS * profile[middle].max():
        # the level contains light of a wide trail
        return None, not inside[middle].any() and _is_filled(distance, flagged[near])
    peak, left, right = _edges(profile, inside)
    if right - left < 3 or right - left > outside:
        # a feature one pixel wide is a bad row or column; one that reaches the distances of the level is no trail
        return None, right - left > outside
    low, high = left + 1 - centre - 0.5 - MARGIN, right - 1 - centre + 0.5 + MARGIN
    on_line = flagged[near]
    if lowest:
        # only some pixels of a trace that several exposures show are flagged
        excess = own - others
        with_light = excess - np.nanmedian(excess[np.abs(distance) >= outside]) > profile[peak] / 2
        on_line = on_line | (with_light & (np.abs(distance - (peak - centre)) < 1))
    across = (distance > low) & (distance < high)
    ends = _ends(along, across & on_line)
    where = np.zeros(flagged.shape, dtype=bool)
    where[near] = across & (along >= ends[0]) & (along <= ends[1])
    x, y = ((point[k] + np.array(ends) * direction[k] + 1).tolist() for k in (0, 1))
    return (Trail(i + 1, x[0], y[0], x[1], y[1], float(high - low), np.count_nonzero(where)), where), False


def _least_light(sigma, number, step):
    """Least light of a trail at each distance from its line, by the noise of ``number`` values in steps of ``step``."""
    least = np.maximum(EDGE * sigma, SIGNIFICANT * OF_MEDIAN * sigma / np.sqrt(np.maximum(number, 1)))
    return np.maximum(least, step) if sigma < FEW_STEPS * step else least


def _edges(profile, inside):
    """Distances (indices) of the brightest of the three middle ones, and of the first without light on each side."""
    middle = len(profile) // 2
    peak = middle - 1 + int(np.argmax(profile[middle - 1 : middle + 2]))
    left = peak - int(np.argmin(np.append(inside[peak::-1], False)))
    right = peak + int(np.argmin(np.append(inside[peak:], False)))
    return peak, left, right


def _is_filled(distance, flagged):
    """Whether most pixels within a few pixels of a line are flagged."""
    return bool(np.mean(flagged[np.abs(distance) < 2 * BLOCK]) > FILLED)


def _bins(distance, reach):
    """Number of each distance in whole pixels, from 0 at minus the reach."""
    return np.rint(distance).astype(int) + reach


def _profile(distance, values, limits):
    """Median at each distance, less that far from the line."""
    reach, outside = limits
    bins, valid = _bins(distance, reach), np.isfinite(values)
    # sorting is faster for short integers
    order = np.argsort(bins[valid].astype(np.int16), kind="stable")
    number = np.bincount(bins[valid], minlength=2 * reach + 1)
    parts = np.split(values[valid][order], np.cumsum(number)[:-1])
    medians = np.array([median_of_values(part) if len(part) else 0.0 for part in parts])
    far = np.abs(np.arange(-reach, reach + 1)) >= outside
    if reach > REACH and (far & (number > 0)).any():
        far &= number > 0  # a wide band may leave the image
    return medians - np.median(medians[far])


def _ends(along, on_trail):
    """First and last place along the line with flagged pixels."""
    places = along[on_trail]
    return (float(places.min()), float(places.max())) if len(places) else (0.0, 0.0)


def ends_of(trail: Trail, names: Sequence[str]) -> str:
    """Words on the exposure and the ends of a straight feature."""
    return f"{names[trail.exposure - 1]} from ({trail.x1:.0f}, {trail.y1:.0f}) to ({trail.x2:.0f}, {trail.y2:.0f})"


def sentence_of_trails(trails: Sequence[Trail], names: Sequence[str]) -> str | None:
    """A warning about trails; None if there are none.

    Parameters
    ----------
    trails : sequence of Trail
        From `straight_features`.
    names : sequence of str
        Names of the exposures.
    """
    if not trails:
        return None
    parts = "; ".join(f"{ends_of(one, names)}, {one.width:.0f} pixels wide" for one in trails)
    return f"straight trails cross exposures: {parts}. They are masked to their edges, with the code TRAIL"
