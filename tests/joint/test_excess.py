"""The excess variance, against numbers computed by hand or in another way."""

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.joint.excess import (
    ExcessVariance,
    _bins,
    _excess_of_bins,
    _measured_faint,
    _solve,
    _wide_enough,
    fit_excess_variance,
    squared_gradient,
)
from crstack.joint.pair_variance import _pairs, ratio_without_hits, robust_ratio, variance_ratio


def test_excess_variance_by_hand():
    excess = ExcessVariance(relative=0.02, shift=0.1, constant=3.0)
    assert excess.of(1000.0, 400.0) == pytest.approx(20**2 + 0.01 * 400 + 3)
    # a negative signal has no response
    assert excess.of(-1000.0, 0.0) == 3
    assert str(excess) == "2 % of the signal, shift of 0.1 pixel, 1.7 electron"
    assert str(ExcessVariance()) == "none"


def test_gradient_of_a_plane_less_that_of_its_noise():
    y, x = np.mgrid[:6, :8].astype(np.float32)
    found = squared_gradient(3 * x + 4 * y, np.float32(5))
    np.testing.assert_allclose(found[1:-1, 1:-1], 3**2 + 4**2 - 5)
    # at an edge the difference spans one pixel
    np.testing.assert_allclose(found[0, 1:-1], 3**2 + 2**2 - 5)
    assert squared_gradient(x, np.float32(5)).max() == 0


def test_ratio_of_variances_of_all_pairs_and_without_hits():
    rng = np.random.default_rng(1)
    sigmas = (3.0, 4.0, 12.0)
    cube = np.stack([rng.normal(0, one, 100_000) for one in sigmas])
    known = [np.full(100_000, np.float32(9)), np.full(100_000, np.float32(16)), np.full(100_000, np.float32(144))]
    cube[0, :1000] += 500
    found, variance = variance_ratio(cube, known, np.arange(100_000))
    assert found == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(variance, (9 + 16 + 144) / 3)
    # one variance for all is that of each
    found, variance = variance_ratio(cube, known[1:2], np.arange(50_000))
    pairs = ((9 + 16) / 32, (9 + 144) / 32, (16 + 144) / 32)
    assert found == pytest.approx(np.mean(pairs), rel=0.02)
    np.testing.assert_array_equal(variance, np.full(50_000, 16))
    assert robust_ratio(cube[1] - cube[2], np.full(100_000, 80.0)) == pytest.approx(1, abs=0.01)


def test_terms_that_count():
    rows = np.array([[1e4, 0.0], [4e4, 100.0], [9e4, 400.0], [1.0, 900.0]])
    errors = np.full(4, 0.01)
    assert _solve(rows, rows @ [0.02**2, 0.3**2], errors) == pytest.approx((0.02, 0.3), rel=1e-3)
    assert _solve(rows, rows @ [0.02**2, 0.0], errors) == pytest.approx((0.02, 0.0), rel=1e-3)
    assert _solve(rows, rows @ [0.0, 0.3**2], errors) == pytest.approx((0.0, 0.3), rel=1e-3)
    # where the errors are as large nothing counts, and where there is no gradient the other term does
    assert _solve(rows, rows @ [0.02**2, 0.3**2], np.full(4, 1e3)) == (0.0, 0.0)
    flat = rows * [1, 0]
    assert _solve(flat, flat @ [0.02**2, 0.3**2], errors) == pytest.approx((0.02, 0.0), rel=1e-3)
    # bins with small errors decide
    targets = rows @ [0.02**2, 0.0]
    targets[0] += 50
    assert _solve(rows, targets, np.array([1e3, 0.01, 0.01, 0.01])) == pytest.approx((0.02, 0.0), rel=1e-3)


def test_intervals_hold_enough_pixels():
    assert list(_wide_enough([0, 50, 100, 250, 260, 400])) == [(0, 100), (100, 250), (250, 400)]
    assert list(_wide_enough([0, 150, 190])) == [(0, 190)]


