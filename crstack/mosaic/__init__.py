"""Mosaics: a stack for each chip of multi-extension files, and files that hold all chips."""

from crstack.mosaic.chips import Chip, chips_of
from crstack.mosaic.stacks import Mosaic, read_mosaic

__all__ = ["Chip", "Mosaic", "chips_of", "read_mosaic"]
