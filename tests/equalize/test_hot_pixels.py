"""Hot pixels as peaks that are sharper than stars."""

import numpy as np
import pytest
from scipy.special import ndtr

from crstack.equalize.terms.hot_pixels import WINDOW, hot_pixels, medians_around


def test_sharp_peaks_are_hot_pixels():
    image = np.full((20, 30), 10.0)
    image[5, 6] = 500  # alone
    y, x = np.mgrid[:20, :30]
    image += 500 * np.exp(-0.5 * ((y - 12) ** 2 + (x - 20) ** 2) / 1.2**2)  # a star: its neighbours share the light
    image[15, 25] = 20  # too faint
    rows, columns = hot_pixels(image, np.full(image.shape, 4.0))
    assert list(zip(rows, columns, strict=True)) == [(5, 6)]


def test_hot_pixels_may_share_their_charge_with_one_beside():
    image = np.full((20, 30), 10.0)
    for place, beside in (((5, 6), (5, 7)), ((10, 5), (9, 4)), ((15, 1), (15, 0)), ((18, 12), (19, 12))):
        image[place], image[beside] = 500, 300
    image[8:10, 20:22] = 500, 400  # four pixels, as the core of a star between them
    image[15, 20:23] = 400, 500, 400  # a line
    sigma = np.full(image.shape, 4.0)
    assert len(hot_pixels(image, sigma)[0]) == 0
    found = set(zip(*(one.tolist() for one in hot_pixels(image, sigma, shared=True)), strict=True))
    assert found == {(5, 6), (5, 7), (10, 5), (9, 4), (15, 0), (15, 1), (18, 12), (19, 12)}
    # the noise of one pixel beside does not make it hot, nor hide the peak
    image = np.full((20, 30), 10.0)
    image[5, 6], image[5, 7] = 40, 18
    assert len(hot_pixels(image, sigma)[0]) == 0
    assert list(zip(*hot_pixels(image, sigma, shared=True), strict=True)) == [(5, 6)]


@pytest.mark.parametrize(("fwhm", "x", "y"), [(2.5, 0.5, 0.0), (2.8, 0.05, 0.48), (3.2, -0.5, 0.0), (1.4, 0.0, 0.0)])
@pytest.mark.parametrize("shared", [False, True])
def test_stars_on_edges_of_pixels_and_undersampled_ones_are_not_hot(fwhm, x, y, shared):
    """Four of the eight pixels around are equally bright, and the median of all is no level of the sky."""
    edges = np.arange(-10.5, 11)
    rows, columns = (np.diff(ndtr(2.3548 / fwhm * (edges - one))) for one in (y, x))
    image = 100 + 50_000 * np.outer(rows, columns)
    assert len(hot_pixels(image, np.sqrt(image), shared=shared)[0]) == 0


def test_medians_of_windows_that_reach_over_the_edge():
    image = np.arange(100.0).reshape(10, 10)
    reach = WINDOW // 2
    found = medians_around(image, np.array([5, 0]), np.array([4, 0]))
    padded = np.pad(image, reach, mode="symmetric")
    expected = [np.median(padded[y : y + WINDOW, x : x + WINDOW]) for y, x in ((5, 4), (0, 0))]
    np.testing.assert_array_equal(found, expected)
    assert found[0] == image[5, 4]
