"""Offsets and shifts by whole pixels, against numbers computed by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from support.stacks import electrons_of

from crstack.datasets import make_stack
from crstack.equalize.terms import offsets, steps
from crstack.equalize.terms.offsets import check_region_size, estimate_offsets
from crstack.exceptions import InputError

# made-up exposures need not have the noise that is stated
pytestmark = pytest.mark.filterwarnings("ignore:the exposures scatter")


def stretched(shape=(120, 140)):
    """A scene with steep slopes along y and gentle ones along x."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 400 + 150 * np.sin(y / 2.0) + 150 * np.sin(x / 12.0)


def test_errors_of_dx_and_of_dy():
    """The error is small along the axis of the steep slopes: y."""
    rng = np.random.default_rng(2)
    image = stretched()
    found = estimate_offsets(*electrons_of([rng.poisson(image).astype(float) for _ in range(3)]))
    dx, dy = found.errors[0]
    assert dx > 2.5 * dy
    turned = estimate_offsets(*electrons_of([rng.poisson(image.T).astype(float) for _ in range(3)]))
    dx, dy = turned.errors[0]
    assert dy > 2.5 * dx


def test_offsets_are_pairs_of_x_and_y():
    rng = np.random.default_rng(3)
    scene = 300 + 900 * ndimage.gaussian_filter(rng.standard_normal((90, 110)), 2)
    true = ((0.0, 0.0), (0.5, -0.25), (-0.25, 1.0))
    moved = [ndimage.shift(scene, (dy, dx), order=3, mode="nearest")[8:-8, 8:-8] for dx, dy in true]
    found = np.array(
        estimate_offsets(*electrons_of([rng.poisson(np.maximum(one, 20)).astype(float) for one in moved])).values
    )
    np.testing.assert_allclose(found - found[0], true, atol=0.06)


@pytest.mark.parametrize("error_by_hand", [0.0204])
def test_error_of_an_offset_by_its_formula(error_by_hand):
    """A steep ramp in noise of known variance: the formula of `_error`, worked out beside it."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:64, :64].astype(float)
    slope, sigma, n = 2.0, 1.0, 3
    aligned = [slope * x + slope * y + rng.normal(0, sigma, x.shape) for _ in range(n)]
    window = offsets._window(x.shape).astype(float)
    power = slope**2 * np.square(window).sum()
    alone = np.pi**2 / 3 * np.sum(window**4) * (sigma**2 / power) ** 2
    expected = np.sqrt(sigma**2 / power + (n - 1) / n**2 * alone + 1 / (12 * offsets.UPSAMPLING**2))
    assert expected == pytest.approx(error_by_hand, rel=0.5)
    np.testing.assert_allclose(offsets._error(aligned), expected, rtol=0.05)


def test_highest_value_without_a_hit():
    """Twice min2d as far as two pixels away, by the factors of the exposures, and 5 standard deviations."""
    rng = np.random.default_rng(3)
    exposures, statistics = electrons_of(rng.normal(0, 2, (3, 20, 30)))
    min2d = np.full((20, 30), -40, np.float32)
    min2d[8, 9], min2d[0, 0] = 500, np.nan
    maximum = offsets.plausible_maxima(exposures, replace(statistics, min2d=min2d), (0.5, 1.0, 2.0))
    near = np.zeros((20, 30), dtype=bool)
    near[6:11, 7:12] = True
    for i, factor in enumerate((1, 2, 4)):
        level = np.where(near, 2 * 500 * factor, 0.0)
        # without signal there is read noise
        expected = level + 5 * np.sqrt(level + 9)
        expected[:3, :3] = 15
        np.testing.assert_allclose(maximum(i), expected, rtol=1e-6)


def test_smallest_region():
    assert check_region_size((1, 16, 5, 20), (40, 50)) == (1, 16, 5, 20)
    for region in ((1, 15, 5, 20), (1, 16, 5, 19)):
        with pytest.raises(InputError, match="16 pixels or more on each side"):
            check_region_size(region, (40, 50))
    assert offsets._slices((1, 16, 5, 20), (40, 50)) == (slice(4, 20), slice(0, 16))
    assert offsets._slices(None, (40, 50)) == (slice(0, 40), slice(0, 50))


def test_what_stands_out_for_whole_steps():
    """The square root of what is more than twice the noise over the level, fading to 0 at the edges."""
    rng = np.random.default_rng(1)
    plane = rng.normal(1000, 10, (120, 140))
    plane[50:70, 60:80] += 400
    found = steps._structure(plane.astype(np.float32))
    smooth = ndimage.median_filter(plane.astype(np.float32), 3)
    low, level = np.percentile(smooth[::4, ::4], [16, 50])
    assert 1 < level - low < 6
    inside = (slice(53, 67), slice(63, 77))
    np.testing.assert_allclose(found[inside], np.sqrt(smooth[inside] - level - 2 * (level - low)), rtol=1e-5)
    assert found[inside].mean() == pytest.approx(20, abs=0.5)
    away = np.ones(plane.shape, dtype=bool)
    away[40:80, 50:90] = False
    assert np.mean(found[away] != 0) < 0.1
    assert not found[[0, -1]].any()
    assert steps._middle([np.full(3, one) for one in (5.0, 1.0, 3.0)]) == 2


@pytest.mark.parametrize("seed", [5, 8, 22, 32])
def test_hits_over_faint_stars_are_no_step(seed):
    """Two bright tracks that lie on each other after a shift outweighed all stars of a faint field."""
    stack = make_stack("imaging", shape=(80, 90), n_exposures=5, hit_rate=0.03, seed=seed)
    steps_found = steps.whole_steps(np.stack([ccd.data for ccd in stack.exposures]))
    assert steps_found == ((0, 0),) * 5
