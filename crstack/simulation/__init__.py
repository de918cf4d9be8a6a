"""Draws of simulated pixels without cosmic rays."""

from crstack.simulation.level_sampler import LevelSampler
from crstack.simulation.samplers import PixelSampler, Sampler, histogram

__all__ = ["LevelSampler", "PixelSampler", "Sampler", "histogram"]
