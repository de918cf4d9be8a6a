"""Warning about parts of raw exposures that receive no light, as their headers state them."""

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.input.keywords import Keyword, section_of
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.warn import warn_user

__all__ = ["warn_of_bias_section", "warn_of_overscan"]

#: keywords of the part that receives light, and of a part that does not
LIT, DARK = ("TRIMSEC", "DATASEC"), "BIASSEC"
#: standard deviations of a pixel by which an overscan is darker than the image
DARKER = 3.0


def warn_of_overscan(header, data, name):
    """Warn if the header of an exposure that is not trimmed names parts without light.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Of the exposure.
    data : `~numpy.ndarray`
        (ny, nx) its values. Sections beyond them are those of an exposure that was trimmed before.
    name : str
        Of the exposure, for the message.

    Returns
    -------
    warned : bool

    Warns
    -----
    CRStackWarning
        With the section and what to give.
    """
    shape = data.shape
    for keyword in LIT:
        section = _section(header, keyword, shape)
        if section is None:
            continue
        sides = [one.stop - one.start for one in section]
        if sides != list(shape):
            warn_user(
                f"{keyword} of {name} is {header[keyword].strip()}, but it has {shape[1]} x {shape[0]} pixels. "
                "The rest, such as an overscan, receives no light. To leave it out, give "
                f"trim='header:{keyword}' (command: --trim header:{keyword})"
            )
        return sides != list(shape)
    section = _section(header, DARK, shape)
    if section is None or not _is_darker(data, section):
        return False
    warn_user(
        f"{DARK} of {name} names an overscan in {_in_words(section)}, which receives no light. To leave it out, "
        "give the other section as trim= (command: --trim), such as '[1:2048,1:4096]'"
    )
    return True


def warn_of_bias_section(bias, kept):
    """Warn if the section in which the bias is measured is part of the exposure: its light would be subtracted.

    Parameters
    ----------
    bias : tuple of slice
        Rows and columns in which the bias is measured.
    kept : tuple of slice or None
        Those to which the exposure is trimmed; None for all.

    Warns
    -----
    CRStackWarning
        With the section and what to give.
    """
    apart = kept is not None and any(
        one.stop <= other.start or other.stop <= one.start for one, other in zip(bias, kept, strict=True)
    )
    if not apart:
        warn_user(
            f"the bias is measured in {_in_words(bias)}, which are part of the exposure that is kept. Light that falls "
            "there is subtracted from all pixels. Give the section of an overscan as bias=, and what is left without "
            "it as trim= (command: --bias, --trim)"
        )


def _in_words(section):
    """Columns and rows of a section, counted from 1."""
    rows, columns = section
    return f"columns {columns.start + 1} to {columns.stop}, rows {rows.start + 1} to {rows.stop}"


def _section(header, keyword, shape):
    """The section (rows, columns) of a keyword; None if there is none within the exposure."""
    if keyword not in header:
        return None
    try:
        return section_of(header, Keyword(keyword), keyword, shape, "")
    except InputError:
        return None


def _is_darker(data, section):
    """Whether a section is clearly darker than an image: it may be that of an image that was trimmed before."""
    middle = np.nanmedian(data)
    scatter = SIGMA_PER_MAD * np.nanmedian(np.abs(data - middle))
    return bool(np.nanmedian(data[section]) < middle - DARKER * scatter)