def test_bins_hold_each_of_the_brighter_pixels_once():
    rng = np.random.default_rng(1)
    signal, gradient2 = rng.uniform(1, 500, 6401).astype(np.float32), rng.uniform(0, 9, 6401)
    bins = _bins(signal, gradient2)
    brighter = np.flatnonzero(signal >= np.sort(signal)[3200])
    np.testing.assert_array_equal(np.sort(np.concatenate(bins)), brighter)
    highest = 0.0
    for flat, steep in zip(bins[::2], bins[1::2], strict=True):
        assert 0 <= len(steep) - len(flat) <= 1
        assert len(flat) >= 50
        assert gradient2[flat].max() <= gradient2[steep].min()
        both = signal[[*flat, *steep]]
        assert highest < both.min()
        highest = both.max()
    # too few pixels
    assert _bins(signal[:99], gradient2[:99]) == []


def test_pixels_that_take_no_part_in_the_excess():
    """Those with any bad value, and those that are left out, are the same as no pixels."""
    rng = np.random.default_rng(2)
    signal = np.repeat(np.geomspace(200, 5000, 80, dtype=np.float32)[:, None], 120, axis=1)
    variance, gradient2 = signal + 25, np.zeros_like(signal)
    sigma = np.sqrt(variance + (0.05 * signal) ** 2)
    cube = signal + (rng.standard_normal((3, *signal.shape)) * sigma).astype(np.float32)
    bad = np.zeros(cube.shape, bool)
    bad[1, :, :80] = True
    cube[1, :, :80] += 0.3 * signal[:, :80] * rng.standard_normal((80, 80))
    everything, with_bad, left_out = (
        fit_excess_variance(cube, signal, [variance], gradient2, **options).excess
        for options in ({}, {"bad": bad}, {"left_out": bad[1]})
    )
    assert with_bad == left_out
    assert with_bad.relative == pytest.approx(0.05, rel=0.1)
    assert everything.of(np.float32(1000), 0.0) > 1.5 * with_bad.of(np.float32(1000), 0.0)


def test_excess_of_bins_and_its_errors():
    rng = np.random.default_rng(1)
    cube = np.stack([rng.normal(0, 6, (1, 40_000)) for _ in range(3)])
    bins = [np.arange(10_000), np.arange(10_000, 40_000)]
    targets, errors = _excess_of_bins(cube, [np.full((1, 40_000), np.float32(25))], bins, 4.0)
    # 36 where 25 are known, less the constant; the error falls with the root of the number of pixels
    np.testing.assert_allclose(targets, 36 - 25 - 4, atol=0.8)
    ratios = (targets + 25) / 25
    np.testing.assert_allclose(errors, (2.3 * ratios / np.sqrt([10_000, 30_000]) + 0.02) * 25, rtol=1e-6)


@pytest.mark.parametrize("true", [1.0, 1.3])
@pytest.mark.parametrize("population", ["single", "worms"])
def test_faint_hits_are_no_noise(population, true):
    """6 % of the values hit, many of them by two standard deviations: they raise the clipped variance by 18 %."""
    rng = np.random.default_rng(8)
    shape, noise = (300, 330), 10.0
    hits = [make_hits(shape, 0.06, rng, population) for _ in range(2)]
    first, second = (rng.normal(100, noise * np.sqrt(true), shape) + one for one in hits)
    difference = (first - second).ravel()
    assert robust_ratio(difference, noise**2) > 1.12 * true
    assert ratio_without_hits(difference, noise**2) == pytest.approx(true, rel=0.055)


