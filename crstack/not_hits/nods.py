"""Traces that lie at another place in each exposure: a target that was nodded along the slit, not a satellite."""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from scipy import ndimage

from crstack.exposures import Exposures
from crstack.exposures.digits import digit_of
from crstack.lines_in_masks.search import lines_near_axes
from crstack.not_hits.trails import Trail, ends_of, features_along
from crstack.utils.threads import map_images, map_threads

__all__ = [
    "is_part_of",
    "moved_traces",
    "nodded",
    "sentence_of_moved",
    "sentence_of_nods",
    "traces_of_nod",
    "usable_lines",
]

#: largest angle (degrees) between the trace of a spectrum and the rows or columns, and between traces of one target
FROM_AXIS, PARALLEL = 10.0, 2.0
#: largest ratio of the widths of traces of one target
WIDTHS = 1.6
#: least distance (pixels) between traces that lie at different places
APART = 2.0

#: least fraction of the blocks along a trace of several exposures that have flagged pixels
FILLED = 0.15

#: largest shift of a profile (pixels) that is searched, and least shift that is reported
FARTHEST, LEAST_MOVE = 15, 1.5
#: least correlation c of the profiles at the shift, and largest ratio of 1 - c with the shift to 1 - c without it
ALIKE, BETTER = 0.9, 0.25
#: number of rows or columns whose median is a profile, and least usable fraction of them
LINES, LEAST_USABLE = 300, 0.25
#: window (pixels) whose median is the level of a profile
AROUND = 41
#: least height of a profile, in its standard errors, and standard error of the median of normal values over that of
#: their mean
HIGH, OF_MEDIAN = 5.0, 1.2533


def nodded(trails: Sequence[Trail]) -> list[bool]:
    """Which straight features are traces of one target that moved between the exposures.

    Parameters
    ----------
    trails : sequence of Trail
        Straight features of all exposures.

    Returns
    -------
    which : list of bool
        One for each feature.

    Notes
    -----
    The traces of spectra lie within 10 degrees of the rows or the columns. A nodded trace has another in a different
    exposure that is parallel within 2 degrees, of a similar width, and at another place. A satellite crosses only one
    exposure. Satellites of one train may cross several, but at any angle.
    """
    return [any(_alike(one, other) for other in trails) for one in trails]


def _alike(one, other):
    """Whether two straight features are traces of one target in two exposures."""
    if one.exposure == other.exposure:
        return False
    from_axis = [abs((_angle(line) + 45) % 90 - 45) for line in (one, other)]
    widths = sorted((one.width, other.width))
    return (
        max(from_axis) < FROM_AXIS
        and _angle_between(one, other) < PARALLEL
        and widths[1] < WIDTHS * widths[0]
        and abs(_distance(one, other)) > APART
    )


def traces_of_nod(
    straight: Sequence[tuple[Trail, np.ndarray]], flagged: Callable[[int], np.ndarray], exposures: Exposures
) -> list[tuple[Trail, np.ndarray]]:
    """Traces of a target that was nodded, if several exposures show it at each place.

    Parameters
    ----------
    straight : list of (Trail, `~numpy.ndarray`)
        The straight features that are flagged, see `~crstack.not_hits.trails.straight_features`.
    flagged, exposures
        As for `~crstack.not_hits.trails.straight_features`.

    Returns
    -------
    traces : list of (Trail, `~numpy.ndarray`)
        The traces of all exposures, each with its pixels, bool (ny, nx); empty if there is no nod.

    Notes
    -----
    If two of four exposures show a trace, some of its pixels seem hit in these two, and the others seem too low in the
    other two. Lines along rows or columns are candidates if 15 per cent of their blocks of 4 x 4 have four flagged
    pixels or more. If several exposures show a straight feature at one place, which satellites do not, the flagged
    pixels of all exposures count together. An exposure shows a trace there if its medians along the line exceed those
    of the faintest other exposure. Two parallel traces of similar widths are those of a nod if no exposure shows both.
    """
    planes = [flagged(i) for i in range(len(exposures))]
    any_flagged = reduce(np.logical_or, planes)
    lines = [(one.x1 - 1, one.y1 - 1, one.x2 - 1, one.y2 - 1) for one, _ in straight]
    searched = [*planes, any_flagged] if _at_one_place([one for one, _ in straight]) else planes
    slope = np.tan(np.radians(FROM_AXIS))
    for found in map_threads(lambda plane: lines_near_axes(plane, slope, FILLED), searched):
        lines += found
    if len(lines) < 2:
        return []
    places: list[list[tuple[Trail, np.ndarray]]] = []
    for line in lines:
        x1, y1, x2, y2 = (end + 1 for end in line)
        if any(is_part_of(Trail(0, x1, y1, x2, y2, 0.0, 0), traces[0][0]) for traces in places):
            continue
        traces = features_along(line, any_flagged, exposures)
        if traces:
            places.append(traces)
    if all(len(traces) == 1 for traces in places):
        # what one exposure shows alone is flagged as a whole
        return []
    return [
        trace
        for traces in places
        if any(_moved_between(traces, others) for others in places if others is not traces)
        for trace in traces
    ]


