"""Fibres a few pixels apart: the light of each object changes, and that of the sky changes otherwise."""

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.equalize.fit.line_fits.line_rounds import sky_first
from crstack.equalize.fit.lines.lines import LineTerm

SHAPE, PITCH, READNOISE = (200, 400), 5, 4.0
SKIES = (1.0, 1.1, 0.95)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def lines_of(rng, n, width, scale):
    """A spectrum (nx,) of lines of unlike heights."""
    places, heights = rng.uniform(0, SHAPE[1], n), np.minimum(scale * rng.lognormal(0, 1.3, n), 10 * scale)
    return (heights[:, None] * np.exp(-0.5 * ((X[0] - places[:, None]) / width) ** 2)).sum(axis=0)


def exposures_of(n, seed):
    """Expected exposures: all objects have the same absorption lines, and the sky its emission lines in all fibres."""
    rng, n_fibres = np.random.default_rng(seed), SHAPE[0] // PITCH
    objects, changes = rng.lognormal(4, 1.2, n_fibres), 1 + rng.normal(0, 0.1, (n, n_fibres))
    sky, spectrum = lines_of(rng, 20, 1.3, 150.0), 1 - 0.5 * np.clip(lines_of(rng, 16, 1.6, 0.3), 0, 1.5)
    expected = np.full((n, *SHAPE), 5.0)
    for k, light in enumerate(objects):
        centre = (k + 0.5) * PITCH + 1.5 * (X / SHAPE[1] - 0.5) ** 2
        profile = np.exp(-0.5 * ((Y - centre) / 1.1) ** 2)
        for one, brightness, change in zip(expected, SKIES, changes[:, k], strict=False):
            one += profile * (20 + brightness * sky + light * change * np.maximum(spectrum, 0.05))
    return expected


@pytest.mark.parametrize(("n", "seed"), [(2, 1), (3, 3)])
def test_absorption_lines_that_all_fibres_share_are_not_flagged(n, seed):
    expected, rng = exposures_of(n, seed), np.random.default_rng([seed, n])
    hits = np.stack([make_hits(SHAPE, 0.008, rng, "cosmic") for _ in expected])
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape) + hits
    stack = CRStack(list(cube) * u.electron, readnoise=READNOISE * u.electron)
    masks = stack.detect("joint")
    flagged = np.asarray(masks.crmasks)
    false = flagged & ~ndimage.binary_dilation(hits > 0, np.ones((1, 3, 3)))
    strong = hits > 5 * np.sqrt(expected + READNOISE**2)
    assert false.sum() <= 5
    assert flagged[strong].mean() > 0.99


def test_the_sky_comes_before_its_level():
    sky, level, other, response = (
        LineTerm(*one) for one in (("x", "sky"), ("x", "backgrounds"), ("y", "backgrounds"), ("x", "response"))
    )
    assert sky_first([level, sky, other, response, level]) == [sky, level, other, response, level]
    for lines in ([sky, level, other], [level, other, response, response], []):
        assert sky_first(lines) == lines
