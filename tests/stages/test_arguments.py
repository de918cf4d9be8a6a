"""Arguments of a stack that are wrong: an error before masks are made, which take long."""

import pytest
from support.stacks import stack_of

from crstack import CRStack
from crstack.exceptions import InputError


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("meanjiont", {}, "combination must be one of mean, .*; got 'meanjiont'"),
        ("auto", {"variance": "none"}, "variance must be one of model, sample; got 'none'"),
        ("auto", {"fill": "zero"}, "fill must be one of minimum, neighbours; got 'zero'"),
    ],
)
def test_a_wrong_combination_makes_no_masks(name, options, message, simulated, monkeypatch):
    monkeypatch.setattr(CRStack, "detect", lambda self: pytest.fail("masks were made"))
    with pytest.raises(InputError, match=message):
        stack_of(simulated).combine(name, **options)
