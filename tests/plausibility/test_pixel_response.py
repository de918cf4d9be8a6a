"""Exposures that were not divided by a flat field, and whose levels differ."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.plausibility.pixel_response import of_pixel_response

SHAPE = (120, 130)
LEVELS = (30000, 19000, 8000, 4000)


def exposures_of(levels, response=0.015):
    """Exposures (electron) of some levels, on pixels whose response scatters."""
    rng = np.random.default_rng(6)
    pixels = 1 + response * rng.standard_normal(SHAPE)
    for level in levels:
        values = rng.poisson(level * pixels) + rng.normal(0, 4, SHAPE)
        yield CCDData(np.float32(values), unit="electron")


def sentences_of(levels, throughputs=(), **pixels):
    loaded = load_exposures(list(exposures_of(levels, **pixels)), readnoise=4 * u.electron)
    return of_pixel_response(SimpleNamespace(n_exposures=len(levels), throughputs=throughputs), loaded)


def test_the_response_of_the_pixels_is_measured():
    (sentence,) = sentences_of(LEVELS)
    assert "response by 1.4%, and the levels of the exposures by a factor of 7.5, but the throughputs by 1." in sentence
    # 1.4 per cent of 4000 - 15250, over the noise of 63
    assert "up to 2.5 standard deviations of exposure 4" in sentence
    assert sentence.endswith("give flux_factors=(1.97, 1.25, 0.525, 0.262)")


@pytest.mark.parametrize(
    ("levels", "settings"),
    [
        (LEVELS, {"throughputs": tuple(one / 15250 for one in LEVELS)}),
        (LEVELS, {"response": 0.0}),
        ((20000, 20000, 21000), {}),
        ((300, 200), {}),
        # 1.5 per cent of a difference of 800 is far below the noise
        ((4800, 4000), {}),
    ],
)
def test_no_sentence_where_the_rest_is_below_the_noise(levels, settings):
    assert sentences_of(levels, **settings) == []


def test_bad_values_do_not_count():
    images = list(exposures_of(LEVELS))
    for image in images:
        image.mask = np.ones(SHAPE, dtype=bool)
        image.mask[:, :60] = False
        image.data[:, 60:] = 0
    loaded = load_exposures(images, readnoise=4 * u.electron)
    (sentence,) = of_pixel_response(SimpleNamespace(n_exposures=4, throughputs=()), loaded)
    assert "response by 1.4%" in sentence


def test_a_stack_warns_of_flat_fields():
    with pytest.warns(CRStackWarning, match="Divide by a flat field"):
        CRStack(exposures_of((30000, 19500, 12700, 8200, 5400)), readnoise=4 * u.electron).detect()
