"""The results that a stack prepares for its methods."""

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.prepared import _as_key


@pytest.mark.parametrize(
    # variances of medians of normal values: of three, and of the middle two of four
    ("n", "of_median"),
    [(3, 0.448671), (4, 0.298246), (5, 0.286834)],
)
def test_noise_that_a_detector_assumes_in_an_average(flat_exposures, n, of_median):
    stack = CRStack(flat_exposures(n), gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    one = stack.exposures.noise.variance(np.float32(100))
    assert one == pytest.approx(100 / 2 + 25 / 4)
    for name, share in (("mean", 1 / n), ("median", of_median)):
        found = stack.prepared.noise_of_average(name, "average").variance(np.float32(100))
        assert found == pytest.approx(share * one, rel=1e-3)
        assert stack.prepared.noise_of_average(name, "exposure").variance(np.float32(100)) == one


def test_settings_that_have_no_hash_equal_themselves_only():
    one, other = np.zeros(3), np.zeros(3)
    assert _as_key(one) == _as_key(one)
    assert _as_key(one) != _as_key(other)
    assert _as_key(one) != 3
    assert _as_key(("a", one)) == _as_key(("a", one))
    assert _as_key(("a", one)) != _as_key(("b", one))
    assert len({_as_key((1, one)), _as_key((1, one)), _as_key((1, other))}) == 2
