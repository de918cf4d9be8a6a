"""Straight lines of many pixels in a mask, such as trails."""
