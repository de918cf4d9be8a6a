"""The sentence about exposures whose noise is too unlike."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import ImplausibleResultWarning

SHAPE, READNOISE = (120, 150), 4.0


def stack_of(skies, **kwargs):
    rng = np.random.default_rng(11)
    rows, columns = np.indices(SHAPE)
    stars = np.zeros(SHAPE)
    for y, x, peak in zip(rng.uniform(5, 115, 30), rng.uniform(5, 145, 30), 10 ** rng.uniform(2, 4, 30), strict=True):
        stars += peak * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4)
    images = [rng.poisson(stars + sky) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, 0.01, rng) for sky in skies]
    return CRStack([CCDData(one, unit="electron") for one in images], readnoise=READNOISE * u.electron, **kwargs)


@pytest.mark.parametrize("skies", [(30, 3000), (3000, 30)])
def test_an_exposure_that_nothing_can_be_compared_with_is_named(skies):
    with pytest.warns(ImplausibleResultWarning, match="the noise of") as caught:
        stack_of(skies).detect()
    (text,) = (str(one.message) for one in caught if "the noise of" in str(one.message))
    found = re.search(r"the noise of exposure (\d) is .* that of exposure (\d) ([\d.]+) times as much", text)
    assert found[1] == str(1 + skies.index(30))
    assert found[2] == str(1 + skies.index(3000))
    # the noise is the square root of 3016 and 46 electrons
    assert float(found[3]) == pytest.approx(8.1, rel=0.03)


def test_an_exposure_of_much_noise_beside_two_good_ones_is_not():
    """Each of these is compared with the other."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack_of((3000, 30, 30)).detect()
    assert not [one for one in caught if "the noise of" in str(one.message)]


def test_a_sky_that_is_brighter_by_a_factor_of_ten_is_not():
    stack_of((50, 500)).detect()
