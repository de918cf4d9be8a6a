"""EFFGAIN and EFFRN describe the variance of a combined image where nothing is masked."""

from functools import cache

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty

from crstack import CRStack

SHAPE = (60, 70)
GAIN, READNOISE = 1.5, 6.0
LEVELS = np.linspace(0, 4000, SHAPE[1]) * np.ones(SHAPE)
SECONDS = 200.0


def exposures(n=3, unit="adu", times=None):
    """Exposures without hits, of a level in electrons that rises along x."""
    rng = np.random.default_rng(4)
    images = []
    for time in times or (SECONDS,) * n:
        electrons = rng.poisson(LEVELS * time / SECONDS) + rng.normal(0, READNOISE, SHAPE)
        per_unit = (GAIN if "adu" in unit else 1.0) * (time if "/s" in unit else 1.0)
        images.append(CCDData(electrons / per_unit, unit=unit, meta={"EXPTIME": time, "GAIN": GAIN, "EFFRN": -1.0}))
    return images


def stack_of(images, **options):
    gain = GAIN * u.electron / u.adu if "adu" in str(images[0].unit) else None
    return CRStack(images, gain=gain, readnoise=READNOISE * u.electron, **options)


def check(stack, name, **options):
    """The variance by the two numbers is that of the combined image."""
    ccd = stack.combine(name, **options)
    gain, readnoise = ccd.header["EFFGAIN"], ccd.header["EFFRN"]
    # the level of each column, in the unit of the image
    level = np.median(stack.combine("mean").data, axis=0)
    by_header = level / gain + (readnoise / gain) ** 2
    np.testing.assert_allclose(np.median(ccd.uncertainty.array, axis=0)[5:], by_header[5:], rtol=0.03)
    return ccd.header


@cache
def decided(unit):
    """A stack with a joint decision. Not to be changed."""
    stack = stack_of(exposures(unit=unit))
    stack.detect("joint")
    return stack


@pytest.mark.parametrize("unit", ["adu", "electron", "adu/s", "electron/s"])
@pytest.mark.parametrize("name", ["mean", "median", "min", "meancr2", "mediancr", "meanjoint"])
def test_they_give_the_variance(unit, name):
    check(decided(unit), name)


def test_those_of_a_mean_of_three():
    header = stack_of(exposures()).combine("mean").header
    assert header["EFFGAIN"] == pytest.approx(3 * GAIN)
    assert header["EFFRN"] == pytest.approx(np.sqrt(3) * READNOISE, rel=1e-5)
    assert header["GAIN"] == GAIN  # that of the exposures stays
    assert header.comments["EFFGAIN"] == "[electron/adu] gain of the combined image"
    rates = stack_of(exposures(unit="electron/s")).combine("mean").header
    assert rates["EFFGAIN"] == pytest.approx(3 * SECONDS)
    assert rates.comments["EFFGAIN"] == "[s] gain of the combined image"
    assert rates["EFFRN"] == header["EFFRN"]
    counts = stack_of(exposures(unit="electron")).combine("mean").header
    assert (counts["EFFGAIN"], counts.comments["EFFGAIN"]) == (3, "gain of the combined image")


@pytest.mark.filterwarnings("ignore:exposure times differ")
def test_weights_and_times():
    stack = stack_of(exposures(times=(100.0, 200.0, 300.0)))
    equal, by_time = (check(stack, "mean", weights=weights)["EFFGAIN"] for weights in (None, "exptime"))
    # scaled to 200 s, the gains are 0.5, 1 and 1.5 times that of the detector
    assert equal == pytest.approx(GAIN * 9 / (1 / 0.5 + 1 + 1 / 1.5), rel=1e-5)
    assert by_time == pytest.approx(3 * GAIN, rel=1e-5)


@pytest.mark.parametrize("kind", ["uncertainty", "image of the gain"])
def test_there_are_none_where_two_numbers_do_not_suffice(kind):
    images = exposures()
    if kind == "uncertainty":
        for ccd in images:
            ccd.uncertainty = VarianceUncertainty(np.maximum(ccd.data, 0) / GAIN + 16)
        header = stack_of(images).combine("mean").header
    else:
        gain = np.full(SHAPE, GAIN)
        gain[:, 30:] = 1.55
        stack = CRStack(images, gain=gain * u.electron / u.adu, readnoise=READNOISE * u.electron)
        header = stack.combine("mean").header
    assert "EFFGAIN" not in header
    assert "EFFRN" not in header  # those of an earlier combination are removed
