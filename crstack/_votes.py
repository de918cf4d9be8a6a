"""Who of several detectors found the pixels of a mask."""

import numpy as np

from crstack.masks import Code, has_found

__all__ = ["tell_detectors"]


def tell_detectors(masks, found_by):
    """Fill in who of several detectors found the pixels of finished masks.

    Parameters
    ----------
    masks : MaskSet
        Its ``found_by`` and ``steps`` are added to.
    found_by : dict
        By mask, `Detection.found_by` of the image that was searched.
    """
    for name, codes in masks.codes.items():
        bits = found_by[name]
        if name == "MEANCRT":
            bits = bits | found_by["MEDIANCR"]
        bits = np.where(has_found(Code.AUXILIARY, codes), bits, np.uint8(0))
        masks.found_by[name] = bits
        for number, detector in enumerate(masks.detectors):
            count = int(np.count_nonzero(bits & (1 << number)))
            masks.steps[name][f"auxiliary detector {number + 1}, {detector}, flagged"] = count
