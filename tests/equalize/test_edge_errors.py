"""The error by the scene beyond the edges, which a kernel moves into an image."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.equalize.fit.kernels.edge_errors import as_far_as_seen, error_by_edges
from crstack.equalize.fit.kernels.edges_of_others import edge_strips, lower_edge_errors

SHAPE, NOISE2 = (20, 300), np.float32(25)

#: a kernel that widens the scene
WIDER = np.zeros((7, 7), np.float32)
WIDER[3, 1:6] += (0.03, 0.02, -0.1, 0.02, 0.03)
WIDER[1:6, 3] += (0.03, 0.02, -0.1, 0.02, 0.03)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("centre", [-0.5, 0, 0.5, 1, 1.5, 2])
def test_the_error_covers_a_star_whose_light_falls_beyond_an_edge(centre, turn):
    """A part of a star would look like a hit with a smaller error than that of the assumption."""
    y, x = np.mgrid[:41, -6:35]
    whole = 4000 * np.exp(-0.5 * ((x - centre) ** 2 + (y - 20) ** 2) / 1.2**2)
    whole, seen = (np.rot90(one, turn).astype(np.float32) for one in (whole, whole[:, 6:]))
    truth = np.rot90(ndimage.convolve(whole, WIDER), -turn)[:, 6:]
    assumed = np.rot90(ndimage.convolve(seen, WIDER, mode="nearest"), -turn)
    positions = np.linspace(-1, 1, seen.shape[1]), np.linspace(-1, 1, seen.shape[0])[:, None]
    error = np.sqrt(np.rot90(error_by_edges(seen, WIDER, np.zeros((2, 3)), positions), -turn))
    wrong = np.abs(assumed - truth)
    assert wrong.max() > 40
    assert np.all(wrong <= error + 5)
    # the kernel reaches no further
    assert not error[:, 3:].any()


def along_an_edge(some):
    """Errors of 50 sigma in some columns of the first two rows, and the variance of the noise."""
    error, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, NOISE2)
    error[:2, some] = 50**2 * NOISE2
    return error, variance


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("size", [0, 5])
def test_the_error_along_a_trace_is_what_is_seen(turn, size):
    """Along each edge, with residuals of the noise, and of five times the noise; hits change them in few pixels."""
    error, variance = along_an_edge(slice(None))
    left = np.sqrt(NOISE2 * (1 + size**2)) * np.random.default_rng(1).standard_normal(SHAPE)
    left[0, 50:60] += 5000
    arrays = [np.rot90(one, turn).astype(np.float32) for one in (error, left, variance)]
    found = np.rot90(as_far_as_seen(*arrays), -turn)
    sigmas = np.sqrt(found[:2] / NOISE2)
    assert sigmas.max() < 2 * (size + 1.5)
    assert sigmas.min() >= max(size, 1)
    assert not found[2:].any()


def test_the_error_of_a_star_stays():
    """Few pixels do not show how wrong the assumption on the scene is."""
    error, variance = along_an_edge(slice(40, 55))
    found = as_far_as_seen(error, np.zeros(SHAPE, np.float32), variance)
    assert np.array_equal(found, error)


def test_hits_on_a_trace_that_moves_in_few_rows_are_found():
    """Most rows of a short slit are beside an edge."""
    ny, nx = 12, 900
    rng = np.random.default_rng(3)
    hits = np.asarray(make_stack("slit", shape=(ny, nx), seed=3, hit_rate=0.01).hits)
    y, x = np.mgrid[:ny, :nx]
    light = 8000 * (1 + 0.3 * np.sin(x / 70)) * (1 - 0.8 * np.exp(-0.5 * ((x - 400) / 5) ** 2))
    images, noises = [], []
    for move, hit in zip((0, 0.4, -0.7), hits, strict=True):
        expected = 60 + light * np.exp(-0.5 * ((y - ny / 2 - 0.01 * (x - nx / 2) - move) * 2.355 / 4) ** 2)
        images.append((rng.poisson(expected) + rng.normal(0, 4, expected.shape) + hit).astype(np.float32))
        noises.append(np.sqrt(expected + 16))
    strong = hits > 5 * np.stack(noises)
    found = CRStack([CCDData(one, unit="electron") for one in images], readnoise=4 * u.electron).detect().crmasks
    assert strong.sum() > 100
    # 0.79 with the error as assumed
    assert found[strong].mean() > 0.93


def beside_a_star(lights, hit, seed=1):
    """Errors of 40 sigma along 9 pixels of an edge, of each exposure, and residuals with a light and a hit."""
    rng, n = np.random.default_rng(seed), len(lights)
    variance = np.full(SHAPE, NOISE2)
    error = np.zeros((n, *SHAPE), np.float32)
    star = np.exp(-0.5 * ((np.arange(SHAPE[1]) - 100) / 1.5) ** 2)
    error[:, :3] = 1600 * NOISE2 * star**2 * np.array([1, 0.3, 0.05])[:, None]
    left = np.sqrt(NOISE2) * rng.standard_normal((n, *SHAPE))
    left += np.array(lights)[:, None, None] * np.sqrt(error)
    left[0, 0, 99:101] += hit
    return variance, error, left.astype(np.float32)


def lowered(variance, error, left, turn=0):
    """The variances of `lower_edge_errors`, without that of the noise, along each edge."""
    variance, *noises = (np.rot90(one, turn).copy() for one in (variance, *error))
    lefts = [np.rot90(one, turn) for one in left]
    errors = [[strip.copy() for strip in edge_strips(one)] for one in noises]
    lower_edge_errors(noises, errors, [edge_strips(one) for one in lefts], variance)
    return np.stack([np.rot90(one, -turn) for one in noises])


@pytest.mark.parametrize("turn", range(4))
def test_exposures_that_agree_show_that_no_light_is_beyond_an_edge(turn):
    """A hit of 30 sigma beside a star would otherwise be taken for light from beyond the edge."""
    variance, error, left = beside_a_star((0, 0, 0), 30 * np.sqrt(NOISE2))
    found = lowered(variance, error, left, turn)
    assert np.sqrt(error[0, 0, 99:101] / NOISE2).min() > 25
    assert np.sqrt(found[0, 0, 99:101] / NOISE2).max() < 3
    # at least the noise, because few pixels show no less
    assert np.all(found >= np.minimum(error, NOISE2 * 0.99))
    # the hit is among what the others see
    assert np.sqrt(found[1, 0, 100] / NOISE2) > 20


@pytest.mark.parametrize("lights", [(0.5, -0.4, 0.5), (0.5, 0.5, 0), (0.8, -0.4, -0.4)])
def test_light_that_other_exposures_have_stays_an_error(lights):
    """A star whose light falls beyond an edge leaves residuals in all exposures that are shifted or wider."""
    variance, error, left = beside_a_star(lights, 0)
    found = lowered(variance, error, left)
    assert np.all(np.abs(left[0, :3]) < 5 * np.sqrt(NOISE2 + found[0, :3]))


def test_exposures_without_an_error_by_the_edges_show_nothing():
    """They are not shifted, so that light from beyond the edge is not in their residuals."""
    variance, error, left = beside_a_star((0.5, 0, 0), 0)
    error[1:] /= 10_000
    found = lowered(variance, error, left)
    assert np.allclose(found[0], error[0])


def test_hits_beside_stars_at_an_edge_are_found():
    """Half a pixel of shift leaves errors there. The other exposures show that they are small."""
    rng, (ny, nx) = np.random.default_rng(3), (110, 240)
    y, x = np.mgrid[:ny, :nx]
    columns = np.arange(10, 235, 16) + rng.uniform(-2, 2, 15)
    stars = [(rng.uniform(1, 2.5), column, 6000) for column in columns]
    stars += [(*rng.uniform((8, 8), (100, 230)), rng.uniform(800, 6000)) for _ in range(40)]
    cube = np.stack([
        40 + sum(peak * np.exp(-0.5 * ((y - at - dy) ** 2 + (x - column - dx) ** 2)) for at, column, peak in stars)
        for dx, dy in ((0, 0), (0.1, -0.45), (-0.1, 0.3))
    ])  # fmt: skip
    cube = rng.poisson(cube) + rng.normal(0, 4, cube.shape)
    hit = np.zeros(cube.shape, bool)
    for number, column in enumerate(np.rint(columns).astype(int)):
        hit[number % 3, 0, column : column + 2] = True
    cube[hit] += 900
    exposures = [CCDData(one.astype(np.float32), unit="electron") for one in cube]
    found = CRStack(exposures, readnoise=4 * u.electron).detect().crmasks
    # 0.17 with the errors of each exposure alone, 0.43 with what the others show
    assert found[hit].mean() > 0.35
    assert np.count_nonzero(found & ~hit) < 6
