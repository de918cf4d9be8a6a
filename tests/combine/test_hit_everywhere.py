"""Pixels that are hit in every exposure, and the expected signal of the variances."""

import astropy.units as u
import numpy as np
import pytest
from support.combining import GAIN, SHAPE, combiner_of, joint_masks, planes

from crstack import CRStack, MaskSet
from crstack.combine import PixelFlag
from crstack.combine.fill import fill_from_neighbours
from crstack.combine.smooth_signal import _smoothed_band, smoothed_signal
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import MaskRules
from crstack.masks.rules import codes_of_hits

# the combinations come after the joint decision
pytestmark = pytest.mark.usefixtures("quick_joint")


@pytest.mark.parametrize("name", ["mediancr", "meancrt", "meancr", "meancr2", "meanjoint"])
def test_pixels_hit_in_every_exposure_are_interpolated(name):
    rng = np.random.default_rng(5)
    y = np.mgrid[:60, :70][0]
    truth = 300 + 200 * np.exp(-((y - 30) ** 2) / 50)
    where = rng.random(truth.shape) < 0.02
    where[10:17, 20:29] = True  # farther than the kernel reaches
    chance = np.broadcast_to(where, (3, *where.shape)).astype(np.float16)
    codes, _ = codes_of_hits(chance > 0.5, MaskRules())
    masks = MaskSet(codes | {"MEANCR": np.zeros(where.shape, np.uint8)}, probability=chance)
    cube = rng.poisson(truth, (3, *truth.shape)) + rng.normal(0, 5, (3, *truth.shape)) + 3000 * where
    stack = CRStack([plane * u.electron for plane in cube], readnoise=5 * u.electron)
    made = stack.combine(name, masks=masks, full_output=True)
    assert set(made.flags[where]) == {PixelFlag.INTERPOLATED | PixelFlag.ALL_HIT}
    assert not (made.flags[~where] & PixelFlag.INTERPOLATED).any()
    np.testing.assert_array_equal(made.ccd.mask, where)
    assert not made.count[where].any()
    pull = (made.ccd.data - truth)[where] / np.sqrt(made.ccd.uncertainty.array[where])
    assert 0.7 < pull.std() < 1.3
    plain = stack.combine(name, masks=masks, fill="minimum")
    assert (plain.data[where] > 2000).all()


def test_what_fills_depends_on_the_masks():
    codes = joint_masks({(2, 2): (1, 1, 1)})
    auxclean = np.full(SHAPE, 77, np.float32)
    ccds = planes()
    joint = MaskSet(codes.codes, auxclean, probability=codes.probability)
    assert combiner_of(ccds, joint).combine("meancr").flags[2, 2] & PixelFlag.INTERPOLATED
    assert combiner_of(ccds, joint, use_auxmedian=True).combine("meancr").ccd.data[2, 2] == 77
    other = MaskSet(codes.codes, auxclean)
    assert combiner_of(ccds, other).combine("meancr").flags[2, 2] & PixelFlag.MINIMUM
    sample = combiner_of(ccds, other, fill="neighbours", variance="sample").combine("meancr")
    assert sample.flags[2, 2] & PixelFlag.INTERPOLATED
    assert sample.ccd.uncertainty.array[2, 2] > 0
    with pytest.raises(InputError, match="fill must be one of minimum, neighbours; got 'nothing'"):
        combiner_of(ccds, joint, fill="nothing")


@pytest.mark.parametrize("signal", [5.0, 40.0])
def test_variances_do_not_follow_the_noise_of_the_value(signal):
    """A low value must not be given a low variance: (value - truth) / sigma is 0 in the mean."""
    rng = np.random.default_rng(3)
    cube = rng.poisson(signal, (3, 300, 300)) + rng.normal(0, 2, (3, 300, 300))
    ccd = CRStack([plane * u.electron for plane in cube], readnoise=2 * u.electron).combine("mean")
    pull = (ccd.data - signal) / np.sqrt(ccd.uncertainty.array)
    assert abs(pull.mean()) < 0.015
    assert pull.std() == pytest.approx(1, abs=0.01)


def test_expected_signal_keeps_structure_and_fills_holes():
    y, x = np.mgrid[:50, :60]
    truth = (100 + 5000 * np.exp(-((y - 25) ** 2 + (x - 30) ** 2) / 3)).astype(np.float32)
    known = np.ones(truth.shape, bool)
    known[10:12, 10] = False
    known[40:, 40:] = False
    image = np.where(known, truth, np.nan).astype(np.float32)
    signal = smoothed_signal(lambda rows: (image[rows], truth[rows] / 3, known[rows]), image.shape)
    assert signal[25, 30] == pytest.approx(truth[25, 30], rel=0.02)
    assert signal[10, 10] == pytest.approx(100, rel=1e-3)
    assert np.isnan(signal[49, 59])
    # for any bands of rows
    np.testing.assert_array_equal(signal, _smoothed_band(image, truth / 3, known).astype(np.float32))
    tall = np.random.default_rng(0).normal(100, 10, (3000, 60)).astype(np.float32)
    whole = _smoothed_band(tall, tall, np.ones(tall.shape, bool))
    found = smoothed_signal(lambda rows: (tall[rows], tall[rows], np.ones(tall[rows].shape, bool)), tall.shape)
    np.testing.assert_allclose(found, whole, rtol=1e-6)


def test_surfaces_are_followed_to_the_edge():
    """Enough neighbours determine a quadratic surface; a single neighbour gives its value."""
    y, x = np.mgrid[:40, :50].astype(float)
    image = 5e4 + 3 * (x - 20) ** 2 - 2 * (y - 10) ** 2 + x * y
    where = np.random.default_rng(4).random(image.shape) < 0.05
    where[0, 0] = where[-1, 20] = where[12:15, 30:33] = True
    value, error = fill_from_neighbours(image, np.ones_like(image), where, where & False)
    # in the middle of the patch a quadratic surface would raise the noise too much
    inside = ~((y < 2) | (y > 37) | (x < 2) | (x > 47) | ((y == 13) & (x == 31)))[where]
    np.testing.assert_allclose(value[inside], image[where][inside], rtol=1e-9)
    assert (np.abs(value - image[where])[~inside] < 300).all()
    assert (error > 0).all()
    image = image[:12, :14]
    alone = np.ones(image.shape, bool)
    alone[3, 9] = False
    value, error = fill_from_neighbours(image, np.full_like(image, 7.0), alone, alone & False)
    np.testing.assert_allclose([value, error], [[image[3, 9]] * alone.sum(), [7.0] * alone.sum()], rtol=1e-6)
    assert np.isnan(fill_from_neighbours(image, image, alone | True, alone)).all()


@pytest.mark.parametrize("scene", ["ifu", "slit"])
def test_errors_of_interpolated_pixels_hold(scene):
    """The structure that the neighbours do not measure is measured on known pixels."""
    rng = np.random.default_rng(9)
    simulated = make_stack(scene, shape=(200, 240), gain=GAIN, readnoise=4 * u.electron, hit_rate=0, seed=71)
    truth = simulated.expected.mean(axis=0).astype(float)
    image = np.mean([ccd.data for ccd in simulated.exposures], axis=0)
    variance = simulated.noise.variance(truth) / 3
    where = rng.random(truth.shape) < 0.03
    value, error = fill_from_neighbours(image, variance, where, where & False)
    pull = (value - truth[where]) / np.sqrt(error)
    assert abs(pull.mean()) < 0.08
    assert pull.std() == pytest.approx(1, abs=0.12)
