"""What another exposure holds fills the edges of an exposure that is moved back."""

from types import SimpleNamespace

import numpy as np

from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.settings import Equalization


def test_rows_and_columns_that_enter():
    cube = np.stack([np.full((6, 7), value, np.float32) for value in (1, 2, 3)])
    moved = SimpleNamespace(steps=((2, 1), (0, 0), (-1, 0)))
    ExpectedExposures._fill_what_enters(moved, cube)
    expected = np.full((6, 7), 1.0)
    expected[-1:] = expected[:, -2:] = 2
    np.testing.assert_array_equal(cube[0], expected)
    np.testing.assert_array_equal(cube[1], np.full((6, 7), 2))
    expected = np.full((6, 7), 3.0)
    expected[:, :1] = 2
    np.testing.assert_array_equal(cube[2], expected)


def test_memory_of_regions_is_that_of_their_pixels():
    """40 bytes for each value in the smallest box of all flux regions, 80 in the region of the offsets."""
    factors = Equalization(flux_regions=[(1, 20, 1, 10), (31, 40, 21, 50)])
    assert factors.bytes_in_regions == {"flux_regions": 40 * 40 * 50}
    offsets = Equalization(crosscorr_region=(31, 130, 21, 60))
    assert offsets.bytes_in_regions == {"crosscorr_region": 80 * 100 * 40}
    assert Equalization().bytes_in_regions == {}
