"""Tracks of hits along lines."""

import numpy as np

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
