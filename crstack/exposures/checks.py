"""Checks of the exposures after reading: errors, bad values and warnings."""

import logging
from dataclasses import replace

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.as_read import least_noise
from crstack.exposures.bad_values.blank_parts import without_blank_parts
from crstack.exposures.bad_values.blooming import find_blooming
from crstack.exposures.bad_values.dead_values import find_dead_values, find_full_values, find_negative_values
from crstack.exposures.bad_values.low_values import find_low_values
from crstack.exposures.bad_values.marking import place_of_pixels, with_bad
from crstack.exposures.bad_values.signed import warn_of_signed_integers
from crstack.exposures.bad_values.wrapped import find_wrapped_values
from crstack.exposures.bad_values.zeros import find_zeros
from crstack.exposures.comparison.amplifiers import warn_of_amplifiers
from crstack.exposures.comparison.copies import is_nearly_same, is_same
from crstack.exposures.comparison.fields import of_one_field
from crstack.exposures.comparison.lines import dark_lines, words_of_lines
from crstack.exposures.comparison.setups import warn_of_setups
from crstack.exposures.comparison.shadows import find_shadows
from crstack.exposures.comparison.times import factors_of_times
from crstack.exposures.digits import SMALL_NOISE, digit_of, rounding_variance
from crstack.exposures.scatter.noise_checks import compare_noise
from crstack.utils.medians import median_of_values
from crstack.utils.memory import zero_image
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = ["checked"]

#: step of the rows and columns whose median is the level of an exposure
STEP = 7

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

#: values of single exposures that are left out, as words for the log
LOW = "values that are far below their surroundings and the other exposures"
ZEROS = "values of exactly 0 where light gives hardly any values near 0"


def checked(exposures, *, bias_given=True, drop=False, read=None):
    """Check exposures, and mark their blank parts and values that are far too low as bad.

    Parameters
    ----------
    exposures : Exposures
        Exposures as read.
    bias_given : bool, optional
        Whether a bias other than 0 was subtracted.
    drop : bool, optional
        Whether to leave out exposures of another field or shifted too far. If not, their values are bad.
    read : AsRead, optional
        What is known of the exposures as they were read.

    Returns
    -------
    exposures : Exposures
        The same object where nothing is blank and each exposure has the noise of its level.

    Raises
    ------
    InputError
        If two exposures are the same, also but for a factor, a constant or a few pixels.

    Warns
    -----
    CRStackWarning
        If headers name different filters or gratings. If exposures are saturated, unsigned integers were read as signed
        ones, or values above 16 bits have wrapped. If pixels are dead, or part of an exposure is blank or has less
        light than in the others. If an exposure lacks the structures of the others. If the scatter disagrees with the
        noise.
    """
    _refuse_copies(exposures)
    warn_of_setups(exposures.own_headers, exposures.names)
    exposures = without_blank_parts(exposures, read)
    coarse = signed = False
    if read is not None:
        signed = warn_of_signed_integers(exposures, read.first)
        exposures = exposures if signed else _without_wrapped_values(exposures, read)
        exposures = _without_pixels_unlike_light(exposures, read)
        exposures, coarse = _with_rounding(exposures, read)
    exposures = _without_shadows(exposures)
    exposures, alike, unused = of_one_field(exposures, drop)
    if alike:
        exposures = _without_blooming(exposures)
        exposures = exposures if bias_given else _without_low(exposures, find_zeros(exposures), ZEROS)
        exposures = _without_low(exposures, find_low_values(exposures), LOW)
        exposures = _without_dark_lines(exposures)
        # few whole numbers do not scatter as normal values do
        exposures = _with_checked_noise(exposures, bias_given, scatter=not (coarse or signed))
    return exposures if unused is None else unused.beside(exposures)


