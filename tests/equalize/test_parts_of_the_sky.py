"""Parts of the image with another sky: parts of the detector without light, and a cloud over a part of an exposure."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.equalize import measure_differences
from crstack.equalize.fit.dark_parts import sky_with_dark_parts
from crstack.equalize.fit.fine_surfaces import fine_mesh, surfaces_with_regions
from crstack.equalize.fit.surfaces import Mesh, shrunk
from crstack.exceptions import CRStackWarning

SHAPE, READNOISE = (170, 184), 4.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
SKIES = np.array([800.0, 1200.0, 600.0])

#: larger images: of a cloud over one exposure, and of dark corners that are no smaller than the cells of the surfaces
LARGE = (240, 260)
ROWS, COLUMNS = np.mgrid[: LARGE[0], : LARGE[1]]
LIT = {
    "overscan": X < 160,
    "gap": (X < 84) | (X >= 100),
    "slit": (Y > 22) & (Y < 145),
    "round": np.hypot(COLUMNS - 130, ROWS - 120) < 118,
}

#: share of the light that passes
CLOUD = 1 - 0.5 * np.exp(-((COLUMNS - 80) ** 2 + (ROWS - 140) ** 2) / 1800)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def stars(rng, shape):
    n = round(np.prod(shape) / 1040)
    each = zip(
        rng.uniform(5, shape[1] - 5, n), rng.uniform(5, shape[0] - 5, n), 10 ** rng.uniform(3, 5, n), strict=True
    )

    def share(side, centre):
        return np.diff(ndtr((np.arange(-0.5, side) - centre) / 1.3))

    return sum(f * np.outer(share(shape[0], b), share(shape[1], a)) for a, b, f in each)


def exposures_of(lit, skies=SKIES, throughputs=(1, 1, 1), seed=5, level=0.0):
    """Expected exposures, the same with noise and hits, and the hits."""
    rng = np.random.default_rng(seed)
    scene = stars(rng, lit.shape)
    expected = np.array([lit * (t * scene + sky) + level for t, sky in zip(throughputs, skies, strict=True)])
    hits = np.array([make_hits(lit.shape, 0.01, rng, "cosmic") for _ in expected])
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape) + hits
    return expected, cube.astype(np.float32), hits


def check_pattern(found, skies, name):
    """No throughput follows the sky; terms of the columns describe a gap as well as a pattern."""
    # 0.7 to 1.4 without the pattern
    np.testing.assert_allclose(found.factors, 1, atol=0.03)
    if name != "gap":
        np.testing.assert_allclose(found.pattern, skies / skies.mean(), atol=0.01)
        assert "amplitudes of a pattern of the sky" in found.in_words()


@pytest.mark.parametrize(("n", "name"), [(2, "round"), (5, "slit")])
def test_the_throughput_does_not_follow_the_sky(name, n):
    skies = np.array([*SKIES, 900.0, 1000.0])[:n]
    _, cube, _ = exposures_of(LIT[name], skies, np.ones(n))
    check_pattern(measure_differences(cube, variance_of), skies, name)


@pytest.mark.parametrize("name", LIT)
def test_edges_of_dark_parts_are_no_hits(name):
    expected, cube, hits = exposures_of(LIT[name])
    stack = CRStack(list(cube), gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, unit="adu")
    masks = stack.detect()
    check_pattern(masks.decision.measured, SKIES, name)
    for i, mean in enumerate(expected):
        mask = masks[f"CRMASK{i + 1}"]
        near = ndimage.binary_dilation(hits[i] > 0, np.ones((3, 3)))
        strong = hits[i] > 5 * np.sqrt(mean + READNOISE**2)
        # up to 450 without the pattern
        assert np.count_nonzero(mask & ~near) < 8
        assert np.count_nonzero(strong & ~mask) < 0.015 * np.count_nonzero(strong)
    value = stack.combine("meanjoint")
    pulls = (value.data - expected.mean(axis=0)) / np.sqrt(value.uncertainty.array)
    assert pulls.std() == pytest.approx(1, abs=0.04)
    assert abs(pulls.mean()) < 0.02


def test_a_throughput_that_dims_the_sky_too_stays_one():
    throughputs = np.array([1.0, 1.3, 0.8])
    _, cube, _ = exposures_of(LIT["gap"], 1000 * throughputs, throughputs)
    found = measure_differences(cube, variance_of)
    assert found.pattern == ()
    np.testing.assert_allclose(found.factors, throughputs / throughputs.mean(), atol=0.02)


def test_a_throughput_of_its_own_beside_the_sky():
    throughputs = np.array([1.0, 1.25, 0.75])
    _, cube, _ = exposures_of(LIT["overscan"], SKIES[[0, 2, 1]], throughputs)
    found = measure_differences(cube, variance_of)
    np.testing.assert_allclose(found.factors, throughputs / throughputs.mean(), atol=0.03)
    np.testing.assert_allclose(found.pattern, SKIES[[0, 2, 1]] / SKIES.mean(), atol=0.01)


def test_the_level_of_dark_parts_is_no_sky():
    found = sky_with_dark_parts(exposures_of(LIT["gap"], level=100.0)[1], variance_of)
    np.testing.assert_allclose(found.factors, SKIES / SKIES.mean(), atol=0.01)
    assert np.median(found.image[:, :70]) == pytest.approx(SKIES.mean(), rel=0.01)
    np.testing.assert_allclose(found.image[:, 88:96], 0, atol=8)


@pytest.mark.parametrize("bias", [1000.0, 5000.0])
def test_no_sky_is_left_by_a_bias_that_is_too_large(bias):
    rng = np.random.default_rng(5)
    cube = np.array([rng.poisson(LIT["slit"] * sky) for sky in SKIES], np.float32)
    assert sky_with_dark_parts(cube, variance_of) is not None
    assert sky_with_dark_parts(cube - np.float32(bias), variance_of) is None


def test_no_sky_where_all_blocks_are_bad():
    _, cube, _ = exposures_of(LIT["slit"])
    assert sky_with_dark_parts(cube, variance_of, np.ones(cube.shape, bool)) is None


def test_no_dark_parts_in_bad_values_or_in_an_equal_sky():
    _, cube, _ = exposures_of(LIT["gap"])
    bad = np.broadcast_to(~LIT["gap"], cube.shape)
    assert sky_with_dark_parts(cube, variance_of, bad) is None
    assert sky_with_dark_parts(exposures_of(LIT["gap"], [900.0] * 3)[1], variance_of) is None
    assert sky_with_dark_parts(exposures_of(np.ones(SHAPE))[1], variance_of) is None
    # traces of fibres are no uniform sky
    assert sky_with_dark_parts(exposures_of((Y % 12) < 5)[1], variance_of) is None


def under_a_cloud(n=3, depth=1.0):
    rng = np.random.default_rng(7)
    skies = np.array([800.0, 1200.0, 600.0])[:n]
    expected, _, hits = exposures_of(np.ones(LARGE), skies, np.ones(n))
    expected[1] *= 1 - depth * (1 - CLOUD)
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape) + hits
    return expected, cube.astype(np.float32)


def test_a_cloud_is_no_throughput():
    found = measure_differences(under_a_cloud()[1], variance_of)
    # 0.8 to 1.4 with cells of 64 pixels
    np.testing.assert_allclose(found.factors, 1, atol=0.04)
    image = found.surface_images(LARGE)[1]
    dip = image[130:150, 70:90].mean() - image[60:80, 200:220].mean()
    assert dip == pytest.approx(-0.48 * 1200 * 2 / 3, rel=0.15)


@pytest.mark.parametrize("n", [2, 3])
def test_a_warning_names_the_region(n):
    cube = under_a_cloud(n)[1]
    stack = CRStack(list(cube), gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, unit="adu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        stack.detect()
    words = next(str(one.message) for one in caught if "a cloud, scattered light" in str(one.message))
    assert re.match(r"the level of exposure 2.* deviates by -\d+ electrons", words)
    x, y = (list(map(int, re.search(rf"{axis} from (\d+) to (\d+)", words).groups())) for axis in "xy")
    assert 20 < x[0] < 80 < x[1] < 140
    assert 80 < y[0] < 140 < y[1] < 200


def test_no_region_where_the_sky_is_smooth():
    cube = under_a_cloud(depth=0.0)[1]
    cube += np.float32(0.8) * COLUMNS.astype(np.float32) * np.arange(3, dtype=np.float32)[:, None, None]
    stack = CRStack(list(cube), gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, unit="adu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.detect()


def test_hits_that_fill_a_cell_are_no_region():
    mesh = Mesh((320, 320))
    fine = fine_mesh(mesh)
    rng = np.random.default_rng(6)
    medians = rng.normal(0, 0.1, (4, 20, 20))
    medians[-1] = 1.0
    number, grids = np.full((20, 20), 60.0), np.zeros((3, 5, 5))
    for y, x in ((3, 4), (9, 12), (9, 13), (16, 6)):
        medians[1, y, x] = 20.0
    assert surfaces_with_regions(mesh, grids, medians, number) is grids
    medians[1, 5:9, 5:9] = 1.5
    assert surfaces_with_regions(mesh, grids, medians, number).shape == (3, *(len(one) for one in fine.centres))


def test_cells_beside_which_no_cell_has_pixels():
    rng = np.random.default_rng(2)
    weight = 10 ** rng.uniform(3, 6, (20, 20))
    weight[8:] = 0
    rest = np.where(weight > 0, rng.normal(0, 50, weight.shape), 0)
    # rounding errors of the filter were divided by 1e-30
    found = shrunk(rest, weight, 1e-3)
    assert (found[10:] == 0).all()
    assert np.abs(found).max() < 250
