"""Hot pixels, which throughput, shift and seeing do not change."""

import numpy as np
import pytest
from scipy.special import ndtr

from crstack.datasets import make_stack
from crstack.equalize import measure_differences
from crstack.equalize.fit.dark import dark_of_hot_pixels
from crstack.equalize.fit.differences import NAMES
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.hot import hot_pixels_at_rest, with_hot_pixels

SHAPE, SKY, READNOISE = (130, 150), 100.0, 4.0
FACTORS, MOVED = (1.0, 0.94, 0.86, 0.9), ((0, 0), (0.1, -0.1), (1.4, -1.2), (1.3, -1.3))


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def scene(shift):
    """Stars of a few thousand electrons."""
    rng = np.random.default_rng(3)
    x, y = rng.uniform(5, SHAPE[1] - 5, 60), rng.uniform(5, SHAPE[0] - 5, 60)
    each = zip(x + shift[0], y + shift[1], 10 ** rng.uniform(3.5, 5, 60), strict=True)

    def share(side, centre):
        return np.diff(ndtr((np.arange(-0.5, side) - centre) / 0.9))

    return sum(f * np.outer(share(SHAPE[0], b), share(SHAPE[1], a)) for a, b, f in each)


@pytest.fixture(scope="module")
def exposures():
    """Expected exposures with hot pixels that neither move nor are dimmed, their draws, hot pixels, and differences."""
    rng = np.random.default_rng(4)
    hot = np.zeros(SHAPE)
    for charge in (8000, 100):
        hot[rng.integers(2, SHAPE[0] - 2, 100), rng.integers(2, SHAPE[1] - 2, 100)] = charge
    expected = np.array([f * (scene(d) + SKY) + hot for f, d in zip(FACTORS, MOVED, strict=True)])
    cube = (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)).astype(np.float32)
    return expected, cube, hot, measure_differences(cube, variance_of)


def levels_of(found, images):
    return np.array([
        (one - added) / scale for one, added, scale in zip(images, found.added, found.scales, strict=True)
    ])  # fmt: skip


def test_hot_pixels_are_not_scaled(exposures):
    expected, _, hot, found = exposures
    np.testing.assert_allclose(found.factors, np.array(FACTORS) / np.mean(FACTORS), atol=0.01)
    spread = np.ptp(levels_of(found, expected)[:, hot > 1000], axis=0)
    # with the throughput it would be 14 per cent of 8000 electrons; the noise of one value is 90
    assert np.percentile(spread, 90) < 150


def test_equal_exposures_and_few_electrons_stay(exposures):
    cube = exposures[1]
    none = measure_differences(np.stack([cube[0]] * 3), variance_of)
    assert with_hot_pixels(none, cube, variance_of) is none
    # a hit of one exposure is no hot pixel
    cube = np.stack([np.full(SHAPE, np.float32(f * SKY)) for f in FACTORS])
    cube[:, 50:60, 50:60] *= 30
    cube += np.float32(3) * np.random.default_rng(1).standard_normal(cube.shape).astype(np.float32)
    dimmed = measure_differences(cube, variance_of)
    cube[0, 100, 100] += 9000
    assert with_hot_pixels(dimmed, cube, variance_of) is dimmed
    cube[:, 100, 100] += 9000
    assert with_hot_pixels(dimmed, cube, variance_of) is not dimmed


