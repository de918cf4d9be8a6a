"""Warnings on a stated noise that the remaining values contradict."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from support.stacks import stack_of

from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.joint import ExcessVariance
from crstack.plausibility import implausibilities
from crstack.plausibility.noise import of_hidden_hits, of_noise, warn_of_understated_noise

SHAPE = (40, 50)
#: variance of a value of the exposures, in ADU squared: 100 / 2 + 2**2
STATED = 54.0


def exposures():
    """Three exposures of 100 ADU, with a gain of 2 electron/ADU and a read noise of 2 ADU."""
    rng = np.random.default_rng(3)
    images = [CCDData(100 + np.sqrt(STATED) * rng.standard_normal(SHAPE), unit="adu") for _ in range(3)]
    return load_exposures(images, gain=2 * u.electron / u.adu, readnoise=4 * u.electron)


def masks_of(excess):
    return SimpleNamespace(decision=SimpleNamespace(result=SimpleNamespace(excess=excess)))


@pytest.mark.parametrize("doubted", [False, True])
@pytest.mark.parametrize("ratio", [1.13, 1.17, 1.38, 1.42])
@pytest.mark.parametrize("kind", ["constant", "photons"])
def test_a_measured_noise_is_reported_above_15_per_cent_unless_reading_has_reported_it(ratio, kind, doubted):
    """Reading the exposures gives a warning from about 1.4 times on, such as the noise of an EMCCD."""
    more = (ratio**2 - 1) * STATED * 2**2  # electrons squared
    excess = ExcessVariance(constant=more) if kind == "constant" else ExcessVariance(photons=more / 200)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_understated_noise(masks_of(excess), replace(exposures(), doubted=doubted))
    if doubted or ratio < 1.15:
        assert not caught
        return
    (one,) = caught
    assert one.category is CRStackWarning
    assert f"understated by a factor of {ratio:.2f}" in str(one.message)


@pytest.mark.parametrize(("ratio", "contradicts"), [(0.45, True), (0.55, False), (1.9, False), (2.1, True)])
def test_a_scatter_of_less_than_half_or_more_than_twice_the_noise_is_not_plausible(ratio, contradicts):
    sample = SimpleNamespace(known_ratios=lambda: [ratio, ratio, 9.0], sigma=7.0, level=100.0)
    sentences = of_noise(exposures(), lambda: sample)
    assert len(sentences) == contradicts
    if contradicts:
        assert (
            f"scatter by {7 * ratio:.3g} adu at a level of 100 adu, where the noise as stated is 7 adu:" in sentences[0]
        )


def test_without_a_known_ratio_no_noise_is_doubted():
    assert of_noise(exposures(), lambda: SimpleNamespace(known_ratios=list, sigma=7.0, level=100.0)) == []


@pytest.mark.parametrize(("relative", "hides"), [(0.0, False), (0.2, False), (0.25, True)])
def test_a_scatter_of_the_light_that_exceeds_three_times_the_noise_at_the_usual_level_hides_hits(relative, hides):
    sentences = of_hidden_hits(masks_of(ExcessVariance(relative=relative)), exposures())
    assert len(sentences) == hides
    if hides:
        assert "scatter by 25 % of their light beyond the noise: by 25 adu at a level of 100 adu" in sentences[0]
        assert "give flux_factors=(1, 0.999, 0.999); for others" in sentences[0]


def test_hidden_hits_are_among_the_sentences_on_masks():
    """A fit that fails, as that of flat fields whose levels differ, made masks without hits in silence."""
    simulated = make_stack("imaging", shape=(60, 70), seed=4)
    stack = stack_of(simulated)
    masks = stack.detect()
    assert implausibilities(masks, stack.exposures, noise=False) == []
    result = replace(masks.decision.result, excess=ExcessVariance(relative=5.0))
    masks = replace(masks, decision=replace(masks.decision, result=result))
    (sentence,) = implausibilities(masks, stack.exposures, noise=False)
    assert "scatter by 5e+02 % of their light beyond the noise" in sentence


def test_bad_values_are_no_part_of_the_usual_level():
    loaded = exposures()
    bad = np.ones(loaded.data.shape, dtype=bool)
    bad[:, :5] = False
    data = np.where(bad, 1e4, loaded.data).astype(np.float32)
    loaded = replace(loaded, data=data, bad=bad)
    assert of_hidden_hits(masks_of(ExcessVariance(relative=0.2)), loaded) == []
