"""Warning about pixels with one valid value, whose hits no comparison of exposures finds."""

from dataclasses import dataclass

import numpy as np

from crstack.exposures import Exposures
from crstack.masks import MaskSet
from crstack.masks.codes import exposure_name, is_hit
from crstack.utils.warn import warn_user

__all__ = ["SingleValues", "single_values", "warn_of_single_values"]

#: least share of the pixels, and least number of hit values expected in them
SHARE, HITS = 0.001, 10
#: rows that are counted at a time
ROWS = 512


@dataclass(frozen=True)
class SingleValues:
    """Values without a valid value of another exposure at their pixel.

    Attributes
    ----------
    numbers : tuple of int
        Number of such pixels by exposure.
    flagged : int
        How many of these values are flagged as hits.
    """

    numbers: tuple[int, ...]
    flagged: int


def single_values(masks: MaskSet, exposures: Exposures) -> SingleValues:
    """Count the pixels in which one exposure has the only valid value.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.

    Returns
    -------
    found : SingleValues
    """
    numbers, flagged = np.zeros(len(exposures), dtype=int), 0
    if exposures.bad is not None:
        for start in range(0, exposures.shape[0], ROWS):
            rows = slice(start, start + ROWS)
            valid = ~exposures.bad[:, rows]
            single = valid & (np.count_nonzero(valid, axis=0) == 1)
            numbers += np.count_nonzero(single, axis=(1, 2))
            flagged += sum(int((is_hit(_codes(masks, i)[rows]) & one).sum()) for i, one in enumerate(single))
    return SingleValues(tuple(numbers.tolist()), flagged)


def _codes(masks, i):
    """Codes (ny, nx) of the mask of an exposure, from 0."""
    return masks.codes[exposure_name(i)]


def warn_of_single_values(masks: MaskSet, exposures: Exposures) -> None:
    """Warn of pixels with one valid value, if many hits in them are not flagged.

    Parameters
    ----------
    masks, exposures
        As for `single_values`. The share of flagged values elsewhere is assumed for these pixels.

    Warns
    -----
    CRStackWarning
        With the number of pixels, by exposure, and the expected number of hit values.
    """
    found = single_values(masks, exposures)
    number, size = sum(found.numbers), exposures.data[0].size
    if exposures.bad is None or number < SHARE * size:
        return
    compared = sum(int((~plane).sum()) for plane in exposures.bad) - number
    hit = sum(int(is_hit(_codes(masks, i)).sum()) for i in range(len(exposures))) - found.flagged
    left = number * hit / max(compared, 1) - found.flagged
    if left < HITS:
        return
    by_exposure = ", ".join(f"{one} of {name}" for name, one in zip(exposures.names, found.numbers, strict=True) if one)
    warn_user(
        f"{number / size:.2%} of the pixels have one valid value ({by_exposure}): the other exposures are bad there. "
        f"No comparison finds hits of these values. About {left:.2g} hits are not flagged, and stay in combined "
        "images. Find them with a detector for single exposures, such as LACosmicDetector, and mask them in the "
        "exposure; or add an exposure that covers these pixels"
    )
