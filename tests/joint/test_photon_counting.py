"""Warning of exposures that count photons."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.joint.photon_counting import warn_of_photon_counting

SHAPE = (80, 90)


def exposures(readnoise, sky):
    rng = np.random.default_rng(71)
    return [
        CCDData(np.round(rng.poisson(sky, SHAPE) + rng.normal(0, readnoise, SHAPE)), unit="electron") for _ in range(3)
    ]


def test_joint_decision_warns_with_numbers_and_remedy():
    stack = CRStack(exposures(0.3, 3), readnoise=0.3 * u.electron)
    words = r"read noise is 0\.3 electron and the signal 3 electrons.*mmcosmic.*meancr2"
    with pytest.warns(CRStackWarning, match=words):
        stack.joint_posterior()


@pytest.mark.parametrize(("readnoise", "sky"), [(0.3, 60), (0.8, 3)])
def test_no_warning_of_more_noise_or_light(readnoise, sky):
    warn_of_photon_counting(load_exposures(exposures(readnoise, sky), readnoise=readnoise * u.electron))


def test_no_warning_of_uncertainties():
    images = exposures(0.3, 3)
    for ccd in images:
        ccd.uncertainty = StdDevUncertainty(np.full(SHAPE, 1.76))
    warn_of_photon_counting(load_exposures(images, readnoise=0.3 * u.electron))


@pytest.mark.parametrize(("n", "turned"), [(2, True), (3, False)])
def test_counted_photons_look_like_a_shift_only_where_stars_move(n, turned):
    """Values that are no normal values were taken for structures that are shifted, in exposures without a star."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:200, :250]
    expected = np.ones((n, 200, 250))
    for row, column, height in zip(*rng.uniform(10, 190, (2, 40)), 10 ** rng.uniform(2, 4, 40), strict=True):
        for i in range(n if turned else 0):
            a, b = row + 0.015 * i * (column - 125), column - 0.015 * i * (row - 100)
            expected[i] += height * np.exp(-0.5 * ((y - a) ** 2 + (x - b) ** 2) / 1.3)
    hits = [make_hits((200, 250), 0.005, rng, "cosmic") for _ in range(n)]
    cube = rng.poisson(expected) + 0.3 * rng.standard_normal(expected.shape) + hits
    stack = CRStack([CCDData(plane.astype(np.float32), unit="electron") for plane in cube], readnoise=0.3 * u.electron)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack.detect()
    assert any("as much as a shift of" in str(one.message) for one in caught) == turned
