"""Units of exposures, and the words for them in BUNIT."""

import re

import astropy.units as u
from astropy.io import fits

from crstack.exceptions import InputError
from crstack.utils.words import unit_words

__all__ = ["COUNTS", "RATES", "check_unit", "unit_of_header"]

#: remedy for exposures in physical units
ONLY_COUNTS = "Noise is known in these only: use the exposures before their flux calibration"
#: units that exposures may have
COUNTS = (u.adu, u.electron)
RATES = (u.adu / u.s, u.electron / u.s)

_ADU = ["adu", "adus", "count", "counts", "ct", "cts", "dn", "dns"]
_ELECTRON = ["electron", "electrons", "e-", "e", "elec", "elecs", "el"]
_COUNTS_PER_SECOND = ["cps"]
_PER_PIXEL = re.compile(r"\s*/\s*pix(els?)?$|\s+pix(el)?-1$")
_PER_SECOND = re.compile(r"\s*(/\s*|\bper\s+)(s|sec|secs|second|seconds)$|[\s.*]+s(ec)?\s*(\*\*|\^)?\s*\(?-1\)?$")


def unit_of_header(header, path):
    """The unit that BUNIT states.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of the image.
    path : path-like
        Name of the file, for messages.

    Returns
    -------
    unit : `~astropy.units.Unit` or None
        adu, electron, or one of them per second; None where BUNIT is absent or empty.

    Raises
    ------
    InputError
        If BUNIT is not text, or states another unit.

    Notes
    -----
    ADU are also called count, ct and DN, electrons e-, e and elec, in the
    singular or plural and in capitals. A rate is written /s, s-1 or per second, or cps.
    "per pixel" is left out.
    """
    value = header.get("BUNIT")
    if value is None or isinstance(value, fits.card.Undefined) or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise InputError(f"BUNIT of {path} must be text, such as 'adu' or 'electron'; got {value!r}")
    unit = _unit_in_words(value)
    if unit is None:
        raise InputError(
            f"BUNIT of {path} must state ADU or electrons, or either per second; got {value.strip()!r}. "
            f"{ONLY_COUNTS}, or, if the keyword is wrong, correct it (in Python, unit=u.adu or u.electron replaces it)"
        )
    return unit


def _unit_in_words(text):
    """One of `COUNTS` and `RATES`, or None."""
    words = _PER_PIXEL.sub("", " ".join(text.split()).lower())
    if words in _COUNTS_PER_SECOND:
        return RATES[0]
    per_second = _PER_SECOND.search(words)
    if per_second:
        words = _PER_PIXEL.sub("", words[: per_second.start()])
    if words in _ADU:
        return RATES[0] if per_second else COUNTS[0]
    if words in _ELECTRON:
        return RATES[1] if per_second else COUNTS[1]
    return None


def check_unit(name, unit):
    """Return a unit as one of adu, electron, adu / s and electron / s, or raise `InputError`.

    `astropy.units.count` and `astropy.units.DN` are other names of adu.
    """
    text = str(unit)
    try:
        unit = u.Unit(unit)
    except (ValueError, TypeError):
        unit = None
    for known in (*COUNTS, *RATES):
        if unit == known:
            return known
    # ct, DN and the words of BUNIT; astropy does not convert electron / pix
    found = _unit_in_words(text)
    if found is None:
        known = "" if unit in (None, u.dimensionless_unscaled) else f". {ONLY_COUNTS}"
        raise InputError(f"{name} must be adu or electron, or either per second; got {unit_words(text)}{known}")
    return found
