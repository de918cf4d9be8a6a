"""Error of the expected exposures on structures: how it begins."""

import numpy as np
import pytest

from crstack.equalize.variance.model_error import fit_model_error

SHARES = np.linspace(0, 0.02, 81)


def parts_of(n, seed):
    """Part of the squared signal for exposures (n) whose structures differ by each of the `SHARES` of the signal."""
    rng = np.random.default_rng(seed)
    signal = rng.uniform(1000, 10_000, 2000)
    noise = signal + 16
    features = np.stack([signal**2, 0 * signal, 0 * signal])
    flat = *ordered(rng.standard_normal((n, 5000))), np.ones(5000), np.zeros((3, 5000))
    draws = rng.standard_normal((n, 2000))
    structures = (ordered(draws * np.sqrt(noise + (share * signal) ** 2)) for share in SHARES)
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
