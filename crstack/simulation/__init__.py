"""Draws of simulated pixels without cosmic rays."""

from crstack.simulation.samplers import LevelSampler, PixelSampler, histogram

__all__ = ["LevelSampler", "PixelSampler", "histogram"]
