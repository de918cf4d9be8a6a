"""Warnings point at the line of the user."""

import inspect

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning


@pytest.mark.parametrize("extra", [0, 1])
def test_a_warning_points_at_the_call(extra):
    rng = np.random.default_rng(1)
    images = [CCDData(rng.normal(100, 30, (40, 50)), unit="electron") for _ in range(3)]

    def call():
        return CRStack(images, readnoise=4 * u.electron), inspect.currentframe().f_lineno

    def deeper():
        return call()

    with pytest.warns(CRStackWarning, match="scatter") as warned:
        _, line = deeper() if extra else call()
    assert [(one.filename, one.lineno) for one in warned] == [(__file__, line)]
