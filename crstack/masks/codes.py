"""Codes of masked pixels, and names of masks."""

from enum import IntEnum

import numpy as np

from crstack.utils.memory import empty_image
from crstack.utils.threads import map_threads, row_bands

__all__ = [
    "ADDED",
    "NO_HITS",
    "Code",
    "code_image",
    "exposure_name",
    "has_found",
    "is_hit",
    "recoded",
    "united",
    "with_code",
    "with_codes_of_others",
]


class Code(IntEnum):
    """Method that flagged a pixel of a mask."""

    CLEAN = 0  #: not flagged
    DILATED = 1  #: added by the global dilation only
    MMCOSMIC = 2  #: found by M.M.Cosmic, or another method, only
    AUXILIARY = 3  #: found by the auxiliary detector only
    BOTH = 4  #: found by both
    GIVEN = 5  #: requested by the user, or read from a file without codes
    LOW = 6  #: not a hit: the value of the exposure is far too low
    SOURCE = 7  #: not a hit: a source that only some exposures show
    TRAIL = 8  #: not a hit: the trail of a satellite or an aeroplane
    MOVED = 9  #: not a hit: a target that lies at another place in the other exposures


#: codes of values that are left out, but are not hits
NO_HITS = (Code.LOW, Code.SOURCE, Code.TRAIL, Code.MOVED)
#: codes of pixels that were added after the decision, whatever their probability
ADDED = (Code.GIVEN, Code.DILATED, Code.LOW, Code.TRAIL, Code.MOVED)


#: code of a pixel by (found by the method) + 2 * (found by the auxiliary detector)
_CODE_OF = np.array([Code.CLEAN, Code.MMCOSMIC, Code.AUXILIARY, Code.BOTH], dtype=np.uint8)


def exposure_name(i: int) -> str:
    """Name of the mask of exposure ``i``, counted from 0: CRMASK1, CRMASK2, ...

    Parameters
    ----------
    i : int
        Number of the exposure.

    Returns
    -------
    name : str
        CRMASK1 for 0.
    """
    return f"CRMASK{i + 1}"


def code_image(by_method: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
    """Codes of the pixels that a method and an auxiliary detector found, from bool images."""
    codes = empty_image(by_method.shape, np.uint8)

    def work(rows: slice) -> None:
        found = by_method[rows].view(np.uint8)
        if auxiliary is None:
            np.multiply(found, _CODE_OF[1], out=codes[rows])
        else:
            codes[rows] = _CODE_OF[found + 2 * auxiliary[rows].view(np.uint8)]

    map_threads(work, row_bands(*codes.shape))
    return codes


def has_found(code: Code, codes: np.ndarray) -> np.ndarray:
    """True where the method, or the auxiliary detector, found a pixel, alone or with the other."""
    return (codes == code) | (codes == Code.BOTH)


def is_hit(codes: np.ndarray) -> np.ndarray:
    """True where a pixel is flagged as hit, False where it is left out for another reason.

    Parameters
    ----------
    codes : `~numpy.ndarray`
        uint8, see `Code`.
    """
    return (codes > 0) & ~np.isin(codes, NO_HITS)


def with_code(codes: np.ndarray, where: np.ndarray, code: Code) -> np.ndarray:
    """Codes with one code at pixels that are not flagged otherwise; the same array if there are none.

    Parameters
    ----------
    codes : `~numpy.ndarray`
        uint8, see `Code`. Not modified.
    where : `~numpy.ndarray` of bool
        The pixels, of the same shape.
    code : Code
        Their code.
    """
    where = where & (codes == Code.CLEAN)
    return np.where(where, np.uint8(code), codes) if where.any() else codes


def recoded(codes: np.ndarray, where: np.ndarray, code: Code) -> np.ndarray:
    """Codes with another code at those of some pixels that are flagged, and not by the user.

    Parameters
    ----------
    codes, where, code
        As for `with_code`.
    """
    return np.where(where & (codes != Code.CLEAN) & (codes != Code.GIVEN), np.uint8(code), codes)


def with_codes_of_others(codes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Codes of hits, with the codes that other masks of the same exposures give to what is no hit.

    Parameters
    ----------
    codes : `~numpy.ndarray`
        uint8, see `Code`. Not modified.
    others : `~numpy.ndarray`
        Codes of the other masks, of the same shape.

    Returns
    -------
    codes : `~numpy.ndarray`
        Values that are too low, trails and moved targets are added. Sources have their code where they are flagged.
    """
    for code in (Code.LOW, Code.TRAIL, Code.MOVED):
        codes = with_code(codes, others == code, code)
    for code in (Code.TRAIL, Code.SOURCE, Code.MOVED):
        codes = recoded(codes, others == code, code)
    return codes


def united(codes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Codes of the pixels flagged in either of two code images.

    A method that found a pixel in either image counts as having found it.
    """
    by_method = has_found(Code.MMCOSMIC, codes) | has_found(Code.MMCOSMIC, others)
    auxiliary = has_found(Code.AUXILIARY, codes) | has_found(Code.AUXILIARY, others)
    result = code_image(by_method, auxiliary)
    result[(result == Code.CLEAN) & ((codes > 0) | (others > 0))] = Code.DILATED
    result[(codes == Code.GIVEN) | (others == Code.GIVEN)] = Code.GIVEN
    return result
