"""Traces that clouds dim, or that were nodded: the cause is named in place of trails and sources."""

import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData
from support.stacks import stack_of

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.not_hits.trails import Trail
from crstack.plausibility import sentence_of_traces

SHAPE, SMALL = (300, 400), (200, 260)
#: of one of the spectra of the scene
ALONG = Trail(1, 1.0, 104.0, 400.0, 105.5, 14.0, 5000)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """The whole fit of the population, in place of the few steps of the room, flags traces without light."""


def messages(stack):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack.detect()
    return [str(one.message) for one in caught]


def slit(light, sky, shape=SHAPE):
    return make_stack("slit", shape=shape, n_exposures=len(light), seed=5, flux_factors=light, sky_factors=sky)


def nodded(steps, seed=5, shape=SHAPE):
    """A target that moves along the slit, and a sky that does not."""
    simulated = make_stack("slit", shape=shape, n_exposures=len(steps), seed=seed)
    sky = np.median(simulated.expected[0], axis=0)
    target = simulated.expected[0] - sky
    rng = np.random.default_rng(seed)
    images = []
    for hits, step in zip(simulated.hits, steps, strict=True):
        light = np.maximum(sky + np.roll(target, step, axis=0), 0)
        images.append((rng.poisson(light) + rng.normal(0, 3.4, shape) + hits).astype(np.float32))
    return [CCDData(one, unit="adu") for one in images], {"gain": simulated.gain, "readnoise": simulated.readnoise}


@pytest.mark.parametrize(
    ("light", "sky", "shape", "words"),
    [
        ((1, 0.02), (1, 50), SMALL, "exposure 2 has 0.02"),
        ((0.02, 1, 1), (50, 1, 1), (140, 180), "exposure 1 has 0.02"),
    ],
)
def test_traces_that_clouds_dim_are_named(light, sky, shape, words):
    """They were straight trails, sources and a nod."""
    texts = messages(stack_of(slit(light, sky, shape)))
    assert any("traces are flagged, because exposures have unlike" in one and words in one for one in texts)
    assert not any("straight trails" in one or "shape of a source" in one or "nodded" in one for one in texts)


@pytest.mark.parametrize(("steps", "exposures", "shape"), [((0, 40), (2,), SMALL), ((40, 0, 0), (2, 3), (260, 320))])
def test_a_nod_beside_sky_lines_is_named(steps, exposures, shape):
    images, noise = nodded(steps, shape=shape)
    texts = messages(CRStack(images, **noise))
    step = steps[exposures[0] - 1] - steps[0]
    moved = ", ".join(f"exposure {i} by {step:+d} pixels along y" for i in exposures)
    found = f"traces lie at another place than in exposure 1: {moved}. Was the target nodded"
    (text,) = (one for one in texts if found in one)
    assert "In images of a field, an extended object such as a comet moves: mask it in each exposure" in text
    assert not any("straight trails" in one or "shape of a source" in one for one in texts)


def loaded(simulated, trail=0.0):
    """Exposures, of which the first may hold a satellite, along the trace of a spectrum."""
    images = [one.data.copy() for one in simulated.exposures]
    rows, columns = np.indices(images[0].shape)
    images[0][np.abs(rows - 104 - 1.5 * columns / 400) < 6] += trail
    ccds = [CCDData(one, unit="adu") for one in images]
    return load_exposures(ccds, gain=simulated.gain, readnoise=simulated.readnoise)


@pytest.mark.parametrize("scene", ["imaging", "slit"])
@pytest.mark.parametrize("light", [40.0, 600.0])
def test_a_satellite_is_no_trace(scene, light):
    """One along the trace of a spectrum changed the level beside it, as if the trace had moved."""
    exposures = loaded(make_stack(scene, shape=SHAPE, seed=3, flux_factors=(1, 1, 1)), light)
    assert sentence_of_traces([ALONG], 0, exposures) is None


def test_traces_of_all_exposures_are_no_cause():
    exposures = loaded(slit((1, 0.9, 0.95), (1, 1, 1)))
    assert sentence_of_traces([ALONG], 5, exposures) is None


def test_a_measured_shift_is_no_nod():
    images, noise = nodded((0, 12))
    exposures = load_exposures(images, **noise)
    assert "by +12 pixels along y" in sentence_of_traces([], 5, exposures)
    assert sentence_of_traces([], 5, exposures, shifts=[(0.0, 0.0), (0.1, 12.2)]) is None
    assert sentence_of_traces([], 0, exposures) is None


def test_a_shift_that_is_given_is_no_nod():
    """Only measured shifts were compared, so that given offsets looked like a nod."""
    images, noise = nodded((0, 12))
    texts = messages(CRStack(images, **noise, offsets=[(0.0, 0.0), (0.0, 12.0)], differences=None))
    assert any("shape of a source" in one for one in texts)
    assert not any("lie at another place" in one for one in texts)


@pytest.mark.parametrize(("bad", "named"), [(np.s_[:, 100:120], True), (np.s_[80:130, :], False)])
def test_bad_values_over_the_width_of_a_trace(bad, named):
    """Columns without any value, or a whole trace: NumPy warned of the mean of an empty slice."""
    simulated = slit((1, 0.02, 1), (1, 1, 1))
    for one in simulated.exposures[1:]:
        one.mask = np.zeros(SHAPE, bool)
    simulated.exposures[1].mask[bad] = True
    with pytest.warns(CRStackWarning, match="of their light: it is of the same field"):
        exposures = load_exposures(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sentence_of_traces([ALONG], 0, exposures)
    assert (found is not None and "exposure 2 has 0.0" in found) == named
