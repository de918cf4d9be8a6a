"""Comparison of the scatter of the exposures with their stated noise."""
