"""Simulated exposures whose cosmic rays and expected signal are known."""

from crstack.datasets.making import make_stack
from crstack.datasets.simulated import SimulatedStack

__all__ = ["SimulatedStack", "make_stack"]
