"""Light of large objects moves with the scene: galaxies that dominate a correlation, and light below the noise."""

import numpy as np
import pytest
from scipy import ndimage

from crstack.equalize import measure_differences
from crstack.equalize.fit.kernel_steps import steps_of_kernels
from crstack.equalize.fit.kernels.changes import change_by_step
from crstack.equalize.terms.steps import whole_steps

READNOISE = 4.0
SHAPE = (200, 220)
SHIFTS = ((0.0, 0.0), (2.3, 0.6), (-1.2, 1.9))


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + READNOISE**2


def galaxy_with_clusters(shift, seed):
    """A bright galaxy that fills the field, with star clusters of fewer electrons, in a seeing of 3 pixels."""
    rng = np.random.default_rng(seed)
    dx, dy = shift
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    radius = np.hypot(x - 110.3 - dx, 1.2 * (y - 99.6 - dy))
    scene = 100 + 2000 * np.exp(-7.67 * (((radius + 0.3) / 40) ** 0.25 - 1))
    scene = ndimage.gaussian_filter(scene, 1.3)
    places = rng.uniform(5, 195, (80, 2))
    for (row, column), flux in zip(places, 600 * rng.pareto(1.0, 80) + 600, strict=True):
        distance = (y - row - dy) ** 2 + (x - column - dx) ** 2
        scene += min(flux, 2e4) / (2 * np.pi * 1.3**2) * np.exp(-distance / 2 / 1.3**2)
    return scene


@pytest.mark.parametrize(("n", "seed"), [(2, 1), (3, 2)])
def test_a_galaxy_does_not_hide_a_shift_of_its_clusters(n, seed):
    rng = np.random.default_rng(seed)
    scenes = [galaxy_with_clusters(shift, seed) for shift in SHIFTS[:n]]
    levels = np.float32([rng.poisson(scene) + READNOISE * rng.standard_normal(SHAPE) for scene in scenes])
    assert whole_steps(levels) == ((0, 0),) * n
    found = measure_differences(levels, variance_of)
    shifts = np.subtract(found.shifts, found.shifts[0])
    np.testing.assert_allclose(shifts, SHIFTS[:n], atol=0.1)
    # in the clusters, the expected images have the errors of the noise
    for scene, scale, added in zip(scenes, found.scales, found.added, strict=True):
        clusters = scene - ndimage.median_filter(scene, 15) > 100
        error = (scale * found.common + added - scene)[clusters] / np.sqrt(variance_of(scene[clusters]))
        assert np.sqrt(np.mean(error**2)) < 1.1


def test_kernels_that_shift_a_little_need_no_steps():
    class Fit:
        names = frozenset({"offsets"})
        steps = ((0, 0), (0, 0))
        kernels = np.zeros((2, 7, 7))

    fit = Fit()
    fit.kernels[:, 3, 3] -= 0.7
    fit.kernels[0, 3, 4] = fit.kernels[1, 3, 2] = 0.7
    assert steps_of_kernels(fit) is None
    fit.kernels[:, 3, 3] -= 0.1
    fit.kernels[0, 3, 4] = fit.kernels[1, 3, 2] = 0.8
    one, other = steps_of_kernels(fit)
    assert (one[0] - other[0], one[1] - other[1]) in ((1, 0), (2, 0))
    fit.names = frozenset()
    assert steps_of_kernels(fit) is None


def test_faint_light_moves_with_the_scene():
    """Light that changes by less than the noise of a pixel: the expected change has most of it, and little noise."""
    rng = np.random.default_rng(3)
    scene = np.exp(ndimage.gaussian_filter(rng.standard_normal(SHAPE), 6) * 20)
    scene *= 25 / np.percentile(scene, 99)
    noise = np.full(SHAPE, 12.0, np.float32)
    observed = np.float32(scene + np.sqrt(noise) * rng.standard_normal(SHAPE))
    truth = np.roll(scene, (-3, 2), (0, 1)) - scene
    change, variance = change_by_step(observed, noise, np.float32(0), np.float32(0), 1.0, (2, -3))
    inside = np.s_[20:-20, 20:-20]
    rest, truth = (change - truth)[inside], truth[inside]
    assert truth.std() < np.sqrt(12)
    assert np.sum(rest**2) < 0.35 * np.sum(truth**2)
    # the variance covers the noise that is left in the change
    flat = np.abs(truth) < 0.3
    assert np.mean(variance[inside][flat]) < 0.1 * 12


@pytest.mark.parametrize("seed", [3, 4])
def test_the_variance_of_a_change_of_faint_stars_is_that_of_its_error(seed):
    """Stars of 2 to 8 sigma at their peak: what the limit of noise removes is an error, too."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    scene = np.zeros(SHAPE)
    for row, column in rng.uniform(10, 190, (60, 2)):
        scene += rng.uniform(20, 60) * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2 / 1.2**2)
    noise = np.full(SHAPE, 60.0, np.float32)
    observed = np.float32(scene + np.sqrt(noise) * rng.standard_normal(SHAPE))
    truth = np.roll(scene, (-3, 2), (0, 1)) - scene
    change, variance = change_by_step(observed, noise, np.float32(0), np.float32(0), 1.0, (2, -3))
    inside = np.s_[20:-20, 20:-20]
    changed = np.abs(truth[inside]) > 5
    ratio = np.mean((change - truth)[inside][changed] ** 2) / np.mean(variance[inside][changed])
    assert 0.7 < ratio < 1.4


def test_equal_scenes_have_no_change_of_faint_light():
    rng = np.random.default_rng(4)
    noise = np.full(SHAPE, 12.0, np.float32)
    observed = np.float32(100 + np.sqrt(noise) * rng.standard_normal(SHAPE))
    change, variance = change_by_step(observed, noise, np.float32(0), np.float32(0), 1.0, (2, -3))
    assert change.std() < 0.15 * np.sqrt(12)
    assert variance.mean() < 0.03 * 12
