"""Noise that is overstated, or that differs from the stated one in parts of the image."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.exposures.scatter.noise_of_parts import compare_noise_of_parts
from crstack.exposures.scatter.noise_sample import NoiseSample

SHAPE, READNOISE = (240, 240), 4
GAIN = u.electron / u.adu
AMPLIFIERS = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 1.0, 2.0) * np.ones(SHAPE)


def electrons(rng, sky=80.0):
    return rng.poisson(sky, SHAPE) + rng.normal(0, READNOISE, SHAPE)


def of_amplifiers():
    rng = np.random.default_rng(61)
    return [CCDData(np.round(electrons(rng) / AMPLIFIERS), unit="adu") for _ in range(3)]


def flat_fielded(flat):
    rng = np.random.default_rng(62)
    return [CCDData(electrons(rng, 80 * flat) / flat / 1.5, unit="adu") for _ in range(3)]


def messages(exposures, left_out=None, differences=lambda: None, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_exposures(exposures, **{"readnoise": READNOISE * u.electron} | arguments)
    nothing = np.zeros(loaded.data.shape, dtype=bool)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        sample = NoiseSample.of_exposures(loaded, nothing if left_out is None else left_out)
        compare_noise_of_parts(loaded, lambda: sample, differences)
    assert all(one.category is CRStackWarning for one in found)
    return [str(one.message) for one in found]


def test_gain_of_two_amplifiers():
    (message,) = messages(of_amplifiers(), gain=1.5 * GAIN)
    ratios = [float(one) for one in re.findall(r"by ([\d.]+) times", message)]
    # variances in ADU: (80 + 16) / gain**2 against 80 / gain / 1.5 + 16 / 1.5**2
    expected = [96 / (80 / 1.5 + 16 / 2.25), 24 / (40 / 1.5 + 16 / 2.25)]
    assert ratios == pytest.approx(np.sqrt(expected), abs=0.06)
    first, last = (int(one) for one in re.search(r"times at x = (\d+) to (\d+)", message).groups())
    assert last <= SHAPE[1] // 2
    assert last - first == SHAPE[1] // 4 - 1
    assert "Give an image as gain= if the gain differs between amplifiers" in message
    assert messages(of_amplifiers(), gain=AMPLIFIERS * GAIN) == []


def test_bias_of_two_amplifiers():
    """A level that is no light adds to the noise as stated, so that the bias is named too."""
    step = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 0.0, 100.0)
    exposures = [CCDData(electrons(np.random.default_rng(63 + i)) + step, unit="adu") for i in range(3)]
    (message,) = messages(exposures, gain=1.0 * GAIN)
    assert "one gain, read noise or bias given for several amplifiers" in message
    assert "and one as bias= if the level of dark parts does" in message
    assert messages(exposures, gain=1.0 * GAIN, bias=step * np.ones(SHAPE) * u.adu) == []


def test_joint_decision_warns_of_parts():
    # a sharp step would have a warning of its own when the exposures are read
    gain = 1.5 + 0.5 * np.tanh((np.indices(SHAPE)[1] - 119.5) / 8)
    rng = np.random.default_rng(61)
    exposures = [CCDData(np.round(electrons(rng) / gain), unit="adu") for _ in range(3)]
    stack = CRStack(exposures, readnoise=READNOISE * u.electron, gain=1.5 * GAIN)
    with pytest.warns(CRStackWarning, match="the noise as stated does not hold in all parts of the image"):
        stack.detect()


def test_gain_of_exposures_divided_by_a_flat():
    y, x = np.indices(SHAPE)
    flat = 1 - 0.75 * np.hypot(y - 119.5, x - 119.5) ** 2 / (2 * 120**2)
    flat /= flat.mean()
    (message,) = messages(flat_fielded(flat), gain=1.5 * GAIN)
    assert "the gain times the flat" in message
    assert messages(flat_fielded(flat), gain=1.5 * flat * GAIN) == []


def test_read_noise_of_two_amplifiers_in_electrons():
    readnoise = np.where(AMPLIFIERS == 1, 3.0, 7.0)
    rng = np.random.default_rng(65)
    planes = [rng.poisson(20.0, SHAPE) + rng.normal(0, 1, SHAPE) * readnoise for _ in range(3)]
    exposures = [plane * u.electron for plane in planes]
    (message,) = messages(exposures, readnoise=5 * u.electron)
    assert "Give an image as readnoise= if the read noise differs between amplifiers" in message
    assert "gain=" not in message
    assert messages(exposures, readnoise=readnoise * u.electron) == []


def test_electrons_divided_by_a_flat_are_to_have_uncertainties():
    """Such exposures have no gain, so that an image of it is refused."""
    y, x = np.indices(SHAPE)
    flat = 1 - 0.75 * np.hypot(y - 119.5, x - 119.5) ** 2 / (2 * 120**2)
    rng = np.random.default_rng(66)
    counts = [electrons(rng, 80 * flat) for _ in range(3)]
    (message,) = messages([one / flat * u.electron for one in counts])
    assert "give each an uncertainty that is computed before this division, and divided too" in message
    assert "gain=" not in message
    errors = [StdDevUncertainty(np.sqrt(np.maximum(one, 0) + READNOISE**2) / flat) for one in counts]
    given = [CCDData(one / flat, unit="electron", uncertainty=e) for one, e in zip(counts, errors, strict=True)]
    assert messages(given) == []


def test_known_differences_are_no_noise():
    rng = np.random.default_rng(63)
    extra = np.zeros(SHAPE)
    extra[:60] = np.where(np.arange(SHAPE[1]) % 2, 6, -6)
    exposures = [CCDData(electrons(rng) + k * extra, unit="electron") for k in (-1, 0, 1)]
    assert "does not hold in all parts" in messages(exposures)[0]
    assert messages(exposures, differences=lambda: [k * extra for k in (-1, 0, 1)]) == []


def test_uncertainties_are_named():
    error = StdDevUncertainty(np.full(SHAPE, 7.0))
    exposures = [CCDData(one.data, unit="adu", uncertainty=error) for one in of_amplifiers()]
    (message,) = messages(exposures, gain=1.5 * GAIN)
    assert message.endswith("Check the uncertainties there")


def test_overstated_noise():
    rng = np.random.default_rng(64)
    hits = rng.random((3, *SHAPE)) < 0.02
    exposures = [CCDData(electrons(rng) / 1.5 + 300 * hit, unit="adu") for hit in hits]
    assert messages(exposures, hits, gain=1.5 * GAIN) == []
    (message,) = messages(exposures, hits, gain=1.5 / 1.3 * GAIN)
    factor = float(re.search(r"overstated by a factor of ([\d.]+)", message).group(1))
    stated = 80 * 1.3 + 16 * 1.3**2
    assert factor == pytest.approx(np.sqrt(stated / 96), abs=0.02)
    assert "gain (too low?), read noise (too high?) and bias (too low?)" in message


def uneven(sky, bias, seed=63):
    """Exposures whose sky rises along x, as of a spectrum, with a bias."""
    rng = np.random.default_rng(seed)
    light = np.broadcast_to(np.linspace(*sky, SHAPE[1]), SHAPE)
    return [CCDData(electrons(rng, light) / 1.5 + bias, unit="adu") for _ in range(3)]


def test_a_bias_that_is_too_low_is_no_flat_or_amplifier():
    """It was described as those, because the dark parts alone differ by a tenth."""
    given = {"gain": 1.5 * GAIN, "bias": 480 * u.adu}
    (message,) = messages(uneven((2, 400), 500), **given)
    found = re.search(r"If ([\d.]+) adu of the level are no light, all parts agree: is a bias too low", message)
    assert float(found[1]) == pytest.approx(20, abs=5)
    assert "amplifier" not in message
    assert "flat" not in message
    assert messages(uneven((2, 400), 500), gain=1.5 * GAIN, bias=500 * u.adu) == []


def test_a_gain_that_changes_over_the_image_is_no_bias():
    (message,) = messages(of_amplifiers(), gain=1.0 * GAIN)
    assert "bias too low" not in message
    assert "one gain, read noise or bias given for several amplifiers" in message