def test_bands_give_the_same(exposures, monkeypatch):
    _, cube, _, found = exposures
    monkeypatch.setattr("crstack.utils.threads.PIXELS_IN_CACHE", 17 * SHAPE[1])
    again = measure_differences(cube, variance_of)
    for one, other in zip(found.added, again.added, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_centred_star_is_not_hot():
    y, x = np.mgrid[:41, :41] - 20
    star = 4000 * np.exp(-0.5 * (x**2 + y**2) / 0.8**2)
    cube = np.float32([SKY + star, SKY + star, SKY + np.roll(star, (-1, 1), axis=(0, 1))])
    cube[:, 5, 30] += 200
    cube[:2, 30, 5] += 200  # hits
    cube[1, 12, 12] += 2000
    rows, columns, charges = hot_pixels_at_rest(cube, variance_of)
    assert (rows.tolist(), columns.tolist()) == ([5], [30])
    np.testing.assert_allclose(charges, 200)


@pytest.mark.parametrize("beside", [(0, 1), (1, 1), (1, 0), (1, -1)])
@pytest.mark.parametrize(("n", "moved"), [(5, 1), (4, 2)])
def test_two_hot_pixels_beside_each_other_are_hot(n, moved, beside):
    """A faint star is bright at one place in some exposures, and beside it in the others."""
    rng = np.random.default_rng(12)
    dy, dx = beside
    y, x = np.mgrid[:9, :9] - 4
    # the median of five exposures, one of which is moved, shows one image of the star, sharper than any
    star = (400 if moved > 1 else 0) * np.exp(-0.5 * (x**2 + y**2) / 0.45**2)
    cube = np.full((n, 60, 60), SKY, np.float32)
    cube[:, 10, 12] += 250
    cube[:, 10 + dy, 12 + dx] += 190
    for i, plane in enumerate(cube):
        step = (dy, dx) if i < moved else (0, 0)
        plane[36:45, 26:35] += np.roll(star, step, axis=(0, 1))
    cube += rng.standard_normal(cube.shape) * 4
    rows, columns, charges = hot_pixels_at_rest(cube, lambda signal: np.full(signal.shape, 16.0))
    order = np.argsort(charges)
    assert list(zip(rows[order].tolist(), columns[order].tolist(), strict=True)) == [(10 + dy, 12 + dx), (10, 12)]
    np.testing.assert_allclose(charges[order], [190, 250], atol=12)


@pytest.mark.parametrize("levels", [(100.0, 100.0), (100.0, 400.0), (100.0, 130.0, 180.0)])
def test_hits_of_one_exposure_are_not_hot(levels):
    """Neither if the noise of the others is high there, nor because the others have a higher sky."""
    rng = np.random.default_rng(8)
    cube = rng.normal(np.array(levels)[:, None, None], 12.0, (len(levels), 200, 200)).astype(np.float32)
    cube[0, 5:-5:10, 5:-5:10] += 2000  # 361 pixels
    rows, *_ = hot_pixels_at_rest(cube, variance_of)
    assert len(rows) < 4
    cube[:, 5:-5:10, 5:-5:10] += 200
    assert len(hot_pixels_at_rest(cube, variance_of)[0]) > 350


def test_hot_pixels_do_not_move_with_the_scene(exposures):
    expected, _, hot, found = exposures
    assert any(map(any, found.steps))
    # the moved exposures have it beside
    beside = np.roll(hot == 100, (1, -1), axis=(0, 1)) & (np.ptp(expected, axis=0) < 20)
    assert beside.sum() > 30
    assert np.percentile(np.ptp(levels_of(found, expected)[:, beside], axis=0), 90) < 25


def test_pairs_of_hot_pixels_do_not_change_the_pixels_beside():
    """Shift and seeing of stars do not move the charge of a hot pixel that shares it with one beside."""
    rng = np.random.default_rng(6)
    pairs, ring = np.zeros(SHAPE), np.zeros(SHAPE, bool)
    for y in range(10, SHAPE[0] - 10, 20):
        for x in range(10, SHAPE[1] - 10, 20):
            pairs[y, x : x + 2] = 2700, 2500
            ring[y - 1 : y + 2, x - 1 : x + 3] = True
    shifts = (0.1, -0.1), (0.0, 0.1), (-0.1, 0.0)
    expected = np.array([scene(one) + SKY + pairs for one in shifts])
    cube = (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)).astype(np.float32)
    found = measure_differences(cube, variance_of)
    assert found.terms.shift
    ring &= (pairs == 0) & (scene((0, 0)) < 1)
    assert ring.sum() > 200
    # 300 electrons if they moved; a few pairs are beside a star
    assert np.percentile(np.ptp(levels_of(found, expected)[:, ring], axis=0), 95) < 30


