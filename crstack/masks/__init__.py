"""The rules that turn detections into named masks, and the masks themselves."""

from crstack.masks.maskset import MaskSet
from crstack.masks.rules import (
    Code,
    MaskRules,
    detection_limit,
    exposure_name,
    has_found,
    image_codes,
    joint_codes,
    united,
)

__all__ = [
    "Code",
    "MaskRules",
    "MaskSet",
    "detection_limit",
    "exposure_name",
    "has_found",
    "image_codes",
    "joint_codes",
    "united",
]
