"""Values above the range of 16 bits that have wrapped in the cores of bright stars."""

import warnings

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures

SHAPE, BIAS, READNOISE = (200, 220), 500.0, 4.0


def exposures(seed=1, n=3, changed=True):
    """Exposures of six stars with peaks of 60 000 to 190 000 ADU, and what is expected without noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = np.full(SHAPE, 200.0)
    for row, peak in zip(range(20, 200, 30), (60e3, 75e3, 9e4, 12e4, 15e4, 19e4), strict=True):
        distance = (y - row - rng.uniform()) ** 2 + (x - rng.uniform(20, 200)) ** 2
        expected += peak * (1 + distance / 5) ** -3
    factors = (1 - 0.03 * np.arange(n)) if changed else np.ones(n)
    values = [rng.poisson(factor * expected) + rng.normal(BIAS, READNOISE, SHAPE) for factor in factors]
    return np.rint(values), factors[:, None, None] * expected


def loaded(values):
    """The stack and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        stack = CRStack(
            list(values),
            unit=u.adu,
            gain=1 * u.electron / u.adu,
            readnoise=READNOISE * u.electron,
            bias=BIAS * u.adu,
        )
    return stack, [str(one.message) for one in caught if "wrapped: cores" in str(one.message)]


@pytest.mark.parametrize(("n", "changed"), [(2, True), (3, True), (3, False), (5, False)])
@pytest.mark.parametrize("zero", [0, 32768])
def test_wrapped_cores_are_bad_values(n, changed, zero):
    values, expected = exposures(n=n, changed=changed)
    highest = 65535 - zero
    wrapped = np.mod(values + zero, 65536) - zero
    stack, (word,) = loaded(wrapped)
    assert "exposure 1 has" in word
    assert "with 32 bits" in word
    bad = stack.prepared.exposures.bad
    full = values > highest
    assert np.count_nonzero(full & ~bad) < 0.05 * np.count_nonzero(full)
    # a margin, but not the stars as a whole
    assert np.count_nonzero(bad & ~full) < 4 * np.count_nonzero(full)
    assert not bad[expected < 2000].any()


def test_one_sharp_star_whose_rim_is_far_below_the_largest_value():
    """The highest value that has not wrapped is 0.64 of the largest of 16 bits."""
    gain = 0.25 * u.electron / u.adu
    simulated = make_stack("imaging", shape=(300, 340), gain=gain, readnoise=5 * u.electron, bias=800 * u.adu, seed=77)
    values = np.rint([one.data for one in simulated.exposures])
    wrapped = np.mod(values, 65536)
    assert 0.5 < wrapped[0].max() / 65535 < 0.7
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        found = load_exposures(list(wrapped), unit=u.adu, gain=gain, readnoise=simulated.readnoise, bias=simulated.bias)
    assert any("wrapped: cores" in str(one.message) for one in caught)
    assert found.bad[values > 65535].all()


def reduced(values, kind):
    """Values without their bias, as rates, after a gain, or both, in floating-point numbers; and how to load them."""
    seconds = {"rates": (300, 300, 300), "other times": (300, 280, 310), "gain": (1, 1, 1), "both": (30, 30, 30)}[kind]
    seconds = np.array(seconds)
    gain = 1.37 if kind in ("gain", "both") else 1.0
    planes = ((values - BIAS - 0.37) * gain / seconds[:, None, None]).astype(np.float32)
    unit = u.adu if gain == 1 else u.electron
    options = {"gain": 1 * u.electron / u.adu} if gain == 1 else {}
    if kind != "gain":
        unit, options = unit / u.s, options | {"exptime": seconds * u.s}
    return list(planes), options | {"unit": unit, "readnoise": READNOISE * gain * u.electron}


def wrapped_words(values, kind):
    """The exposures, and the warnings of wrapped values."""
    planes, options = reduced(values, kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        found = load_exposures(planes, **options)
    return found, [str(one.message) for one in caught if "wrapped: cores" in str(one.message)]


@pytest.mark.parametrize("kind", ["rates", "other times", "gain", "both"])
def test_wrapped_values_of_rates_and_after_a_gain(kind):
    values, expected = exposures()
    found, (word,) = wrapped_words(np.mod(values, 65536), kind)
    assert "before a gain or an exposure time is applied" in word
    full = values > 65535
    assert np.count_nonzero(full & ~found.bad) < 0.05 * np.count_nonzero(full)
    assert np.count_nonzero(found.bad & ~full) < 5 * np.count_nonzero(full)
    assert not found.bad[expected < 1000].any()  # some pixels below the cores count as blooming
    found, words = wrapped_words(values, kind)
    assert words == []
    assert found.bad is None


@pytest.mark.parametrize("top", [32767, 65535])
def test_values_that_are_cut_have_not_wrapped(top):
    values, _ = exposures()
    _, words = loaded(np.minimum(values, top))
    assert words == []


def test_dead_pixels_in_bright_light_have_not_wrapped():
    """Pixels that see a twentieth of the light, in exposures whose light changes, and a hit on one of them."""
    rng = np.random.default_rng(4)
    y = np.arange(SHAPE[0])[:, None]
    light = np.broadcast_to(200 + 63e3 * np.exp(-(((y - 100) / 40) ** 2)), SHAPE).copy()
    light[tuple(rng.integers(75, 125, (2, 12)))] *= 0.05
    for factors in ((1, 1, 1), (1, 0.9, 0.8)):
        values = [np.rint(rng.poisson(light * one) + rng.normal(BIAS, READNOISE, SHAPE)) for one in factors]
        values[0][100:103, 100] = 65535
        _, words = loaded(values)
        assert words == []
