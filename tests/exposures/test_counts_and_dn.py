"""Gain, read noise and levels in count or DN, other names of ADU."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack.exceptions import InputError
from crstack.exposures import Keyword, load_exposures
from crstack.noise import NoiseModel
from crstack.utils.adu import named_adu

SHAPE = (40, 50)


def counts(n=3, bias=10.0):
    """Images of a sky of 180 electrons, with a gain of 2, a read noise of 6 electrons and a bias."""
    rng = np.random.default_rng(11)
    return [(rng.poisson(180.0, SHAPE) + rng.normal(0, 6, SHAPE)) / 2 + bias for _ in range(n)]


@pytest.mark.parametrize("unit", [u.ct, u.DN])
@pytest.mark.parametrize("image", [False, True])
def test_numbers_in_the_unit_of_the_exposures(unit, image):
    """The same numbers as in adu give the same exposures and the same noise."""

    def loaded(unit):
        numbers = {"gain": 2 * u.electron / unit, "readnoise": 3 * unit, "bias": 10 * unit, "saturation": 900 * unit}
        if image:
            numbers["bias"] = CCDData(np.full(SHAPE, 10.0), unit=unit)
            numbers["gain"] = np.full(SHAPE, 2.0) * u.electron / unit
        return load_exposures([CCDData(one, unit=unit) for one in counts()], **numbers)

    found, expected = loaded(unit), loaded(u.adu)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.unit == u.adu
    level = np.full(SHAPE, 100, np.float32)
    np.testing.assert_array_equal(found.noise_of(0).variance(level), expected.noise_of(0).variance(level))


@pytest.mark.parametrize("unit", [u.ct, u.DN])
def test_a_noise_model_of_counts(unit):
    noise = NoiseModel(gain=2 * u.electron / unit, readnoise=3 * unit)
    assert (noise.gain.unit, noise.readnoise.unit) == (u.electron / u.adu, u.adu)
    assert noise.variance(100.0).item() == 59


def test_a_keyword_in_electrons_per_count():
    ccds = [CCDData(one, unit="ct", meta={"GAIN": 2.0}) for one in counts(bias=0.0)]
    exposures = load_exposures(ccds, gain=Keyword("GAIN", u.electron / u.ct), readnoise=6 * u.electron)
    assert exposures.noise.gain == 2 * u.electron / u.adu


def test_the_inverse_of_a_gain_is_named():
    with pytest.raises(InputError, match=r"gain must be in electron / adu; got adu / electron: give 1 / gain$"):
        NoiseModel(gain=0.5 * u.adu / u.electron, readnoise=4 * u.electron)
    with pytest.raises(InputError, match=r"gain must be in electron / adu; got electron$"):
        NoiseModel(gain=0.5 * u.electron, readnoise=4 * u.electron)


def test_other_units_stay():
    gain = 2 * u.electron / u.adu
    assert named_adu(gain) is gain
    assert named_adu("2 e-/ct") == "2 e-/ct"
    assert named_adu(3 * u.ct / u.s) == 3 * u.adu / u.s
    assert named_adu(u.photon / u.DN**2) == u.photon / u.adu**2
