"""Exposure times that are exchanged between two exposures: one warning has the cause."""

import warnings

import pytest
from support.stacks import stack_of

from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning


def taken(light, stated, scene="imaging", shape=(300, 300)):
    """Exposures with light in proportion to some times, whose headers state others."""
    factors = tuple(one / max(light) for one in light)
    simulated = make_stack(scene, shape=shape, hit_rate=0.01, seed=5, flux_factors=factors, n_exposures=len(light))
    for ccd, time in zip(simulated.exposures, stated, strict=True):
        ccd.header["EXPTIME"] = time
    return simulated


def messages(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    assert all(issubclass(one.category, CRStackWarning) for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("scene", ["imaging", "slit"])
@pytest.mark.parametrize(
    ("light", "stated", "pair"),
    [
        ((1000, 100, 1000), (1000, 1000, 100), "exposure 2 and exposure 3"),
        ((1000, 100), (100, 1000), "exposure 1 and exposure 2"),
        ((300, 300, 900, 900), (300, 900, 300, 900), "exposure 2 and exposure 3"),
    ],
)
def test_exchanged_times_are_named(scene, light, stated, pair):
    """The light of an exposure is that of the time of another one."""
    simulated = taken(light, stated, scene)
    texts = messages(lambda: stack_of(simulated))
    assert sum(f"Are the times of {pair} exchanged? Give exptime=, in the order" in one for one in texts) == 1
    assert not any("equal weights" in one or "write EXPTIME" in one for one in texts)


def test_wrong_times_explain_the_noise():
    """The noise was named as a second cause: understated by a factor of 3 to 1499. The fit gave a warning of NumPy."""
    stack = []
    simulated = taken((1000, 100, 1000), (1000, 1000, 100), "slit", (160, 180))
    texts = messages(lambda: stack.append(stack_of(simulated)))
    texts += messages(lambda: stack[0].detect())
    assert any("exchanged?" in one for one in texts)
    assert not any("noise is understated" in one or "invalid value" in one for one in texts)


@pytest.mark.parametrize(
    ("light", "stated"),
    [((300, 600, 900), (300, 600, 900)), ((300, 600, 200), (300, 600, 900)), ((60, 900, 600), (300, 900, 600))],
)
def test_clouds_do_not_exchange_times(light, stated):
    texts = messages(lambda: stack_of(taken(light, stated)))
    assert any("exposure times differ" in one for one in texts)
    assert not any("exchanged" in one for one in texts)
