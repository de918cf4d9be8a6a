"""Single values of exactly 0 in exposures without a bias."""

import astropy.units as u
import numpy as np
import pytest

from crstack.datasets import make_stack
from crstack.exposures import load_exposures

SHAPE, READNOISE = (200, 220), 3.0


def whole_numbers(sky, seed=4400, n=3, share=1e-3):
    """Exposures of whole numbers, some of which were lost, and where."""
    rng = np.random.default_rng(seed)
    values = [np.rint(rng.poisson(sky, SHAPE) + rng.normal(0, READNOISE, SHAPE)) for _ in range(n)]
    lost = rng.random((n, *SHAPE)) < share
    for one, where in zip(values, lost, strict=True):
        one[where] = 0
    return values, lost


def loaded(values, **options):
    return load_exposures(values, unit=u.electron, readnoise=READNOISE * u.electron, **options)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("sky", [30, 50, 100, 1000])
def test_lost_values_are_bad_also_where_the_sky_is_faint(sky, n):
    """At a sky of 30 electrons they are 5 standard deviations low, which one value alone may be."""
    values, lost = whole_numbers(sky, n=n)
    found = loaded(values)
    assert (found.bad == lost).all()
    assert (found.low == lost).all()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("sky", [5, 10, 15, 20, 30, 60])
def test_zeros_of_a_faint_sky_are_valid(sky, cut):
    """Also where negative values were cut, so that all of them are 0."""
    values, _ = whole_numbers(sky, share=0, seed=4401)
    found = loaded([np.maximum(one, 0) for one in values] if cut else values)
    assert found.bad is None


@pytest.mark.parametrize("sky", [3, 12])
def test_counted_photons_are_valid(sky):
    rng = np.random.default_rng(4402)
    values = [rng.poisson(sky, SHAPE).astype(float) for _ in range(3)]
    found = load_exposures(values, unit=u.electron, readnoise=0.3 * u.electron)
    assert found.bad is None or not found.bad[np.array(values) == 0].any()


def test_zeros_that_hold_a_bias_are_no_light_either():
    """Without the bias they are far below 0, and low values by themselves."""
    values, lost = whole_numbers(100)
    found = loaded(
        [np.where(where, 0, one + 500) for one, where in zip(values, lost, strict=True)], bias=500 * u.electron
    )
    assert (found.bad == lost).all()


def test_gaps_between_fibres_hold_real_zeros():
    stack = make_stack("ifu", SHAPE, 3, seed=4403, readnoise=READNOISE * u.electron)
    values = [np.rint(one.data) for one in stack.exposures]
    assert sum(np.count_nonzero(one == 0) for one in values) > 100
    found = loaded(values)
    assert found.bad is None or not found.bad[np.array(values) == 0].any()
