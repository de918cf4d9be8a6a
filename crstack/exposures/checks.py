"""Checks of the exposures after reading: errors, bad values and warnings."""

from dataclasses import replace

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.as_read import least_noise
from crstack.exposures.bad_values.blank_parts import without_blank_parts
from crstack.exposures.bad_values.low_values import find_low_values
from crstack.exposures.bad_values.signed import warn_of_signed_integers
from crstack.exposures.bad_values.zeros import find_zeros
from crstack.exposures.comparison.amplifiers import warn_of_amplifiers
from crstack.exposures.comparison.copies import is_nearly_same, is_same
from crstack.exposures.comparison.fields import of_one_field
from crstack.exposures.comparison.setups import warn_of_gains, warn_of_setups
from crstack.exposures.comparison.times import factors_of_times, warn_of_unknown_times
from crstack.exposures.digits import SMALL_NOISE, digit_of, rounding_variance
from crstack.exposures.left_out import (
    without_blooming,
    without_dark_lines,
    without_low,
    without_pixels_unlike_light,
    without_repeated_lines,
    without_shadows,
    without_wrapped_values,
)
from crstack.exposures.scatter.no_negative_values import share_of_zeros, warn_of_no_negative_values
from crstack.exposures.scatter.noise_checks import compare_noise
from crstack.exposures.scatter.photons import counted_photons
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user

__all__ = ["checked"]

#: step of the rows and columns whose median is the level of an exposure
STEP = 7

#: largest difference of a step of the values from one electron for which it may be one photon
ONE_ELECTRON = 0.1

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
        If no value is below 0 where the read noise gives many. If some headers lack an exposure time. If headers name
        different filters, gratings or gains. If exposures are saturated, unsigned integers were read as signed ones, or
        values above 16 bits have wrapped. If rows repeat others, pixels are dead, or part of an exposure is blank or
        has less light than in the others. If an exposure lacks the structures of the others. If the scatter disagrees
        with the noise.
    """
    _refuse_copies(exposures)
    warn_of_setups(exposures.own_headers, exposures.names)
    warn_of_unknown_times(exposures)
    if exposures.unit == u.adu and not any(one is not None for one in exposures.variances):
        warn_of_gains(exposures.own_headers, exposures.names)
    zeros, expected = share_of_zeros(exposures)
    unlike = warn_of_no_negative_values(exposures, zeros, expected)
    exposures = replace(exposures, doubted=exposures.doubted or unlike)
    exposures = without_repeated_lines(without_blank_parts(exposures, read, zeros))
    coarse = signed = False
    if read is not None:
        signed = warn_of_signed_integers(exposures, read.first)
        exposures = exposures if signed else without_wrapped_values(exposures, read)
        exposures = without_pixels_unlike_light(exposures, read)
        exposures, coarse = _with_rounding(exposures, read)
    exposures = without_shadows(exposures)
    exposures, alike, unused = of_one_field(exposures, drop)
    if alike:
        exposures = without_blooming(exposures)
        exposures = exposures if bias_given else without_low(exposures, find_zeros(exposures), ZEROS)
        exposures = without_low(exposures, find_low_values(exposures), LOW)
        exposures = without_dark_lines(exposures)
        # few whole numbers do not scatter as normal values do
        exposures = _with_checked_noise(exposures, bias_given, scatter=not (coarse or signed or unlike))
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

    The second value states whether many values are equal, which is also a warning.
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
            f"Many values are equal. {then}Faint hits may be missed, or flagged where there are none. "
            f"{_check_of_steps(exposures, digit * seconds)}"
        )
        exposures = replace(exposures, doubted=True)
    if not added:
        return exposures, coarse
    electrons = added * (float(np.median(noise.electrons_per_unit)) * seconds) ** 2
    return replace(exposures, missing=(electrons,) * len(exposures)), coarse


def _check_of_steps(exposures, digit):
    """What to check where the noise is below one step of the values, which is ``digit``."""
    electrons = digit * float(np.median(exposures.noise.electrons_per_unit))
    check = "check gain, read noise and unit"
    if abs(electrons - 1) > ONE_ELECTRON or counted_photons(exposures) is None:
        return check.capitalize()
    return (
        "If the detector counts photons, this is right, and a hit of few electrons cannot be distinguished from light. "
        f"If not, {check}"
    )


def _median_of_valid(exposures, i):
    """Median of a sample of the values of an exposure that are not bad; 0 if there are none."""
    sample, bad = np.s_[::STEP, ::STEP], exposures.bad_of(i)
    some = exposures.data[i][sample]
    some = some if bad is None else some[~bad[sample]]
    return float(median_of_values(some)) if some.size else 0.0
