"""Files of combined images, read and written: the public functions in one place.

Masks are written by `~crstack.MaskSet.write` and read by `~crstack.MaskSet.read`.
"""

from crstack.combine.files import combination_hdulist, read, write_combination
from crstack.mosaic import read_mosaic

__all__ = ["combination_hdulist", "read", "read_mosaic", "write_combination"]
