"""The results that a stack stores."""

import numpy as np

from crstack.prepared import _as_key


def test_settings_that_have_no_hash_equal_themselves_only():
    one, other = np.zeros(3), np.zeros(3)
    assert _as_key(one) == _as_key(one)
    assert _as_key(one) != _as_key(other)
    assert _as_key(one) != 3
    assert _as_key(("a", one)) == _as_key(("a", one))
    assert _as_key(("a", one)) != _as_key(("b", one))
    assert len({_as_key((1, one)), _as_key((1, one)), _as_key((1, other))}) == 2
