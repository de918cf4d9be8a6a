"""The variance of a place from two exposures, where a hit and an error of the model are both a difference."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.equalize.fit.common_image import CLIP_SIGMA_OF_TWO, median_without_hits
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.variance import place_variance, places
from crstack.equalize.variance.hits_of_two import HIT_SIGMA, HitsOfTwo, crossings
from crstack.exceptions import CRStackWarning
from crstack.joint import scatter
from crstack.joint.expected import counts_of
from crstack.utils.pixels import dilate

READNOISE = 4.0


def hits_of(charges, n_flat=1000):
    return HitsOfTwo(np.sort(np.float64(charges)), n_flat, 0.5)


def test_hits_are_counted_in_flat_places():
    variance = np.float32([8, 8, 8, 8])
    parts = [(np.float32([3, 4.1 * HIT_SIGMA, 80, 0]), variance), (np.float32([30, 3.9 * HIT_SIGMA]), variance[:2])]
    found = HitsOfTwo.of_flat(parts, 0.5)
    np.testing.assert_allclose(found.charges, [4.1 * HIT_SIGMA, 30, 80], rtol=1e-6)
    assert found.n_flat == 6


def test_what_hits_add_to_squared_deviations():
    """By hand: below the limit of an obvious hit, each adds its square, clipped, in place of the variance."""
    contrast2, variance = np.float32(100.0**2), np.float32(25)
    limit = 2 * (CLIP_SIGMA_OF_TWO * 5 + 0.2 * 100)
    charges = [10, 20, 50, limit - 1, limit + 1, 5000]
    most = 625.0
    squares = [min((q / 2) ** 2 / 0.5, most) - 25 for q in charges[:4]]
    found = hits_of(charges).added(contrast2, variance, most)
    assert found == pytest.approx(sum(squares) / 1000, rel=1e-5)
    assert hits_of(charges).number(contrast2, variance) == 4 / 1000
    assert hits_of([]).added(contrast2, variance, most) == 0


def test_the_common_image_of_two_exposures_contains_no_half_of_a_hit():
    """A hit of 7 sigma: the lower value replaces the mean. Values that differ by 4 sigma agree."""
    levels = np.full((2, 20, 30), 100, np.float32)
    levels[0, 8, 12] += 7 * 10
    levels[1, 3, 20] += 4 * 10
    model = ExpectedExposures(levels, lambda signal: np.full_like(signal, 10.0**2), None, set())
    common = model.common(0.1)
    assert common[8, 12] == 100
    assert common[3, 20] == 120


@pytest.mark.parametrize("seed", [1, 2])
def test_hits_are_found_in_two_exposures_that_are_shifted(seed):
    """Faint light that fills the field moves with the scene. Hits of 6 to 12 sigma must not move with it."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((200, 220)), 4, mode="wrap")
    scene = 100 + 60 * np.exp(noise / noise.std())
    scenes = np.stack([scene, np.roll(scene, (3, 2), (0, 1))])
    sigmas = np.sqrt(scenes + READNOISE**2)
    levels = rng.poisson(scenes) + READNOISE * rng.standard_normal(scenes.shape)
    hits = rng.random(scenes.shape) < 0.004
    hits[:, [0, 1, 2, -3, -2, -1]] = hits[:, :, [0, 1, 2, -3, -2, -1]] = False
    levels = np.float32(levels + hits * sigmas * rng.uniform(6, 12, scenes.shape))
    stack = CRStack([CCDData(level, unit="electron") for level in levels], readnoise=READNOISE * u.electron)
    with pytest.warns(CRStackWarning, match="not aligned"):
        found = stack.detect().crmasks
    assert (hits & ~found).sum() < 0.35 * hits.sum()


