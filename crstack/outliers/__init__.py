"""Flagged values that are no hits: values that are too low, trails, and sources that only some exposures show."""
