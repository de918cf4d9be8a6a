"""Stars at the edges of an exposure of wider seeing."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy.special import ndtr

from crstack import CRStack, JointPosterior
from crstack.equalize.fit.kernels.beyond_edges import add_light_from_beyond

SHAPE, SKY, READNOISE = (160, 180), 100.0, 4.0
#: pixels of the wide exposure that hold visible light of the star
NEAR = np.s_[65:86, :8]


def field(fwhm, at, total=3e5):
    """Stars inside, and a bright one at column ``at`` and row 75.4."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(15, 165, 20), rng.uniform(15, 145, 20)
    x, y, total = np.append(x, at), np.append(y, 75.4), np.append(10 ** rng.uniform(3.3, 5, 20), total)
    rows, columns = (
        np.diff(ndtr(2.3548 / fwhm * (np.arange(-0.5, side) - place[:, None])))
        for side, place in zip(SHAPE, (y, x), strict=True)
    )
    return SKY + np.einsum("k,ky,kx->yx", total, rows, columns)


def found_in(expected, hits=0.0, seed=1):
    """Mask of the joint decision."""
    rng = np.random.default_rng(seed)
    cube = rng.poisson(expected) + rng.normal(0, READNOISE, np.shape(expected)) + hits
    stack = CRStack([CCDData(one.astype("f4"), unit="electron") for one in cube], readnoise=READNOISE * u.electron)
    return stack.detect(JointPosterior()).crmasks


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.filterwarnings("ignore:flagged groups are smooth")
def test_the_light_of_a_star_beyond_the_edge_is_no_hit(turn):
    """The star is beyond each of the edges, and its light is in the wide exposure only."""
    expected = np.stack([field(fwhm, -3.0) for fwhm in (2.7, 2.7, 4.5)])
    found = np.rot90(found_in(np.rot90(expected, turn, (1, 2))), -turn, (1, 2))
    # 41 without the variance by light from beyond
    assert found[(slice(None), *NEAR)].sum() <= 1


def test_hits_at_the_edges_are_found():
    """Also in the wide exposure, and beside the light from beyond the edge."""
    expected = np.stack([field(fwhm, -3.0) for fwhm in (2.7, 2.7, 4.5)])
    hits = np.zeros_like(expected)
    for i, rows in enumerate((slice(20, 60, 4), slice(22, 60, 4), slice(24, 60, 4))):
        hits[i, rows, :4] = 300.0
    for i, columns in enumerate((slice(20, 160, 8), slice(22, 160, 8), slice(24, 160, 8))):
        hits[i, -4:, columns] = 300.0
    # a track along the edge
    hits[2, 100:104, 0], hits[2, 103:105, 1] = (500.0, 1300.0, 250.0, 600.0), 300.0
    found = found_in(expected, hits)
    strong = hits > 5 * np.sqrt(expected + READNOISE**2)
    assert strong.sum() > 300
    assert found[strong].mean() > 0.99


@pytest.mark.parametrize("fwhm", [2.75, 2.8])
def test_a_smooth_hit_at_the_edge_is_found_where_the_seeing_hardly_differs(fwhm):
    expected = np.stack([field(one, 60.0) for one in (2.7, 2.7, fwhm)])
    rows, columns = np.indices(SHAPE)
    hits = np.zeros_like(expected)
    hits[2] = 800 * np.exp(-0.5 * ((rows - 160) / 1.2) ** 2 - 0.5 * ((columns - 90) / 2.2) ** 2)
    strong = hits > 5 * np.sqrt(expected + READNOISE**2)
    assert strong.sum() > 10
    assert found_in(expected, hits)[strong].all()


def test_the_added_variance_by_hand():
    variance, light = np.full((20, 30), 100.0), np.zeros((20, 30))
    light[:3, 10:17] = np.array([800.0, 200.0, 50.0])[:, None]
    for turn in range(4):
        noise = np.ones((20, 30))
        turned = np.rot90(noise, turn)
        add_light_from_beyond(turned, *(np.rot90(one, turn) for one in (light, variance, light / 20, variance / 100)))
        expected = np.ones((20, 30))
        expected[:3, 10:17] += np.array([800.0, 200.0, 50.0])[:, None] ** 2
        np.testing.assert_allclose(noise, expected)


