"""Tracks of hits along lines."""

import numpy as np
import pytest

from crstack.equalize.fit.lines.line_hits import LineHits

SHAPE, PLACE = (400, 90), 45
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def line_at(shifts):
    """A line of the sky (ny, nx), of height 1."""
    return np.exp(-0.5 * ((X - PLACE - shifts) / 1.3) ** 2)


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