def _at_one_place(features):
    """Whether straight features of two exposures lie at one place."""
    return any(one.exposure != other.exposure and is_part_of(one, other) for one in features for other in features)


def is_part_of(one: Trail, other: Trail) -> bool:
    """Whether the middle of a straight feature lies within another one that is parallel."""
    middle = (one.x1 + one.x2) / 2, (one.y1 + one.y2) / 2
    return _angle_between(one, other) < PARALLEL and abs(_offset(other, middle)) < max(other.width / 2, APART)


def _moved_between(traces, others):
    """Whether two traces, each of some exposures, are those of one target that was at different places."""
    shown, also = ({trail.exposure for trail, _ in one} for one in (traces, others))
    return not shown & also and _alike(traces[0][0], others[0][0])


def _angle(line):
    """Angle of a straight feature against the rows, degrees."""
    return np.degrees(np.arctan2(line.y2 - line.y1, line.x2 - line.x1))


def _angle_between(one, other):
    """Angle between two straight features, degrees."""
    return abs((_angle(one) - _angle(other) + 90) % 180 - 90)


def _distance(one, other):
    """Distance (pixels) of a line from the middle of another one, across; positive upwards, or to the right."""
    return _offset(one, ((other.x1 + other.x2) / 2, (other.y1 + other.y2) / 2))


def _offset(one, place):
    """Distance (pixels) of a place (x, y) from a straight feature, across; positive upwards, or to the right."""
    direction = np.array([one.x2 - one.x1, one.y2 - one.y1])
    direction = direction / np.hypot(*direction)
    across = np.array([-direction[1], direction[0]])
    across = across * np.sign(across[np.argmax(np.abs(across))])
    return float(across @ [place[0] - (one.x1 + one.x2) / 2, place[1] - (one.y1 + one.y2) / 2])


def sentence_of_nods(nods: Sequence[Trail], names: Sequence[str]) -> str | None:
    """A warning about traces that moved; None if there are none.

    Parameters
    ----------
    nods : sequence of Trail
        The traces.
    names : sequence of str
        Names of the exposures.
    """
    if not nods:
        return None
    places = "; ".join(
        ends_of(one, names) + (_from_first(_distance(nods[0], one)) if k else "")
        for k, one in enumerate(_distinct(nods))
    )
    return (
        f"parallel traces lie at different places in different exposures: {places}. Was the target nodded along the "
        "slit? Each trace is masked with the code MOVED, but not counted as a hit, so the target is missing in "
        "combined images, which are masked there: align the exposures first, or make a stack of each position"
    )


def _from_first(distance):
    """Words on the ``distance`` (pixels) of a trace from the first one."""
    return ", at the place of the first" if abs(distance) < APART else f", {distance:+.1f} pixels from the first"


def _distinct(nods):
    """The traces without those that lie at the place of an earlier one of their exposure, and are a part of it."""
    kept: list[Trail] = []
    for one in nods:
        if all(other.exposure != one.exposure or abs(_distance(other, one)) > APART for other in kept):
            kept.append(one)
    return kept


def moved_traces(exposures: Exposures) -> list[tuple[int, str, float]]:
    """Exposures whose traces, or lines, lie at another place than in the first exposure.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.

    Returns
    -------
    moved : list of (int, str, float)
        Exposure, from 0; axis, "x" or "y"; shift in pixels.

    Notes
    -----
    The median of each row is a profile across traces along x, and that of each column one across lines along y. Stars
    do not change these medians. Let c be the correlation of a profile with that of the first exposure. The profile has
    moved if c is 0.9 or more at a shift of 1.5 to 15 pixels, and if 1 - c is four times as large without the shift. Its
    highest value, and that of the first exposure, must exceed five standard errors of a median. Values in steps, such
    as whole numbers, have medians in steps, so half a step is an error too.
    """
    found = []
    for axis, name in ((1, "y"), (0, "x")):
        profiles = map_images(lambda i, axis=axis: _profile(exposures, i, axis), range(len(exposures)))
        for i, profile in enumerate(profiles[1:], start=1):
            shift = _shift_between(profiles[0], profile)
            if abs(shift) >= LEAST_MOVE and all(_is_high(exposures, k, axis, profiles[k]) for k in (0, i)):
                found.append((i, name, shift))
    return found