@pytest.mark.parametrize("shifts", [((0.1, -0.1), (0, 0.1), (-0.1, 0)), MOVED[:3]])
def test_pairs_of_hot_pixels_are_not_scaled(shifts):
    """Neither they nor the hot pixels beside stars are dimmed, whether the exposures are shifted or not."""
    rng, hot = np.random.default_rng(7), np.zeros(SHAPE)
    for y in range(10, SHAPE[0] - 10, 12):
        for x in range(10, SHAPE[1] - 10, 12):
            hot[y, x], hot[y + 1, x + rng.integers(-1, 2)] = 5000, 3000
    expected = np.array([f * (scene(d) + SKY) + hot for f, d in zip(FACTORS[:3], shifts, strict=True)])
    cube = (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)).astype(np.float32)
    found = measure_differences(cube, variance_of)
    alone = (hot > 0) & (scene((0, 0)) < 20)
    assert alone.sum() > 150
    # with the throughput it would be 14 per cent of 3000 electrons or more
    assert np.percentile(np.ptp(levels_of(found, expected)[:, alone], axis=0), 90) < 150


class ReadByRows:
    """A cube that gives its parts only."""

    def __init__(self, cube):
        self._cube, self.shape = cube, cube.shape

    def __len__(self):
        return len(self._cube)

    def __iter__(self):
        return iter(self._cube)

    def __getitem__(self, key):
        return self._cube[key]


def test_whole_images_of_moved_exposures_are_read_by_rows(exposures):
    _, cube, _, found = exposures
    part = ExpectedExposures(cube, variance_of, None, set(NAMES))
    assert part.steps == found.steps
    whole = ExpectedExposures(ReadByRows(cube), variance_of, None, set(NAMES), of_part=part)
    np.testing.assert_array_equal(whole.common_with_hot(0.1), part.common_with_hot(0.1))


def test_one_low_value_of_many_is_no_common_image():
    cube = np.full((5, 20, 30), np.float32(SKY))
    cube[2, 10, 10] = -100
    cube[:3, 5, 5] += 500  # most are hit
    model = ExpectedExposures(cube, variance_of, None, {"flux_factors"})
    common = model.common(0.1)
    np.testing.assert_allclose(common, SKY)


def dark_exposures(warmth, level=2.0, seed=61):
    """Dark frames whose hot pixels hold some multiples of their charge: expected values, draws, and the charge."""
    rng = np.random.default_rng(seed)
    hot = np.where(rng.uniform(size=SHAPE) < 0.01, np.exp(rng.normal(5, 1.5, SHAPE)), 0)
    expected = level + np.array([one * hot for one in warmth])
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)
    # one per cent of the values are hit
    cube += np.where(rng.uniform(size=cube.shape) < 0.01, rng.exponential(500, cube.shape), 0)
    return expected, cube.astype(np.float32), hot


@pytest.mark.parametrize("warmth", [(1, 1.5), (1, 1.5, 1), (1, 1, 0.7, 1, 1.5)])
def test_dark_charge_of_hot_pixels_has_a_factor_for_each_exposure(warmth):
    expected, cube, hot = dark_exposures(warmth)
    found = measure_differences(cube, variance_of)
    factors = np.array(warmth) / np.mean(warmth)
    np.testing.assert_allclose(found.hot, factors, atol=0.015)
    assert "dark charge of hot pixels" in found.in_words()
    np.testing.assert_allclose(found.table()["hot_pixels"], found.hot)
    order = np.arange(len(warmth))[::-1]
    assert found.ordered(order).hot == found.hot[::-1]
    # what the exposures differ by is left in few hot pixels: those of groups, and those that are hit
    spread = np.ptp(levels_of(found, expected)[:, hot > 100], axis=0) / np.sqrt(hot[hot > 100])
    assert np.percentile(spread, 95) < 3 < np.percentile(np.ptp(expected[:, hot > 100], axis=0) / 10, 5)
    # nothing but hot pixels changes, and few pixels that are hit in all exposures
    changed = np.abs(levels_of(found, expected)[:, hot == 0] - 2).max(axis=0) > 1
    assert np.count_nonzero(changed) <= 3


