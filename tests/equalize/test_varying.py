"""Seeing that changes over the image: a kernel whose coefficients are polynomials of the position."""

from functools import partial

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.equalize import measure, measure_differences
from crstack.equalize.fit.kernels.changes import change_by_kernel
from crstack.equalize.fit.kernels.drift import positions_of
from crstack.equalize.fit.kernels.kernel_terms import SIZE
from crstack.equalize.fit.kernels.varying import (
    KERNELS,
    PARTS,
    POWERS,
    corners_less_centre,
    varying_change,
    varying_rows,
)
from crstack.utils import threads
from crstack.utils.pixels import informative_box

SKY, READNOISE = 150.0, 6.0
#: standard deviation of the image of a star in the centre, and what is added in the corners (square pixels)
SIGMAS, IN_CORNERS = (1.1, 1.2, 1.3), (0.0, 0.5, -0.3)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def field(shape, sigma, in_corners, stars=250, seed=5):
    """Stars whose width depends on the distance from the centre."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, shape[1], stars), rng.uniform(0, shape[0], stars)
    flux = 10 ** rng.uniform(3.5, 5.3, stars)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, SKY)
    for a, b, total in zip(x, y, flux, strict=True):
        far = ((2 * a / shape[1] - 1) ** 2 + (2 * b / shape[0] - 1) ** 2) / 2
        square = sigma**2 + in_corners * far
        box = np.s_[max(int(b) - 9, 0) : int(b) + 11, max(int(a) - 9, 0) : int(a) + 11]
        distance = (columns[box] - a) ** 2 + (rows[box] - b) ** 2
        image[box] += total / (2 * np.pi * square) * np.exp(-distance / (2 * square))
    return image


def exposures_of(shape, seed=6, in_corners=IN_CORNERS):
    """Expected and observed exposures (3, ny, nx)."""
    rng = np.random.default_rng(seed)
    expected = np.array([field(shape, *one) for one in zip(SIGMAS, in_corners, strict=True)])
    return expected, rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)


def stack_of(cube):
    return CRStack([CCDData(one.astype("f4"), unit="electron") for one in cube], readnoise=READNOISE * u.electron)


@pytest.mark.parametrize(("shape", "stars"), [((300, 340), 250), ((520, 600), 600)])
def test_stars_that_change_over_the_image_are_no_hits(shape, stars, monkeypatch):
    """The larger image is fitted in a part first, and decided in bands."""
    monkeypatch.setattr(measure, "WHOLE", 250_000)
    monkeypatch.setattr(measure, "informative_box", partial(informative_box, pixels=120_000))
    monkeypatch.setattr(threads, "PIXELS_IN_CACHE", 50_000)
    rng = np.random.default_rng(7)
    expected = np.array([field(shape, *one, stars) for one in zip(SIGMAS, IN_CORNERS, strict=True)])
    stack = stack_of(rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape))
    masks = stack.detect(JointPosterior())

    assert masks.crmasks.mean() < 10e-6


def test_moments_in_the_corners():
    _, cube = exposures_of((300, 340))
    found = measure_differences(cube.astype(np.float32), variance_of)
    shifts, moments = found.corners_less_centre()
    np.testing.assert_allclose(moments, np.array(IN_CORNERS) - np.mean(IN_CORNERS), atol=0.15)
    assert max(shifts) < 0.1
    words = found.in_words()
    assert "second moments in the corners less those in the centre (pixel squared)" in words
    table = found.table()
    assert (str(table["corner_shift"].unit), str(table["corner_moment"].unit)) == ("pix", "pix2")
    np.testing.assert_array_equal([table["corner_shift"], table["corner_moment"]], [shifts, moments])
    np.testing.assert_allclose(found.varying.mean(axis=0), 0, atol=1e-9)
    order = np.array([2, 0, 1])
    np.testing.assert_array_equal(found.ordered(order).varying, found.varying[order])


def test_stars_of_the_corners_are_described():
    expected, cube = exposures_of((300, 340))
    found = measure_differences(cube.astype(np.float32), variance_of)
    each = zip(expected, found.added, found.scales, strict=True)
    levels = np.array([(one - added) / scale for one, added, scale in each])
    inside = np.s_[4:-4, 4:-4]
    stars = expected.mean(axis=0)[inside] > 3 * SKY
    sigma = np.sqrt(variance_of(expected.mean(axis=0)))[inside]
    # one kernel for the whole image leaves 1.5 standard deviations
    assert np.std((levels - levels.mean(axis=0))[:, *inside][:, stars] / sigma[stars]) < 0.6


def test_the_same_seeing_everywhere_needs_no_change():
    _, cube = exposures_of((300, 340), in_corners=(0.0, 0.0, 0.0))
    found = measure_differences(cube.astype(np.float32), variance_of)
    assert found.terms.seeing
    assert not found.varying.any()
    assert found.corners_less_centre() == ([0.0] * 3, [0.0] * 3)
    assert "corner_moment" not in found.table().colnames


def test_the_change_is_that_of_the_fitted_rows():
    """Both apply each part of the kernel, times each polynomial of the position."""
    rng = np.random.default_rng(8)
    scene = rng.normal(size=(20, 30)).astype(np.float32)
    coefficients = rng.normal(size=(PARTS, POWERS))
    x, y = positions_of(scene.shape)
    change, variance = varying_change(scene, np.full_like(scene, 2.0), coefficients, (x, y))
    half = SIZE // 2
    rows, columns = np.array([5, 9, 14]), np.array([7, 20, 25])
    steps = range(-half, half + 1)
    around = np.stack([scene[rows - dy, columns - dx] for dy in steps for dx in steps])
    at = x[columns], y[rows, 0]
    np.testing.assert_allclose(change[rows, columns], coefficients.ravel() @ varying_rows(around, at), rtol=1e-4)
    # the variance of white noise: the sum of the squares of the kernel in the pixel
    powers = np.array([at[0], at[1], at[0] ** 2 - 1 / 3, at[0] * at[1], at[1] ** 2 - 1 / 3])
    kernels = np.einsum("kp,pm,kab->mab", coefficients, powers, KERNELS)
    np.testing.assert_allclose(variance[rows, columns], 2 * (kernels**2).sum(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", [1, -1])
def test_what_lies_beyond_the_edges_is_an_error(axis, side):
    """A star is cut by an edge. Its other half changes the image too, but is not known there."""
    rows, columns = np.mgrid[:60, :60]
    at = [30, 30]
    at[axis] = 13 if side == 1 else 46
    star = (1e4 * np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 4)).astype(np.float32)
    noise = np.full_like(star, 1e-4)
    coefficients = np.zeros((PARTS, POWERS))
    coefficients[[2, 3], [2, 4]] = -0.3
    x, y = positions_of(star.shape)
    true, _ = varying_change(star, noise, coefficients, (x, y))
    inside = np.s_[15:45, 15:45]
    known = star[inside], noise[inside], np.zeros((SIZE, SIZE)), np.zeros((2, 2)), coefficients, (x[15:45], y[15:45])
    change, variance, by_edges = change_by_kernel(*known)
    variance = variance + by_edges
    edge = [slice(None)] * 2
    edge[axis] = 0 if side == 1 else -1
    wrong = np.abs(change - true[inside])
    assert wrong[*edge].max() > 50
    assert (wrong < 1 + np.sqrt(variance)).all()
    assert np.sqrt(variance[6:-6, 6:-6]).max() < 0.1


def test_a_drift_without_a_kernel_changes_the_scene():
    """The kernel of an exposure is 0 where only its shift changes over the image."""
    scene = np.random.default_rng(1).normal(100, 10, (40, 50)).astype(np.float32)
    still, varying, drift = np.zeros((SIZE, SIZE)), np.zeros((PARTS, POWERS)), np.full((2, 2), 0.1)
    known = scene, np.ones_like(scene), still, drift, varying, positions_of(scene.shape)
    change, variance, _ = change_by_kernel(*known)
    assert change.shape == variance.shape == scene.shape
    assert change.any()


def test_parts_shift_and_widen_by_one():
    """A part of 1 shifts by a pixel, or adds a square pixel to the second moment along its axis."""
    step = np.arange(SIZE) - SIZE // 2
    np.testing.assert_allclose(KERNELS.sum(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose((KERNELS.sum(axis=1) @ step)[:2], [1, 0], atol=1e-12)
    np.testing.assert_allclose((KERNELS.sum(axis=2) @ step)[:2], [0, 1], atol=1e-12)
    np.testing.assert_allclose((KERNELS.sum(axis=1) @ step**2)[2:4], [1, 0], atol=1e-12)
    np.testing.assert_allclose((KERNELS.sum(axis=2) @ step**2)[2:4], [0, 1], atol=1e-12)
    coefficients = np.zeros((PARTS, POWERS))
    coefficients[0, 0], coefficients[2, 2] = 0.1, 0.4
    shift, moment = corners_less_centre(coefficients)
    assert shift == pytest.approx(0.1)
    # half of the change along x
    assert moment == pytest.approx(0.2)


def test_a_rotated_image_gives_the_rotated_differences():
    expected, cube = exposures_of((300, 340))
    found = measure_differences(cube.astype(np.float32), variance_of)
    turned = measure_differences(np.rot90(cube, 1, (1, 2)).astype(np.float32).copy(), variance_of)
    stars = ndimage.maximum_filter(expected.mean(axis=0), 5) > 3 * SKY
    sigma = np.sqrt(variance_of(expected.mean(axis=0)))
    for one, other in zip(found.added, turned.added, strict=True):
        assert np.std(((one - np.rot90(other, -1)) / sigma)[stars]) < 0.1
