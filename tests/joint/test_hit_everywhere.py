"""Pixels that are hit in every exposure, where wide tracks cross."""

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.datasets.hits import make_hits
from crstack.joint import hit_everywhere

SHAPE, SKY, READNOISE = (160, 200), 60.0, 4.0


def crossing_tracks(width, seed, trace=False):
    """Two exposures of a sky (with a trace of a spectrum), each with a wide track through the same place; and hits."""
    rng = np.random.default_rng(seed)
    profile = np.exp(-0.5 * ((np.arange(SHAPE[0]) - 120.0) / 1.5) ** 2)[:, None]
    expected = SKY + np.broadcast_to(400.0 * trace * profile, SHAPE)
    hits = np.stack([make_hits(SHAPE, 0.01, rng) for _ in range(2)])
    for one, track in zip(hits, (np.s_[60 : 60 + width, 65:95], np.s_[45:75, 80 : 80 + width]), strict=True):
        one[track] += rng.uniform(300, 1500, one[track].shape)
    cube = rng.poisson(expected, hits.shape) + rng.normal(0, READNOISE, hits.shape) + hits
    return cube.astype(np.float32), hits


def flagged_in_all(cube):
    """Pixels whose values are all masked by the joint decision."""
    stack = CRStack([plane * u.electron for plane in cube], readnoise=READNOISE * u.electron)
    return stack.detect(method=JointPosterior()).crmasks.all(axis=0)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_all_pixels_of_a_crossing_are_found(width):
    cube, hits = crossing_tracks(width, seed=width)
    core = (hits > 250).all(axis=0)
    assert core.sum() >= width**2
    flagged = flagged_in_all(cube)
    assert flagged[core].all()
    assert not (flagged & ~(hits > 0).all(axis=0)).any()


def test_one_round_finds_the_edge_of_a_crossing_only(monkeypatch):
    cube, hits = crossing_tracks(5, seed=7)
    core = (hits > 250).all(axis=0)
    assert flagged_in_all(cube)[core].mean() > 0.8
    monkeypatch.setattr(hit_everywhere, "ROUNDS", 1)
    assert 0 < flagged_in_all(cube)[core].mean() < 0.5


@pytest.mark.parametrize("seed", range(6))
def test_rounds_do_not_follow_a_trace(monkeypatch, seed):
    """Two short tracks cross a trace side by side, so that each pixel is hit in one exposure at most."""
    cube, _ = crossing_tracks(3, seed, trace=True)
    rng = np.random.default_rng(seed)
    for one, column in zip(cube, (100, 101), strict=True):
        one[116:125, column] += rng.uniform(300, 900, 9)
    found = flagged_in_all(cube)[112:128]
    monkeypatch.setattr(hit_everywhere, "ROUNDS", 1)
    assert (found & ~flagged_in_all(cube)[112:128]).sum() == 0


def test_most_pixels_hit_in_three_exposures_are_found():
    """Two hits raise the excess variance of the place; the decision that all are hit does not use it."""
    of_strong, number, false = 0, 0, 0
    for seed in (13, 14):
        made = make_stack("ifu", shape=(300, 300), n_exposures=3, gain=1 * u.electron / u.adu, hit_rate=0.08, seed=seed)
        stack = CRStack(made.exposures, gain=made.gain, readnoise=made.readnoise)
        flagged = stack.detect(method=JointPosterior()).crmasks.all(axis=0)
        strong, touched = (made.hit_mask(sigma).all(axis=0) for sigma in (5, 0.5))
        of_strong, number = of_strong + flagged[strong].sum(), number + strong.sum()
        false += (flagged & ~touched).sum()
    assert number >= 30
    assert of_strong > 0.45 * number
    assert false <= 2
