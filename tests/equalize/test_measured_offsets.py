"""Offsets by themselves: measured, with their errors, and where pixels are hot or bad."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from support.equalization import SCENES, SHIFTS, loaded, measured_alone, simulate
from support.stacks import stack_of

from crstack import CRStack
from crstack.equalize import (
    estimate_offsets,
)
from crstack.equalize.terms import offsets
from crstack.equalize.terms.common import moved_images
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics


@pytest.mark.parametrize("scene", SCENES)
def test_offsets(scene):
    exposures, statistics = loaded(simulate(scene, offsets=SHIFTS))
    for region in (None, (40, 240, 30, 210)):
        found = estimate_offsets(exposures, statistics, region)
        np.testing.assert_allclose(found.values, SHIFTS, atol=0.05)
        assert found.region == region


def test_offsets_in_a_region_depend_on_its_surroundings_as_in_the_whole_image(monkeypatch):
    moves = ((0, 0), (0.3, -6.2), (-0.4, 5.7))
    exposures, statistics = loaded(simulate("slit", offsets=moves))
    region = (60, 190, 50, 180)
    found = estimate_offsets(exposures, statistics, region)
    np.testing.assert_allclose(np.diff(found.values, axis=0), np.diff(moves, axis=0), atol=0.1)
    monkeypatch.setattr(offsets, "MARGIN", max(exposures.shape))
    assert found == estimate_offsets(exposures, statistics, region)


def test_errors_of_offsets_are_honest():
    """Where the scene is weak, noise against noise decides."""
    pulls, true = [], np.array([(0.0, 0.0), (0.4, -0.3), (-0.25, 0.35)])
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scene = 50 + 4 * 7 * ndimage.gaussian_filter(rng.standard_normal((120, 140)), 2)
        moved = [ndimage.shift(scene, (dy, dx), order=3)[10:-10, 10:-10] for dx, dy in true]
        planes = [(rng.poisson(2 * image) + rng.normal(0, 5, image.shape)) / 2 * u.adu for image in moved]
        exposures = load_exposures(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
        found = estimate_offsets(exposures, order_statistics(exposures.data, 2, exposures.bad))
        values = np.array(found.values)
        # relative to their mean: the median of the offsets has an error too
        deviations = (values - values.mean(axis=0)) - (true - true.mean(axis=0))
        pulls.append(deviations * np.sqrt(3 / 2) / np.array(found.errors))
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.5


def test_offsets_and_factors_together():
    simulated = simulate(offsets=SHIFTS, flux_factors=(0.8, 1.0, 1.2))
    equalized = measured_alone(simulated, flux_factors="auto", offsets="auto").equalized
    np.testing.assert_allclose(equalized.offsets.values, SHIFTS, atol=0.05)
    np.testing.assert_allclose(equalized.flux.values, (0.8, 1.0, 1.2), rtol=0.005)


def with_hot_pixels(simulated, column):
    """The exposures with pixels and a column of some signal that stay where they are, and where these are."""
    rng = np.random.default_rng(1)
    charge = np.where(rng.random((240, 280)) < 0.004, rng.lognormal(6, 1, (240, 280)), 0)
    exposures = [ccd.copy() for ccd in simulated.exposures]
    charge[:, 123] += column
    for ccd in exposures:
        ccd.data = (ccd.data + rng.poisson(charge) / 2).astype(np.float32)
    return exposures, charge > 200


@pytest.mark.parametrize(("column", "share"), [(0, 0.1), (3000, 0.1)])
def test_hot_pixels_do_not_move_with_the_scene(column, share):
    simulated = simulate("slit", offsets=SHIFTS, hit_rate=0)
    exposures, hot = with_hot_pixels(simulated, column)
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    if not column:
        stack = CRStack(exposures, offsets="auto", differences=None, **options)
        np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    # what is subtracted leaves noise alone at these pixels and beside them, where a spline would ring
    beside = ndimage.maximum_filter(hot, 3)
    levelled = CRStack(exposures, offsets=SHIFTS, **options).equalized.levelled
    pull = (levelled.data[0] - levelled.data[2])[beside]
    pull /= np.sqrt(2 * levelled.noise.variance(np.median(levelled.data, axis=0)[beside]))
    assert (np.abs(pull) > 5).mean() < share


@pytest.mark.filterwarnings("ignore:the noise is below one step of the values")  # exposures without noise
@pytest.mark.filterwarnings("ignore:the exposures scatter")
def test_nothing_rings_around_hot_pixels():
    image = np.full((30, 40), 50, dtype=np.float32)
    image[12, 20] += 200
    image[0, 39] += 90
    exposures = load_exposures([image * u.electron] * 3, readnoise=4 * u.electron)
    exposures = replace(exposures, missing=())  # the noise of rounding is no subject of this test
    for one in moved_images(exposures, image, ((0.3, 0.2), (0.0, 0.0), (-0.4, 0.1))):
        np.testing.assert_allclose(one, image, rtol=1e-5)
    # a star that came through the optics moves
    y, x = np.mgrid[:30, :40]
    image = (50 + 200 * np.exp(-0.5 * ((y - 12) ** 2 + (x - 20) ** 2))).astype(np.float32)
    moved = moved_images(exposures, image, ((0.3, 0.0), (0.0, 0.0), (-0.4, 0.0)))
    assert moved[0][12, 21] > moved[1][12, 21] + 30 > moved[2][12, 21] + 60


def test_the_scene_moves_where_no_pixel_is_hot():
    simulated = simulate("slit", offsets=SHIFTS, hit_rate=0)
    levelled = stack_of(simulated, offsets=SHIFTS).equalized.levelled
    inside = (slice(5, -5), slice(5, -5))
    pull = (levelled.data[0] - levelled.data[2])[inside]
    pull /= np.sqrt(2 * levelled.noise.variance(np.median(levelled.data, axis=0)[inside]))
    assert (np.abs(pull) > 5).mean() < 1e-3


def test_bad_values_neither_pull_offsets_nor_leave_edges():
    simulated = simulate("imaging", offsets=SHIFTS, hit_rate=0)
    rng = np.random.default_rng(2)
    exposures = [ccd.copy() for ccd in simulated.exposures]
    for ccd in exposures:
        ccd.data = (ccd.data + rng.poisson(200, ccd.shape) / 2).astype(np.float32)
    bad = np.zeros((3, 240, 280), dtype=bool)
    bad[:, :, 100:104] = bad[:, 50:60, 200:220] = True
    bad[1, 120:180, 150:190] = True
    for ccd, mask in zip(exposures, bad, strict=True):
        ccd.data[mask] = np.nan
        ccd.mask = mask
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    stack = CRStack(exposures, offsets="auto", differences=None, **options)
    np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    levelled = CRStack(exposures, offsets=SHIFTS, **options).equalized.levelled
    beside = ndimage.maximum_filter(bad.any(axis=0), 7) & ~bad.any(axis=0)
    pull = (levelled.data[0] - levelled.data[2])[beside]
    pull /= np.sqrt(2 * levelled.noise.variance(np.median(levelled.data, axis=0)[beside]))
    # beside bad values, the filled ones have an error of their own
    assert pull.std() < 1.1


def test_expected_images_are_shifted_and_scaled():
    simulated = simulate(shape=(160, 180), offsets=SHIFTS, flux_factors=(0.8, 1.0, 1.2), hit_rate=0.03)
    stack = stack_of(simulated, flux_factors=(0.8, 1.0, 1.2), offsets=SHIFTS)
    inside = (slice(5, -5), slice(5, -5))
    noise = np.sqrt(simulated.noise.variance(simulated.expected))
    for image, truth, sigma in zip(stack.equalized.expected_images(None), simulated.expected, noise, strict=True):
        # the common image has the noise of a median, and where most exposures are hit that of the lowest
        pull = ((image - truth) / sigma)[inside]
        assert np.std(pull) < 0.9
        assert np.mean(np.abs(pull) > 4) < 2e-3
    # what is compared differs by noise alone, where no exposure is hit
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    levelled = stack.equalized.levelled.data
    difference = (levelled[0] - levelled[2]) / np.hypot(noise[0], noise[2])
    assert np.std(difference[inside][clean[inside]]) == pytest.approx(1, abs=0.15)
