"""Numbers and lists in messages."""

import pytest

from crstack.utils.words import first_few, plain


@pytest.mark.parametrize(
    ("value", "text"),
    [(1180.4, "1180"), (-27712.0, "-27700"), (999.6, "1000"), (12.64, "12.6"), (0.001234, "0.00123"), (3e8, "3e+08")],
)
def test_plain_numbers_have_no_exponent(value, text):
    assert plain(value) == text


def test_digits():
    assert plain(123456, digits=4) == "123500"


@pytest.mark.parametrize(
    ("names", "text"), [(["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c"], "a, b and 1 more"), ([], "")]
)
def test_of_many_words_the_first_are_named(names, text):
    assert first_few(names, 2) == text