@pytest.mark.parametrize("left", ["trace", "hit across", "hit along", "uneven hit along", "line"])
def test_structure_that_does_not_end_at_the_edge_adds_nothing(left):
    image = np.zeros((40, 50))
    box = {
        "trace": np.s_[20:27, :],
        "hit across": np.s_[20:22, :8],
        "hit along": np.s_[10:30, 0],
        "uneven hit along": np.s_[10:30, :2],
        "line": np.s_[:, 20:24],
    }[left]
    image[box] = 500.0
    if left.startswith("uneven"):
        image[10:30:3] *= 3
    noise = np.ones_like(image)
    add_light_from_beyond(noise, image, np.full_like(image, 100.0), image, np.ones_like(image))
    np.testing.assert_array_equal(noise, 1)


def test_images_of_few_rows_are_left_alone():
    noise = np.ones((4, 5))
    add_light_from_beyond(noise, np.full((4, 5), 500.0), *np.ones((3, 4, 5)))
    np.testing.assert_array_equal(noise, 1)


def test_light_that_the_common_image_lacks_adds_nothing():
    """It is a hit along the edge: the wings of a star are in the narrower exposures too."""
    left, variance = np.zeros((20, 30)), np.full((20, 30), 100.0)
    left[:3, 10:17] = np.array([800.0, 200.0, 50.0])[:, None]
    noise = np.ones_like(left)
    add_light_from_beyond(noise, left, variance, left / 100, variance / 3)
    np.testing.assert_array_equal(noise, 1)


@pytest.mark.parametrize("fwhm", [(2.4, 2.6, 2.95), (2.4, 2.6, 2.95, 2.5, 2.8), (2.4, 2.95)])
def test_a_smooth_track_along_the_edge_of_a_wide_exposure_is_found(fwhm):
    """With the seeing of each exposure; the hits of the widest one were part of what is expected of it."""
    expected = np.stack([field(one, 60.0) for one in fwhm])
    rows = np.arange(SHAPE[0])
    hits = np.zeros_like(expected)
    for i, hit in enumerate(hits):
        track = 300 * np.exp(-0.5 * ((rows - 12 - 25 * i) / 4) ** 2) * np.where(rows % 3, 1.1, 0.9)
        hit[:, 0], hit[:, 1] = track, 0.5 * track * np.where(rows % 2, 1.3, 0.7)
    strong = hits > 5 * np.sqrt(expected + READNOISE**2)
    assert strong.sum() > 40
    assert found_in(expected, hits)[strong].mean() > 0.95


@pytest.mark.parametrize("brightest", [1, 2])
def test_a_hit_whose_brightest_row_is_inside_adds_nothing(brightest):
    """The charge that a track beside the edge leaves in the first row is as faint and as even as a star's wing."""
    left = np.zeros((30, 60), np.float32)
    left[0, 20:30], left[1, 20:30] = 40, 60
    left[brightest, 20:30] = 900
    variance = np.full_like(left, 36.0)
    noise = variance.copy()
    add_light_from_beyond(noise, left, variance, np.zeros_like(left), variance / 3)
    np.testing.assert_array_equal(noise, variance)


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_track_between_stars_adds_nothing(turn):
    """The stars are in all exposures, so that their light in the common image excluded nothing within several pixels.

    One exposure has wider images of the first star. The track hardly has charge in the next row.
    """
    rows, columns = np.indices((30, 60))

    def light_of(place, sigma, total):
        return total * np.exp(-((columns - place) ** 2 + (rows + 1) ** 2 - 1) / (2 * sigma**2))

    common, left = light_of(24, 1.2, 4000.0) + light_of(40, 1.2, 2000.0), light_of(24, 1.35, 2000.0)
    variance = 100 + common
    noises = []
    for track in (0.0, 600.0):
        left[:2, 28:36] += np.array([[track], [track / 40]])
        noise = np.zeros_like(left)
        add_light_from_beyond(*(np.rot90(one, turn) for one in (noise, left, variance, common, variance / 3)))
        noises.append(noise)
    assert (noises[0][0, 22:27] > 500**2).all()
    np.testing.assert_array_equal(noises[1][:, 28:], 0)
    assert (noises[1][0, 22:26] > 500**2).all()
