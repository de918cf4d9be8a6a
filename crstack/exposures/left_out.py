"""Values that are left out, because light does not give them or hardly reaches them: each kind with its warning."""

import logging
from dataclasses import replace

import numpy as np

from crstack.exposures.bad_values.blooming import find_blooming
from crstack.exposures.bad_values.dead_values import find_dead_values, find_full_values, find_negative_values
from crstack.exposures.bad_values.marking import place_of_pixels, with_bad
from crstack.exposures.bad_values.repeated_lines import find_repeated_lines
from crstack.exposures.bad_values.wrapped import find_wrapped_values
from crstack.exposures.comparison.displacement import displacement
from crstack.exposures.comparison.lines import dark_lines, words_of_lines
from crstack.exposures.comparison.shadows import find_shadows
from crstack.utils.memory import zero_image
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = [
    "without_blooming",
    "without_dark_lines",
    "without_low",
    "without_pixels_unlike_light",
    "without_repeated_lines",
    "without_shadows",
    "without_wrapped_values",
]

log = logging.getLogger("crstack.exposures")

#: what pixels hold in every exposure that light does not give, and a possible cause
DEAD = (
    "hold the value {value} in every exposure, far below their surroundings, where light would have noise: dead pixels?"
)
NEGATIVE = (
    "are far below 0 in every exposure (lowest {lowest} after the bias was subtracted): values that mark bad pixels, "
    "or whole numbers that have wrapped?"
)
FULL = "hold {value} {unit} in every exposure, the highest value of 16 bits: hot pixels that are saturated?"


def without_repeated_lines(exposures):
    """Mark rows and columns that repeat the one before as bad, with a warning for each exposure that has some."""
    repeated = find_repeated_lines(exposures)
    if repeated is None:
        return exposures
    for name, one in zip(exposures.names, repeated, strict=True):
        if one.any():
            warn_user(
                f"rows or columns of {name} are equal to the next ones, with their noise ({place_of_pixels(one)}): a "
                "fault of the readout, or of a program that filled them? They are taken as bad values"
            )
    return with_bad(exposures, repeated)


def without_wrapped_values(exposures, read):
    """Mark values above the range of 16 bits, which have wrapped, as saturated.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    read : AsRead
        What is known of them as they were read.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is marked.
    """
    wrapped = find_wrapped_values(exposures, read.first)
    if wrapped is None:
        return exposures
    numbers = "; ".join(
        f"{name} has {place_of_pixels(one)}" for name, one in zip(exposures.names, wrapped, strict=True) if one.any()
    )
    warn_user(
        f"values seem to have wrapped: cores of bright sources are holes with steep rims, in {numbers}. Values above "
        "the highest of 16 bits are stored too low by 65536. These pixels, with a margin of one pixel, are taken as "
        "saturated, which makes them bad values. Read or write the files again with 32 bits, or add 65536 ADU to the "
        "values in the holes, before a gain or an exposure time is applied"
    )
    saturated = wrapped if exposures.saturated is None else exposures.saturated | wrapped
    return with_bad(replace(exposures, saturated=saturated), wrapped)


def without_pixels_unlike_light(exposures, read):
    """Mark pixels as bad whose values in every exposure are not those of light: dead, far below 0, or the highest.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    read : AsRead
        What is known of them as they were read.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is marked.
    """
    negative = find_negative_values(exposures)
    dead = find_dead_values(exposures, read.first, read.same, negative)
    full = find_full_values(exposures, read.first, read.same)
    for where, words in ((dead, DEAD), (negative, NEGATIVE), (full, FULL)):
        if where is not None:
            exposures = _without_pixels(exposures, where, words, read)
    return exposures


