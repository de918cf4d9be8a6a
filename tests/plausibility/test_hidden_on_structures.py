"""The warning that structures differ so much that hits on them are missed."""

import warnings
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.masks.codes import Code, exposure_name
from crstack.plausibility.hidden_on_structures import warn_of_hidden_on_structures

WORDS = "the exposures differ by about"
SHAPE, READNOISE = (120, 200), 4.0


def trace(depth):
    """A star of 30 000 electrons per column behind bands of absorption of some depth."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = np.random.default_rng(0).uniform(20, 180, 40)
    depths = sum(0.4 * np.exp(-0.5 * ((np.arange(SHAPE[1]) - at) / 1.3) ** 2) for at in places)
    return 40 + 9000 * np.exp(-0.5 * ((rows - 60 - 0.01 * columns) / 1.3) ** 2) * np.exp(-depth * depths)


def stack_of(expected):
    rng = np.random.default_rng(3)
    images = [rng.poisson(one) + rng.normal(0, READNOISE, SHAPE) for one in expected]
    return CRStack([CCDData(image, unit="electron") for image in images], readnoise=READNOISE * u.electron)


def sentences(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if WORDS in str(one.message)]


def planet(seed):
    """A disc with spots, which are elsewhere after it has turned."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    spots = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2)
    disc = 1 / (1 + np.exp(np.hypot(rows - 60, columns - 100) - 45))
    return 40 + 20_000 * disc * (1 + 0.1 * spots / spots.std()).clip(0.1)


def test_a_planet_that_turns():
    stack = stack_of([planet(seed) for seed in (1, 2, 3)])
    (text,) = sentences(stack.detect)
    assert "Hits fainter than about" in text
    assert "missed there" in text


def test_equal_exposures():
    assert sentences(stack_of([trace(1.0)] * 3).detect) == []


def excess(share, times, measured=True):
    """Masks whose excess variance is that many times the noise, squared, in the first columns."""
    variance = np.zeros(SHAPE, np.float32)
    variance[:, : round(share * SHAPE[1])] = times**2 * (100 + READNOISE**2)
    codes = {exposure_name(i): np.zeros(SHAPE, np.uint8) for i in range(3)}
    return SimpleNamespace(
        decision=SimpleNamespace(result=SimpleNamespace(excess_variance=variance, measured=measured)), codes=codes
    )


@pytest.mark.parametrize(
    ("share", "times", "words"),
    [(0.03, 5, "in 3.0% of the pixels.* about 5 times.* about 25 standard"), (0.01, 5, None), (0.5, 2, None)],
)
def test_share_and_size(share, times, words):
    stack = stack_of([np.full(SHAPE, 100.0)] * 3)
    call = lambda: warn_of_hidden_on_structures(excess(share, times), stack.exposures)  # noqa: E731
    if words is None:
        assert sentences(call) == []
    else:
        with pytest.warns(UserWarning, match=words):
            call()


def test_an_object_that_was_moved_has_its_own_warning():
    stack, masks = stack_of([np.full(SHAPE, 100.0)] * 3), excess(0.05, 5)
    masks.codes[exposure_name(1)][:, : SHAPE[1] // 10] = Code.MOVED
    assert sentences(lambda: warn_of_hidden_on_structures(masks, stack.exposures)) == []


def test_gains_and_bad_values():
    rng = np.random.default_rng(5)
    images = [rng.normal(50, np.sqrt(100 + READNOISE**2) / 2, SHAPE) for _ in range(2)]
    images[1][:, 100:] = np.nan
    ccds = [CCDData(image, unit="adu", mask=np.isnan(image)) for image in images]
    stack = CRStack(ccds, gain=2 * u.electron / u.adu, readnoise=READNOISE * u.electron)
    with pytest.warns(UserWarning, match=r"in 1[0-9]\.\d% of the pixels.* about 6 times"):
        warn_of_hidden_on_structures(excess(0.15, 6), stack.exposures)
    assert sentences(lambda: warn_of_hidden_on_structures(excess(0.15, 2.5), stack.exposures)) == []


def test_differences_that_are_switched_off():
    stack = stack_of([np.full(SHAPE, 100.0)] * 3)
    assert sentences(lambda: warn_of_hidden_on_structures(excess(0.5, 9, measured=None), stack.exposures)) == []


def test_methods_without_excess():
    stack = stack_of([np.full(SHAPE, 100.0)] * 3)
    for decision in (None, SimpleNamespace(result=None), SimpleNamespace()):
        assert (
            sentences(lambda one=decision: warn_of_hidden_on_structures(SimpleNamespace(decision=one), stack.exposures))
            == []
        )


@pytest.mark.parametrize(("share", "warned"), [(0.9, False), (0.1, True)])
def test_a_noise_that_is_known_to_be_wrong_explains_the_scatter_of_most_pixels(share, warned):
    """The sky was subtracted, and its photons are missing in the noise."""
    rng = np.random.default_rng(34)
    images = [CCDData(rng.poisson(300, SHAPE) - 300.0, unit="electron") for _ in range(3)]
    with pytest.warns(UserWarning, match="Was a sky subtracted"):
        stack = CRStack(images, readnoise=READNOISE * u.electron)
    assert stack.exposures.doubted
    call = lambda: warn_of_hidden_on_structures(excess(share, 5), stack.exposures)  # noqa: E731
    assert bool(sentences(call)) == warned