def test_hits_cross_beside_obvious_ones_of_both():
    first, apart = np.ones((20, 30), bool), np.zeros((20, 30), np.float32)
    apart[5, 3:9] = 100
    apart[2:9, 9] = 100
    first[2:9, 9] = False
    apart[15, 20] = 100
    flat = np.ones((20, 30), bool)
    found = crossings(first, apart, np.float32(9), flat)
    np.testing.assert_array_equal(found[[5, 6, 15, 5], [8, 10, 20, 2]], [True, True, False, False])
    # a star that moves is no flat place
    flat[2:9, 9] = False
    assert not crossings(first, apart, np.float32(9), flat).any()


def test_a_deviation_of_two_exposures_counts_up_to_four_expected_variances():
    """The expected variance is 9 + .5 * 20. The mean of clipped noise, and of as many hits as there are, is 1."""
    square = np.array([[19.0, 76.0, 500.0, 500.0]], np.float32)
    contrast2, variance = np.array([[20.0, 20.0, 20.0, 0.0]], np.float32), np.full((1, 4), np.float32(9))
    # one flat pixel in 20 has a hit of 10 electrons
    two = places._Two(None, np.ones((1, 4), bool), None, HitsOfTwo(np.array([10.0]), 20, 0.5))
    some = places.Places(contrast2, square, variance, np.ones((1, 4), np.int8), two)
    found = some._squares(np.s_[:], np.full(places.N_KINDS, np.float32(0.5)))
    mean = 0.92 + (4 - 0.92) / 20
    np.testing.assert_allclose(found, [[19 / mean, 76 / mean, 76 / mean, 500]], rtol=1e-5)


def test_a_track_of_one_exposure_is_no_local_excess():
    """In a window in which one exposure is always the higher one, nothing remains; where both are, all of it does."""
    rng = np.random.default_rng(4)
    shape = (30, 40)
    first = np.ones(shape, bool)
    first[:, 20:] = rng.random((30, 20)) < 0.5
    two = places._Two(None, first)
    planes = [np.ones(shape, np.float32)] * 3
    some = places.Places(*planes, np.ones(shape, np.int8), two)
    found = some.excess_around(np.full(shape, np.float32(6)), slice(0, 30), places.WINDOW)
    assert found[:, :15].max() == pytest.approx(0, abs=1e-5)
    assert found[:, 25:].mean() == pytest.approx(6, rel=0.25)
    assert found.max() <= 6.0001


@pytest.mark.parametrize("scene", ["slit", "imaging"])
def test_hits_of_two_equal_exposures_are_no_excess(scene):
    simulated = make_stack(
        scene, shape=(220, 240), n_exposures=2, gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron,
        hit_rate=0.01, seed=12,
    )  # fmt: skip
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    result = stack.joint_posterior()
    assert (result.excess_variance > 0.1 * simulated.noise.variance(simulated.expected.mean(axis=0))).mean() < 0.002
    without = stack.joint_posterior(JointPosterior(excess=False))
    strong = simulated.hit_mask(5)
    assert result.mask[strong].mean() > without.mask[strong].mean() - 0.003 > 0.98


def test_two_stars_of_different_seeing_are_not_eaten():
    """An excess that is there is found in two exposures, too."""
    y, x = np.mgrid[:160, :170]
    rng = np.random.default_rng(8)
    centres = [(20 + 40 * i + rng.uniform(-1, 1), 20 + 40 * j + rng.uniform(-1, 1)) for i in range(4) for j in range(4)]
    expected = [
        100 + sum(3e4 / width**2 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2 / width**2) for a, b in centres)
        for width in (1.2, 1.35)
    ]
    cube = (rng.poisson(expected) + rng.normal(0, READNOISE, (2, 160, 170))).astype(np.float32)

    def variance_of(signal, box=None):
        return np.maximum(signal, 0) + np.float32(READNOISE**2)

    variance, share = place_variance.place_variance(cube, variance_of)
    apart = np.abs(expected[0] - expected[1])
    strong = apart > 5 * np.sqrt(expected[0])
    assert share > 0
    assert np.median(variance[strong] / apart[strong] ** 2) > 0.25
    stack = CRStack([CCDData(one, unit="electron") for one in cube], readnoise=READNOISE * u.electron)
    assert stack.detect(JointPosterior()).crmasks.mean() < 2e-4


