"""Mosaics: what is done with the decision of each chip."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def quick(quick_joint_in_module):
    """The joint decision fits the population of hits in few steps."""
