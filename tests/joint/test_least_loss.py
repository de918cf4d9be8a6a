"""The mask with the least expected error, against the sum over all sets of hit values."""

import itertools

import numpy as np
import pytest

from crstack import JointPosterior
from crstack.joint import Counts, joint_posterior
from crstack.joint.least_loss import least_loss


def posterior_of_sets(values, rate, mean_charge):
    """Weight of each set of clean values, and the mean and variance of the signal given it.

    The noise is 1, charges are exponential and much larger than the noise, the prior of the signal is even.
    """
    n, found = len(values), []
    for size in range(1, n + 1):
        for clean in itertools.combinations(range(n), size):
            kept = values[list(clean)]
            mean = kept.mean()
            evidence = np.exp(-0.5 * np.sum((kept - mean) ** 2)) / np.sqrt(size * (2 * np.pi) ** (size - 1))
            charges = [values[i] - mean for i in range(n) if i not in clean]
            if min(charges, default=1) <= 0:
                continue
            hits = np.prod([rate * np.exp(-one / mean_charge) / mean_charge for one in charges])
            found.append((clean, evidence * hits * (1 - rate) ** size, mean, 1 / size))
    total = sum(weight for _, weight, *_ in found)
    return [(clean, weight / total, mean, variance) for clean, weight, mean, variance in found]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_no_other_set_has_a_lower_expected_error(n):
    rng = np.random.default_rng(n)
    errors = []
    for _ in range(400):
        values = rng.standard_normal(n)
        values[0] += rng.uniform(0, 8)
        sets = posterior_of_sets(values, 0.05, 10.0)
        probability = np.array([sum(weight for clean, weight, *_ in sets if i not in clean) for i in range(n)])
        mask = least_loss(probability)

        def loss(kept, values=values, sets=sets):
            mean = values[list(kept)].mean()
            return sum(weight * (variance + (mean - one) ** 2) for _, weight, one, variance in sets)

        # values in the order of their probability: masks that leave out the most probable hits
        order = probability.argsort()
        best = min(loss(order[:size]) for size in range(1, n + 1))
        errors.append((loss(np.flatnonzero(~mask)), best, loss(range(n))))
    ours, best, all_kept = np.sum(errors, axis=0)
    # the probabilities of several doubtful values depend on each other: the set need not be the very best
    assert ours < 1.02 * best
    assert ours < 0.8 * all_kept


def test_the_default_masks_what_is_more_probably_hit():
    """Its mean has a lower squared error than means with a stricter and a looser mask."""
    rng = np.random.default_rng(12)
    clean = rng.normal(100, 10, (3, 300, 300)).astype(np.float32)
    hit = rng.random(clean.shape) < 0.02
    cube = clean + np.where(hit, rng.uniform(0, 80, clean.shape), 0).astype(np.float32)
    counts = Counts(cube, np.float32(100), poisson=(False,) * 3)
    default = joint_posterior(counts, JointPosterior(excess=False))
    np.testing.assert_array_equal(default.mask, default.probability > 0.5)
    named = joint_posterior(counts, JointPosterior(excess=False, mask="loss"))
    np.testing.assert_array_equal(named.mask, default.mask)

    def error(mask):
        kept = np.maximum((~mask).sum(axis=0), 1)
        return np.square(np.where(mask, 0, cube).sum(axis=0) / kept - 100)[~mask.all(axis=0)].mean()

    best = error(default.mask)
    for other in (0.02, 0.9):  # between them, the error changes by less than a per cent
        assert error(default.probability > other) > best
