"""Tracks of hits along lines."""

import numpy as np
import pytest

from crstack.equalize.fit.lines.line_hits import LineHits

SHAPE, PLACE = (400, 90), 45
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def test_a_track_along_a_line_that_is_not_brighter_is_a_hit():
    common = (20 + 1800 * np.exp(-0.5 * ((X - PLACE) / 1.3) ** 2)).astype(np.float32)
    limit = (4 * np.sqrt(common + 16)).astype(np.float32)
    left = np.random.default_rng(5).normal(0, 3, SHAPE).astype(np.float32)
    left[100:160, PLACE] += 2500
    hits = LineHits(common, limit)
    assert hits.hits_in(left)[100:160, PLACE].all()
    hits.replace_in(left)
    assert np.abs(left).max() < 20


def end_of_line(share, rows_along, pixels=20):
    """Common image, limit, and residual of a tilted line whose last pixels exceed it by a share of its height."""
    line = np.exp(-0.5 * ((X - PLACE - (Y - SHAPE[0]) / rows_along) / 1.2) ** 2)
    common = 20 + 1800 * line
    limit = 0.19 * 1800 * line + 30
    left = share * 1800 * line * np.clip((Y - SHAPE[0]) / pixels + 2, 0, 1)
    return [one.astype(np.float32) for one in (common, limit, left)], line > 0.8


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("first", [False, True])
def test_the_end_of_a_tilted_line_keeps_its_excess(axis, first):
    """It was taken for a hit and replaced by 0, so that no fit could find that the line is brighter there."""
    arrays, core = end_of_line(0.25, 55)
    arrays, core = ([one[::-1] for one in arrays], core[::-1]) if first else (arrays, core)
    arrays, core = ([one.T for one in arrays], core.T) if axis == "x" else (arrays, core)
    common, limit, left = map(np.ascontiguousarray, arrays)
    expected = left.copy()
    LineHits(common, limit).replace_in(left)
    np.testing.assert_array_equal(left[core], expected[core])


@pytest.mark.parametrize(("share", "rows_along", "pixels"), [(0.8, 55, 20), (0.25, 15, 400)])
def test_an_end_is_hit_if_it_is_far_brighter_or_all_of_its_line_looks_hit(share, rows_along, pixels):
    """A trace that was moved along a slit is so."""
    (common, limit, left), core = end_of_line(share, rows_along, pixels)
    core &= SHAPE[0] - 20 <= Y
    assert LineHits(common, limit).hits_in(left)[core].all()


@pytest.mark.parametrize("axis", ["y", "x"])
def test_a_track_over_a_quarter_of_a_short_row_is_no_line(axis):
    """Another track beside it, at the end of a trace, was then explained by a line of up to its height."""
    rng = np.random.default_rng(6)
    common = np.full((40, 60), 20, np.float32)
    common[17:27, 16:] += np.linspace(5, 150, 44, dtype=np.float32)
    left = rng.normal(0, 3, common.shape).astype(np.float32)
    left[20, 52:] += 2500
    left[23, 44:56] += 900
    left[23, 56:] += 300
    arrays = [common, 4 * np.sqrt(common + 16), left]
    common, limit, left = (np.ascontiguousarray(one.T if axis == "y" else one) for one in arrays)
    LineHits(common, limit).replace_in(left)
    assert np.abs(left).max() < 20
