"""Exposures without a value below 0: counted photons with a wrong read noise, and values that were set to 0."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures

SHAPE = (120, 140)


def counted(sky, n=3, dtype=np.int16, unit="electron"):
    rng = np.random.default_rng(12)
    hits = [30 * (make_hits(SHAPE, 0.005, rng) > 50) for _ in range(n)]
    return [CCDData((rng.poisson(sky, SHAPE) + one).astype(dtype), unit=unit) for one in hits]


def messages(images, readnoise, detect=False):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        if detect:
            CRStack(images, readnoise=readnoise * u.electron).detect()
        else:
            exposures = load_exposures(images, readnoise=readnoise * u.electron)
            assert exposures.bad is None or exposures.bad.mean() < 5e-3
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("sky", [0.05, 0.3, 1.0])
def test_counted_photons_with_the_read_noise_of_another_chip(sky):
    """Their zeros were taken for blocks of dead pixels, and their scatter for that of smoothed exposures."""
    (found,) = messages(counted(sky), 3.0)
    zeros = np.mean([np.mean(image.data == 0) for image in counted(sky)])
    assert found.startswith("no value of the exposures is below 0, and ")
    assert float(found.split("% of the values are exactly 0")[0].split()[-1]) == pytest.approx(100 * zeros, abs=5)
    assert "A read noise of 3 electron gives at least " in found
    assert "Then give a small read noise, such as 0.1 electron" in found


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("sky", [0.0, 2.0])
def test_values_below_0_that_were_set_to_0(sky, rounded):
    """The read noise was said to be wrong."""
    rng = np.random.default_rng(3)
    images = [rng.poisson(sky, SHAPE) + rng.normal(0, 4, SHAPE) for _ in range(3)]
    images = [np.rint(one) if rounded else one for one in images]
    (found,) = messages([CCDData(one.clip(0), unit="electron") for one in images], 4.0)
    assert found.startswith("no value of the exposures is below 0, and ")
    assert "use exposures that keep these values" in found
    assert messages([CCDData(one, unit="electron") for one in images], 4.0) == []


def test_a_lost_half_of_counted_photons_is_bad():
    images = counted(1.0)
    images[1].data[:60] = 0
    with pytest.warns(CRStackWarning) as caught:
        exposures = load_exposures(images, readnoise=3 * u.electron)
    assert str(caught[0].message).startswith("no value of the exposures is below 0")
    assert "exposure 2 holds one value in blocks of 8" in str(caught[1].message)
    assert exposures.bad[1, :60].all()
    assert not exposures.bad[[0, 2]].any()


def test_exposures_that_have_no_such_values_by_their_noise():
    """A level above 0, a noise below one step, and uncertainties."""
    rng = np.random.default_rng(8)
    bright = [CCDData(rng.poisson(60.0, SHAPE) + rng.normal(0, 4, SHAPE), unit="electron") for _ in range(3)]
    assert messages(bright, 4.0) == []
    uncertain = counted(1.0, dtype=float)
    for one in uncertain:
        one.uncertainty = StdDevUncertainty(np.sqrt(one.data + 1))
    assert not any("below 0" in one for one in messages(uncertain, 3.0))
    fluxes = [CCDData(1e-5 * one.data, unit="electron") for one in counted(1.0)]
    with pytest.raises(InputError, match="calibrated fluxes cannot be used"):
        load_exposures(fluxes, readnoise=3 * u.electron)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_first_warning_of_counted_photons_is_not_to_check_the_gain(n):
    first, second, *_ = messages(counted(0.3, n), 0.1, detect=True)
    assert first.startswith("the noise is below one step of the values")
    assert "If the detector counts photons, this is right" in first
    assert second.startswith("the read noise is 0.1 electron and the signal 0 electrons")


@pytest.mark.parametrize(("sky", "n"), [(0.05, 5), (0.5, 3), (1.5, 4)])
def test_peaks_at_whole_photons_are_not_compared_with_normal_noise(sky, n):
    """A bias that is still in them, or a wrong gain, was the first warning."""
    rng = np.random.default_rng(9507)
    images = [CCDData(rng.poisson(sky, SHAPE) + rng.normal(0, 0.3, SHAPE), unit="electron") for _ in range(n)]
    assert messages(images, 0.3) == []
    more = [CCDData(one.data + rng.normal(0, 4, SHAPE), unit="electron") for one in images]
    (found,) = messages(more, 0.3)
    assert found.startswith("the exposures scatter by ")
