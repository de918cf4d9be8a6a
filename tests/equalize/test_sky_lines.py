"""Lines of the sky along a slit that brighten by large factors from one exposure to the other."""

from types import SimpleNamespace

import numpy as np
import pytest

from crstack.equalize.fit.line_fits import line_orders
from crstack.equalize.fit.lines.lines import LineTerm, fit_lines
from crstack.equalize.measure import measure_differences

SHAPE = (200, 240)
READNOISE2 = np.float32(16)


def slit(factors, kept=(1.0, 1.0, 1.0), width=1.3, flat=0.0, seed=1):
    """Expected exposures: tilted lines times factors, and a trace times what is kept of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    along = x - 4 * y / SHAPE[0]
    lines = np.zeros(SHAPE)
    for centre, peak in zip(np.arange(12, 240, 23), 40 * 2.0 ** rng.uniform(0, 5.5, 10), strict=True):
        lines += peak * np.exp(-0.5 * (np.maximum(np.abs(along - centre) - flat, 0) / width) ** 2)
    absorbed = 1 - sum(
        depth * np.exp(-0.5 * ((x - centre) / 1.8) ** 2)
        for depth, centre in zip(rng.uniform(0.1, 0.5, 8), rng.uniform(0, 240, 8), strict=True)
    )
    trace = 800 * np.clip(absorbed, 0.2, 1) * np.exp(-0.5 * ((y - 90 - 0.01 * x) / 1.7) ** 2)
    return np.stack([20 + factor * lines + share * trace for factor, share in zip(factors, kept, strict=False)])


def measured(expected, seed, rate=0.004):
    """What is measured of expected exposures (N, ny, nx) with noise and hits."""
    rng = np.random.default_rng(seed)
    cube = rng.poisson(expected) + np.sqrt(READNOISE2) * rng.standard_normal(expected.shape)
    hit = rng.random(expected.shape) < rate
    cube[hit] += rng.uniform(50, 3000, hit.sum())
    return measure_differences(cube.astype(np.float32), lambda signal, box=None: np.maximum(signal, 0) + READNOISE2)


def left_by(found, expected):
    """What the differences leave of the expected exposures (N, ny, nx), in standard deviations of a value."""
    scales, added = (
        np.stack([one + np.zeros(expected[0].shape) for one in some]) for some in (found.scales, found.added)
    )
    common = (expected - added).sum(axis=0) / scales.sum(axis=0)
    return np.abs(scales * common + added - expected) / np.sqrt(expected + READNOISE2)


@pytest.mark.parametrize(
    ("factors", "options"),
    [
        ((1, 2), {"kept": (1, 0.7)}),
        ((1, 4), {"flat": 5.0}),
        ((1, 4, 2), {}),
    ],
    ids=["times 2, and losses of the trace", "wide lines", "three exposures"],
)
def test_lines_that_brighten_are_described_to_the_noise(factors, options):
    expected = slit(factors, **options)
    found = measured(expected, 5)
    common, sigma = expected.mean(axis=0), np.sqrt(expected.mean(axis=0) + READNOISE2)
    modelled = np.stack(
        [scale * common + added + np.zeros(SHAPE) for scale, added in zip(found.scales, found.added, strict=True)]
    )
    for i in range(1, len(factors)):
        left = (modelled[i] - modelled[0] - (expected[i] - expected[0])) / sigma
        # the noise of one value is 1
        assert np.percentile(np.abs(left), 99.5) < 4
        assert np.sqrt(np.mean(left**2)) < 1
    # it is the sky that brightens, and no throughput
    np.testing.assert_allclose(found.factors, 1, atol=0.03)
    of_lines = {line.setting for line in found.lines if line.axis == "y"}
    # a response of the columns may be added, because it leaves the trace, which is straight along the rows
    assert of_lines & {"sky", "backgrounds"}


def test_a_trace_that_dims_leaves_the_lines_of_the_sky():
    """The sky is equal. An added level of each row would describe it as well, but not the absorption of the trace."""
    expected = slit((1, 1), kept=(1, 0.4))
    found = measured(expected, 5, 0.008)
    terms = {(line.setting, line.axis) for line in found.lines}
    # levels of the columns may be fitted beside it, and are 0
    assert ("response", "x") in terms
    assert terms <= {("response", "x"), ("whole", "x"), ("sky", "y"), ("backgrounds", "y")}
    left = left_by(found, expected)
    assert np.percentile(left, 99.9) < 1.4
    assert np.sqrt(np.mean(left**2)) < 0.13


@pytest.mark.parametrize(("seed", "turned"), [(1, False), (2, True)], ids=["slit along y", "slit along x"])
def test_lines_that_brighten_and_an_object_that_dims(seed, turned):
    """Levels along both axes describe each alone; where a line crosses the object, they leave its absorption lines."""
    expected = slit((1, 1.12), kept=(1, 0.7), seed=seed)
    cube = np.random.default_rng(seed).poisson(expected) + 4 * np.random.default_rng(9).standard_normal(expected.shape)
    turn = (lambda one: np.swapaxes(one, -1, -2)) if turned else (lambda one: one)
    cube = np.ascontiguousarray(turn(cube.astype(np.float32)))
    found = measure_differences(cube, lambda signal, box=None: np.maximum(signal, 0) + READNOISE2)
    along, across = "yx" if turned else "xy"
    lines = {("response", along), ("whole", along), ("sky", across), ("backgrounds", across)}
    assert {(line.setting, line.axis) for line in found.lines} == lines
    left = left_by(found, turn(expected))
    assert left.max() < 2.5
    assert np.sqrt(np.mean(left**2)) < 0.13


def test_kernels_are_fitted_again_after_levels_of_lines():
    """Kernels before them describe the lines too, and the levels of their columns describe the errors of that."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    along = x - 4 * y / SHAPE[0]
    peaks = 150 * 2.0 ** rng.uniform(0, 5.5, 10)
    lines = sum(peak * np.exp(-0.5 * ((along - 12 - 23 * k) / 1.3) ** 2) for k, peak in enumerate(peaks))

    def traces(fwhm):
        places = ((60, 1500.0), (110, 250.0), (150, 50.0))
        across = [(level, (y - place - 0.01 * x) / fwhm * 2.3548) for place, level in places]
        return sum(level * np.exp(-0.5 * one**2) * 3.8 / fwhm for level, one in across)

    terms = zip((1, 1.12, 0.9), (1, 0.93, 1.06), (3.2, 3.8, 4.6), strict=True)
    expected = np.stack([20 + sky * lines + kept * traces(fwhm) for sky, kept, fwhm in terms])
    found = measured(expected, [2, 5])
    left = left_by(found, expected)
    assert np.sqrt(np.mean(left**2)) < 0.15
    assert np.percentile(left, 99.9) < 1


