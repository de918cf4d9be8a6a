"""Trails of satellites: masked to their faint edges, with a code of their own; none among hits."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import Code, CRStack, MaskRules, MaskSet
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.lines_in_masks.radon import lengths_of_lines, sums_of_lines
from crstack.masks.features import find_features
from crstack.not_hits.trails import features_along, planes_of, straight_features

SHAPE = (200, 260)
SKY, READNOISE = 100.0, 4.0
SIGMA = np.sqrt(SKY + READNOISE**2)


def find_trails(flagged, exposures):
    """The trails, and the pixels of those of each exposure."""
    found = straight_features(flagged, exposures)
    return tuple(trail for trail, _ in found), planes_of(found)


def light_of(angle, width=2.0, peak=80.0, shift=0.0):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    a = np.radians(angle)
    across = (columns - SHAPE[1] / 2) * np.sin(a) - (rows - SHAPE[0] / 2 - shift) * np.cos(a)
    return peak * np.exp(-(across**2) / (2 * width**2))


def exposures_with(trail, n=3, which=1, rate=0.01, seed=1):
    """Exposures in electrons, one with a trail."""
    rng = np.random.default_rng(seed)
    light = np.full((n, *SHAPE), SKY)
    light[which] += trail
    hits = np.stack([make_hits(SHAPE, rate, rng) for _ in range(n)])
    cube = rng.poisson(light) + rng.normal(0, READNOISE, light.shape) + hits
    return [CCDData(plane, unit="electron") for plane in cube], hits


def stack_of(images):
    return CRStack(images, readnoise=READNOISE * u.electron)


@pytest.mark.parametrize("angle", [3, 45, 80, 130, 170])
def test_a_trail_is_masked_to_its_faint_edges(angle):
    light = light_of(angle)
    images, _ = exposures_with(light)
    stack = stack_of(images)
    with pytest.warns(CRStackWarning, match=r"straight trails cross exposures: exposure 2 from \(.* pixels wide"):
        masks = stack.detect("joint")
    (trail,) = masks.trails
    assert trail.exposure == 2
    codes = masks.codes["CRMASK2"]
    bright = light > 0.25 * SIGMA
    assert (codes[bright] == Code.TRAIL).mean() > 0.98
    assert (codes[light < 0.001] == Code.TRAIL).mean() < 0.01
    assert (codes == Code.TRAIL).sum() == trail.n_pixels
    measured = np.degrees(np.arctan2(trail.y2 - trail.y1, trail.x2 - trail.x1)) % 180
    assert abs((measured - angle + 90) % 180 - 90) < 0.5
    assert not (masks.codes["CRMASK1"] == Code.TRAIL).any()
    # the mean is that of the other exposures
    level = stack.combine("meanjoint").data[bright]
    assert abs(np.median(level) - SKY) < 5 * SIGMA / np.sqrt(2 * bright.sum()) + 0.4


@pytest.mark.parametrize(("fwhm", "peak"), [(11, 1000.0), (14, 200.0), (14, 1000.0), (18, 200.0)])
@pytest.mark.parametrize("angle", [20, 71])
def test_a_wide_trail_of_an_aeroplane(fwhm, peak, angle):
    """Wider than the distances that measure the level of a narrow one."""
    light = light_of(angle, fwhm / 2.3548, peak)
    images, _ = exposures_with(light)
    flagged = light > 0.3 * SIGMA
    found, planes = find_trails(lambda i: flagged & (i == 1), load_exposures(images, readnoise=READNOISE * u.electron))
    (trail,) = found
    assert trail.exposure == 2
    assert 2 * fwhm < trail.width < 4 * fwhm
    assert planes[1][light > 0.5 * SIGMA].mean() > 0.96
    assert planes[1][light < 0.001].mean() < 0.01


def test_a_wide_trail_is_found_by_the_joint_decision():
    images, _ = exposures_with(light_of(20, 14 / 2.3548, 200.0))
    with pytest.warns(CRStackWarning, match="straight trails cross exposures: exposure 2 "):
        assert len(stack_of(images).detect("joint").trails) == 1


@pytest.mark.parametrize(("n", "method"), [(2, "joint"), (5, "joint"), (3, "mmcosmic")])
def test_numbers_of_exposures_and_methods(n, method):
    images, _ = exposures_with(light_of(25, peak=150), n)
    with pytest.warns(CRStackWarning, match="straight trails"):
        masks = stack_of(images).detect(method, aux=None)
    bright = light_of(25, peak=150) > 0.25 * SIGMA
    assert (masks.codes["CRMASK2"][bright] == Code.TRAIL).mean() > 0.98
    assert masks["MEANCRT"][bright].mean() > 0.98
    assert masks["MEDIANCR"][bright].mean() > 0.98 if n == 2 else masks["MEDIANCR"][bright].mean() < 0.06
    counts = {row["name"]: int(row["trail"]) for row in masks.counts()}
    assert counts["CRMASK2"] > 1000
    assert counts["CRMASK1"] == 0
    features = find_features(masks, name="CRMASK2")
    assert features["n_pixels"].max() < 300


def test_two_trails():
    images, _ = exposures_with(light_of(20) + light_of(120, shift=10))
    with pytest.warns(CRStackWarning, match="straight trails"):
        masks = stack_of(images).detect("joint")
    assert len(masks.trails) == 2
    both = (light_of(20) > 0.25 * SIGMA) | (light_of(120, shift=10) > 0.25 * SIGMA)
    assert (masks.codes["CRMASK2"][both] == Code.TRAIL).mean() > 0.97


def test_codes_stay_through_rules_thresholds_and_files(tmp_path):
    images, _ = exposures_with(light_of(30))
    with pytest.warns(CRStackWarning, match="straight trails"):
        masks = stack_of(images).detect("joint", rules=MaskRules(skip_regions=[(1, 50, 1, 200)]))
    trail = masks.codes["CRMASK2"] == Code.TRAIL
    assert trail.any()
    assert not trail[:, :50].any()
    masks.write(tmp_path / "masks.fits")
    for other in (masks.threshold(0.9), MaskSet.read(tmp_path / "masks.fits")):
        np.testing.assert_array_equal(other.codes["CRMASK2"] == Code.TRAIL, trail)


@pytest.mark.parametrize(
    ("population", "rate"), [*((one, 0.06) for one in POPULATIONS), ("thin", 0.15), ("worms", 0.15)]
)
def test_hits_make_no_trails(population, rate):
    """10 stacks of each population, 6 or 15 per cent hit, with every hit pixel flagged."""
    rng = np.random.default_rng(7)
    for _ in range(10):
        hits = np.stack([make_hits(SHAPE, rate, rng, population) for _ in range(3)])
        cube = rng.poisson(SKY, hits.shape) + rng.normal(0, READNOISE, hits.shape) + hits
        images = [CCDData(plane, unit="electron") for plane in cube]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of so many hits
            exposures = load_exposures(images, readnoise=READNOISE * u.electron)
        trails, planes = find_trails(lambda i, hits=hits: hits[i] > 0, exposures)
        assert trails == ()
        assert planes == {}


def test_a_trail_among_many_hits():
    light = light_of(20, width=3.0, peak=200.0)
    images, hits = exposures_with(light, rate=0.12)
    exposures = load_exposures(images, readnoise=READNOISE * u.electron)
    flagged = hits > 0
    flagged[1] |= light > 5 * SIGMA
    (trail,), _ = find_trails(lambda i: flagged[i], exposures)
    assert trail.exposure == 2
    assert (trail.y2 - trail.y1) / (trail.x2 - trail.x1) == pytest.approx(np.tan(np.radians(20)), abs=0.01)


@pytest.mark.parametrize(("side", "number"), [(90, 0), (150, 1)])
def test_a_track_across_a_small_image_is_no_trail(side, number):
    rng = np.random.default_rng(5)
    flagged = np.zeros((side, side), dtype=bool)
    rows = np.arange(side)[:, None]
    flagged[rows, 10 + rows // 4 + np.arange(5)] = True
    cube = rng.normal(SKY, SIGMA, (3, side, side)).astype(np.float32)
    cube[0][flagged] += 300
    exposures = load_exposures(list(cube * u.electron), readnoise=READNOISE * u.electron)
    assert len(find_trails(lambda i: flagged & (i == 0), exposures)[0]) == number


def test_a_trace_that_the_others_show_is_no_trail():
    rng = np.random.default_rng(3)
    light = SKY + np.array([1.0, 1.3, 1.0])[:, None, None] * light_of(0, peak=1000)
    images = [CCDData(rng.poisson(one) + rng.normal(0, READNOISE, SHAPE), unit="electron") for one in light]
    exposures = load_exposures(images, readnoise=READNOISE * u.electron)
    flagged = np.zeros((3, *SHAPE), dtype=bool)
    flagged[1] = light_of(0) > 10
    assert find_trails(lambda i: flagged[i], exposures)[0] == ()


def test_sums_of_lines_are_exact_for_straight_ones():
    image = np.zeros((40, 64), dtype=int)
    image[7] = 1
    sums = sums_of_lines(image)
    assert sums.shape == (64, 40 + 64)
    assert sums[0, 7 + 64] == 64
    assert sums.max() == 64
    # from the first column of row 0 to the last one of row 32
    image = np.zeros((40, 64), dtype=int)
    image[np.rint(np.arange(64) * 32 / 63).astype(int), np.arange(64)] = 1
    sums = sums_of_lines(image)
    rise, start = np.unravel_index(sums.argmax(), sums.shape)
    assert abs(rise - 32) <= 1
    assert abs(start - 64) <= 1
    assert sums.max() >= 56
    # each line takes one pixel of each column
    whole = sums_of_lines(np.ones((40, 50), dtype=int))
    difference = np.abs(whole - lengths_of_lines((40, 50)))
    assert difference.max() <= 6
    assert (difference <= 2).mean() > 0.98
    assert whole[0, 64] == 50


def test_the_ends_and_the_edges_of_a_long_trail():
    """The edge is where the light falls to 0.15 standard deviations; the ends are at the borders of the image."""
    ny, nx = 120, 5000
    rows, columns = np.mgrid[:ny, :nx]
    across = rows - 40 - columns / 200
    light = 4 * SIGMA * np.exp(-(across**2) / (2 * 8.0**2))
    rng = np.random.default_rng(4)
    cube = rng.poisson(SKY + np.multiply.outer([0, 1, 0], light)) + rng.normal(0, READNOISE, (3, ny, nx))
    exposures = load_exposures([CCDData(plane, unit="electron") for plane in cube], readnoise=READNOISE * u.electron)
    flagged = light > SIGMA
    (trail,), planes = find_trails(lambda i: flagged & (i == 1), exposures)
    assert (trail.x1, trail.x2) == (pytest.approx(1, abs=2), pytest.approx(nx, abs=2))
    assert (trail.y1, trail.y2) == (pytest.approx(41, abs=0.5), pytest.approx(66, abs=0.5))
    edge = 8 * np.sqrt(2 * np.log(4 / 0.15)) + 1
    inside = np.abs(across[planes[1]])
    assert np.quantile(inside, 0.999) == pytest.approx(edge, abs=1.2)


@pytest.mark.parametrize("photons", [1, 3])
def test_one_photon_is_no_trail(photons):
    rng = np.random.default_rng(7)
    planes = [np.round(rng.poisson(2.0, SHAPE) + rng.normal(0, 0.2, SHAPE)) for _ in range(3)]
    planes[0][97:104] += photons
    loaded = load_exposures([CCDData(plane, unit="electron") for plane in planes], readnoise=0.2 * u.electron)
    flagged = np.zeros(SHAPE, dtype=bool)
    flagged[97:104] = rng.random((7, SHAPE[1])) < 0.3
    found = features_along((0, 100, SHAPE[1] - 1, 100), flagged, loaded)
    assert [trail.exposure for trail, _ in found] == ([1] if photons == 3 else [])
