"""Scatter of the exposures beyond photons, and M.M.Cosmic with it."""

import astropy.units as u
import numpy as np
import pytest
from support.equalization import SCENES, loaded, simulate
from support.stacks import stack_of

from crstack import CRStack
from crstack.equalize import (
    fit_nbinom_shape,
)
from crstack.exceptions import InputError
from crstack.exposures import load_exposures


@pytest.mark.filterwarnings("ignore:the exposures scatter")
@pytest.mark.parametrize("kappa", [50, 200, 1000])
@pytest.mark.parametrize("scene", SCENES)
def test_nbinom_shape(scene, kappa):
    exposures = overdispersed(scene, kappa)
    found = fit_nbinom_shape(exposures)
    assert found.value == pytest.approx(kappa, rel=0.2)
    assert abs(found.value - kappa) < 4 * found.error
    assert f"kappa = {found.value:.4g}" in str(found)


def overdispersed(scene, kappa, **options):
    simulated = simulate(scene, bias=0 * u.adu, **options)
    rng = np.random.default_rng(1)
    noise = simulated.noise.with_nbinom_shape(kappa)
    planes = [
        (noise.sample(expected, rng) + hits) * u.adu
        for expected, hits in zip(simulated.expected, simulated.hits, strict=True)
    ]
    return load_exposures(planes, gain=simulated.gain, readnoise=simulated.readnoise)


def test_nbinom_shape_of_poisson():
    found = fit_nbinom_shape(loaded(simulate())[0])
    assert found.is_poisson
    assert found.value == np.inf
    assert np.isnan(found.error)
    assert "Poisson" in str(found)


def test_nbinom_shape_of_divided_exposures():
    factors = (0.8, 1.0, 1.2)
    exposures = overdispersed("slit", 200, flux_factors=factors)
    assert fit_nbinom_shape(exposures.divided_by(factors)).value == pytest.approx(200, rel=0.1)
    # undivided, the factors are the overdispersion
    assert fit_nbinom_shape(exposures).value < 100


def test_nbinom_auto_in_the_diagram():
    simulated = simulate("slit", bias=0 * u.adu)
    rng = np.random.default_rng(1)
    planes = [simulated.noise.with_nbinom_shape(200).sample(image, rng) * u.adu for image in simulated.expected]
    stack = CRStack(planes, gain=simulated.gain, readnoise=simulated.readnoise)
    settings = stack.mm_diagram(nbinom_shape="auto", n_simulations=1).settings
    assert settings.nbinom_shape == stack.nbinom_shape().value == pytest.approx(200, rel=0.2)
    poisson = stack_of(simulate("slit"))
    assert poisson.mm_diagram(nbinom_shape="auto", n_simulations=1).settings.nbinom_shape is None


def test_nbinom_shape_errors(simulated, flat_exposures):
    known = simulate(shape=(60, 60), with_uncertainty=True)
    with pytest.raises(InputError, match='exposures must have no uncertainties for nbinom_shape="auto"'):
        stack_of(known).nbinom_shape()
    with pytest.raises(InputError, match="exposures must share 100 or more clean pixels; got"):
        fit_nbinom_shape(loaded(simulated)[0], np.zeros(simulated.exposures[0].shape, dtype=bool))
    with pytest.raises(InputError, match=r"nbinom_shape must be .auto., None, or a number; got 'fit'"):
        stack_of(simulated).mm_diagram(nbinom_shape="fit")
