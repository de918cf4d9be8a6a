"""Numbers and sections of the detector in the headers of the exposures."""

import re
from dataclasses import dataclass
from numbers import Real

import astropy.units as u
import numpy as np
from astropy.io import fits

from crstack.exceptions import InputError
from crstack.files.units import check_unit
from crstack.utils.adu import named_adu

__all__ = [
    "USUAL_KEYWORDS",
    "Keyword",
    "as_keyword",
    "is_count",
    "is_section",
    "quantity_in_words",
    "quantity_of",
    "section_of",
    "section_within",
]

GAIN = u.electron / u.adu

#: "[1:2048, 1:4096]", first and last column, first and last row, counted from 1
_SECTION = re.compile(r"\s*\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]\s*")
_IN_BRACKETS = re.compile(r"\s*[\[(]([^\])]*)[\])]")
#: settings of an amplifier, which are no electrons per count
_DECIBEL = re.compile(r"\bdB\b", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_WORDS = (
    (re.compile(r"\be(lec(tron)?s?|l)?-?(?![a-z])"), "electron"),
    (re.compile(r"\b(adus?|dns?|counts?|cts?)\b"), "adu"),
    (re.compile(r"\b(sec(ond)?s?)\b"), "s"),
    (re.compile(r"\s*/\s*pix(el)?s?\b|\brms\b"), ""),
    (re.compile(r"\s+per\s+"), "/"),
)


#: usual keywords of each value, in the order of a search
USUAL_KEYWORDS = {
    "gain": ("GAIN", "EGAIN", "CCDGAIN", "GAIN1", "ESO DET OUT1 CONAD"),
    "readnoise": ("RDNOISE", "READNOIS", "READNOISE", "ENOISE", "RON", "RDNOISE1", "ESO DET OUT1 RON"),
    "bias": ("BIASSEC", "OVERSCAN", "BIASLVL", "BIAS"),
    "saturation": ("SATURATE", "SATLEVEL", "SATURLEV"),
    "exptime": ("EXPTIME", "EXPOSURE", "XPOSURE", "EFFEXPTM", "ITIME"),
    "trim": ("TRIMSEC", "DATASEC", "CCDSEC"),
}
#: words in the names and comments of keywords that may hold a value
_LIKELY = {
    "gain": re.compile(r"GAIN|CONAD"),
    "readnoise": re.compile(r"RE?A?DNOI|\bRON\d*\b|READ.?(OUT)? ?NOISE"),
    "bias": re.compile(r"BIAS|OVERSCAN"),
    "saturation": re.compile(r"SATURAT|SATLEV"),
    "exptime": re.compile(r"EXPTIME|EXPOSURE TIME"),
    "trim": re.compile(r"TRIMSEC|DATASEC"),
}
#: largest number of keywords shown in a message
MOST_SHOWN = 5


@dataclass(frozen=True)
class Keyword:
    """A keyword of the header that has a number, for ``gain``, ``readnoise`` and other arguments.

    Parameters
    ----------
    name : str
        Such as "GAIN" or "ESO DET OUT1 CONAD".
    unit : `~astropy.units.Unit`, optional
        Unit of the number, if the header does not follow the convention.

    Notes
    -----
    The value is a number, or text of a number with its unit, such as ``'2.0 e-/ADU'``. Without ``unit`` and a unit in
    the value, a unit in brackets at the start of the comment is used, such as ``[e-/ADU]``. Without any of these, a
    gain is in electron/adu, a read noise in electrons, an exposure time in seconds, and a bias or a saturation level is
    in the unit of the exposures. A gain in adu/electron is inverted.

    Examples
    --------
    >>> import astropy.units as u
    >>> from crstack.exposures import Keyword
    >>> Keyword("RON", u.electron).name
    'RON'
    """

    name: str
    unit: u.UnitBase | str | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"name of a keyword must be text, such as 'GAIN'; got {self.name!r}")
        object.__setattr__(self, "name", self.name.strip().upper())
        if self.unit is not None:
            try:
                object.__setattr__(self, "unit", named_adu(u.Unit(self.unit)))
            except (ValueError, TypeError):
                raise InputError(f"unit of keyword {self.name} must be a unit of astropy; got {self.unit!r}") from None


#: in place of the keyword, where a section is given as text
OF_TEXT = Keyword("SECTION")


