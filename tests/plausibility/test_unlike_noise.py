"""The sentence about exposures whose noise is too unlike."""

import re

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


@pytest.mark.parametrize("skies", [(30, 3000), (3000, 30, 30)])
def test_a_bright_sky_in_one_exposure_is_named(skies):
    bright, faint = 1 + skies.index(3000), 1 + skies.index(30)
    with pytest.warns(ImplausibleResultWarning, match="the noise of") as caught:
        stack_of(skies).detect()
    (text,) = (str(one.message) for one in caught if "the noise of" in str(one.message))
    found = re.search(r"the noise of exposure (\d) is ([\d.]+) times that of exposure (\d) ", text)
    assert found[1] == str(bright)
    assert (found[3] == str(faint)) or len(skies) > 2
    # the noise is the square root of 3016 and 46 electrons
    assert float(found[2]) == pytest.approx(8.1, rel=0.03)
    assert ("Use exposure 1 alone" in text) == (len(skies) == 2)


def test_a_sky_that_is_brighter_by_a_factor_of_ten_is_not():
    stack_of((50, 500)).detect()
