"""Who of several detectors found the pixels of a mask."""

import numpy as np

from crstack.masks import Code, exposure_name, has_found

__all__ = ["found_by_exposures", "tell_detectors"]


def found_by_exposures(found_by, found):
    """Who found what, where several detectors searched the exposures and no combination of them.

    Parameters
    ----------
    found_by : list of `~numpy.ndarray`
        N times `Detection.found_by`, (ny, nx) each.
    found : `~numpy.ndarray` of bool
        (N, ny, nx), what counts of it.

    Returns
    -------
    by_mask : dict
        For `tell_detectors`, without MEANCR.
    """
    counted = [np.where(one, bits, np.uint8(0)) for bits, one in zip(found_by, found, strict=True)]
    any_exposure = np.bitwise_or.reduce(counted)
    by_exposure = {exposure_name(i): bits for i, bits in enumerate(counted)}
    return {"MEDIANCR": any_exposure, "MEANCRT": any_exposure} | by_exposure


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
