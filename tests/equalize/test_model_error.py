"""Error of the expected exposures on structures: how it begins."""

import numpy as np
import pytest

from crstack.equalize.variance.deviations import TAIL, deviations_squared, mean_square, tail_of_noise
from crstack.equalize.variance.model_error import fit_model_error

SHARES = np.linspace(0, 0.02, 81)


def parts_of(n, seed, shares=SHARES):
    """Part of the squared signal for exposures (n) whose structures differ by each of some shares of the signal."""
    rng = np.random.default_rng(seed)
    signal = rng.uniform(1000, 10_000, 2000)
    noise = signal + 16
    features = np.stack([signal**2, 0 * signal, 0 * signal])
    flat = *ordered(20 * rng.standard_normal((n, 5000))), np.full(5000, 400.0), np.zeros((3, 5000))
    draws = rng.standard_normal((n, 2000))
    structures = (ordered(draws * np.sqrt(noise + (share * signal) ** 2)) for share in shares)
    return np.array([fit_model_error(n, (*one, noise, features), flat).parts[0] for one in structures])


def ordered(values):
    return values.min(axis=0), np.median(values, axis=0), values.max(axis=0)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("seed", [7, 8])
def test_the_error_of_a_model_begins_at_0(n, seed):
    """A slightly larger deviation never makes the noise of all stars jump."""
    parts = parts_of(n, seed)
    assert parts[0] == 0
    # an error that counts completely from five standard errors on begins with 0.08 to 0.09
    assert np.diff(parts).max() < 0.06 * parts[-1]
    # one that is well measured is not smaller than the true one
    assert (parts[SHARES > 0.01] > SHARES[SHARES > 0.01] ** 2).all()


@pytest.mark.parametrize(("n", "quantile"), [(2, 3.84), (3, 3.0), (4, 2.7), (25, 1.7)])
def test_the_largest_deviations_of_noise(n, quantile):
    """For two values, the squared deviations are those of one normal value."""
    values = np.random.default_rng(5).standard_normal((n, 100_000))
    squares = deviations_squared(*ordered(values), n)
    assert squares.mean() == pytest.approx(1, rel=0.02)
    assert np.quantile(squares, TAIL) == pytest.approx(quantile, rel=0.03)
    assert tail_of_noise(n) == pytest.approx(quantile, rel=0.03)


@pytest.mark.parametrize(("n", "least"), [(2, 1.7), (3, 2.1), (5, 2.1)])
def test_few_places_that_differ_more_raise_the_error_of_all(n, least):
    """A fifth of the places differ by 9 per cent of the signal, and the others by 3 per cent."""
    share = np.where(np.random.default_rng(3).random(2000) < 0.2, 0.09, 0.03)
    (part,) = parts_of(n, 7, [share])
    # without the large deviations, it would be 1.5 to 1.85 times the error of most
    assert part > (least * 0.03) ** 2


@pytest.mark.parametrize(("n", "number"), [(2, 3000), (3, 3000), (3, 100)])
def test_the_least_error_of_a_change_is_not_above_what_the_deviations_exclude(n, number):
    """Exposures that differ by noise alone, with an expected change of half of the signal: 5 standard errors remain."""
    rng = np.random.default_rng(6)
    signal = rng.uniform(1000, 10_000, number)
    noise, change = signal + 16, (signal / 2) ** 2
    features = np.stack([signal**2, 0 * signal, 0 * signal, change, change, 0 * change])
    flat = *ordered(rng.standard_normal((n, 5000))), np.ones(5000), np.zeros((6, 5000))
    values = ordered(rng.standard_normal((n, number)) * np.sqrt(noise))
    error = fit_model_error(n, (*values, noise, features), flat)
    assert error.parts[0] == error.parts[3] == 0
    excluded = 1.5 * 5 * np.sqrt(2 / np.square(change / noise).sum())
    assert error.least[3] == pytest.approx(min(excluded, 0.1**2), rel=0.01)
    assert error.least[0] == pytest.approx(min(excluded / 4, 0.01**2), rel=0.01)
    # without measured changes there is no least error
    assert fit_model_error(n, (*values, noise, features[:3]), flat).least == (0.0,) * 6


def test_the_highest_values_are_trimmed_relative_to_what_is_expected():
    """A large deviation of a bright pixel is usual, and one of a faint pixel may be a hit."""
    lower, upper = np.array([100.0, 1.0, 1.0, 1.0]), np.array([90.0, 1.0, 12.0, 1.0])
    expected = np.array([100.0, 1.0, 1.0, 1.0])
    found = mean_square([lower, upper], expected=expected, trimmed=0.25)
    np.testing.assert_allclose(found, [95, 1, 1, 1])