def test_equal_dark_charge_needs_no_factors():
    _, cube, _ = dark_exposures((1, 1, 1))
    assert dark_of_hot_pixels(cube, variance_of) is None
    assert measure_differences(cube, variance_of).hot == ()
    # few hot pixels do not suffice
    _, cube, hot = dark_exposures((1, 1.5, 1))
    cube[:, hot > np.sort(hot, axis=None)[-10]] = 2
    cube[:, (hot > 0) & (hot < np.sort(hot, axis=None)[-20])] = 2
    assert dark_of_hot_pixels(cube, variance_of) is None


def test_dark_charge_is_measured_apart_from_throughputs():
    rng, factors, warmth = np.random.default_rng(8), np.array((1.0, 0.8, 0.9)), np.array((1.0, 1.0, 1.6))
    hot = np.zeros(SHAPE)
    hot[rng.integers(2, SHAPE[0] - 2, 100), rng.integers(2, SHAPE[1] - 2, 100)] = 3000
    expected = np.array([f * (scene((0, 0)) + SKY) + d * hot for f, d in zip(factors, warmth, strict=True)])
    cube = (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)).astype(np.float32)
    found = measure_differences(cube, variance_of)
    np.testing.assert_allclose(found.factors, factors / factors.mean(), atol=0.01)
    np.testing.assert_allclose(found.hot, warmth / warmth.mean(), atol=0.02)
    # some hot pixels are in stars
    faint = (hot > 0) & (scene((0, 0)) < SKY)
    assert np.percentile(np.ptp(levels_of(found, expected)[:, faint], axis=0), 90) < 120


def test_dark_charge_by_bands_and_from_a_part(monkeypatch):
    _, cube, _ = dark_exposures((1, 1.5, 1))
    whole = dark_of_hot_pixels(cube, variance_of)
    monkeypatch.setattr("crstack.equalize.fit.dark.PIXELS", 17 * SHAPE[1])
    monkeypatch.setattr("crstack.utils.threads.PIXELS_IN_CACHE", 17 * SHAPE[1])
    parts = dark_of_hot_pixels(cube, variance_of)
    for name in ("rows", "columns", "charges", "factors"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    monkeypatch.setattr("crstack.equalize.fit.dark.SAMPLE", SHAPE[0] * SHAPE[1] // 2)
    some = dark_of_hot_pixels(cube, variance_of)
    np.testing.assert_allclose(some.factors, whole.factors, atol=0.03)
    assert set(some.rows.tolist()) == set(whole.rows.tolist())
    # the common image of a large image comes by bands
    monkeypatch.setattr("crstack.equalize.measure.WHOLE", 1000)
    found = measure_differences(cube, variance_of)
    assert found.hot
    assert found.common.shape == SHAPE


@pytest.mark.parametrize(("scene", "seed"), [("ifu", 11), ("ifu", 12), ("imaging", 12)])
def test_coincident_hits_are_no_hot_pixels(scene, seed):
    """Where a sixth of the pixels is hit, some are hit in all exposures. Their charges have no common factor."""
    simulated = make_stack(scene, shape=(200, 240), seed=seed, hit_rate=0.17, population="single")
    levels = np.array([one.data for one in simulated.exposures], np.float32)
    assert dark_of_hot_pixels(levels, lambda signal, box=None: np.maximum(signal, 0) + np.float32(12)) is None
