"""Figures of one test do not stay for the next."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def no_figures_left():
    """Close what pyplot keeps: ``stack.plot`` makes its figures there, as pyplot is in use here."""
    yield
    plt.close("all")
