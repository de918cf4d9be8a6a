"""The mask with the least expected error, against sums over all sets of kept values."""

import itertools

import numpy as np
import pytest

from crstack import JointPosterior
from crstack.joint import Counts, joint_posterior
from crstack.joint.least_loss import LEAST_DOUBT, least_loss


def loss(kept, probability, charge, variance):
    """Expected squared error of the mean of the kept values."""
    p, q, v = (one[list(kept)] for one in (probability, charge, variance))
    left = p * q
    return (v.sum() + (p * q**2).sum() + left.sum() ** 2 - (left**2).sum()) / len(kept) ** 2


def mask_of(probability, charge, variance=(1.0, 1.0, 1.0)):
    columns = (np.array(one, float)[:, None] for one in (probability, charge, variance))
    return least_loss(*columns)[:, 0].tolist()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_no_other_set_has_a_lower_loss(n):
    rng = np.random.default_rng(n)
    probability = rng.uniform(LEAST_DOUBT, 0.5, (n, 300))
    charge, variance = rng.exponential(4, (n, 300)), np.broadcast_to(rng.uniform(0.5, 2, 300), (n, 300))
    mask = least_loss(probability, charge, variance)
    assert 0.2 < mask.mean() < 0.9
    sets = [kept for size in range(1, n + 1) for kept in itertools.combinations(range(n), size)]
    for pixel in range(300):
        column = probability[:, pixel], charge[:, pixel], variance[:, pixel]
        best = min(loss(kept, *column) for kept in sets)
        # sets are tried in the order of what each value costs, which need not hold the very best of them
        assert loss(np.flatnonzero(~mask[:, pixel]), *column) <= 1.05 * best


def test_charge_noise_and_probability_decide_together():
    # three exposures: p (q / sigma)^2 > 1.5
    assert mask_of([0.3, 0, 0], [2.3, 0, 0]) == [True, False, False]
    assert mask_of([0.3, 0, 0], [2.2, 0, 0]) == [False, False, False]
    assert mask_of([0.3, 0, 0], [2.3, 0, 0], [2.0, 2.0, 2.0]) == [False, False, False]
    # five exposures: p (q / sigma)^2 > 1.25
    five = [1.0] * 5
    assert mask_of([0.3, 0, 0, 0, 0], [2.1, 0, 0, 0, 0], five)[0]
    assert not mask_of([0.3, 0, 0, 0, 0], [2.0, 0, 0, 0, 0], five)[0]


def test_sure_hits_are_masked_and_improbable_ones_are_not():
    assert mask_of([0.6, 0, 0], [0.1, 0, 0]) == [True, False, False]
    assert mask_of([0.19, 0, 0], [300, 0, 0]) == [False, False, False]
    assert mask_of([0.9, 0.9, 0.9], [30, 40, 50]) == [True, True, True]
    assert mask_of([0.4, 0.4, 0.4], [8, 8, 8]).count(False) >= 1


def test_the_default_masks_doubtful_hits_that_are_bright():
    """Single hits of 5 to 8 standard deviations: fewer are left than with a probability of one half."""
    rng = np.random.default_rng(12)
    cube = rng.normal(100, 10, (3, 300, 300)).astype(np.float32)
    hit = rng.random(cube.shape) < 0.005
    cube[hit] += rng.uniform(30, 80, hit.sum())
    counts = Counts(cube, np.float32(100), poisson=(False,) * 3)
    default = joint_posterior(counts, JointPosterior(excess=False))
    half = joint_posterior(counts, JointPosterior(excess=False, probability=0.5))
    np.testing.assert_array_equal(default.probability, half.probability)
    assert not (half.mask & ~default.mask).any()
    missed = [(hit & ~one.mask).sum() for one in (default, half)]
    assert missed[0] < 0.9 * missed[1]
    assert (default.probability[default.mask] >= LEAST_DOUBT).all()
