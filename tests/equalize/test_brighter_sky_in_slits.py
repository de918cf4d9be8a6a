"""Long slits whose sky brightens while the object dims, with lines that are curved or move with flexure."""

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.misfit import criterion_by_own_noise, criterion_by_own_weights
from crstack.equalize.terms.steps import _least_rest

SHAPE, READNOISE = (360, 400), 4.5
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
THROUGHPUTS, BRIGHTER, EQUAL = (1.0, 0.8, 0.9), (1.0, 1.5, 2.0), (1.0, 1.0, 1.0)


def trace(dx, dy):
    """A trace with absorption lines, electrons, shifted by (dx, dy) pixels."""
    rng, x = np.random.default_rng(3), X - dx
    spectrum = 900 * (1 + 0.3 * np.sin(x / 60))
    for at in rng.uniform(0, SHAPE[1], 8):
        spectrum *= 1 - 0.5 * np.exp(-0.5 * ((x - at) / 2.5) ** 2)
    return spectrum * np.exp(-0.5 * ((Y - 198 - 0.03 * (x - 200) - dy) / 1.3) ** 2)


def sky(dx, curve):
    """A continuum and 60 lines along the slit, electrons; at its ends, they are further along x by ``curve`` pixels."""
    rng = np.random.default_rng(4)
    x = X - dx + curve * (2 * Y / SHAPE[0] - 1) ** 2
    heights = zip(rng.uniform(0, SHAPE[1], 60), rng.lognormal(6.0, 1.2, 60), strict=True)
    return 80 + sum(height * np.exp(-0.5 * ((x - at) / 1.3) ** 2) for at, height in heights)


def exposures(curve, flexure, brightness, seed):
    """Expected exposures, hits, and exposures with noise."""
    rng = np.random.default_rng(seed)
    shifts = ((0.0, 0.0), (flexure, 0.3), (-flexure, -0.4))
    expected = np.array(
        [
            throughput * trace(*shift) + one * sky(shift[0], curve)
            for throughput, one, shift in zip(THROUGHPUTS, brightness, shifts, strict=True)
        ]
    )
    hits = np.array([make_hits(SHAPE, 0.01, rng, "mixed") for _ in expected])
    return expected, hits, rng.poisson(expected) + hits + READNOISE * rng.standard_normal(expected.shape)


@pytest.mark.parametrize(("flexure", "brightness"), [(0.0, BRIGHTER), (0.4, EQUAL)])
def test_throughputs_are_those_of_the_object(flexure, brightness):
    """The lines of the sky dominate, so that its brightness looks like a throughput, with which the object is hit."""
    expected, hits, cube = exposures(15, flexure, brightness, seed=21)
    masks = CRStack(list(cube), gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, unit="adu").detect()
    near = ndimage.binary_dilation(hits > 0, np.ones((1, 3, 3)))
    strong = hits > 5 * np.sqrt(expected + READNOISE**2)
    # 82 values of the trace where one order of the terms of the sky is left out
    assert np.count_nonzero(masks.crmasks & ~near) < 6
    assert np.count_nonzero(strong & masks.crmasks) > 0.99 * np.count_nonzero(strong)


def test_shifts_that_differ_by_less_than_a_pixel_need_no_step():
    """Rows enter with a step, and lines of the sky stay: both cost more than a kernel that shifts farther."""
    assert not _least_rest(np.array([-0.38, 0.0, -0.83])).any()
    # here, a step leaves hardly anything
    np.testing.assert_array_equal(_least_rest(np.array([0.0, 0.05, 0.95])), [0, 0, 1])
    np.testing.assert_array_equal(_least_rest(np.array([0.0, 0.5, 1.1])), [0, 0, 1])


def test_the_criterion_with_own_weights_does_not_depend_on_what_is_added():
    """Where a level is added, the noise of the exposures differs, and their plain mean is not the best common image."""
    rng, levels = np.random.default_rng(5), np.array([100.0, 1000.0, 3000.0])
    cube = np.float32(rng.normal(levels[:, None, None], np.sqrt(levels + 20)[:, None, None], (3, 80, 90)))
    model = ExpectedExposures(cube, lambda signal: np.maximum(signal, 0) + np.float32(20), None, {"backgrounds"})
    # N - 1 for each pixel, less the values that are limited because they look hit
    assert criterion_by_own_weights(model) == pytest.approx(2 * 80 * 90, rel=0.03)
    assert criterion_by_own_noise(model) > 1.05 * criterion_by_own_weights(model)
