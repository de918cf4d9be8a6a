"""Headers: cards that FITS can hold, keywords that are valid for a product, world coordinates."""

import re
import unicodedata
import warnings
from functools import lru_cache
from numbers import Complex, Number

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.io.fits.card import Undefined
from astropy.io.fits.verify import VerifyError
from astropy.time import Time
from astropy.wcs import WCS

from crstack.files.history import header_line

__all__ = ["cleaned_header", "split_wcs", "wcs_cards"]

#: larger integers do not fit into a card together with their comment
LONGEST_INTEGER = 10**40

#: number of cards whose check is remembered: those of some headers
CARDS_KEPT = 2048

#: keywords that describe a file or its data, not the exposure
OF_THE_FILE = re.compile(
    "SIMPLE|XTENSION|BITPIX|Z?NAXIS[0-9]*|EXTEND|NEXTEND|GROUPS|PCOUNT|GCOUNT|TFIELDS|BSCALE|BZERO|BLANK|BUNIT|CHECKSUM|"
    "DATASUM|DATAMIN|DATAMAX|EXTNAME|EXTVER|EXTLEVEL|INHERIT|END|ZIMAGE|ZTENSION|ZBITPIX|ZCMPTYPE|ZQUANTIZ|ZDITHER0|"
    "ZSIMPLE|ZEXTEND|ZHECKSUM|ZDATASUM|ZBLANK"
)
_COMMENTARY = ("HISTORY", "COMMENT", "")
_LEGAL = re.compile(r"[A-Z0-9_-]{1,8}")

#: errors of a card
_UNWRITABLE = (ValueError, TypeError, VerifyError, OverflowError, AttributeError)

#: date keywords that astropy puts into the header of a WCS, and that belong to the exposure
_KEPT_OF_WCS = ("JD-OBS", "MJD-OBS", "DATE-OBS")
_MATRIX = re.compile(r"(CD|PC)\d_\d|CROTA\d|(A|B|AP|BP)_(\d_\d|ORDER|DMAX)")
_HIGHER_AXIS = re.compile(r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)[3-9]|(CD|PC)([3-9]_\d|\d_[3-9])")


def cleaned_header(meta):
    """A header of an exposure that FITS can hold.

    Parameters
    ----------
    meta : `~astropy.io.fits.Header`, mapping or None
        Header, or the ``meta`` of a CCDData.

    Returns
    -------
    header : `~astropy.io.fits.Header`
        Keywords that describe the file or its data (BITPIX, CHECKSUM, BLANK,
        DATAMAX, ...) are left out.
    changes : list of str
        One for each card that had to be changed or left out otherwise.

    Notes
    -----
    A letter that is invalid in a keyword becomes an underscore. Letters outside ASCII lose their accents or are
    escaped. Tabs and similar characters become blanks. A `~astropy.time.Time` is written in ISO format, a Quantity as
    its value with the unit in the comment. Lists, mappings, arrays, NaN and infinity are left out.
    """
    header, changes = fits.Header(), []
    if meta is None:
        return header, changes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for given, value, comment in _cards(meta, changes):
            if OF_THE_FILE.fullmatch(given.upper()):
                continue
            _append(header, given, value, comment, changes)
    return header, changes


def _cards(meta, changes):
    """Keyword, value and comment of each card; ``changes`` lists those that cannot be read."""
    if isinstance(meta, fits.Header):
        for card in meta.cards:
            card, known = _readable(card)
            if known:
                yield card.keyword, card.value, card.comment
                if known == "changed":
                    changes.append(f"{card.keyword} in other letters")
            else:
                changes.append(f"{_keyword_of(card)} left out")
        return
    for key, value in meta.items():
        comment = ""
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
            value, comment = value
        yield str(key), value, comment


def _readable(card):
    """(card, "as it is"), or (a card that means the same and can be read, "changed"), or (card, "")."""
    # astropy returns the text of a card only after correction, and fails if it cannot correct it
    raw = card._image or ""
    for one, known in (
        (lambda: card, "as it is"),
        (lambda: fits.Card.fromstring(card.image), "changed"),
        (lambda: fits.Card.fromstring("".join(letter if " " <= letter <= "~" else " " for letter in raw)), "changed"),
    ):
        try:
            trial = one()
            _ = trial.keyword, trial.value, trial.comment
        except _UNWRITABLE:
            continue
        return trial, known
    return card, ""


def _keyword_of(card):
    """Keyword of a card, also of one that astropy cannot read."""
    try:
        return card.keyword
    except _UNWRITABLE:
        return header_line((card._image or "")[:8]).strip()


