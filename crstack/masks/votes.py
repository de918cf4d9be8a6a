"""The detectors that found each pixel of a mask."""

from collections.abc import Mapping, Sequence

import numpy as np

from crstack.masks.codes import Code, exposure_name, has_found

__all__ = ["bits_by_mask", "bits_of_exposures", "counts_of_detectors"]


def bits_of_exposures(found_by: Sequence[np.ndarray], found: np.ndarray) -> dict[str, np.ndarray]:
    """Bits of the detectors by mask, for detectors that searched only the exposures.

    Parameters
    ----------
    found_by : list of `~numpy.ndarray`
        N times ``Detection.found_by``, (ny, nx) each.
    found : `~numpy.ndarray` of bool
        (N, ny, nx), the pixels to include.

    Returns
    -------
    by_mask : dict
        uint8 images (ny, nx) by mask, without MEANCR.
    """
    counted = [np.where(one, bits, np.uint8(0)) for bits, one in zip(found_by, found, strict=True)]
    any_exposure = np.bitwise_or.reduce(counted)
    by_exposure = {exposure_name(i): bits for i, bits in enumerate(counted)}
    return {"MEDIANCR": any_exposure, "MEANCRT": any_exposure} | by_exposure


def bits_by_mask(codes: Mapping[str, np.ndarray], found_by: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bits of the detectors at the pixels of each mask that they found.

    Parameters
    ----------
    codes : dict
        Code images by mask.
    found_by : dict
        By mask, ``Detection.found_by`` of the image that was searched.

    Returns
    -------
    by_mask : dict
        uint8 images (ny, nx): bit i is set where detector i (from 0) found a pixel of the mask.
    """
    by_mask = {}
    for name, image in codes.items():
        bits = found_by[name] | found_by["MEDIANCR"] if name == "MEANCRT" else found_by[name]
        by_mask[name] = np.where(has_found(Code.AUXILIARY, image), bits, np.uint8(0))
    return by_mask


def counts_of_detectors(bits: np.ndarray, detectors: Sequence[str]) -> dict[str, int]:
    """Number of pixels of a mask that each detector found: a dict by the name of the step."""
    return {
        f"auxiliary detector {number + 1}, {detector}, flagged": int(np.count_nonzero(bits & (1 << number)))
        for number, detector in enumerate(detectors)
    }
