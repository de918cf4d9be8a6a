"""Pixels whose values have noise that is less alike than that of the exposures."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack
from crstack.joint.candidates import Candidates
from crstack.joint.field import Field
from crstack.joint.population import Population
from crstack.joint.posterior_signal import posterior_signal
from crstack.joint.sweeps import sweep
from crstack.joint.unresolved import Unresolved, unresolved


def candidates_of(n, factor, seed=3, hit=0.0):
    """100 pixels with values of 4 electrons of noise; in the last 50, one exposure has ``factor`` times the noise."""
    rng = np.random.default_rng(seed)
    sigma = np.full((n, 100), 4, np.float32)
    sigma[0, 50:] *= factor
    values = np.float32(300 + sigma * rng.normal(0, 1, (n, 100)))
    values[1] += hit
    where = (np.repeat(np.arange(10) * 3, 10), np.tile(np.arange(10) * 3, 10))
    return Candidates(where, values, *np.float32([[[1]], [[0]]]), sigma**2, np.zeros((1, 1), np.float32))


@pytest.mark.parametrize(("n", "factor"), [(2, 1), (2, 3), (2, 10), (3, 1.6), (3, 10), (5, 3), (5, 300)])
def test_the_variance_of_the_signal_is_that_of_all_values(n, factor):
    candidates = candidates_of(n, factor)
    expected = 1 / (1 / candidates.variance).sum(axis=0)
    signal, variance = posterior_signal(Field((n, 30, 30)), candidates, Population(), np.arange(100) % 7 > 0)
    needed = variance > 0
    np.testing.assert_array_equal(needed, np.arange(100) % 7 > 0)
    # some values may be hit, which makes the signal less certain
    ratio = (variance / expected)[needed]
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    assert ratio.min() > 0.8
    mean = (candidates.values / candidates.variance).sum(axis=0) * expected
    assert np.abs((signal - mean) / np.sqrt(expected))[needed].max() < 1.5


def test_only_pixels_of_unlike_noise_are_unresolved():
    assert unresolved(candidates_of(3, 10)).tolist() == list(range(50, 100))
    for factor in (1, 1.6):
        assert not len(unresolved(candidates_of(3, factor)))
    # where all pixels have the noise of their exposure, the groups of the exposures allow for it
    alike = replace(candidates_of(3, 1), variance=np.float32([[16], [16], [1600]]))
    assert not len(unresolved(alike))
    many = np.full((3, 100), 16, np.float32)
    many[0] = 1600
    assert not len(unresolved(replace(alike, variance=many, groups=((1, 2), (0,)))))


@pytest.mark.parametrize("n", [2, 3])
def test_probabilities_are_those_of_nodes_close_together(n, monkeypatch):
    candidates, population = candidates_of(n, 40, hit=np.linspace(0, 60, 100, dtype=np.float32)), Population()

    def chances(step, closer):
        some, field = replace(candidates, step=step), Field((n, 30, 30))
        closer = Unresolved.of(some) if closer else None
        sweep(field, some, some.tables(), population, unresolved=closer)
        return field.chance[:, 50:]

    exact = chances(0.02, False)
    np.testing.assert_allclose(chances(candidates.step, True), exact, atol=0.02)
    # nodes for the mean noise are too far apart
    monkeypatch.setattr("crstack.joint.candidates.MOST_NOISE", 1e9)
    np.testing.assert_allclose(chances(candidates.step, True), exact, atol=0.02)
    assert np.abs(chances(candidates.step, False) - exact).max() > 0.05


@pytest.mark.parametrize("n", [2, 3])
def test_combined_image_where_one_exposure_is_noisy(n):
    """Columns in which one of the given uncertainties is large: the other exposures measure the signal there."""
    rng = np.random.default_rng(8)
    error = np.full((n, 80, 90), 4.0)
    error[0, :, 30:60] = 80
    charges = np.where(rng.random(error.shape) < 0.03, rng.exponential(300, error.shape), 0)
    ccds = [
        CCDData(plane, unit="electron", uncertainty=StdDevUncertainty(one))
        for plane, one in zip(500 + charges + error * rng.normal(0, 1, error.shape), error, strict=True)
    ]
    stack = CRStack(ccds, readnoise=4 * u.electron, differences=None)
    ccd = stack.combine("meanjoint")
    noisy = np.zeros(ccd.shape, bool)
    noisy[:, 30:60] = True
    error = np.sqrt(ccd.uncertainty.array)
    assert error[noisy].min() > 2.5
    assert error[~noisy].min() > 2
    strong = charges[1] > 60
    assert stack.detect()["CRMASK2"][strong & ~noisy].mean() > 0.97
    if n == 3:
        assert stack.detect()["CRMASK2"][strong & noisy].mean() > 0.85