def as_keyword(value):
    """A `Keyword` from "header:NAME" or a `Keyword`; None for anything else."""
    if isinstance(value, Keyword):
        return value
    if isinstance(value, str) and value.strip().lower().startswith("header:"):
        return Keyword(value.strip()[len("header:") :])
    return None


def is_count(value):
    """Whether the value of a keyword is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(value))


def is_section(text):
    """Whether a text is a section of the detector, such as "[1:2048,1:4096]"."""
    return _SECTION.fullmatch(text) is not None


def quantity_of(header, keyword, what, unit, name):
    """The number that a keyword holds.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of an exposure.
    keyword : Keyword
        The keyword.
    what : str
        What it is for, as the subject of messages.
    unit : `~astropy.units.Unit`
        Unit by convention, and of the answer where the header states a gain the other way round.
    name : str
        Name of the exposure.

    Returns
    -------
    value : `~astropy.units.Quantity`
    words : str
        What was read, for the log.

    Raises
    ------
    InputError
        If the keyword is absent or holds no finite number, or its unit is not known or differs from the given one.
    """
    value, written = _number_of(header, keyword, what, unit, name)
    stated, source = _stated_unit(header, keyword, what, unit, name) if written is None else (written, "its unit")
    if unit == GAIN and stated == 1 / GAIN:
        if value == 0:
            raise InputError(f"{what} must not be 0 in {keyword.name} of {name}; got 0 adu / electron")
        value, stated = 1 / value, GAIN
    quantity = value * stated
    return quantity, f"{what} is {quantity:.6g} by {keyword.name} of {name} ({source})"


def _number_of(header, keyword, what, unit, name):
    """The number that a keyword holds, and its unit where the value is text with a unit; None otherwise."""
    found, written = _value_of(header, keyword, what, name), None
    value = found
    if isinstance(value, str):
        quantity = quantity_in_words(value, _possible_units(unit))
        value, written = (_float_of(value), None) if quantity is None else (float(quantity.value), quantity.unit)
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(value):
        raise InputError(
            f"{what} must be a finite number, with or without a unit such as {unit}, in {keyword.name} of {name}; got "
            f"{found!r}: write a number there, or give the number itself in place of the keyword"
        )
    if written is not None and keyword.unit not in (None, written):
        raise InputError(
            f"{what} must be in the unit {keyword.unit} that is given for {keyword.name}; got {found!r} in {name}: "
            "leave out the given unit, or correct the header"
        )
    return value, written


def _float_of(text):
    """A number as text; NaN for other text."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _possible_units(unit):
    """Units in which a header may state a value whose unit by convention is ``unit``."""
    return {GAIN: (GAIN, 1 / GAIN), u.s: (u.s,)}.get(unit, (u.adu, u.electron, u.adu / u.s, u.electron / u.s))


def _value_of(header, keyword, what, name):
    """Value of a keyword of a header; `InputError` with similar keywords if it is absent, and if it has two values."""
    if keyword.name not in header:
        near = likely_keywords(header, what)
        shown = ", ".join(f"{one} = {header[one]}" for one in near[:MOST_SHOWN])
        hint = f"; the header has {shown}" if near else f"; nor has it another usual keyword of a {what}"
        raise InputError(f"{what} must be in {keyword.name} of the header of {name}; got no such keyword{hint}")
    values = list(dict.fromkeys(header[keyword.name, i] for i in range(header.count(keyword.name))))
    if len(values) > 1:
        raise InputError(
            f"{what} must have one value in {keyword.name} of the header of {name}; got "
            f"{' and '.join(map(repr, values))} in {len(values)} cards: correct the header, or give the value itself "
            "in place of the keyword"
        )
    return values[0]


def likely_keywords(header, what):
    """Keywords of a header that may hold a value.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of an exposure.
    what : str
        "gain", "readnoise", "bias", "saturation", "exptime" or "trim"; other words have no usual keywords.

    Returns
    -------
    names : list of str
        The usual keywords first, then those whose name or comment contains the words.
    """
    usual = [name for name in USUAL_KEYWORDS.get(what, ()) if name in header]
    words = _LIKELY.get(what)
    if words is None:
        return usual
    others = [
        name
        for name, comment in zip(header.keys(), header.comments, strict=True)
        if name not in ("", "COMMENT", "HISTORY") and (words.search(name) or words.search(str(comment).upper()))
    ]
    return list(dict.fromkeys([*usual, *others]))


