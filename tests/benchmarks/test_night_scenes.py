"""The scenes of a night: what differs between the exposures, and what does not."""

from types import SimpleNamespace

import numpy as np
import pytest

import crstack


def test_clouds_dim_the_stars_and_not_the_sky(module):
    fields = module("_night_fields")
    night = fields.imaging("", (200, 240), 3, 4, clouds=(0, 0.2, 0.38))
    clear = fields.imaging("", (200, 240), 3, 4)
    np.testing.assert_array_equal(night.expected[0], clear.expected[0])
    stars = clear.expected[0] - 100
    bright = stars > 20
    through = (night.expected - 100)[:, bright] / stars[bright]
    assert through[0].min() > 0.999
    assert 0.73 < through[1].min() < 0.77 < 0.83 < through[1].max() < 0.87
    assert 0.5 < through[2].min() < 0.52 < 0.7 < through[2].max() < 0.74
    dark = stars < 0.01
    assert np.abs(night.expected[:, dark] - 100).max() < 0.02


def test_clouds_change_smoothly_over_the_field(module):
    through = module("_night_fields")._through_cloud((200, 240), 0.38, np.random.default_rng(2))
    assert np.ptp(through) > 0.2
    # a wave as long as the field, of 0.114 in each direction
    assert max(np.abs(np.diff(through, axis=axis)).max() for axis in (0, 1)) < 0.114 * 2 * np.pi / 240 * 1.01


def test_knots_dim_with_their_object_while_the_sky_brightens(module):
    slits = module("_night_slits")
    settings = {"sky": (1, 1.3, 2.0), "clouds": (0, 0.2, 0.4)}
    with_knots, without = (slits.slit("", (240, 300), 3, 2, **settings, knots=knots) for knots in (550, 0))
    light = with_knots.expected - without.expected
    knots = light[0] > 20
    assert 200 < np.count_nonzero(knots) < 3000
    np.testing.assert_allclose(light[1][knots], 0.8 * light[0][knots], rtol=1e-3)
    np.testing.assert_allclose(light[2][knots], 0.6 * light[0][knots], rtol=1e-3)
    # the lines of a region stand at other columns and have other ratios than those of the next
    rows = [light[0][row] / light[0][row].max() for row in np.argsort(light[0].max(axis=1))[::-12][:3]]
    assert np.abs(rows[0] - rows[1]).max() > 0.3
    levels = np.median(with_knots.expected, axis=(1, 2))
    assert levels[2] > 1.2 * levels[0]


def test_telluric_bands_change_the_object_alone(module):
    slits = module("_night_slits")
    night, clear = (slits.slit("", (200, 300), 3, 3, airmass=airmass) for airmass in ((1, 1.25, 1.6), (0,)))
    trace = clear.expected[0] - np.median(clear.expected[0], axis=0) > 500
    share = night.expected / clear.expected
    between_traces = [5, 85, 130, 190]
    np.testing.assert_allclose(share[:, between_traces], 1, rtol=1e-3)
    columns = np.arange(300) / 300
    bands = (columns > 0.18) & (columns < 0.37) | (columns > 0.58) & (columns < 0.77)
    np.testing.assert_allclose(share[:, trace & ~bands], 1, rtol=1e-3)
    inside = share[:, trace & bands]
    assert inside.min() < 0.5
    assert np.all(np.diff(inside, axis=0) < 1e-6)


def test_hot_pixels_of_a_night_stay(module):
    night = module("_night_scenes").night_of("hot pixels", (120, 130), 3, 1)
    scene = module("_night_scenes").imaging("", (120, 130), 3, 1, fwhm=(1.9, 2.0, 1.9), flux=(1, 0.95, 0.86))
    hot = night.expected.min(axis=0) > 300 + scene.expected.max(axis=0)
    assert 5 < hot.sum() < 60
    assert np.ptp(night.expected[:, hot], axis=0).max() < 100


def test_dithers_of_a_night_are_compared_with_the_exposure_in_the_middle(module):
    """Each of two exposures is 12 pixels from the third: there is no warning of a shift of 24 pixels."""
    night = module("_night_scenes").imaging("", (300, 400), 3, 1, shift=((12, 0), (-12, 0), (0, 0)))
    assert not crstack.CRStack(night.exposures, readnoise=night.readnoise).exposures.too_far


@pytest.mark.filterwarnings("ignore::crstack.exceptions.CRStackWarning")
def test_undersampled_stars_of_five_exposures_are_not_eaten(module):
    """No term along rows or columns describes what a kernel leaves of stars, and none of their pixels is flagged."""
    night = module("_night_scenes").night_of("stars jitter", (400, 500), 5, 107)
    stack = crstack.CRStack(night.exposures, readnoise=night.readnoise)
    masks = stack.detect()
    assert stack.joint_posterior().measured.lines == ()
    assert masks.crmasks.sum() <= 5


@pytest.mark.parametrize(
    ("scene", "shape"),
    [("imaging clouds", (240, 300)), ("slit knots", (180, 220)), ("slit telluric", (240, 300))],
)
def test_clouds_knots_and_telluric_bands_are_no_hits(module, scene, shape):
    night = module("_night_scenes").night_of(scene, shape, 3, 107)
    masks, *_ = module("nights").measured_of(night, SimpleNamespace(differences="auto"), crstack.JointPosterior())
    false = masks.crmasks & ~module("_truth").widened(night.hits > 0)
    strong = night.hits > 5 * night.sigma
    # three values of the larger images; hundreds if the differences are not measured
    assert 1e6 * false.mean() < 14
    assert (masks.crmasks & strong).sum() > 0.99 * strong.sum()


def test_wide_lines_of_a_night(module):
    """Lines that brighten and move along the dispersion are no hits."""
    scenes = module("_night_scenes")
    night = scenes.slit("", (150, 220), 3, 2, sky=(1, 0.9, 1.6), width=9, wave=(0, 0.1, -0.1))
    plain = scenes.slit("", (150, 220), 3, 2)
    assert night.expected[0].max() < plain.expected[0].max()
    assert (night.expected[2] > 1.3 * night.expected[0]).any()
    masks, *_ = module("nights").measured_of(night, SimpleNamespace(differences=None), crstack.JointPosterior())
    false = masks.crmasks & ~module("_truth").widened(night.hits > 0)
    strong = night.hits > 5 * night.sigma
    assert 1e6 * false.mean() < 150
    assert (masks.crmasks & strong).sum() > 0.97 * strong.sum()
