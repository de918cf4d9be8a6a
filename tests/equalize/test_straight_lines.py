"""Lines that hardly change along the rows or the columns."""

import numpy as np
import pytest

from crstack.equalize.fit.lines.straight_lines import straight_part

SHAPE = (200, 240)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def lines(tilt=6.0, places=range(15, 230, 24)):
    """Lines of the sky that move by some pixels from the first to the last row."""
    return 20 + sum(900 * np.exp(-0.5 * ((X - tilt * Y / SHAPE[0] - at) / 1.3) ** 2) for at in places)


def test_the_straight_part_follows_tilted_lines_and_not_a_trace():
    sky = lines(6.0, (40, 90, 170, 220))
    both = sky + 900 * np.exp(-0.5 * ((Y - 100 - X / 90) / 1.7) ** 2)
    found = straight_part(both.astype(np.float32), "y")
    # of lines of 900; the trace exceeds them by as much
    assert np.percentile(np.abs(found - sky), 99) < 70
    assert np.abs(found - sky).max() < 200
    np.testing.assert_array_equal(straight_part(both.astype(np.float32).T, "x"), found.T)


@pytest.mark.parametrize("tilt", [0.0, 6.0, -6.0])
def test_extended_emission_is_no_line(tilt):
    sky = lines(tilt)
    emission = sum(
        peak * np.exp(-0.5 * ((Y - row) / width) ** 2 - 0.5 * ((X - tilt * Y / SHAPE[0] - at) / 1.3) ** 2)
        for row, at, width, peak in ((60, 51, 8, 2000), (150, 51, 6, 900), (100, 195, 9, 500), (8, 147, 7, 700))
    )
    without = straight_part(sky.astype(np.float32), "y")
    found = straight_part((sky + emission).astype(np.float32), "y")
    # a median over 56 rows is up to 790 too high
    assert np.abs(found - without).max() < 60
    # the lines stay
    assert np.abs(without - sky).max() < 150


def test_emission_over_a_level_that_rises_across_the_lines_is_no_line():
    sky = lines(0.0) + 10 * X
    emission = 500 * np.exp(-0.5 * ((Y - 60) / 8) ** 2 - 0.5 * ((X - 195) / 1.3) ** 2)
    without, found = (straight_part(one.astype(np.float32), "y") for one in (sky, sky + emission))
    assert np.abs(without - sky).max() < 5
    # a median over 56 rows is 200 too high
    assert np.abs(found - without).max() < 60


@pytest.mark.parametrize(
    ("rows", "first", "last"),
    [(slice(0, 90), 0, 60), (slice(50, 150), 80, 120), (slice(140, 200), 170, 200), (slice(80, 140), 104, 112)],
)
def test_lines_of_a_short_slit_stay(rows, first, last):
    """The median over 56 rows is wrong near its ends."""
    part = np.zeros(SHAPE)
    part[rows] = lines(1.0)[rows]
    found = straight_part(part.astype(np.float32), "y")
    assert np.abs(found - part)[first:last].max() < 100


@pytest.mark.parametrize(("ny", "nx"), [(200, 60), (131, 90)])
def test_a_level_that_rises_along_the_lines_is_followed(ny, nx):
    image = np.broadcast_to(100 + 3.0 * np.arange(ny)[:, None], (ny, nx)).astype(np.float32)
    np.testing.assert_allclose(straight_part(image, "y"), image, atol=0.8)
    np.testing.assert_allclose(straight_part(image, "y")[30:-30], image[30:-30], atol=0.01)


@pytest.mark.parametrize("ny", [5, 40, 127, 128, 136])
def test_images_of_few_rows(ny):
    image = lines(0.0)[:ny]
    np.testing.assert_allclose(straight_part(image.astype(np.float32), "y"), image, atol=1e-3)