def test_the_scene_of_two_exposures_is_the_lower_one_where_they_differ():
    """A hit in the mean of two exposures would look like structure."""
    rng = np.random.default_rng(6)
    cube = rng.normal(100, 10, (2, 30, 40)).astype(np.float32)
    cube[1, 5, 7] = cube[0, 5, 7] + 500
    exposures = CRStack(list(cube * u.electron), readnoise=READNOISE * u.electron).prepared.known
    scene = scatter._median_of(counts_of(exposures))
    expected = cube.mean(axis=0)
    expected[5, 7] = cube[0, 5, 7]
    # of noise alone about 2 in 10 000 pixels differ as much
    assert np.count_nonzero(np.abs(scene - expected) > 1e-3) <= 3
    assert scene[5, 7] == cube[0, 5, 7]


@pytest.mark.parametrize(
    ("differences", "rate", "seed"),
    [
        ({"sky_factors": (1, 4)}, 0.01, 31),
        ({"sky_factors": (1, 2)}, 0.03, 32),
        ({"sky_factors": (1, 1.3), "flux_factors": (1, 0.95)}, 0.01, 31),
    ],
)
def test_hits_are_no_error_of_stars_whose_sky_or_throughput_differs(differences, rate, seed):
    """What differs is measured, so that the declared noise of the stars is that of photons and read noise."""
    simulated = make_stack(
        "imaging", shape=(300, 300), n_exposures=2, gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron,
        hit_rate=rate, seed=seed, **differences,
    )  # fmt: skip
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    masks, combined = stack.detect(), stack.combine("meanjoint")
    expected, hits = np.array(simulated.expected), np.array(simulated.hits)
    level = np.percentile(expected.mean(axis=0), 30)
    bright = expected.mean(axis=0) - level > 10 * np.sqrt(level + READNOISE**2)
    true = np.sqrt((expected + READNOISE**2).sum(axis=0)) / 2
    clean = bright & ~(hits > 0).any(axis=0)
    ratio = np.sqrt(combined.uncertainty.array[clean]) / true[clean]
    # where 7 % of the pixels are hit, up to a quarter of those of a few stars are
    assert np.percentile(ratio, [10, 90] if rate < 0.02 else [10, 60]) == pytest.approx(1, abs=0.2)
    strong = (hits > 5 * np.sqrt(expected + READNOISE**2)) & bright
    assert np.count_nonzero(strong & ~masks.crmasks) <= max(0.05 * np.count_nonzero(strong), 1)
    near = np.array([dilate(one > 0, 1) for one in hits])
    assert (masks.crmasks & ~near).sum() <= 12
    assert (masks.crmasks & ~near)[:, bright].sum() <= 1


def test_the_core_of_a_sharper_star_is_no_hit():
    """The change by the seeing is too small as long as the common image takes the core for a hit."""
    rows, columns = np.mgrid[:31, :31] - 15
    star = (100 + 3000 * np.exp(-(rows**2 + columns**2) / 4)).astype(np.float32)
    core = np.where((rows == 0) & (columns == 0), np.float32(1), np.float32(0))
    # what is left of it after a change of 900 electrons between the two, and a hit beside the star
    cube = np.stack([star + 900 * core, star])
    cube[1, 2, 2] += 900
    changes = [450 * core, -450 * core]

    def common(*changes):
        return median_without_hits(cube.copy(), lambda signal: signal + 16, 0.1, *changes)

    assert common()[15, 15] == star[15, 15]
    assert common(changes)[15, 15] == star[15, 15] + 450
    assert common(changes)[2, 2] == star[2, 2]
