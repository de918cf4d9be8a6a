"""Checks of numbers."""

import numpy as np
import pytest

from crstack.exceptions import InputError
from crstack.utils.validation import check_choice, check_number


@pytest.mark.parametrize("value", [np.nan, np.inf, "5", None, True])
def test_a_number_must_be_finite(value):
    with pytest.raises(InputError, match=r"^limit must be a finite number; got "):
        check_number("limit", value)


def test_a_number_is_returned_as_float():
    assert check_number("limit", np.int16(5), minimum=5) == 5.0
    assert isinstance(check_number("limit", 5), float)
    with pytest.raises(InputError, match="got 5"):
        check_number("limit", 5, minimum=5, exclusive=True)


def test_the_suggestion_comes_first_and_long_lists_are_short():
    many = [f"name{i}" for i in range(20)] + ["lacosmic"]
    with pytest.raises(InputError) as caught:
        check_choice("detector", "lacosmc", many)
    assert str(caught.value) == (
        "detector must be one of lacosmic, name0, name1, name2, name3, name4, name5, name6 and 13 more; got 'lacosmc' "
        "(did you mean 'lacosmic'?)"
    )
    with pytest.raises(InputError, match=r"one of name0, name1, name2; got 'zzz'$"):
        check_choice("detector", "zzz", many[:3])
