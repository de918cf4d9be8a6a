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


def tilted_line():
    """A common image (ny, nx) with a tilted line, and its line."""
    line = 1500 * np.exp(-0.5 * ((X - 40 - 0.018 * Y) / 1.4) ** 2)
    return (25 + line).astype(np.float32), line


@pytest.mark.parametrize("axis", ["y", "x"])
def test_the_end_of_a_tilted_line_is_no_hit(axis):
    """The fit of a line may fail near an edge, where the line crosses few pixels of each column."""
    common, line = tilted_line()
    limit = (4 * np.sqrt(common + 20)).astype(np.float32)
    left = np.random.default_rng(3).normal(size=SHAPE) * np.sqrt(common + 20)
    left += 0.2 * line * (Y >= 357)
    hits = np.zeros(SHAPE)
    hits[380, 10:22] = 500
    # a track along the line, and one across its end
    hits[200:215, 44] = 900
    hits[390, 42:54] = 1200
    left = (left + hits).astype(np.float32)
    if axis == "x":
        common, limit, left, hits = common.T, limit.T, left.T, hits.T
    found = LineHits(common, limit).hits_in(left)
    assert found[hits > 0].all()
    assert np.count_nonzero(found & (hits == 0)) < 20


@pytest.mark.parametrize("length", [12, 24])
def test_a_track_along_a_tilted_line_is_a_hit(length):
    common = tilted_line()[0]
    limit = (4 * np.sqrt(common + 20)).astype(np.float32)
    left = np.random.default_rng(4).normal(size=SHAPE) * np.sqrt(common + 20)
    hits = np.zeros(SHAPE)
    hits[398 - length : 398, 47] = 700
    hits[100 : 100 + length, 42] = 700
    found = LineHits(common, limit).hits_in((left + hits).astype(np.float32))
    assert found[hits > 0].mean() > 0.9
    assert np.count_nonzero(found & (hits == 0)) <= 2
