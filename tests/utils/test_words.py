"""Numbers in messages."""

import pytest

from crstack.utils.words import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [(1180.4, "1180"), (-27712.0, "-27700"), (999.6, "1000"), (12.64, "12.6"), (0.001234, "0.00123"), (3e8, "3e+08")],
)
def test_plain_numbers_have_no_exponent(value, text):
    assert plain(value) == text


def test_digits():
    assert plain(123456, digits=4) == "123500"