def usable_lines(exposures: Exposures, i: int, axis: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of the rows or columns of an exposure that have enough valid values, in about `LINES` places of each.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    i : int
        Number of the exposure, from 0.
    axis : {1, 0}
        1 for rows, 0 for columns.
    least : float
        A line is usable if more than this fraction of its values is valid.

    Returns
    -------
    usable : `~numpy.ndarray` of bool
        (n,) for all rows or columns.
    values : `~numpy.ndarray`
        (usable lines, places); NaN where they are bad.
    """
    step = max(exposures.shape[axis] // LINES, 1)
    part = (slice(None), slice(None, None, step)) if axis == 1 else (slice(None, None, step), slice(None))
    values = np.array(exposures.data[i][part], dtype=float)
    bad = exposures.bad_of(i)
    if bad is not None:
        values[bad[part]] = np.nan
    usable = np.isfinite(values).mean(axis=axis) > least
    return usable, values[usable] if axis == 1 else values[:, usable].T


def _profile(exposures, i, axis):
    """Median along an axis, of some rows or columns, above its surroundings; interpolated over bad ones."""
    usable, rows = usable_lines(exposures, i, axis, LEAST_USABLE)
    if not usable.any():
        return np.zeros(len(usable))
    # a row of bad values has no light, and may be another row in each exposure
    known = _medians(rows)
    profile = np.interp(np.arange(len(usable)), np.flatnonzero(usable), known)
    return profile - ndimage.median_filter(profile, AROUND, mode="nearest")


def _is_high(exposures, i, axis, profile):
    """Whether the highest value of a profile is not one of the scatter of medians."""
    level, number = float(np.median(exposures.data[i])), min(exposures.shape[axis], LINES)
    variance = float(np.median(exposures.noise_of(i).variance(np.float32(max(level, 0)))))
    step = digit_of(exposures.data[i]) or 0.0
    return np.abs(profile).max() > HIGH * np.hypot(OF_MEDIAN * np.sqrt(variance / number), step / 2)


def _medians(rows):
    """Median of the values of each row that are not NaN; as `numpy.nanmedian`, which is several times slower."""
    # NaN are sorted to the end
    rows = np.sort(rows, axis=1)
    numbers = (~np.isnan(rows)).sum(axis=1)
    low, high = (np.take_along_axis(rows, half[:, None], axis=1)[:, 0] for half in ((numbers - 1) // 2, numbers // 2))
    return (low + high) / 2


def _shift_between(first, other):
    """Shift (pixels) of a profile against the first one; 0 if it is not clear."""
    n = len(first)
    if n < 4 * FARTHEST:
        return 0.0
    middle = slice(FARTHEST, n - FARTHEST)
    steps = np.arange(-FARTHEST, FARTHEST + 1)
    found = np.array([_correlation(first[middle], other[FARTHEST + k : n - FARTHEST + k]) for k in steps])
    best = int(np.argmax(found))
    if found[best] < ALIKE or 1 - found[best] > BETTER * (1 - found[FARTHEST]) or best in (0, 2 * FARTHEST):
        return 0.0
    before, peak, after = found[best - 1 : best + 2]
    return float(steps[best] + (before - after) / 2 / min(before - 2 * peak + after, -1e-9))


def _correlation(one, other):
    """Correlation of two profiles; 0 if one is flat."""
    norm = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / norm) if norm > 0 else 0.0


def sentence_of_moved(moved: Sequence[tuple[int, str, float]], names: Sequence[str]) -> str | None:
    """A warning about traces or lines that moved; None if none did.

    Parameters
    ----------
    moved : sequence of (int, str, float)
        From `moved_traces`.
    names : sequence of str
        Names of the exposures.
    """
    if not moved:
        return None
    found = ", ".join(f"{names[i]} by {shift:+.1f} pixels along {axis}" for i, axis, shift in moved)
    return (
        f"traces or lines lie at another place than in {names[0]}: {found}. Was the target nodded along the slit, or "
        "is the wavelength not the same? Structures may be flagged, and combined images are blurred: align the "
        "exposures first, or make a stack of each position"
    )