def _stated_unit(header, keyword, what, unit, name):
    """(unit, where it is from) of the number of a keyword."""
    if keyword.unit is not None:
        return keyword.unit, "unit as given"
    comment = str(header.comments[keyword.name])
    if _DECIBEL.search(comment):
        raise InputError(
            f"{what} must not be in decibel, as the comment of {keyword.name} of {name} says: {comment!r}; give a "
            f"number with its unit, such as 1.2 {unit}, or state the unit with Keyword({keyword.name!r}, '{unit}')"
        )
    found = _IN_BRACKETS.match(comment)
    if found is None:
        return unit, "unit by convention"
    stated = _unit_in_brackets(found[1])
    if stated is None:
        return unit, "unit by convention"
    if stated not in _possible_units(unit) and not (unit == u.s and stated.is_equivalent(u.s)):
        raise InputError(
            f"{what} must not be in {stated}, as the comment of {keyword.name} of {name} says; "
            f"state the unit, such as Keyword({keyword.name!r}, '{unit}')"
        )
    return stated, "unit of its comment"


def quantity_in_words(text, units):
    """A number with its unit, in any usual spelling.

    Parameters
    ----------
    text : str
        Such as "1.2 e-/ADU", "4 electrons" or "100 DN".
    units : sequence of `~astropy.units.Unit`
        The units that are possible.

    Returns
    -------
    quantity : `~astropy.units.Quantity` or None
        None if the text is another one.
    """
    found = _NUMBER.match(text)
    if found is None:
        return None
    unit = _unit_in_brackets(text[found.end() :].strip().strip("[]()"))
    return float(found[0]) * unit if unit in units else None


def _unit_in_brackets(text):
    """The unit in brackets, or None if the text is not a unit."""
    words = text.lower()
    for pattern, unit in _WORDS:
        words = pattern.sub(unit, words)
    try:
        unit = u.Unit(words.strip())
        return None if unit == u.dimensionless_unscaled else unit
    except (ValueError, TypeError):
        try:
            return check_unit("unit", text)
        except InputError:
            return None


def section_of(header, keyword, what, shape, name):
    """The section of the detector that a keyword holds, or None if it holds another kind of value.

    Parameters
    ----------
    header, keyword, what, name
        As of `quantity_of`.
    shape : tuple of int
        (ny, nx) of the exposure.

    Returns
    -------
    section : (slice, slice) or None
        Rows and columns.

    Raises
    ------
    InputError
        If the keyword is absent or the section lies outside the exposure.
    """
    value = _value_of(header, keyword, what, name)
    found = _SECTION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    first, last, low, high = (int(one) for one in found.groups())
    where = f"for {name}" if keyword == OF_TEXT else f"in {keyword.name} of {name}"
    if first > last or low > high:
        raise InputError(
            f"{what} must be a section whose first column and row come before its last ones; got {value} {where}"
        )
    if not (1 <= first <= last <= shape[1] and 1 <= low <= high <= shape[0]):
        remedy = (
            ""
            if keyword == OF_TEXT
            else f". Is the image binned, or cut out of a larger one? Give the section itself, as '[1:{shape[1]},1:"
            f"{shape[0]}]' in place of the keyword"
        )
        raise InputError(f"{what} must be a section within {shape[1]} x {shape[0]} pixels; got {value} {where}{remedy}")
    return slice(low - 1, high), slice(first - 1, last)


def section_within(header, value, what, shape, name):
    """The section that a text states: "[1:2048,1:4096]", or a keyword that holds one.

    Parameters
    ----------
    value : str or Keyword
        The text, or the keyword of ``header``.
    header, what, shape, name
        As of `section_of`.

    Returns
    -------
    section : (slice, slice)
        Rows and columns.

    Raises
    ------
    InputError
        If it is no section, or one that lies outside the exposure.
    """
    keyword = as_keyword(value)
    if keyword is None:
        header, keyword = fits.Header({OF_TEXT.name: value}), OF_TEXT
    section = section_of(header, keyword, what, shape, name)
    if section is None:
        found = header[keyword.name]
        hint = _instead_of_section(what, found)
        raise InputError(f"{what} must be a section such as '[1:2048,1:4096]'; got {found!r} for {name}{hint}")
    return section


def _instead_of_section(what, found):
    """What to give in place of a value that is no section; "" if that is not clear."""
    if what != "bias":
        return ""
    if ".fit" in str(found).lower():
        return f": an image is given as CCDData.read({found!r})"
    level = _float_of(found)
    return f": a level is given with its unit, such as {level:g} * u.adu" if np.isfinite(level) else ""
