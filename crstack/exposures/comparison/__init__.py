"""Comparison of the exposures with one another: field, shift, focus, light, exposure time, filter, copies."""
