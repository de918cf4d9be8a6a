"""Runs: what comes before and after the decision."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def quick(quick_joint_in_module):
    """The joint decision fits the population of hits in few steps."""
