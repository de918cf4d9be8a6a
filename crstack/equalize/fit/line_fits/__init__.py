"""Fits of terms along rows and columns to the expected exposures, in rounds and in several orders."""
