"""What another exposure holds fills the edges of an exposure that is moved back."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack, JointPosterior
from crstack.equalize.fit.common_image import fill_what_enters, scene_of_two
from crstack.equalize.fit.kernels.unseen import most_light_in_corners
from crstack.equalize.settings import Equalization
from crstack.equalize.terms.steps import corners_of_one, shown_by_two
from crstack.exceptions import CRStackWarning


def test_rows_and_columns_that_enter():
    cube = np.stack([np.full((6, 7), value, np.float32) for value in (1, 2, 3)])
    fill_what_enters(cube, ((2, 1), (0, 0), (-1, 0)))
    expected = np.full((6, 7), 1.0)
    expected[-1:] = expected[:, -2:] = 2
    np.testing.assert_array_equal(cube[0], expected)
    np.testing.assert_array_equal(cube[1], np.full((6, 7), 2))
    expected = np.full((6, 7), 3.0)
    expected[:, :1] = 2
    np.testing.assert_array_equal(cube[2], expected)


def test_exposures_that_show_an_edge_fill_equally_many_others():
    """One of them filled all others, and a hit in it became the median."""
    cube = np.stack([np.full((6, 7), value, np.float32) for value in (1, 2, 3, 4, 5)])
    fill_what_enters(cube, ((0, 0), (0, 2), (0, -1), (0, 3), (0, 1)))
    np.testing.assert_array_equal(cube[:, -1, 3], [1, 1, 3, 3, 1])
    np.testing.assert_array_equal(cube[:, -2, 3], [1, 1, 3, 3, 5])
    np.testing.assert_array_equal(cube[:, 0, 3], [1, 2, 1, 4, 5])
    np.testing.assert_array_equal(cube[:, 2, 3], [1, 2, 3, 4, 5])


def test_memory_of_regions_is_that_of_their_pixels():
    """40 bytes for each value in the smallest box of all flux regions, 80 in the region of the offsets."""
    factors = Equalization(flux_regions=[(1, 20, 1, 10), (31, 40, 21, 50)])
    assert factors.bytes_in_regions == {"flux_regions": 40 * 40 * 50}
    offsets = Equalization(crosscorr_region=(31, 130, 21, 60))
    assert offsets.bytes_in_regions == {"crosscorr_region": 80 * 100 * 40}
    assert Equalization().bytes_in_regions == {}


def exposures_of_moved_stars(n=3, fwhm=3.5, step=(9.1, -7.4)):
    """Expected exposures (N, ny, nx), of which the last one is shifted: many stars, also in the edges that enter."""
    rng = np.random.default_rng(12)
    shape, margin = (160, 180), 20
    rows, columns = np.indices(shape)
    places, sigma = rng.uniform(-margin, margin + np.array(shape), (90, 2)), fwhm / 2.3548
    stars = 10 ** rng.uniform(3, 5, len(places)) / (2 * np.pi * sigma**2)
    expected = np.full((n, *shape), 100.0)
    for i, (dx, dy) in enumerate([*((0, 0), (0.3, 0.2))[: n - 1], step]):
        for star, (row, column) in zip(stars, places, strict=True):
            square = (rows - row - dy) ** 2 + (columns - column - dx) ** 2
            expected[i] += star * np.exp(-square / (2 * sigma**2))
    return expected


def masks_of(expected, hits=0.0):
    """Mask (N, ny, nx) of the joint decision."""
    rng = np.random.default_rng(13)
    cube = rng.poisson(expected) + rng.normal(0, 4, expected.shape) + hits
    stack = CRStack([CCDData(one.astype("f4"), unit="electron") for one in cube], readnoise=4 * u.electron)
    with warnings.catch_warnings():
        # three dozen of rows and columns are a large part of a small image
        warnings.simplefilter("ignore", CRStackWarning)
        return stack.detect(JointPosterior()).crmasks


#: edges that only the last exposure shows, and those that only the first of two shows
ENTER, LEAVE = (np.s_[:, :9], np.s_[-7:]), (np.s_[:, -9:], np.s_[:7])


@pytest.mark.parametrize("n", [2, 3])
def test_stars_that_enter_are_no_hits(n):
    found = masks_of(exposures_of_moved_stars(n))
    assert sum(found[-1][edge].sum() for edge in ENTER) <= 2
    assert sum(found[0][edge].sum() for edge in LEAVE) <= 2


@pytest.mark.parametrize("step", [(1.3, -1.1), (-2.2, 1.8)])
def test_stars_that_enter_by_a_pixel_are_no_hits(step):
    """In a row or two that only one exposure shows, a star is not narrower than the strip."""
    expected = exposures_of_moved_stars(step=step)
    (dx, dy), found = (int(np.trunc(one)) for one in step), masks_of(expected)[-1]
    columns = np.s_[:, :dx] if dx > 0 else np.s_[:, dx:]
    rows = np.s_[:dy] if dy > 0 else np.s_[dy:]
    assert expected[-1][columns].max() > 1000 < expected[-1][rows].max()
    assert found[columns].sum() + found[rows].sum() <= 2


@pytest.mark.parametrize(("n", "i", "edges"), [(3, 2, ENTER), (2, 1, ENTER), (2, 0, LEAVE)])
def test_hits_two_pixels_wide_are_found_where_only_one_exposure_shows_the_scene(n, i, edges):
    expected = exposures_of_moved_stars(n)
    tracks, there = np.zeros_like(expected[0]), np.zeros_like(expected[0], dtype=bool)
    for edge in edges:
        there[edge] = True
    tracks[there] = 400.0
    rows, columns = np.indices(there.shape)
    # across each edge, pairs of ten rows or columns
    tracks *= np.where(there[:, [90]], columns % 10 < 2, rows % 10 < 2)
    hits = np.zeros_like(expected)
    hits[i] = tracks
    strong = hits > 5 * np.sqrt(expected + 4**2)
    assert strong.sum() > 250
    assert masks_of(expected, hits)[strong].mean() > 0.75


def test_hits_along_the_only_row_that_one_exposure_shows_are_found():
    """They were taken for stars beyond the edge, which would be seen in the next row too."""
    expected = exposures_of_moved_stars(step=(1.2, -1.1))
    hits = np.zeros_like(expected)
    for place in range(10, 150, 14):
        hits[-1, -1, place : place + 5] = hits[-1, place : place + 5, 0] = 600.0
    strong = hits > 10 * np.sqrt(expected + 4**2)
    strong[-1, -1, 0] = False
    assert strong.sum() > 80
    # half of them lie beside stars
    assert masks_of(expected, hits)[strong].mean() > 0.65


def test_the_scene_that_two_exposures_show():
    assert shown_by_two((20, 30), [(0, 0), (0, 0)]) == (slice(0, 20), slice(0, 30))
    assert shown_by_two((20, 30), [(0, 0), (9, -7)]) == (slice(7, 20), slice(0, 21))
    assert shown_by_two((20, 30), [(-5, 4), (4, -3)]) == (slice(3, 16), slice(5, 26))
    assert shown_by_two((20, 30), [(0, 0), (-6, 5), (9, -7)]) == (slice(0, 20), slice(0, 30))
    rows, columns = shown_by_two((10, 10), [(12, 0), (-12, 0)])
    assert rows == slice(0, 10)
    assert columns.start == columns.stop


#: dithers of which the first exposure alone shows the corners at the first and last pixels
DITHERS = ((0, 0), (-2, 3), (2, -1))


def test_corners_that_one_exposure_alone_shows():
    """The rows are shown by two exposures and the columns too, but not by the same."""
    assert shown_by_two((20, 30), DITHERS) == (slice(0, 20), slice(0, 30))
    rows, columns, inwards = corners_of_one((20, 30), DITHERS)
    corners = np.zeros((20, 30), bool)
    corners[rows, columns] = True
    expected = np.zeros((20, 30), bool)
    expected[:1, :2] = expected[-3:, -2:] = True
    np.testing.assert_array_equal(corners, expected)
    np.testing.assert_array_equal(inwards, np.where(columns < 2, 2, 27))
    assert not len(corners_of_one((20, 30), [(0, 0), (9, -7)])[0])
    assert not len(corners_of_one((10, 10), [(12, 0), (-12, 0)])[0])


def test_the_common_image_repeats_what_is_beside_such_a_corner():
    common = np.arange(600.0).reshape(20, 30)
    found = scene_of_two(common, DITHERS)
    np.testing.assert_array_equal(found[0, :3], common[0, 2])
    np.testing.assert_array_equal(found[-3:, -2:], np.repeat(common[-3:, -3:-2], 2, axis=1))
    np.testing.assert_array_equal(found[1:-3], common[1:-3])


def test_light_in_corners_is_limited_by_the_light_beside_them():
    """The inner pixels of the corner are beside light of 20 electrons, the outer one is beside them."""
    light, expected, unseen = np.zeros((40, 50)), np.zeros((40, 50)), np.zeros((40, 50), bool)
    unseen[:2, :2] = True
    expected[1, 2], light[:2, :2], light[0, 0] = 20.0, 1e3, 1e6
    # beyond twice the error of 5 electrons
    known = unseen, expected, np.full((40, 50), 100.0), np.full((40, 50), 25.0)
    places = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    # 5 standard deviations of 10 electrons, and 30 times the light beyond the noise
    inner = 5 * 10 + 30 * (20 - 2 * 5)
    outer = 5 * 10 + 30 * (inner - 2 * 10)
    np.testing.assert_allclose(most_light_in_corners(light, places, *known), [outer, inner, 50, inner])


def test_hits_in_corners_that_one_exposure_alone_shows_are_found():
    """Their values filled all other exposures, so that the hits were the median."""
    expected = np.stack([exposures_of_moved_stars(1, step=step)[0] for step in DITHERS])
    hits = np.zeros_like(expected)
    hits[0, -3:-1, -1] = 900.0
    assert masks_of(expected, hits)[0, -3:-1, -1].all()


def test_combined_values_where_one_exposure_alone_shows_a_star():
    """If another exposure may be hit there, the combined value is what is expected, which lacked the star."""
    expected = exposures_of_moved_stars(step=(-2.2, 1.8))
    rng = np.random.default_rng(21)
    cube = rng.poisson(expected) + rng.normal(0, 4, expected.shape)
    stack = CRStack([CCDData(one.astype("f4"), unit="electron") for one in cube], readnoise=4 * u.electron)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        stack.detect(JointPosterior())
        combined = stack.combine("meanjoint")
    pulls = (combined.data - expected.mean(axis=0)) / np.sqrt(combined.uncertainty.array)
    # -13 without the value of the star
    assert np.abs(pulls).max() < 6
