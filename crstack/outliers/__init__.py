"""Flagged values that are no hits: sources that only some exposures show."""
