"""A star on a slit whose light changes along the spectrum, as behind water vapour that changes with the airmass."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.equalize.fit.lines.lines import LineTerm, lines_gain
from crstack.equalize.fit.object_part import at_other_places, change_of_object, has_trace, without_sky

SHAPE, READNOISE, SKY = (120, 200), 4.0, 40.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
ROW = 75 + 0.01 * (X - 100)
OBJECT = LineTerm("y", "object")


def depth_of_bands():
    """Optical depth (nx,) of many narrow lines in a band."""
    rng = np.random.default_rng(3)
    lines = zip(rng.uniform(70, 140, 30), rng.uniform(0.05, 0.6, 30), strict=True)
    return sum(depth * np.exp(-0.5 * ((np.arange(SHAPE[1]) - at) / 1.3) ** 2) for at, depth in lines)


def star_on_slit(airmass, flux=3e4, fwhm=3.0):
    sigma = fwhm / 2.355
    profile = np.exp(-0.5 * ((Y - ROW) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    return flux * np.exp(-airmass * depth_of_bands()) * profile


def exposures(airmasses, seed, population="cosmic"):
    """Expected exposures, hits, and exposures with noise."""
    rng = np.random.default_rng(seed)
    expected = np.array([star_on_slit(one) + SKY for one in airmasses])
    hits = np.array([make_hits(SHAPE, 0.01, rng, population) for _ in airmasses])
    return expected, hits, rng.poisson(expected) + hits + READNOISE * rng.standard_normal(expected.shape)


def stack_of(cube):
    return CRStack(list(cube), gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, unit="adu")


@pytest.mark.parametrize("airmasses", [(1.0, 1.6), (1.0, 1.25, 1.6)])
def test_absorption_that_changes_is_measured(airmasses):
    """Without this, the whole trace had a variance of up to 100 times its noise, in silence."""
    expected, hits, cube = exposures(airmasses, 11)
    stack = stack_of(cube)
    masks = stack.detect()
    near = ndimage.binary_dilation(hits > 0, np.ones((1, 3, 3)))
    on_trace = np.abs(Y - ROW) < 4
    sigma = np.sqrt(expected + READNOISE**2)
    # 0 to 35 before, and 9 of 10 hits of the trace were missed
    assert np.count_nonzero(masks.crmasks & ~near) < 3
    strong = (hits > 7 * sigma) & on_trace
    assert np.count_nonzero(strong) > 15
    assert np.count_nonzero(strong & masks.crmasks) > 0.8 * np.count_nonzero(strong)
    deviation = (stack.combine("meanjoint").data - expected.mean(axis=0)) / np.sqrt((sigma**2).sum(axis=0))
    scatter = (deviation * len(cube))[on_trace & ~near.any(axis=0)]
    assert abs(np.median(scatter)) < 0.15
    assert stack.joint_posterior().in_words()["response of the object in each column"].startswith("measured from 0.")


@pytest.mark.parametrize("setting", ["object", "response"])
def test_tracks_across_a_trace_are_no_response(setting):
    """The column of a track is as bright as by a response, in both halves of its pixels."""
    rng = np.random.default_rng(17)
    # the middle of the column is that of the trace
    light = np.roll(star_on_slit(0.0), -15, axis=0).astype(np.float32)
    variance = light + np.float32(SKY + READNOISE**2)
    noise = (rng.normal(size=(3, *SHAPE)) * np.sqrt(variance)).astype(np.float32)
    term = LineTerm("y", setting)
    columns = rng.permutation(SHAPE[1])
    for number, found in ((8, False), (60, True)):
        left = noise.copy()
        for column in columns[:number]:
            left[rng.integers(3), :, column] += 0.2 * light[:, column]
        gain, _ = lines_gain(*term.arrays(left, light, variance), SHAPE[0])
        # the least that adds a term
        assert (gain > 100) == found


def test_hits_on_a_trace_change_its_response_little():
    """The change is the same in the whole profile. A hit is higher in a few pixels only."""
    light = np.float32(star_on_slit(0.0))
    variance = np.float32(light + SKY + READNOISE**2)
    rng = np.random.default_rng(6)
    true = 0.2 * np.sin(np.arange(SHAPE[1]) / 3)
    left = np.float32(true * light + np.sqrt(variance) * rng.standard_normal(SHAPE))
    left[73:76, 50:53] += 4000
    found = change_of_object(left, light, variance, "y")
    share = (found * light).sum(axis=0) / (light**2).sum(axis=0)
    # 0.4 and more with the hits
    np.testing.assert_allclose(share, true, atol=0.15)
    transposed = change_of_object(left.T, light.T, variance.T, "x")
    np.testing.assert_array_equal(transposed.T, found)


def test_one_share_of_each_column_comes_from_every_other_pixel():
    """The trace lies in one half of the column, which would leave nothing to test it with."""
    light = np.float32(star_on_slit(0.0))
    variance = np.float32(light + SKY + READNOISE**2)
    rng = np.random.default_rng(7)
    true = 0.2 * np.sin(np.arange(SHAPE[1]) / 3) * np.array([1.0, 0.0, -1.0])[:, None]
    left = np.float32(true[:, None] * light + np.sqrt(variance) * rng.standard_normal((3, *SHAPE)))
    share, freedom = OBJECT.fit(left, light, variance)
    # one number for each column
    np.testing.assert_array_equal(share, np.broadcast_to(share[:, :1], share.shape))
    np.testing.assert_allclose(share[:, 0], true, atol=0.06)
    assert 0.5 * SHAPE[1] < freedom < 2 * SHAPE[1]
    gain, along = lines_gain(*OBJECT.arrays(left, light, variance), SHAPE[0])
    assert gain == along > 1000
    assert OBJECT.words == "response of the object in each column"
    assert OBJECT.name == "response"


def test_the_object_is_a_trace():
    variance = np.full(SHAPE, np.float32(60))
    trace = star_on_slit(1.0) + SKY
    assert has_trace(trace, variance, "x")
    assert has_trace(trace.T, variance.T, "y")
    assert not has_trace(trace, variance, "y")
    rng = np.random.default_rng(8)
    stars = np.full(SHAPE, SKY)
    stars[rng.integers(0, SHAPE[0], 40), rng.integers(0, SHAPE[1], 40)] += 10 ** rng.uniform(3, 5, 40)
    stars = ndimage.gaussian_filter(stars, 1.3) + rng.normal(0, 3, SHAPE)
    assert not any(has_trace(stars, variance, axis) for axis in "xy")
    # the sky along the slit is no object
    lines = SKY + 500 * np.exp(-0.5 * ((X - 70) / 2) ** 2) + 0 * Y
    np.testing.assert_allclose(without_sky(lines, "y"), 0, atol=1e-3)


def test_an_object_that_changes_along_its_trace_was_not_moved():
    light = np.float32(star_on_slit(0.0))
    share = np.float32(0.5 * np.sin(np.arange(SHAPE[1]) / 9))
    gains = np.stack([share * np.ones(SHAPE, np.float32), -share * np.ones(SHAPE, np.float32)])
    # the sky does not change with the object
    part = light / (light + np.float32(SKY))
    gains *= part
    model = SimpleNamespace(gains=gains, brightness=light, lines=[OBJECT], common=lambda _: light + np.float32(SKY))
    assert not at_other_places(model)
    model.lines = [LineTerm("y", "response")]
    assert at_other_places(model)
    # light that is missing in some rows of the trace, and is found in others
    model.lines = [OBJECT]
    model.gains = gains + np.float32(0.6) * np.sign(np.float32(Y - 75)) * part
    assert at_other_places(model)
