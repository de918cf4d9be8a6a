"""Flagged values that are not hits: values that are too low, trails, and sources that only some exposures show."""