@pytest.mark.parametrize("n", [2, 5, 6, 9, 15, 25])
def test_pairs_of_exposures_are_as_far_apart_as_all(n):
    """As many as exposures need, not as many as there are pairs; independent of their order."""
    rng = np.random.default_rng(n)
    level = rng.permutation(np.linspace(0, 10, n))
    values = rng.normal(0, 0.01, (n, 50)) + level[:, None]
    pairs = _pairs(values)
    assert len({tuple(one) for one in pairs}) == len(pairs) == min(n * (n - 1) // 2, 2 * n if n > 5 else 10)
    assert np.bincount(np.ravel(pairs)).tolist() == [2 * len(pairs) // n] * n
    apart = np.mean([(level[i] - level[j]) ** 2 for i, j in pairs])
    assert apart == pytest.approx(2 * level.var(ddof=1), rel=0.15)
    other = rng.permutation(n)
    renamed = {tuple(sorted((other[i], other[j]))) for i, j in _pairs(values[other])}
    assert renamed == {tuple(int(k) for k in sorted(one)) for one in pairs}


@pytest.mark.parametrize("sigma", [0.8, 3.0])
def test_noise_of_whole_numbers_without_hits(sigma):
    rng = np.random.default_rng(9)
    difference = np.subtract(*np.rint(rng.normal(100, sigma, (2, 100_000))))
    wanted = difference.var() / 2
    assert ratio_without_hits(difference, 1.0) == pytest.approx(wanted, rel=0.03)
    # as clean as can be
    assert ratio_without_hits(np.zeros(100), 1.0) == 0


def test_a_constant_counts_where_it_is_dark_and_clear():
    rng = np.random.default_rng(2)
    usable = np.ones((100, 100), dtype=bool)

    def constant(level, known, sigma):
        cube = np.stack([rng.normal(0, sigma, usable.shape) for _ in range(3)])
        signal = np.full(usable.shape, np.float32(level))
        return _measured_faint(cube, signal, [np.full(usable.shape, np.float32(known))], usable)[1]

    assert constant(5.0, 25, 6) == pytest.approx(36 - 25, rel=0.1)
    # the noise is as stated; then photons make most of the noise; then too few pixels
    assert constant(5.0, 25, 5) == 0
    assert constant(20.0, 25, 6) == 0
    usable[:] = False
    usable[0, :40] = True
    assert constant(5.0, 25, 6) == 0


@pytest.mark.parametrize(
    ("n", "hot", "sky", "readnoise"),
    [(3, 0.0, 60.0, 3.0), (3, 0.0, 0.0, 5.0), (3, 0.003, 6.0, 3.0), (5, 0.003, 6.0, 3.0)],
)
def test_coincident_hits_of_an_empty_field_are_no_scatter(n, hot, sky, readnoise):
    """The brightest pixels of their median are those with two hits, where most values are hit."""
    rng, shape = np.random.default_rng(1), (240, 260)
    level = sky + (rng.uniform(size=shape) < hot) * rng.lognormal(5, 1, shape)
    hits = np.stack([make_hits(shape, 0.03, rng) for _ in range(n)])
    cube = rng.poisson(np.broadcast_to(level, hits.shape)) + rng.normal(0, readnoise, hits.shape) + hits
    stack = CRStack(list(cube), readnoise=readnoise * u.electron, unit="electron")
    masks = stack.detect()
    assert str(masks.decision.result.excess) == "none"
    strong = hits > 5 * np.sqrt(level + readnoise**2)
    twice = strong & (np.count_nonzero(strong, axis=0) > 1)
    assert twice.sum() > 100
    assert masks.crmasks[twice].mean() > 0.985


def test_a_read_noise_that_is_four_per_cent_larger_is_measured():
    """Otherwise faint hits described it, and clean values of the largest noise were flagged (170 of a million)."""
    rng = np.random.default_rng(32)
    hits = np.stack([make_hits((300, 800), 0.001, rng) for _ in range(3)])
    images = [rng.poisson(5.0, one.shape) + one + rng.normal(0, 1.04 * 5, one.shape) for one in hits]
    stack = CRStack(np.array(images) * u.electron, readnoise=5 * u.electron)
    masks = stack.detect()
    assert masks.decision.result.excess.constant == pytest.approx((1.04**2 - 1) * 25, rel=0.3)
    near = [ndimage.binary_dilation(one > 0, np.ones((3, 3))) for one in hits]
    assert sum(np.count_nonzero(masks[f"CRMASK{i + 1}"] & ~one) for i, one in enumerate(near)) <= 3


@pytest.mark.parametrize("n_pixels", [6_000, 100_000])
def test_the_least_excess_is_that_of_no_chance(n_pixels):
    """Equal exposures have no excess, and one of the number of pixels in question has."""
    for seed in range(12):
        cube = np.random.default_rng(seed).normal(20, 5, (3, 2 * n_pixels // 200, 200))
        nearby, usable = np.full(cube.shape[1:], 20.0), np.ones(cube.shape[1:], bool)
        faint, constant = _measured_faint(cube, nearby, [np.full(nearby.shape, 25.0)], usable)
        assert constant == 0
        assert abs(faint.excess) < 6 * 25 / np.sqrt(n_pixels)
