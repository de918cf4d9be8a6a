"""Oblique trails that only one exposure has, such as those of satellites: no surfaces and no throughputs."""

from itertools import pairwise

import numpy as np

from crstack.equalize.fit.lines.own_lines import copied_bad
from crstack.lines_in_masks.search import BLOCK, MOST, fitted_line, in_blocks, lengths_in_blocks, line_of_most
from crstack.utils.medians import median_of_values
from crstack.utils.memory import zero_image
from crstack.utils.threads import map_images, map_threads, row_bands

__all__ = ["with_own_trails"]

#: least light of a pixel of a trail above all other exposures, in standard deviations of a pixel
CLEAR = 5.0
#: pixels of the sample that measures the level of each exposure
PIXELS = 100_000
#: largest distance (pixels) from the middle of a trail, and distance beyond which the level is measured
REACH, OUTSIDE = 60, 50
#: least light at the edge of a trail, in standard deviations of a pixel, and in standard errors of a median
EDGE, SIGNIFICANT = 0.15, 4.0
#: largest light of the other exposures along a trail over the faintest place within a number of pixels, as a share of
#: its own. A line of the sky that brightens has more
ALSO_IN_OTHERS, BESIDE = 0.1, 25
#: most of the light on one side of a trail that the other side does not have, as a share of its highest light (a slope
#: of the sky, whose brightest part is in a corner of the image, has more); fewest pixels that show the light of a side
ON_ONE_SIDE, PIXELS_OF_SIDE = 0.5, 20
#: least slope against rows and columns: `with_own_lines` finds lines along these
OBLIQUE = 0.03
#: pixels that are added at each edge, where the light is fainter
MARGIN = 4
#: trails of two exposures whose directions differ by less (radian) are the traces of a spectrum that was moved
PARALLEL = 0.05


def with_own_trails(levels, variance_of, bad):
    """The bad values together with oblique trails that only one exposure has.

    Their wide wings would look like a change of the sky, and those of a bright one like a change of the throughput.

    Parameters
    ----------
    levels, variance_of, bad
        As for `~crstack.equalize.measure_differences`.

    Returns
    -------
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx); the same object if there is no such trail.
    """
    trails = _trails(levels, variance_of)
    if not trails:
        return bad
    found = copied_bad(bad, levels.shape)
    for i, point, direction, half in trails:
        for rows in row_bands(*levels.shape[1:]):
            found[i, rows] |= np.abs(_distances(rows, levels.shape[2], point, direction)) <= half
    return found


def _trails(levels, variance_of):
    """Trails: exposure, point (x, y), direction, and half of the width (pixels) of each."""
    lengths, raised = lengths_in_blocks(levels.shape[1:]), _raised(levels, variance_of)

    def of_exposure(i):
        return _trails_of(i, raised[i], lengths, levels, variance_of)

    found = [trail for trails in map_images(of_exposure, range(len(raised))) for trail in trails]
    return [one for one in found if not any(_parallel(one, other) for other in found)]


def _trails_of(i, raised, lengths, levels, variance_of):
    """Trails of exposure ``i``, from its ``raised`` pixels, which are changed, and the lengths of lines in blocks."""
    found = []
    for _ in range(MOST):
        line = line_of_most(in_blocks(raised), lengths)
        if line is None:
            break
        point, direction = fitted_line(line, raised)
        half = _half_width(levels, variance_of, i, point, direction)
        everywhere = np.abs(_distances(slice(0, levels.shape[1]), levels.shape[2], point, direction))
        raised &= everywhere > max(half, BLOCK)
        if half and np.abs(direction).min() > OBLIQUE:
            found.append((i, point, direction, half))
    return found


def _parallel(one, other):
    """Whether trails of two exposures are parallel."""
    (i, _, first, _), (j, _, second, _) = one, other
    return i != j and abs(first[0] * second[1] - first[1] * second[0]) < PARALLEL


def _raised(levels, variance_of):
    """Pixels (N, ny, nx) of each exposure that are far above all others, each above its own level."""
    n, ny, nx = levels.shape
    step = max(int(np.sqrt(ny * nx / PIXELS)), 1)
    base = [median_of_values(np.asarray(levels[i, ::step, ::step])) for i in range(n)]
    raised = zero_image(levels.shape, bool)

    def work(rows):
        above = np.stack([levels[i, rows] - level for i, level in enumerate(base)])
        ordered = np.partition(above, n - 2, axis=0)
        second, highest = ordered[n - 2], ordered[n - 1]
        variance = variance_of(np.median(base) + second, (rows, slice(None)))
        far = highest - second > np.float32(CLEAR) * np.sqrt(2 * variance)
        for i in range(n):
            raised[i, rows] = far & (above[i] == highest)

    map_threads(work, row_bands(ny, nx))
    return raised


def _distances(rows, width, point, direction):
    """Distances (rows, width) of pixels from a line, with a sign."""
    y, x = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    return (x - np.float32(point[0])) * np.float32(direction[1]) - (y - np.float32(point[1])) * np.float32(direction[0])


def _half_width(levels, variance_of, i, point, direction):
    """Half of the width (pixels) of a trail of exposure ``i``; 0 for light that the others have too."""
    distance = _distances(slice(0, levels.shape[1]), levels.shape[2], point, direction)
    where = np.nonzero(np.abs(distance) < REACH)
    place = np.rint(np.abs(distance[where])).astype(int)
    own = np.asarray(levels[i, *where])
    others = median_of_values(np.stack([levels[j, *where] for j in range(len(levels)) if j != i]), axis=0)
    order, ends = np.argsort(place, kind="stable"), np.searchsorted(np.sort(place), np.arange(REACH + 1))
    parts = [order[first:last] for first, last in pairwise(ends)]
    light, of_others = (
        np.array([median_of_values(one[part]) if len(part) else 0 for part in parts]) for one in (own - others, others)
    )
    light -= np.median(light[OUTSIDE:])
    if of_others[0] - of_others[:BESIDE].min() > ALSO_IN_OTHERS * light[0]:
        return 0
    row = slice(levels.shape[1] // 2, levels.shape[1] // 2 + 1)
    signal = np.full((1, levels.shape[2]), np.median(others), np.float32)
    sigma = np.sqrt(float(np.median(variance_of(signal, (row, slice(None))))))
    numbers = np.array([max(len(part), 1) for part in parts])
    faint = light < np.maximum(EDGE, SIGNIFICANT * 1.25 * np.sqrt(2 / numbers)) * sigma
    half = int(np.argmax(faint)) + MARGIN if faint.any() else REACH
    return 0 if _is_slope(own - others, np.rint(distance[where]), half, light.max()) else half


def _is_slope(light, place, half, highest):
    """Whether light at some places beside a line is that of a slope of the sky, not of a trail of half the width."""
    pairs = [(light[place == -k], light[place == k]) for k in range(1, half)]
    found = [
        abs(float(median_of_values(one) - median_of_values(other)))
        for one, other in pairs
        if min(len(one), len(other)) >= PIXELS_OF_SIDE
    ]
    return bool(found) and float(np.median(found)) > ON_ONE_SIDE * highest
