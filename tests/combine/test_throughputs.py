"""Variance where the throughputs differ and values are left out: it is that of the value brought to the mean."""

import numpy as np
import pytest
from support.stacks import stack_of

from crstack import MaskSet
from crstack.datasets import make_stack

CLOUDS = {2: (1.0, 0.5), 3: (1.0, 1.0, 0.4)}


@pytest.fixture(scope="module", params=list(CLOUDS))
def cloudy(request):
    """A stack in which a cloud dims the last exposure, its masks, and the simulation."""
    factors = CLOUDS[request.param]
    simulated = make_stack("imaging", (300, 320), len(factors), flux_factors=factors, hit_rate=0.02, seed=71)
    stack = stack_of(simulated)
    return stack, stack.detect("joint"), simulated


def test_masks_have_the_throughputs(cloudy, tmp_path):
    stack, masks, simulated = cloudy
    factors = np.array(CLOUDS[len(simulated.exposures)])
    np.testing.assert_allclose(masks.throughputs, factors / factors.mean(), rtol=0.02)
    masks.write(tmp_path / "crmasks.fits")
    again = MaskSet.read(tmp_path / "crmasks.fits")
    assert again.throughputs == pytest.approx(masks.throughputs)
    one, other = (stack.combine("meanjoint", masks=some).uncertainty.array for some in (masks, again))
    # the file rounds probabilities to bytes, which changes the uncertain ones
    chance = masks.probability.astype(np.float32)
    certain = (np.abs(chance - np.rint(chance)) < 0.003).all(axis=0) & masks["MEANCRT"]
    assert certain.sum() > 500
    np.testing.assert_allclose(one[certain], other[certain], rtol=0.01)


@pytest.mark.parametrize("name", ["meanjoint", "meancr2"])
def test_pulls_where_one_exposure_is_hit(cloudy, name):
    stack, masks, simulated = cloudy
    n = len(simulated.exposures)
    expected = simulated.expected.mean(axis=0)
    made = stack.combine(name, masks=masks)
    pull = (made.data - expected) / np.sqrt(made.uncertainty.array)
    flagged = masks.crmasks
    for i in range(n):
        alone = flagged[i] & (flagged.sum(axis=0) == 1) & (simulated.hits[i] > 200)
        alone &= np.delete(simulated.hits, i, axis=0).sum(axis=0) == 0
        assert alone.sum() > 200
        # without the throughputs it is 0.72 and 1.45 for two exposures, 0.83 and 1.09 for three
        assert np.std(pull[alone]) == pytest.approx(1, abs=0.12), i
    assert np.std(pull[~flagged.any(axis=0)]) == pytest.approx(1, abs=0.03)


def test_equal_exposures_have_no_throughputs():
    stack = stack_of(make_stack("imaging", (80, 90), 3, seed=3))
    assert stack.detect("joint").throughputs == () or np.ptp(stack.masks.throughputs) < 0.02
