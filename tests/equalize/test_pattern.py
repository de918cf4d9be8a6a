"""Patterns such as fringes, whose amplitude differs between exposures."""

import numpy as np
import pytest
from scipy.special import ndtr

from crstack.datasets.hits import make_hits
from crstack.equalize import measure_differences
from crstack.equalize.fit import pattern as pattern_module
from crstack.equalize.fit.pattern import describes_more, medians_of_blocks, misfit_of_differences, pattern_of_sky
from crstack.utils.threads import limited_threads

SHAPE, SKY, READNOISE = (160, 200), 5000.0, 4.0
AMPLITUDES = np.array([1.0, 1.3, 0.8])


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def fringes():
    """Curved fringes of two periods, 200 electrons."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    along = 0.8 * x + 0.6 * y + 5 * np.sin(y / 30)
    return 200 * (np.sin(2 * np.pi * along / 24) + np.sin(2 * np.pi * (0.5 * x - y) / 55) / 2)


def stars(shift=(0, 0)):
    rng = np.random.default_rng(3)
    x, y = rng.uniform(5, SHAPE[1] - 5, 40), rng.uniform(5, SHAPE[0] - 5, 40)
    each = zip(x + shift[0], y + shift[1], 10 ** rng.uniform(3.5, 5, 40), strict=True)

    def share(side, centre):
        return np.diff(ndtr((np.arange(-0.5, side) - centre) / 1.2))

    return sum(f * np.outer(share(SHAPE[0], b), share(SHAPE[1], a)) for a, b, f in each)


def exposures_of(amplitudes=AMPLITUDES, factors=(1, 1, 1), moved=((0, 0),) * 3, pattern=None, seed=4):
    """Expected exposures, and a draw of them with hits."""
    pattern, rng = fringes() if pattern is None else pattern, np.random.default_rng(seed)
    expected = np.array([
        f * (stars(d) + SKY + a * pattern) for a, f, d in zip(amplitudes, factors, moved, strict=True)
    ])  # fmt: skip
    hits = np.array([make_hits(SHAPE, 0.01, rng, "cosmic") for _ in expected])
    return expected, (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape) + hits).astype(np.float32)


def error_of(found, expected):
    """Largest root mean square (sigma) of the expected image of an exposure."""
    images = [scale * found.common + added for scale, added in zip(found.scales, found.added, strict=True)]
    images = np.array(images) - expected
    # the common image has noise
    images -= images.mean(axis=0)
    return np.sqrt(np.mean(images**2, axis=(1, 2))).max() / np.sqrt(SKY)


@pytest.fixture(scope="module")
def unlike():
    expected, cube = exposures_of()
    return expected, cube, measure_differences(cube, variance_of)


def test_amplitudes_are_measured_and_throughputs_stay_1(unlike):
    expected, _, found = unlike
    np.testing.assert_allclose(found.pattern, AMPLITUDES / AMPLITUDES.mean(), atol=0.02)
    np.testing.assert_allclose(found.factors, 1, atol=0.02)
    # 0.6 without the pattern
    assert error_of(found, expected) < 0.2
    assert not found.lines


def test_words_table_and_order(unlike):
    found = unlike[2]
    assert found.in_words()["amplitudes of a pattern of the sky"].startswith("0.9")
    np.testing.assert_array_equal(found.table()["pattern"], found.pattern)
    assert found.ordered(np.array([2, 0, 1])).pattern == tuple(found.pattern[i] for i in (2, 0, 1))


def test_shifts_and_throughputs_of_stars_behind_fringes():
    # without the pattern, fringes that do not move look like an exposure that did not move
    factors, moved = np.array([0.97, 1.0, 1.04]), ((0, 0), (3.1, -1.4), (-2, 1))
    _, cube = exposures_of(factors=factors, moved=moved)
    found = measure_differences(cube, variance_of)
    np.testing.assert_allclose(found.factors, factors / factors.mean(), atol=0.03)
    np.testing.assert_allclose(np.subtract(found.shifts, found.shifts[0]), moved, atol=0.15)
    amplitudes = factors * AMPLITUDES
    np.testing.assert_allclose(found.pattern, amplitudes / amplitudes.mean(), atol=0.02)


def test_two_exposures():
    _, cube = exposures_of()
    found = measure_differences(cube[:2], variance_of)
    np.testing.assert_allclose(found.pattern, (1 / 1.15, 1.3 / 1.15), atol=0.02)


@pytest.mark.parametrize("factors", [(1, 1, 1), (0.8, 1.0, 1.15)])
def test_no_pattern_where_it_changes_like_the_throughput(factors):
    _, cube = exposures_of((1, 1, 1), factors)
    found = measure_differences(cube, variance_of)
    assert found.pattern == ()
    np.testing.assert_allclose(found.factors, np.array(factors) / np.mean(factors), atol=0.03)


def test_no_pattern_of_noise_lines_or_small_images():
    _, cube = exposures_of(pattern=np.zeros(SHAPE))
    assert pattern_of_sky(cube, variance_of) is None
    assert pattern_of_sky(exposures_of()[1][:, :50], variance_of) is None
    lines = np.broadcast_to(200 * np.sin(2 * np.pi * np.arange(SHAPE[1]) / 24), SHAPE)
    assert pattern_of_sky(exposures_of(pattern=lines)[1], variance_of) is None


def test_backgrounds_that_are_known_are_not_measured(unlike):
    assert measure_differences(unlike[1], variance_of, names={"flux_factors"}).pattern == ()


def test_of_a_part_of_the_image(unlike, monkeypatch):
    cube = unlike[1]
    whole = pattern_of_sky(cube, variance_of)
    monkeypatch.setattr("crstack.equalize.fit.pattern.SAMPLE", SHAPE[0] * SHAPE[1] // 2)
    part = pattern_of_sky(cube, variance_of)
    np.testing.assert_allclose(part.factors, whole.factors, atol=0.02)
    # the pattern itself is that of the whole image
    np.testing.assert_allclose(part.image, whole.image, atol=10)
    assert np.corrcoef(part.image.ravel(), fringes().ravel())[0, 1] > 0.95


def test_misfit(unlike):
    _, cube, found = unlike
    none = measure_differences(np.stack([cube[0]] * 3), variance_of)
    assert describes_more(found, none, cube, variance_of)
    assert not describes_more(found, found, cube, variance_of)
    assert not describes_more(none, found, cube, variance_of)
    # excluded values do not count
    bad = np.zeros(cube.shape, dtype=bool)
    bad[:, 40:80] = True
    share = misfit_of_differences(found, cube, variance_of, bad) / misfit_of_differences(found, cube, variance_of)
    assert 0.7 < share < 0.8


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("shape", [(16, 20), (17, 23), (4, 5)])
def test_blocks_of_four_pixels(shape, n_threads, monkeypatch):
    monkeypatch.setattr(pattern_module, "PIXELS_IN_CACHE", 400)  # several bands
    levels = np.random.default_rng(5).normal(100, 20, (3, *shape)).astype(np.float32)
    # the last block ends at the edge
    starts = [[*range(0, side - 4, 4), side - 4] for side in shape]
    blocks = [[levels[:, y : y + 4, x : x + 4] for x in starts[1]] for y in starts[0]]
    medians = [[np.median(one, axis=(1, 2)) for one in row] for row in blocks]
    quarters = np.block([[one.reshape(3, 2, 2, 2, 2).mean(axis=(2, 4)) for one in row] for row in blocks])
    with limited_threads(n_threads):
        np.testing.assert_array_equal(medians_of_blocks(levels), np.moveaxis(medians, 2, 0))
        np.testing.assert_allclose(pattern_module._quarters_of_blocks(levels), quarters, rtol=1e-6)