def _append(header, given, value, comment, changes):
    """Append one card, changed if FITS requires it; note the change."""
    keyword = _keyword(given)
    if keyword in _COMMENTARY:
        text = _ascii(value)
        header[keyword] = text
        if text != str(value):
            changes.append(f"{keyword} in other letters")
        return
    fit = _value(value)
    if fit is None or not keyword:
        changes.append(f"{_ascii(given) or 'a card without a keyword'} left out")
        return
    value, same, extra = fit
    note = _ascii(" ".join(word for word in (extra, str(comment or "")) if word))
    try:
        _check_card(keyword, repr(value), value, note)  # 0.0 and -0.0, which are equal, are other cards
        header.append(fits.Card(keyword, value, note), end=True)
    except _UNWRITABLE:
        changes.append(f"{_ascii(given)} left out")
        return
    if keyword != _plain(given).upper():
        changes.append(f"{_ascii(given)} renamed {keyword}")
    elif not same or note != " ".join(word for word in (extra, str(comment or "")) if word):
        changes.append(f"{keyword} in other letters")


@lru_cache(maxsize=CARDS_KEPT, typed=True)
def _check_card(keyword, words, value, note):
    """Raise one of the `_UNWRITABLE` errors if FITS cannot hold a card. The headers of a stack have the same cards."""
    card = fits.Card(keyword, value, note)
    card.verify("exception")
    fits.Card.fromstring(str(card)).verify("exception")


def _plain(keyword):
    return keyword[9:] if keyword.upper().startswith("HIERARCH ") else keyword


def _keyword(given):
    """A legal keyword; longer ones, and those with blanks between words, use the HIERARCH convention."""
    text = _ascii(_plain(given)).upper().strip()
    if text in _COMMENTARY or _LEGAL.fullmatch(text):
        return text
    if len(text) <= 8:
        return re.sub(r"[^A-Z0-9_-]", "_", text)
    return re.sub(r"[^A-Z0-9_. -]", "_", text)


def _value(value):
    """(value that FITS can hold, whether the letters are the same, words for the comment), or None."""
    extra = ""
    if isinstance(value, Time) and value.isscalar:
        value = value.isot
    elif isinstance(value, u.Quantity) and value.isscalar:
        extra, value = f"[{value.unit}]" if str(value.unit) else "", value.value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, Undefined | bool):
        return value, True, extra
    if isinstance(value, str):
        text = _ascii(value)
        return text, text == value, extra
    if isinstance(value, int):  # of any length, unlike those of numpy
        return (value, True, extra) if abs(value) < LONGEST_INTEGER else None
    if isinstance(value, Number) and isinstance(value, Complex) and np.all(np.isfinite([value.real, value.imag])):
        return value, True, extra
    return None


def _ascii(text):
    """Printable ASCII: accents are removed, other letters are escaped."""
    letters = unicodedata.normalize("NFKD", str(text))
    return header_line("".join(letter for letter in letters if not unicodedata.combining(letter)))


def split_wcs(header):
    """Remove the world coordinates from a header.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of an image; not modified.

    Returns
    -------
    header : `~astropy.io.fits.Header`
        Header without the keywords of the WCS, so that they cannot contradict it.
    wcs : `~astropy.wcs.WCS` or None
        WCS of two axes; None if the header has none, or one that wcslib refuses.
    """
    rest = header.copy()
    for keyword in [keyword for keyword in rest if _HIGHER_AXIS.fullmatch(keyword)]:
        rest.remove(keyword, ignore_missing=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(rest, naxis=2)
            cards = wcs.to_header(relax=True)
    except (*_UNWRITABLE, LookupError, AssertionError, MemoryError, OSError):
        return rest, None
    if not wcs.wcs.ctype[0]:
        return rest, None
    for keyword in list(rest):
        if (keyword in cards or keyword == "WCSAXES" or _MATRIX.fullmatch(keyword)) and keyword not in _KEPT_OF_WCS:
            rest.remove(keyword, ignore_missing=True, remove_all=True)
    return rest, wcs


def wcs_cards(wcs):
    """Cards of the world coordinates, for each image extension of a file.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS` or None
        As `Exposures.wcs` and ``CCDData.wcs``.

    Returns
    -------
    cards : `~astropy.io.fits.Header`
        Empty where there are no world coordinates.
    """
    if wcs is None:
        return fits.Header()
    low = getattr(wcs, "low_level_wcs", wcs)
    if not hasattr(low, "to_header"):
        return fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return low.to_header(relax=True)