def _without_pixels(exposures, where, words, read):
    """Mark pixels (ny, nx) that are not bad as bad in every exposure, with a warning.

    ``words`` are a format. Its ``value`` and ``unit`` are of the highest value in the first exposure as it was read.
    Its ``lowest`` is the lowest value of all exposures.
    """
    if exposures.bad is not None:
        where = where & ~exposures.bad.all(axis=0)
    if not where.any():
        return exposures
    values = {
        "value": f"{read.first[where].max():.6g}",
        "unit": read.unit,
        "lowest": f"{min(float(plane[where].min()) for plane in exposures.data):.6g} {exposures.noise.unit}",
    }
    warn_user(f"{place_of_pixels(where)}, {words.format(**values)} They are taken as bad values")
    return with_bad(exposures, np.broadcast_to(where, exposures.data.shape))


def without_shadows(exposures):
    """Mark large parts of single exposures that have less light than in the others as bad.

    Parameters
    ----------
    exposures : Exposures
        The exposures.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is marked.
    """
    shadows = find_shadows(exposures)
    if not shadows:
        return exposures
    dark = zero_image(exposures.data.shape, bool)
    for one in shadows:
        dark[one.exposure] = one.where
    if exposures.bad is not None:
        dark &= ~exposures.bad
    whose = "the other exposure" if len(exposures) == 2 else "the other exposures"
    found = "; ".join(
        f"{exposures.names[one.exposure]} has {max(one.share, 0):.2f} of the light of {whose} in "
        f"{place_of_pixels(dark[one.exposure])}"
        for one in shadows
    )
    warn_user(
        f"part of an exposure is dark, with a sharp edge: {found}. Is an amplifier dead, or is it the shadow of a "
        f"guide probe, the dome or a shutter? The values there, and a margin, are taken as bad{_alone(exposures)}. "
        "To choose the pixels, give the exposure a mask of this part, or leave the exposure out"
    )
    return replace(with_bad(exposures, dark), low=dark)


def _alone(exposures):
    """Words on what follows where one of two exposures has no valid values."""
    return ", and hits of the other exposure are not found there" if len(exposures) == 2 else ""


def without_dark_lines(exposures):
    """Mark columns and rows of single exposures that have less light than in the others as bad.

    Parameters
    ----------
    exposures : Exposures
        The exposures.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is marked.
    """
    lines = dark_lines(exposures)
    if not lines:
        return exposures
    dark = zero_image(exposures.data.shape, bool)
    for one in lines:
        dark[one.exposure][one.box] = True
    if exposures.bad is not None:
        dark &= ~exposures.bad
    words = ", ".join(words_of_lines(lines, exposures.names))
    warn_user(
        f"a column or row is dark in one exposure: {words} of the expected light, and the other exposures have no such "
        "line: is it a defect that a dither has moved, dust, or a fault of the readout? The values are taken as "
        f"bad{_alone(exposures)}. To choose the pixels, give the exposure a mask of this line"
    )
    return replace(with_bad(exposures, dark), low=dark if exposures.low is None else dark | exposures.low)


def without_blooming(exposures):
    """Mark charge that has bled from saturated pixels as bad.

    Parameters
    ----------
    exposures : Exposures
        The exposures.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is marked.
    """
    bloomed = find_blooming(exposures, displacement)
    if bloomed is None:
        return exposures
    _log_left_out("charge that has bled along columns from saturated pixels", exposures, bloomed)
    return replace(with_bad(exposures, bloomed), saturated=exposures.saturated | bloomed)


def without_low(exposures, low, words):
    """Mark values that are too low as bad, with a line in the log.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    low : `~numpy.ndarray` of bool or None
        (N, ny, nx) the values; None if there are none.
    words : str
        What they are, for the log.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is marked.
    """
    if low is None:
        return exposures
    _log_left_out(words, exposures, low)
    return replace(with_bad(exposures, low), low=low if exposures.low is None else low | exposures.low)


def _log_left_out(what, exposures, where):
    """Write the number of values of each exposure that are left out, bool (N, ny, nx), to the log."""
    numbers = ", ".join(
        f"{counted(np.count_nonzero(one), 'value')} of {name}"
        for name, one in zip(exposures.names, where, strict=True)
        if one.any()
    )
    log.info("left out as %s: %s", what, numbers)