def moving_families(kept=(1.0, 0.9, 1.1), shifts=(0.0, 0.5, -0.5)):
    """Expected exposures: overlapping lines of two families that change by different factors and move; a trace."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:130, : SHAPE[1]].astype(float)
    places, peaks, family = rng.uniform(0, 240, 36), rng.exponential(1500, 36), rng.integers(0, 2, 36)
    factors = [[1, 1], [1.3, 0.7], [0.8, 1.6]]
    trace = 3000 * np.exp(-0.5 * ((y - 60 - 0.01 * x) / 1.6) ** 2) * (1 + 0.3 * np.sin(x / 30))
    return np.stack([
        20 + share * trace + sum(
            peak * factor[one] * np.exp(-0.5 * ((x - place - shift - 0.01 * (y - 65)) / 1.1) ** 2)
            for place, peak, one in zip(places, peaks, family, strict=True)
        )
        for share, shift, factor in zip(kept, shifts, factors, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("shifts", [(0.0, 0.0, 0.0), (0.0, 0.5, -0.5)], ids=["at rest", "flexure"])
def test_families_of_lines_that_move_are_not_hit(shifts):
    """A line that moves is brighter beside a line of the common image, and overlaps with lines of other factors."""
    expected = moving_families(shifts=shifts)
    found = measured(expected, 6)
    left = left_by(found, expected)
    assert np.mean(left > 4) < 1e-4
    # at the ends of tilted lines, too
    assert np.mean(left[:, :12] > 3) < 3e-3
    assert np.mean(left[:, -12:] > 3) < 3e-3


def test_what_a_kernel_leaves_of_tilted_lines_is_described():
    """A median of three exposures that move by half a pixel is no exposure; the rest changes its sign along a line."""
    shape, rng = (240, 160), np.random.default_rng(11)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    lines = list(zip(rng.uniform(0, 300, 45), rng.exponential(1500, 45), strict=True))
    expected = np.stack([
        20 + sum(peak * np.exp(-0.5 * ((y - place - shift - 0.015 * x) / 1.1) ** 2) for place, peak in lines)
        for shift in (0.0, 0.5, -0.5)
    ])  # fmt: skip
    found = measured(expected, 6, 0.008)
    scales, added = (np.stack([one + np.zeros(shape) for one in some]) for some in (found.scales, found.added))
    common = (expected - added).sum(axis=0) / scales.sum(axis=0)
    left = np.abs(scales * common + added - expected) / np.sqrt(expected + READNOISE2)
    # 0.75 per cent without terms along the lines
    assert np.mean(left > 2) < 5e-4


def test_the_number_of_fitted_values_is_that_of_the_cells_that_differ():
    rng = np.random.default_rng(3)
    residuals = 5 * rng.standard_normal((3, 40, 256)).astype(np.float32)
    ones = np.ones((40, 256), np.float32)
    assert fit_lines(residuals, ones, 25 * ones)[1] < 30
    residuals[:, 8:11] += np.float32([-1000, 0, 1000])[:, None, None] * rng.uniform(0.5, 1, (3, 1)).astype(np.float32)
    # one value for the whole of each of three rows and two of the exposures, and hardly more for shorter cells
    assert 4 < fit_lines(residuals, ones, 25 * ones)[1] < 30
    residuals += 100 * rng.standard_normal((3, 40, 8, 1)).repeat(32, axis=3).reshape(residuals.shape)
    # all eight cells of 40 rows differ, and the longer cells add no further values
    assert fit_lines(residuals.astype(np.float32), ones, 25 * ones)[1] == pytest.approx(0.75 * 8 * 40 * 2, rel=0.1)


def test_a_level_far_beyond_the_noise_is_fitted():
    """Residuals that count up to three standard deviations would reach a fifth of it."""
    rng = np.random.default_rng(3)
    level = np.zeros((20, 1))
    level[8:11] = 1000
    signs = np.float32([-0.5, 0.5])[:, None, None]
    residuals = (signs * level + 5 * rng.standard_normal((2, 20, 256))).astype(np.float32)
    ones = np.ones((20, 256), np.float32)
    found, _ = fit_lines(residuals, ones, 25 * ones)
    np.testing.assert_allclose(found[1, 8:11], 500, atol=3)
    np.testing.assert_allclose(found[1, :6], 0, atol=3)


def fitted_to_levels(levels):
    """The fitted additions, without their mean, to levels (N, ny, nx) of single exposures with noise of 1 electron."""
    rng = np.random.default_rng(4)
    ones = np.ones(levels.shape[1:], np.float32)
    noisy = (levels - levels.mean(axis=0) + rng.standard_normal(levels.shape)).astype(np.float32)
    return fit_lines(noisy, ones, ones)[0], levels - levels.mean(axis=0)


def test_a_slope_goes_on_to_the_edges():
    slopes = np.linspace(-0.2, 0.2, 3)[:, None, None]
    found, level = fitted_to_levels(slopes * np.broadcast_to(np.arange(256), (3, 20, 256)))
    # the last centre is 16 pixels from the edge
    np.testing.assert_allclose(found[..., [0, -1]], level[..., [0, -1]], atol=1.6)


def test_levels_that_wander_do_not_go_on_beyond_the_last_centre():
    """A slope between two cells of which nothing goes on would raise the error of the edges by half."""
    steps = np.random.default_rng(2).standard_normal((5, 60, 8))
    found, level = fitted_to_levels(np.repeat(steps, 32, axis=2))
    error = np.sqrt(np.square(found - level).mean(axis=(0, 1)))
    assert error[[0, -1]].max() < 1.1 * error[[16, -17]].max()


def test_the_noise_of_each_exposure_decides_between_orders_of_the_fits(monkeypatch):
    """A throughput above 1 of the exposure with the brightest sky lowers a misfit that assumes the noise of all."""

    def model(throughput, by_own_noise):
        return SimpleNamespace(
            lines=[LineTerm("y", "backgrounds")], start=None, names={"backgrounds"}, throughput=throughput,
            of_all=1000 - throughput, of_own=by_own_noise, lines_first=False, object_alone=False,
        )  # fmt: skip

    wrong, right = model(1.09, 900), model(1.0, 800)
    monkeypatch.setattr(line_orders, "_lines_first", lambda *_: right)
    for name in ("refine_after_lines", "polish"):
        monkeypatch.setattr(line_orders, name, lambda *_: None)
    monkeypatch.setattr(line_orders, "criterion", lambda model: model.of_all)
    monkeypatch.setattr(line_orders, "criterion_by_own_noise", lambda model: model.of_own)
    assert line_orders._best_of_orders(wrong) is right
    right.of_own = 1000
    assert line_orders._best_of_orders(wrong) is wrong
