"""Stacks with a decision, for the figures; figures of one test do not stay for the next."""

import matplotlib.pyplot as plt
import pytest

from crstack import CRStack, SplineBoundary
from crstack.datasets import make_stack


@pytest.fixture(autouse=True)
def no_figures_left():
    """Close what pyplot keeps: ``stack.plot`` makes its figures there, as pyplot is in use here."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def stacks():
    """Stacks of 3 and of 5 exposures."""
    made = {}
    for n in (3, 5):
        simulated = make_stack("ifu", (80, 100), n, hit_rate=0.03, seed=4)
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
        made[n] = decided(stack)
    return made


def decided(stack):
    """The stack, whose latest diagram, boundary and masks are these; it stores them."""
    stack.mm_diagram(aux="pycosmic", n_simulations=3)
    stack.fit_boundary(SplineBoundary(fixed_points=[(20, 80), (200, 120)]))
    stack.detect(aux="pycosmic")
    return stack


@pytest.fixture
def stack(stacks):
    """The stack of 3 exposures with these masks, whatever the test before it has decided."""
    return decided(stacks[3])
