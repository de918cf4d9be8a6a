"""Bits of data quality images in the conventions of some observatories."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from crstack.exceptions import InputError
from crstack.utils.validation import check_integer

__all__ = ["CONVENTIONS", "REASONS", "bits_of", "unusable", "used_bits"]

#: reasons why a value is excluded
REASONS = ("hit", "bad", "saturated", "low", "replaced")

#: bits of each reason, by convention. STScI: ACS and WFC3, where a bit of a hit is set by AstroDrizzle (4096) or
#: CRSPLIT (8192). LSST: the mask planes of afw in their usual order. DRAGONS: Gemini's `geminidr`. Instruments differ:
#: copy one, change it and pass it as ``bits=``.
CONVENTIONS = MappingProxyType(
    {
        "stsci": MappingProxyType(
            {
                "hit": 4096 | 8192,
                "bad": 1 | 4 | 16 | 128 | 512 | 16384,
                "saturated": 256 | 2048,
                "low": 1024,
                "replaced": 2,
            }
        ),
        "lsst": MappingProxyType({"hit": 8, "bad": 1 | 16 | 256, "saturated": 2, "low": 0, "replaced": 4}),
        "dragons": MappingProxyType({"hit": 8, "bad": 1 | 16 | 64, "saturated": 4, "low": 0, "replaced": 0}),
    }
)


#: step of the rows and columns that are looked at, and most different values of bits that occur together
STEP, MOST_VALUES = 3, 40


def bits_of(bits: str | int | Mapping[str, int]) -> dict[str, int]:
    """The bits of each reason.

    Parameters
    ----------
    bits : str, mapping or int
        A name of ``CONVENTIONS``, bits by reason of ``REASONS``, or the bits of bad values alone.

    Returns
    -------
    table : dict of int
        By reason; 0 where there is no bit.

    Raises
    ------
    InputError
        If the name or a reason is unknown, or bits are not integers >= 0.
    """
    if isinstance(bits, str):
        if bits.lower() not in CONVENTIONS:
            raise InputError(f"bits must be one of {', '.join(CONVENTIONS)}, or bits by reason; got {bits!r}")
        return dict(CONVENTIONS[bits.lower()])
    if not isinstance(bits, Mapping):
        bits = {"bad": check_integer("bits", bits, minimum=0)}
    unknown = [name for name in bits if name not in REASONS]
    if unknown:
        raise InputError(f"bits must be given for {', '.join(REASONS)}; got {unknown[0]!r}")
    return dict.fromkeys(REASONS, 0) | {
        name: check_integer(f"bits of {name}", value, minimum=0) for name, value in bits.items()
    }


def _is_counts(quality):
    """Whether an image of integers holds counts: no value is 0, and there are many different values."""
    return quality.size > 0 and bool((quality != 0).all()) and np.unique(quality[::STEP, ::STEP]).size > MOST_VALUES


def unusable(
    quality: np.ndarray, bits: str | int | Mapping[str, int] | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bad values, and those that are saturated.

    Parameters
    ----------
    quality : `~numpy.ndarray`
        Image of bits, integers.
    bits : str, mapping, int or None
        As for `bits_of`; with None every value except 0 is bad. Bits of hits are ignored, because crstack finds the
        hits itself.
    name : str
        Name of the image, for messages.

    Returns
    -------
    bad, saturated : `~numpy.ndarray` of bool
        Of the shape of ``quality``.

    Raises
    ------
    InputError
        If the image does not hold integers.
    """
    quality = _whole_numbers(quality)
    if quality.dtype.kind not in "iub":
        raise InputError(f"dq_ext must be an image of integers, bits of data quality; got {quality.dtype} in {name}")
    if _is_counts(quality):
        raise InputError(
            f"dq_ext must be an image of bits, with few different values; got {quality.min():g} to {quality.max():g}, "
            f"and no 0, in {name}: is it an image of counts?"
        )
    if bits is None:
        return quality != 0, np.zeros(quality.shape, dtype=bool)
    table = bits_of(bits)
    quality = quality.astype(np.int64)
    return (quality & _every_bit(table)) != 0, (quality & table["saturated"]) != 0


def used_bits(quality: np.ndarray, bits: str | int | Mapping[str, int] | None = None) -> np.ndarray:
    """The bits that make values bad, each by itself.

    Parameters
    ----------
    quality : `~numpy.ndarray`
        Image of bits.
    bits : str, mapping, int or None
        As for `unusable`.

    Returns
    -------
    used : `~numpy.ndarray`
        Of the shape of ``quality``: integers without the other bits. If ``quality`` does not hold integers, bool, True
        where it is not 0.
    """
    quality = _whole_numbers(quality)
    if quality.dtype.kind not in "iu":
        return quality.astype(bool)
    return quality if bits is None else quality.astype(np.int64) & _every_bit(bits_of(bits))


def _every_bit(table):
    """All bits that make a value bad. Bits of hits do not."""
    return table["bad"] | table["saturated"] | table["low"] | table["replaced"]


def _whole_numbers(quality):
    """Integers where all values of an image are whole numbers; otherwise the image."""
    if quality.dtype.kind == "f" and np.array_equal(quality, np.rint(quality)) and np.all(np.abs(quality) < 2**53):
        return quality.astype(np.int64)
    return quality
