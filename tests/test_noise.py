"""The noise model: units, variances, samples."""

import astropy.units as u
import numpy as np
import pytest

from crstack import NoiseModel
from crstack.exceptions import InputError

GAIN = 2.5 * u.electron / u.adu


def test_variance_in_adu_and_in_electrons():
    adu = NoiseModel(GAIN, 5 * u.electron)
    electrons = NoiseModel(readnoise=5 * u.electron, unit=u.electron)
    signal = np.array([-10.0, 0.0, 40.0, 4000.0])
    np.testing.assert_allclose(adu.variance(signal), np.maximum(signal, 0) / 2.5 + 4.0)
    np.testing.assert_allclose(adu.variance(signal) * 2.5**2, electrons.variance(signal * 2.5))


def test_read_noise_in_adu_is_converted():
    assert NoiseModel(GAIN, 2 * u.adu).readnoise_electrons == pytest.approx(5.0)
    assert NoiseModel(GAIN, 2 * u.adu, u.electron).readnoise_electrons == pytest.approx(5.0)


@pytest.mark.parametrize("unit", [u.adu, u.electron])
@pytest.mark.parametrize("shape", [None, 20.0])
def test_samples_have_the_variance(unit, shape):
    noise = NoiseModel(GAIN, 5 * u.electron, unit, nbinom_shape=shape)
    rng = np.random.default_rng(1)
    for signal in (0.0, 3.0, 500.0):
        sample = noise.sample(np.full(200_000, signal), rng)
        assert sample.dtype == np.float32
        expected = noise.variance(np.array(signal))
        assert sample.mean() == pytest.approx(signal, abs=5 * np.sqrt(expected / 200_000))
        assert sample.var() == pytest.approx(expected, rel=0.02)


def test_average_of_n_has_one_nth_of_the_variance():
    signal = np.array([0.0, 10.0, 1000.0])
    for noise in (NoiseModel(GAIN, 5 * u.electron), NoiseModel(GAIN, 5 * u.electron, nbinom_shape=30.0)):
        np.testing.assert_allclose(noise.averaged(3).variance(signal), noise.variance(signal) / 3)
    known = noise.with_known_variance(np.full(3, 12.0, np.float32))
    np.testing.assert_allclose(known.averaged(3).variance(signal), 4.0)


def test_maps_and_known_variance_follow_a_cutout():
    gain = np.linspace(1, 3, 12).reshape(4, 3) * u.electron / u.adu
    noise = NoiseModel(gain, 5 * u.electron)
    signal = np.full((4, 3), 100.0)
    assert not noise.is_uniform
    rows = slice(1, 3)
    np.testing.assert_allclose(noise.cutout(rows).variance(signal[rows]), noise.variance(signal)[rows])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gain": 2.5, "readnoise": 5 * u.electron}, "gain must be a Quantity"),
        ({"gain": u.electron / u.adu, "readnoise": 5 * u.electron}, "gain must be .*; got the unit .* alone"),
        ({"gain": GAIN, "readnoise": 5}, "readnoise must be a Quantity"),
        ({"gain": GAIN, "readnoise": -1 * u.electron}, "readnoise must be at least 0; got -1"),
        ({"gain": 0 * GAIN, "readnoise": 1 * u.electron}, "gain must be greater than 0; got 0"),
        ({"gain": 2 * u.electron, "readnoise": 1 * u.electron}, "gain must be in electron / adu; got electron"),
        ({"readnoise": 1 * u.electron}, "gain must be given"),
        ({"gain": GAIN}, "readnoise must be given"),
        ({"gain": GAIN, "readnoise": 1 * u.electron, "unit": u.m}, "unit must be adu or electron; got m"),
        ({"gain": GAIN, "readnoise": np.nan * u.electron}, "readnoise must be finite"),
        (
            {"gain": GAIN, "readnoise": 1 * u.electron, "nbinom_shape": 0},
            "nbinom_shape must be a number greater than 0; got 0",
        ),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(InputError, match=message):
        NoiseModel(**arguments)


def test_samples_of_a_known_variance():
    """The variance includes photons; a negative signal counts as 0."""
    variance = np.full(200_000, 49, np.float32)
    noise = NoiseModel(GAIN, 5 * u.electron).with_known_variance(variance)
    for signal, level in ((500.0, 500.0), (-20.0, 0.0)):
        sample = noise.sample(np.full(200_000, signal), np.random.default_rng(1))
        assert sample.mean() == pytest.approx(level, abs=5 * np.sqrt(49 / 200_000))
        assert sample.var() == pytest.approx(49, rel=0.02)


def test_more_variance_is_that_of_one_exposure():
    noise = NoiseModel(gain=2 * u.electron / u.adu, readnoise=3 * u.electron).with_more_variance(16.0)
    assert noise.readnoise_electrons == pytest.approx(5)
    assert noise.variance(10.0) == pytest.approx(10 / 2 + (5 / 2) ** 2)
    assert noise.averaged(4).variance(10.0) == pytest.approx((10 / 2 + (5 / 2) ** 2) / 4)


def test_the_overdispersion_of_an_average():
    """The sum of three negative binomial counts of shape kappa has the shape 3 kappa."""
    noise = NoiseModel(GAIN, 5 * u.electron, nbinom_shape=20.0).averaged(3)
    kappa, probability = noise._nbinom(np.array([0.0, 40.0]))
    assert kappa == 60
    np.testing.assert_allclose(probability, [1, 60 / 100])


def test_an_image_of_gains_with_one_nan_is_refused():
    gain = np.full((4, 5), 1.5)
    gain[1, 2] = np.nan
    with pytest.raises(InputError, match="gain must be finite everywhere"):
        NoiseModel(gain * u.electron / u.adu, 5 * u.electron)


def test_a_known_variance_at_one_signal_is_an_image():
    """A number as the signal, where the variance is known for each pixel."""
    known = np.array([[1.0, 4.0], [9.0, 16.0]], np.float32)
    noise = NoiseModel(readnoise=4 * u.electron, unit=u.electron).with_known_variance(known)
    np.testing.assert_array_equal(noise.variance(np.float32(100)), known)
