"""Hot and cold pixels of a scene that moves."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.plausibility.fixed_pixels import sentence_of_fixed_pixels

SHAPE = (140, 150)


def exposures_with(n_hot, n_cold, shifts=(0, 3, -3), shape=SHAPE):
    """Exposures (electron) of stars that move by some pixels, and of hot and cold pixels that do not."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices(shape)
    stars = rng.uniform(10, 130, (25, 2)), 10 ** rng.uniform(3.0, 4.5, 25)
    places = np.divmod(rng.choice(shape[0] * shape[1], n_hot + n_cold, replace=False), shape[1])
    hot, cold = (tuple(one[some] for one in places) for some in (slice(n_hot), slice(n_hot, None)))
    for shift in shifts:
        image = np.full(shape, 3000.0)
        for (y, x), peak in zip(*stars, strict=True):
            image += peak * np.exp(-((rows - y) ** 2 + (columns - x - shift) ** 2) / 3)
        image[hot] += 5000
        image[cold] *= 0.2
        yield CCDData(np.float32(rng.poisson(image) + rng.normal(0, 5, shape)), unit="electron")


def test_hot_and_cold_pixels_are_counted():
    loaded = load_exposures(list(exposures_with(60, 40)), readnoise=5 * u.electron)
    sentence = sentence_of_fixed_pixels(loaded)
    n_hot, n_cold = (int(sentence.split()[k]) for k in (0, 3))
    # of two beside each other, or in the core of a star, some are not seen
    assert 54 <= n_hot <= 61
    assert 34 <= n_cold <= 41
    assert f"({(n_hot + n_cold) / (SHAPE[0] * SHAPE[1]):.2%})" in sentence


def test_few_or_marked_pixels_give_no_sentence():
    assert sentence_of_fixed_pixels(load_exposures(list(exposures_with(5, 5)), readnoise=5 * u.electron)) is None
    loaded = load_exposures(list(exposures_with(60, 0)), readnoise=5 * u.electron)
    bad = np.zeros(loaded.data.shape, dtype=bool)
    bad[:] = loaded.data.min(axis=0) > 5500
    assert sentence_of_fixed_pixels(loaded) is not None
    assert sentence_of_fixed_pixels(replace(loaded, bad=bad)) is None


def test_the_part_that_was_examined_is_named(monkeypatch):
    monkeypatch.setattr("crstack.plausibility.fixed_pixels.SIDE", 120)
    loaded = load_exposures(list(exposures_with(60, 40)), readnoise=5 * u.electron)
    assert " of the central 120 x 120 pixels " in sentence_of_fixed_pixels(loaded)


def test_a_stack_warns_where_the_scene_moves():
    with pytest.warns(CRStackWarning, match=r"hot and \d+ cold pixels \(0\.\d\d%\) stay where they are"):
        CRStack(exposures_with(60, 40), readnoise=5 * u.electron).detect()


def test_a_stack_at_rest_does_not():
    """Warnings are errors in tests."""
    CRStack(exposures_with(60, 40, (0, 0, 0)), readnoise=5 * u.electron).detect()
