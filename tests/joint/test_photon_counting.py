"""Warning of exposures that count photons."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack
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
