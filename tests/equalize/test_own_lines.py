"""Trails along rows or columns: no terms of these, but masked; lines that the other exposures have stay terms."""

import astropy.units as u
import numpy as np
import pytest

from crstack import Code, CRStack
from crstack.datasets import make_stack
from crstack.datasets.hits import make_hits
from crstack.equalize import measure_differences
from crstack.equalize.fit.lines.own_lines import lines_of_one_exposure, with_own_lines
from crstack.exceptions import CRStackWarning

SHAPE = (160, 180)
SKY, READNOISE = 100.0, 4.0
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
SIGMA = np.sqrt(SKY + READNOISE**2)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + READNOISE**2


def line(height, row=80.0, width=1.3, tilt=0.0):
    return height * np.exp(-((ROWS - row - tilt * (COLUMNS - 90)) ** 2) / (2 * width**2))


def observed(light, seed=1, rate=0.005):
    rng = np.random.default_rng(seed)
    hits = np.stack([make_hits(SHAPE, rate, rng) for _ in light])
    return (rng.poisson(light) + rng.normal(0, READNOISE, np.shape(light)) + hits).astype(np.float32)


def with_trail(n, trail):
    light = np.full((n, *SHAPE), SKY)
    light[0] += trail
    return observed(light)


def turned(cube, axis):
    return np.ascontiguousarray(cube if axis == "x" else cube.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("n", "tilt", "axis"), [(2, 0.0, "x"), (3, 0.0, "x"), (3, 0.0, "y"), (3, 0.006, "y"), (4, 0.02, "x")]
)
def test_a_trail_along_an_axis_is_masked(n, axis, tilt):
    trail = line(123, tilt=tilt)
    cube = turned(with_trail(n, trail), axis)
    stack = CRStack(list(cube), unit=u.electron, readnoise=READNOISE * u.electron)
    with pytest.warns(CRStackWarning, match="straight trails cross exposures: exposure 1 from"):
        masks = stack.detect()
    bright = turned(trail[None], axis)[0] > SIGMA
    assert (masks.codes["CRMASK1"][bright] == Code.TRAIL).mean() > 0.99
    assert not any((masks.codes[f"CRMASK{i}"] == Code.TRAIL).any() for i in range(2, n + 1))
    # 20 to 40 per cent of the sky with a term for these rows
    level = stack.combine("meanjoint").data[bright]
    assert abs(level.mean() - SKY) < 2.0


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_track_one_pixel_wide_stays_out_of_the_terms(axis):
    cube = turned(with_trail(3, line(60, width=0.5)), axis)
    found = measure_differences(cube, variance_of)
    assert not found.lines
    (own,) = lines_of_one_exposure(cube, variance_of)
    assert (own.exposure, own.axis) == (0, axis)
    assert own.height == pytest.approx(60, abs=6)


def test_the_pixels_of_a_line_reach_its_faint_edges():
    trail = line(123, tilt=0.02)
    bad = with_own_lines(with_trail(3, trail), variance_of, None)
    assert bad[0][trail > 0.1 * SIGMA].all()
    assert bad[0].sum() < 20 * SHAPE[1]
    assert not bad[1:].any()


def test_bad_values_stay_bad_beside_a_line():
    bad = np.zeros((3, *SHAPE), bool)
    bad[1, 20, 30] = bad[0, 80, 40] = True
    found = with_own_lines(with_trail(3, line(123)), variance_of, bad)
    assert found[1, 20, 30]
    assert found[1].sum() == 1
    assert found[0, 80].all()
    assert bad.sum() == 2
    same = observed(np.full((3, *SHAPE), SKY))
    assert with_own_lines(same, variance_of, bad) is bad
    assert with_own_lines(same, variance_of, None) is None


SKY_LINE, ARCS = line(400) + line(50, 30), sum(line(3000.0, row) for row in (20, 60, 100, 140))
CASES = {
    "lines of the sky": [SKY_LINE * one for one in (0.9, 1, 1.12)],
    "a line of the sky that brightens eight times": [line(30), line(240), line(30)],
    "a line of the sky of two exposures": [line(30), line(240)],
    "arc lines and a fainter lamp": [ARCS, 0.5 * ARCS, 0.1 * ARCS],
    "a trace that varies": [line(200, width=3) * one for one in (1, 0.3, 0.1)],
    "a trace that moves": [line(200, row, 3) for row in (60, 80, 100)],
    "a nod": [line(200, row, 3) for row in (60, 100, 60)],
    "a nod of two exposures": [line(200, row, 3) for row in (60, 100)],
    "a line that is shifted": [line(200, row) for row in (80, 81, 82)],
    "a line that is shifted and brightens": [line(30, 78, 0.7), line(240, 80, 0.7), line(30, 82, 0.7)],
    "rows that are too high and too low": [line(90, 50, 0.5) - line(90, 120, 0.5), 0 * ROWS, 0 * ROWS],
    "a line below the noise": [line(2 * SIGMA), 0 * ROWS, 0 * ROWS],
    "a row that is too low in one of two exposures": [0 * ROWS, -line(60)],
    "a wide glow": [line(200, width=30), 0 * ROWS, 0 * ROWS],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("axis", ["x", "y"])
def test_lines_that_are_no_trails(name, axis):
    cube = turned(observed(SKY + np.array(CASES[name])), axis)
    assert lines_of_one_exposure(cube, variance_of) == []


@pytest.mark.parametrize(("sigma", "n_rows"), [(30, 160), (60, 160), (60, 8)])
def test_noise_of_the_readout_of_rows_is_no_trail(sigma, n_rows):
    """Of both signs, in all rows or in some of them."""
    rng = np.random.default_rng(3)
    levels = np.zeros((3, SHAPE[0]))
    for one in levels:
        one[rng.permutation(SHAPE[0])[:n_rows]] = rng.normal(0, sigma, n_rows)
    cube = observed(np.full((3, *SHAPE), SKY)) + levels[:, :, None].astype(np.float32)
    assert lines_of_one_exposure(cube, variance_of) == []


def test_a_line_that_is_one_of_the_scatter_of_rows():
    levels = np.random.default_rng(5).normal(0, 14, SHAPE[0])
    levels[80] = 60
    cube = observed(np.full((3, *SHAPE), SKY))
    cube[0] += levels[:, None].astype(np.float32)
    assert lines_of_one_exposure(cube, variance_of) == []


@pytest.mark.parametrize("seed", [301, 303])
def test_orders_of_an_echelle_are_no_lines(seed):
    """Medians of cells across the orders change a lot between equal exposures."""
    made = make_stack(
        "echelle",
        (300, 300),
        3,
        gain=1 * u.electron / u.adu,
        readnoise=READNOISE * u.electron,
        hit_rate=0.008,
        seed=seed,
    )
    cube = np.array([one.data for one in made.exposures], np.float32)
    assert lines_of_one_exposure(cube, variance_of) == []
