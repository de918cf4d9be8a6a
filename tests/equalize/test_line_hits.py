"""Lines that are brighter in one exposure, by about as much as a hit."""

import numpy as np
import pytest

from crstack.equalize.fit.lines.courses import Course
from crstack.equalize.fit.lines.line_hits import LineHits

SHAPE, PLACE, EXCESS = (400, 90), 45, 250.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
#: rows at the end of the line
LAST = SHAPE[0] - 40 < Y
#: shift (pixels) of a tilted line
TILT = 14 * (Y / SHAPE[0] - 0.5)


def line_at(shifts):
    """A line of the sky (ny, nx), of height 1."""
    return np.exp(-0.5 * ((X - PLACE - shifts) / 1.3) ** 2)


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("shifts", [np.zeros(SHAPE), TILT], ids=["straight", "tilted"])
def test_a_line_of_which_the_end_alone_looks_hit_keeps_its_excess(shifts, axis):
    """The excess is below the limit but at the end of the line; there it would be taken for a hit, and its cell of the
    fit would have no excess."""
    line, rng = line_at(shifts), np.random.default_rng(4)
    common, excess = 20 + 1800 * line, EXCESS * line
    limit = np.where(LAST, 0.5, 2.0) * EXCESS * np.maximum(line, 0.02)
    left = excess + rng.normal(0, 3, SHAPE)
    courses = {axis: Course(shifts)} if shifts.any() else {}
    arrays = [one.astype(np.float32) for one in (common, limit, left)]
    if axis == "x":
        arrays = [np.ascontiguousarray(one.T) for one in arrays]
    common, limit, left = arrays
    LineHits(common, limit, courses).replace_in(left)
    left = left.T if axis == "x" else left
    core = (line > 0.8) & LAST
    assert np.median(left[core] / excess[core]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("length", [30, 60])
def test_a_track_along_a_line_that_is_not_brighter_is_a_hit(length):
    line = line_at(0)
    common = (20 + 1800 * line).astype(np.float32)
    limit = (4 * np.sqrt(common + 16)).astype(np.float32)
    left = np.random.default_rng(5).normal(0, 3, SHAPE).astype(np.float32)
    left[100 : 100 + length, PLACE] += 2500
    hits = LineHits(common, limit)
    assert hits.hits_in(left)[100 : 100 + length, PLACE].all()
    hits.replace_in(left)
    assert np.abs(left).max() < 20
