"""Compact emission beside a trace in a slit, on a night on which the object dims while the sky brightens."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.equalize.fit.line_fits import line_orders
from crstack.equalize.fit.lines.lines import LineTerm
from crstack.equalize.fit.object_part import clear_light

#: what is tested comes before the decision
pytestmark = pytest.mark.usefixtures("quick_joint_in_module")

SHAPE, READNOISE = (240, 300), 4.5
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
#: throughput of the object, and brightness of the sky
THROUGHPUTS, SKIES = (1.0, 0.8, 0.6), (1.0, 1.3, 2.0)


def emission():
    """A trace, and 40 knots, electrons."""
    rng = np.random.default_rng(3)
    light = 250 * np.exp(-0.5 * ((Y - 130 - 0.02 * (X - 150)) / 1.3) ** 2)
    for _ in range(40):
        y, x, peak = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1]), rng.lognormal(5.0, 0.8)
        light += peak * np.exp(-0.5 * ((Y - y) ** 2 + (X - x) ** 2) / 1.1**2)
    return light


def sky():
    """A continuum, and 20 lines along the slit."""
    rng = np.random.default_rng(4)
    heights = zip(rng.uniform(0, SHAPE[1], 20), rng.lognormal(6.0, 1.0, 20), strict=True)
    return 80 + sum(height * np.exp(-0.5 * ((X - at) / 1.3) ** 2) for at, height in heights)


def exposures(seed, turned=False):
    """Expected exposures, hits, and exposures with noise."""
    rng = np.random.default_rng(seed)
    expected = np.array([one * emission() + other * sky() for one, other in zip(THROUGHPUTS, SKIES, strict=True)])
    hits = np.array([make_hits(SHAPE, 0.01, rng, "mixed") for _ in expected])
    cube = rng.poisson(expected) + hits + READNOISE * rng.standard_normal(expected.shape)
    return tuple(one.swapaxes(1, 2) if turned else one for one in (expected, hits, cube))


@pytest.mark.parametrize(("seed", "turned"), [(11, False), (12, True)])
def test_knots_that_dim_with_their_trace_are_not_hit(seed, turned):
    """The rows of a knot have little light, so that no throughput of their own is significant."""
    expected, hits, cube = exposures(seed, turned)
    stack = CRStack(list(cube), gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, unit="adu")
    masks = stack.detect()
    near = ndimage.binary_dilation(hits > 0, np.ones((1, 3, 3)))
    # 138 and 46 before, on the knots of the first exposure: the throughputs were those of the sky, or none
    assert np.count_nonzero(masks.crmasks & ~near) < 10
    strong = hits > 5 * np.sqrt(expected + READNOISE**2)
    assert np.count_nonzero(strong & masks.crmasks) > 0.985 * np.count_nonzero(strong)
    assert stack.joint_posterior().in_words()["response of the whole object"].startswith("measured from 0.8")


def test_the_response_of_a_whole_object_comes_from_its_clear_light():
    """Elsewhere, the common image has noise of the exposures, which correlates with theirs."""
    light, variance = np.float32([[20, 40], [5, -3]]), np.full((2, 2), np.float32(100))
    np.testing.assert_array_equal(clear_light(light, variance), [[0, 40], [0, 0]])
    term = LineTerm("x", "whole")
    assert (term.words, term.name) == ("response of the whole object", "response")


@pytest.mark.parametrize(("measures", "better"), [((1, 0, 0), False), ((1, 1, 0), True), ((0, 1, 1), True)])
def test_two_of_three_measures_compare_models_of_other_throughputs_of_two_exposures(monkeypatch, measures, better):
    """A brighter sky, or a dimmer object: with two exposures, the noise of each one alone preferred the first."""
    one, other = (SimpleNamespace(start=None, factors=np.array([1 - step, 1 + step])) for step in (0.0, 0.1))
    names = ("criterion", "criterion_by_own_noise", "criterion_at_own_level")
    for name, less in zip(names, measures, strict=True):
        monkeypatch.setattr(line_orders, name, lambda model, less=less: 5.0 - less * (model is one))
    assert line_orders._describes_more(one, other) == better
    # a decrease that is not large enough
    assert not line_orders._describes_more(one, other, by=1.0)


def test_the_weights_of_the_noise_compare_models_of_other_throughputs_or_starts(monkeypatch):
    """Other measures preferred throughputs of the sky in the one, and those of the object in the other."""
    near, far = (np.array([1.0, 1 + step, 1 - step]) for step in (0.0, 0.1))
    measures = ("criterion", "criterion_by_own_noise", "criterion_at_own_level")
    for start in (None, far):
        one, other = SimpleNamespace(start=start, factors=far), SimpleNamespace(start=None, factors=near)
        for name in measures:
            monkeypatch.setattr(line_orders, name, lambda model, one=one: 1.0 + (model is one))
        monkeypatch.setattr(line_orders, "criterion_by_own_weights", lambda model, one=one: 2.0 - (model is one))
        assert line_orders._describes_more(one, other)
        assert not line_orders._describes_more(one, other, by=1.0)
