"""Flux factors by themselves."""

import astropy.units as u
import numpy as np
import pytest
from support.equalization import PYCOSMIC, SCENES, loaded, simulate
from support.stacks import stack_of

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.equalize import (
    estimate_flux_factors,
)
from crstack.exceptions import InputError


@pytest.mark.parametrize("factors", [(0.8, 1.0, 1.2), (0.97, 1.0, 1.02)])
@pytest.mark.parametrize("scene", SCENES)
def test_flux_factors(scene, factors):
    exposures, statistics = loaded(simulate(scene, flux_factors=factors))
    for regions in (None, [(20, 140, 10, 230), (160, 270, 10, 230)]):
        found = estimate_flux_factors(exposures, statistics, regions)
        np.testing.assert_allclose(found.values, factors, rtol=0.005)
        assert (np.abs(np.array(found.values) - factors) <= 4 * np.array(found.errors) + 1e-12).all()
        assert max(found.errors) < 0.005


def test_flux_factors_of_many_exposures():
    factors = (0.9, 1.1, 1.0, 0.8, 1.3)
    exposures, statistics = loaded(simulate(n_exposures=5, flux_factors=factors))
    np.testing.assert_allclose(estimate_flux_factors(exposures, statistics).values, factors, rtol=0.005)
    # of an even number of exposures the median is the mean of the middle two
    exposures, statistics = loaded(simulate("slit", n_exposures=4, flux_factors=(0.9, 1.0, 1.1, 1.2)))
    expected = np.array([0.9, 1.0, 1.1, 1.2]) / 1.05
    np.testing.assert_allclose(estimate_flux_factors(exposures, statistics).values, expected, rtol=0.005)


@pytest.mark.filterwarnings("ignore:the exposures scatter")  # the given bias is too low
def test_slope_does_not_mind_the_bias():
    simulated = simulate("slit", flux_factors=(0.8, 1.0, 1.2), bias=530 * u.adu)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=500 * u.adu)
    ratio, slope = stack.flux_factors(method="ratio"), stack.flux_factors()
    np.testing.assert_allclose(slope.values, (0.8, 1.0, 1.2), rtol=0.005)
    assert abs(ratio.values[0] - 0.8) > 0.01


def test_a_brighter_sky_is_no_throughput():
    simulated = make_stack("ifu", shape=(150, 180), hit_rate=0.01, backgrounds=(100, 130, 160) * u.adu, seed=12)
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "flux_factors": "auto"}
    stack = CRStack(simulated.exposures, **options, apply_flux_factors_to="original")
    np.testing.assert_allclose(stack.equalized.flux.values, 1, atol=0.02)
    ratio = CRStack(simulated.exposures, **options, flux_method="ratio").equalized.flux.values
    assert max(ratio) > 1.15


def test_hits_do_not_move_flux_factors():
    clean = stack_of(simulate(hit_rate=0.0)).flux_factors()
    hit = stack_of(simulate(hit_rate=0.03)).flux_factors()
    np.testing.assert_allclose(hit.values, clean.values, atol=0.003)


def test_flux_errors_are_those_of_repeated_draws():
    simulated = simulate(shape=(100, 120), flux_factors=(0.9, 1.0, 1.1))
    found = [stack_of(simulated.realisation(seed)).flux_factors() for seed in range(40)]
    scatter = np.std([one.values for one in found], axis=0, ddof=1)[[0, 2]]
    errors = np.mean([one.errors for one in found], axis=0)[[0, 2]]
    # the median exposure is 1 by definition, and the errors hold its own
    np.testing.assert_allclose(scatter, errors, rtol=0.25)


def test_factors_of_one_change_nothing(simulated):
    plain = stack_of(simulated).detect(aux=PYCOSMIC)
    stack = stack_of(simulated, flux_factors=1.0)
    assert stack.equalized.levelled is stack.exposures
    masks = stack.detect(aux=PYCOSMIC)
    for name in plain:
        np.testing.assert_array_equal(masks[name], plain[name])


def test_no_signal(flat_exposures):
    stack = CRStack(flat_exposures(signal=0.0), gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    with pytest.raises(InputError, match="flux_regions must hold"):
        stack.flux_factors()
    with pytest.raises(InputError, match=r"crosscorr_region must hold structure|exposures must lie within 3 pixels"):
        stack.offsets()
    with pytest.raises(InputError, match="method must be one of ratio, slope; got 'mean'"):
        stack.flux_factors(method="mean")
    with pytest.raises(InputError, match="flux_regions must hold 25 or more clean pixels; got"):
        stack.flux_factors(regions=[(1, 3, 1, 3)])
