"""Variance of the expected exposures beyond the noise."""
