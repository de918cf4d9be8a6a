"""Traces of spectra that differ between the exposures: dimmed by clouds, or nodded along the slit."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from crstack.exposures import Exposures
from crstack.not_hits.nods import is_part_of, usable_lines
from crstack.not_hits.trails import Trail
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.pixels import EIGHT_CONNECTED

__all__ = ["sentence_of_traces"]

#: largest angle (degrees) between the trace of a spectrum and the rows or columns
FROM_AXIS = 10.0
#: an exposure with less of the light of a trace is dimmed; light is seen if it has this significance and is at least
DIMMED, SIGMAS, LEAST = 0.5, 5.0, 0.01
#: standard error of a median over that of a mean
OF_MEDIAN = 1.25
#: least valid fraction of a line; window (pixels) whose median is the level of a profile; height in standard errors
LEAST_USABLE, AROUND, HIGH = 0.5, 41, 10.0
#: least correlation of what a profile has gained with what it has lost, at a shift; least shift (pixels)
ALIKE, LEAST_MOVE = 0.85, 3
#: least height of what a profile gains and loses, relative to the profile: a shift by a part of a pixel changes less
WHOLE = 0.6
#: least ratio of the lower to the higher of the light that is gained and lost; beside a satellite the level changes
BALANCED = 0.3
#: least part of the side of an image that a trace crosses
CROSSING = 0.5
#: fewest sources of single exposures that may be parts of traces
MANY_SOURCES = 3


def sentence_of_traces(
    trails: Sequence[Trail],
    n_sources: int,
    exposures: Exposures,
    *,
    shifts: Sequence[tuple[float, float]] | None = None,
    moved: Sequence[np.ndarray] = (),
) -> str | None:
    """A warning about traces that are dimmed or nodded, which then are flagged as trails or sources.

    Parameters
    ----------
    trails : sequence of Trail
        Straight features that are flagged.
    n_sources : int
        Number of flagged features that have the shape of a source.
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    shifts : sequence of (dx, dy), optional
        Known or measured shift of each exposure, pixels. A move by as much is no nod.
    moved : sequence of `~numpy.ndarray`, optional
        Pixels of each exposure that have the code MOVED, bool (ny, nx): traces that were taken for those of a nod.

    Returns
    -------
    sentence : str or None
        None if neither is found.
    """
    if not exposures.comparable:
        return None
    along = [one for one in trails if _angle(one) < FROM_AXIS]
    # a nod has a sentence of its own, unless some of its traces look like trails or sources
    unlike = bool(along) or n_sources >= MANY_SOURCES
    along += [one for i, where in enumerate(moved, start=1) for one in _lines_of(where, i)]
    return (_of_nod(exposures, shifts) if unlike else None) or _of_dimmed(along, exposures)


def _lines_of(where, number):
    """Straight groups of pixels of an exposure (its ``number``, from 1) that cross much of the image."""
    labels, _ = ndimage.label(where, EIGHT_CONNECTED)
    lines = []
    for k, box in enumerate(ndimage.find_objects(labels), start=1):
        lengths = [part.stop - part.start for part in box]
        axis = int(np.argmax(lengths))
        if lengths[axis] < CROSSING * where.shape[axis]:
            continue
        pixels = np.nonzero(labels[box] == k)
        slope, start = np.polyfit(pixels[axis] + box[axis].start, pixels[1 - axis] + box[1 - axis].start, 1)
        ends = np.array([box[axis].start, box[axis].stop - 1])
        along, across = ends + 1.0, start + slope * ends + 1
        (x1, x2), (y1, y2) = (along, across) if axis else (across, along)
        lines.append(Trail(number, x1, y1, x2, y2, len(pixels[0]) / lengths[axis], len(pixels[0])))
    return lines


def _angle(trail):
    """Angle (degrees) of a straight feature against the nearer of rows and columns."""
    angle = np.degrees(np.arctan2(trail.y2 - trail.y1, trail.x2 - trail.x1))
    return abs((angle + 45) % 90 - 45)


def _of_dimmed(trails, exposures):
    """A sentence on exposures that show traces of the others with part of their light; None if there are none."""
    found = [(one, *_lights_along(one, exposures)) for one in trails]
    found = [one for one in found if _is_trace(*one)]
    dim = {tuple(np.flatnonzero(lights < DIMMED).tolist()) for _, lights, _ in found}
    if len(dim) != 1:
        return None
    (which,) = dim
    names = exposures.names
    lights = ", ".join(
        f"{names[i]} has {max(median_of_values(np.array([light[i] for _, light, _ in found])), 0):.2g}" for i in which
    )
    places = ", ".join(
        f"({one.x1:.0f}, {one.y1:.0f}) to ({one.x2:.0f}, {one.y2:.0f})" for one in _distinct(one for one, _, _ in found)
    )
    return (
        f"traces are flagged, because exposures have unlike parts of their light: {lights} of that of "
        f"{names[found[0][0].exposure - 1]} along {places}. Were there clouds, or was the target outside of the slit? "
        "The throughput is not measured where the sky does not dim as the target. Leave these exposures out"
    )


def _distinct(trails):
    """The straight features without those at the place of an earlier one."""
    kept: list[Trail] = []
    for one in trails:
        if not any(is_part_of(one, other) for other in kept):
            kept.append(one)
    return kept


def _is_trace(trail, lights, errors):
    """Whether other exposures show a straight feature too, at its place: a trail crosses one exposure only."""
    others = np.delete(lights, trail.exposure - 1)
    of_others = np.delete(errors, trail.exposure - 1)
    return bool((others < DIMMED).any() and ((others > SIGMAS * of_others) & (others > LEAST)).any())


def _lights_along(trail, exposures):
    """Light (N,) of each exposure along a straight feature, over that of its own exposure, and standard errors."""
    length = int(np.hypot(trail.x2 - trail.x1, trail.y2 - trail.y1))
    steps = np.linspace(0, 1, max(length, 2))
    x, y = (trail.x1 - 1 + steps * (trail.x2 - trail.x1), trail.y1 - 1 + steps * (trail.y2 - trail.y1))
    across = np.array([-(trail.y2 - trail.y1), trail.x2 - trail.x1]) / max(length, 1)
    half = max(round(trail.width / 4), 1)
    inner = np.arange(-half, half + 1)
    outer = np.array([side * (trail.width / 2 + k) for side in (-1, 1) for k in (2, 3, 4)])
    ny, nx = exposures.shape

    def values(offsets):
        rows = np.rint(y + across[1] * offsets[:, None]).astype(int)
        columns = np.rint(x + across[0] * offsets[:, None]).astype(int)
        inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
        where = rows.clip(0, ny - 1), columns.clip(0, nx - 1)
        some = exposures.data[:, *where].astype(float)
        bad = ~inside if exposures.bad is None else ~inside | exposures.bad[:, *where]
        return np.where(bad, np.nan, some)

    light, scatter = np.array([_typical_excess(*one) for one in zip(values(inner), values(outer), strict=True)]).T
    own = light[trail.exposure - 1]
    return light / own, OF_MEDIAN * scatter / np.sqrt(length) / own


def _typical_excess(inner, outer):
    """Typical mean of some values (k, length) over the median of others, and its scatter; NaN where none is known."""
    known = np.isfinite(inner).any(axis=0) & np.isfinite(outer).any(axis=0)
    if not known.any():
        return np.nan, np.nan
    excess = np.nanmean(inner[:, known], axis=0) - np.nanmedian(outer[:, known], axis=0)
    light = np.median(excess)
    return light, SIGMA_PER_MAD * np.median(np.abs(excess - light))


def _of_nod(exposures, measured):
    """A sentence on traces that have moved along the rows or columns by more than is measured; None if none have."""
    for axis, name in ((1, "y"), (0, "x")):
        profiles = [_profile(exposures, i, axis) for i in range(len(exposures))]
        shifts = [_move(profiles[0], one) for one in profiles]
        if measured is not None:
            own = [one["xy".index(name)] - measured[0]["xy".index(name)] for one in measured]
            shifts = [0 if abs(a - b) < LEAST_MOVE else a for a, b in zip(shifts, own, strict=True)]
        if any(shifts):
            moved = ", ".join(
                f"{exposures.names[i]} by {shift:+d} pixels along {name}" for i, shift in enumerate(shifts) if shift
            )
            return (
                f"traces lie at another place than in {exposures.names[0]}: {moved}. Was the target nodded along the "
                "slit? The traces are flagged, and combined images lack the target: align the exposures first, or make "
                "a stack of each position. In images of a field, an extended object such as a comet moves: mask it in "
                "each exposure, and do not align the stars again"
            )
    return None


def _profile(exposures, i, axis):
    """Medians along an axis above their surroundings, in their standard errors."""
    usable, rows = usable_lines(exposures, i, axis, LEAST_USABLE)
    if np.count_nonzero(usable) < 2 * AROUND:
        return np.zeros(len(usable))
    medians = np.nanmedian(rows, axis=1)
    errors = OF_MEDIAN * SIGMA_PER_MAD * np.nanmedian(np.abs(rows - medians[:, None]), axis=1) / np.sqrt(rows.shape[1])
    numbers = np.arange(len(usable))
    known = np.flatnonzero(usable)
    profile = np.interp(numbers, known, medians)
    return (profile - ndimage.median_filter(profile, AROUND, mode="nearest")) / np.maximum(np.median(errors), 1e-30)


def _move(first, other):
    """Shift (pixels) at which what a profile has gained is what it has lost; 0 if there is none."""
    change = other - first
    gained, lost = change.clip(0), (-change).clip(0)
    lower, higher = sorted((gained.sum(), lost.sum()))
    least = max(HIGH, WHOLE * min(first.max(), other.max()))
    if min(gained.max(), lost.max()) < least or lower < BALANCED * higher:
        return 0
    found = np.correlate(gained, lost, "full") / np.sqrt((gained**2).sum() * (lost**2).sum())
    shift = int(np.argmax(found)) - (len(first) - 1)
    return shift if found.max() > ALIKE and abs(shift) >= LEAST_MOVE else 0
