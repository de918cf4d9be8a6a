"""Simulated exposures whose cosmic rays and expected signal are known."""

from crstack.datasets.simulated import SimulatedStack, make_stack

__all__ = ["SimulatedStack", "make_stack"]
