"""Thresholds at a known rate of false alarms, against numbers computed by hand or in another way."""

import numpy as np
import pytest

from crstack.joint import (
    false_alarms,
)
from crstack.joint.excess import (
    ExcessVariance,
)
from crstack.joint.false_alarms import CleanNoise
from crstack.joint.population import Population


def test_value_that_a_number_of_draws_exceed():
    values = np.random.default_rng(1).permutation(np.arange(10_000.0))
    # the values that 100 and 2000 others exceed
    assert false_alarms._tail_quantile(values, 100) == 10_000 - 101
    assert false_alarms._tail_quantile(values, 2000.7) == 10_000 - 2001
    # beyond, as an exponential
    draws = -2 * np.log((np.arange(1_000_000) + 0.5) / 1_000_000)
    for wanted in (50, 1, 1e-3):
        expected = 2 * np.log(len(draws) / wanted)
        assert false_alarms._tail_quantile(draws, wanted) == pytest.approx(expected, rel=0.01)


def test_clean_values_as_they_are_drawn():
    excess = ExcessVariance(relative=0.1)
    noise = CleanNoise(np.array([9.0, 16.0]), np.array([1.0, 2.0]), np.array([True, False]), excess)
    drawn = noise.draw(100.0, 200_000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.values.mean(axis=1), [100, 200], atol=0.3)
    # photons, read noise and a tenth of the signal; the other has no photons
    np.testing.assert_allclose(drawn.values.var(axis=1), [100 + 9 + 100, 16 + 400], rtol=0.02)
    assert len(drawn) == 200_000
    np.testing.assert_allclose(drawn.variance[:, 0], [109, 416])
    np.testing.assert_array_equal(drawn.scales[:, 0], [1, 2])


@pytest.mark.parametrize(("lowest", "simulated"), [(-3.0, 5), (0.0, 5), (59.0, 4), (60.0, 3), (150.0, 3), (1e9, 1)])
def test_thresholds_are_simulated_from_the_lowest_signal_on(monkeypatch, lowest, simulated):
    monkeypatch.setattr(false_alarms, "DRAWS", 2_000)
    monkeypatch.setattr(false_alarms, "FEW", (0.0, 20.0, 60.0))
    noise = CleanNoise(np.array([9.0, 9.0]), np.ones(2), np.array([True, True]), ExcessVariance())
    drawn, draw = [], CleanNoise.draw
    monkeypatch.setattr(
        CleanNoise, "draw", lambda self, signal, *rest: drawn.append(signal) or draw(self, signal, *rest)
    )
    whole, part = (
        false_alarms.calibrated_threshold(1e-2, noise, Population(), 500.0, lowest=one) for one in (0.0, lowest)
    )
    assert drawn == [0, 20, 60, 180, 540, *[0, 20, 60, 180, 540][5 - simulated :]]
    signals = np.maximum([-3.0, 0.0, 10.0, 59.0, 60.0, 150.0, 540.0, 1e9], lowest)
    np.testing.assert_array_equal(part(signals), whole(signals))


def test_the_seed_of_the_threshold_decides_the_draws(monkeypatch):
    monkeypatch.setattr(false_alarms, "DRAWS", 5_000)
    monkeypatch.setattr(false_alarms, "FEW", (0.0, 60.0))
    noise = CleanNoise(np.array([9.0, 9.0]), np.ones(2), np.array([True, True]), ExcessVariance())
    population = Population()
    one, same, other = (
        false_alarms.calibrated_threshold(1e-2, noise, population, 50.0, seed=seed)(np.array([0.0, 60.0]))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    np.testing.assert_allclose(one, other, atol=0.8)
