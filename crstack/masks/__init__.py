"""The masks of a stack, their codes and the common rules of all masks."""

from crstack.masks.codes import Code, exposure_name
from crstack.masks.maskset import MaskSet
from crstack.masks.rules import MaskRules

__all__ = ["Code", "MaskRules", "MaskSet", "exposure_name"]