def _with_checked_noise(exposures, bias_given, *, scatter):
    """The exposures with the noise of a sky that was subtracted, and whether there was a warning on their noise.

    Their levels are compared between amplifiers, and if ``scatter`` is set, their scatter with the stated noise.
    """
    factors = factors_of_times(exposures)
    scaled = exposures if factors is None else exposures.divided_by(factors)
    uneven = warn_of_amplifiers(scaled)
    missing, wrong = compare_noise(scaled, bias_given) if scatter else ((), False)
    if uneven or wrong:
        exposures = replace(exposures, doubted=True)
    if missing:
        known = exposures.missing or (0.0,) * len(exposures)
        exposures = replace(exposures, missing=tuple(map(sum, zip(known, missing, strict=True))))
    return exposures


def _refuse_copies(exposures):
    """Raise `InputError` if two exposures have the same values, but for a constant, a factor or few pixels."""
    for j in range(len(exposures)):
        for i in range(j):
            pair = exposures.data[i], exposures.data[j], exposures.bad_of(i), exposures.bad_of(j)
            same = is_same(*pair)
            if same or is_nearly_same(*pair):
                but = "a constant" if same else "a factor, a constant or a few pixels"
                raise InputError(
                    f"exposures must be independent; got the same values, but for {but}, in "
                    f"{exposures.names[i]} and {exposures.names[j]}; leave out the copies"
                )


def _with_rounding(exposures, read):
    """The exposures with the noise of rounding where the read noise is too small to include it.

    The second value states whether most values are equal, which is also a warning.
    """
    digit, sigma = digit_of(read.first), least_noise(exposures)
    if digit is None or sigma >= SMALL_NOISE * digit or any(one is not None for one in exposures.variances):
        return exposures, False
    added = rounding_variance(digit, sigma)
    noise, seconds = exposures.noise, exposures.rate_seconds or 1
    level = max(float(median_of_values([_median_of_valid(exposures, i) for i in range(len(exposures))])), 0.0)
    stated = float(np.sqrt(median_of_values(noise.variance(np.float32(level))))) / seconds
    coarse = stated < SMALL_NOISE * digit
    if coarse:
        then = f"The noise of rounding, {np.sqrt(added):.2g} {read.unit}, is added to it. " if added else ""
        warn_user(
            f"the noise is below one step of the values: it is {stated:.2g} {read.unit}, and a step is {digit:.3g}. "
            f"Most values are equal. {then}Faint hits may be missed, or flagged where there are none. Check gain, read "
            "noise and unit"
        )
    if not added:
        return exposures, coarse
    electrons = added * (float(np.median(noise.electrons_per_unit)) * seconds) ** 2
    return replace(exposures, missing=(electrons,) * len(exposures)), coarse


def _median_of_valid(exposures, i):
    """Median of a sample of the values of an exposure that are not bad; 0 if there are none."""
    sample, bad = np.s_[::STEP, ::STEP], exposures.bad_of(i)
    some = exposures.data[i][sample]
    some = some if bad is None else some[~bad[sample]]
    return float(median_of_values(some)) if some.size else 0.0


def _without_wrapped_values(exposures, read):
    """Mark values above the range of 16 bits, which have wrapped, as saturated."""
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


def _without_pixels_unlike_light(exposures, read):
    """Mark pixels as bad whose values in every exposure are not those of light: dead, far below 0, or the highest."""
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


def _without_shadows(exposures):
    """Mark large parts of single exposures that have less light than in the others as bad."""
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


def _without_dark_lines(exposures):
    """Mark columns and rows of single exposures that have less light than in the others as bad."""
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


def _without_blooming(exposures):
    """Mark charge that has bled from saturated pixels as bad."""
    bloomed = find_blooming(exposures)
    if bloomed is None:
        return exposures
    _log_left_out("charge that has bled along columns from saturated pixels", exposures, bloomed)
    return replace(with_bad(exposures, bloomed), saturated=exposures.saturated | bloomed)


def _without_low(exposures, low, words):
    """Mark values that are too low, bool (N, ny, nx) or None, as bad, with ``words`` for the log."""
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
