"""Variances in the cores of faint stars, which are photons of their peaks."""

import astropy.units as u
import numpy as np
import pytest
from scipy.special import ndtr

from crstack import CRStack

SHAPE, READNOISE, SKY = (280, 280), 2.0, 0.3


def expected_image(fwhm, seed=4):
    """Stars of 30 to 500 electrons on a faint sky."""
    rng = np.random.default_rng(seed)
    image, sigma = np.full(SHAPE, SKY), fwhm / 2.3548

    def share(centre):
        return np.diff(ndtr((np.arange(-0.5, 15) - centre) / sigma))

    for y in range(0, 266, 14):
        for x in range(0, 266, 14):
            flux, (b, a) = 10 ** rng.uniform(1.5, 2.7), 7 + rng.uniform(-0.5, 0.5, 2)
            image[y : y + 15, x : x + 15] += flux * np.outer(share(b), share(a))
    return image


@pytest.mark.parametrize("fwhm", [1.5, 2.5])
@pytest.mark.parametrize("method", ["mean", "meanjoint"])
def test_the_variance_is_that_of_the_peak(fwhm, method):
    image, rng = expected_image(fwhm), np.random.default_rng(8)
    exposures = [rng.poisson(image) + rng.normal(0, READNOISE, SHAPE) for _ in range(3)]
    stack = CRStack(exposures, readnoise=READNOISE * u.electron, unit="electron")
    found = stack.combine(method)
    pulls = (found.data - image) / np.sqrt(found.uncertainty.array)
    for low, high in ((10, 20), (20, 40), (40, 100)):
        some = (image > low) & (image < high)
        # 0.57 to 0.77, and 1.22 to 1.34, with eight times the weight of the noise
        assert np.median(found.uncertainty.array[some] / ((image[some] + READNOISE**2) / 3)) > 0.8
        assert pulls[some].std() < 1.16
        assert abs(pulls[some].mean()) < 0.12
    sky = image < 1
    assert pulls[sky].std() == pytest.approx(1, abs=0.02)
    assert abs(pulls[sky].mean()) < 0.02
