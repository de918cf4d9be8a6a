"""Which of the exposures that were read can be used; checks of their saturation, masks and uncertainties."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from crstack.exceptions import InputError
from crstack.exposures.blank import is_constant
from crstack.exposures.input.items import MINIMUM_EXPOSURES
from crstack.exposures.input.keywords import Keyword
from crstack.exposures.input.planes import Plane
from crstack.utils.warn import warn_user

__all__ = ["ReadExposure", "check_saturation", "usable", "warn_of_errors", "warn_of_masks"]

#: fraction of saturated values of an exposure that gives a warning, and fraction that is an error in all exposures
MANY_SATURATED, NEARLY_ALL = 0.1, 0.99

#: fraction of masked values of an exposure that gives a warning
MANY_MASKED = 0.75
#: from the fraction ``MANY_LOST`` of values below 0 whose uncertainty is NaN, there is a warning; but not if more than
#: the fraction ``FEW_ABOVE`` of the values with such an uncertainty are above 0
MANY_LOST, FEW_ABOVE = 0.001, 0.1

#: what a mask means
INVERTED = "a mask is True where a value is bad: is it inverted?"


@dataclass(frozen=True, eq=False)
class ReadExposure:
    """What is known of an exposure that was read, except its values, which are in the cube.

    Attributes
    ----------
    name : str
        Name in messages.
    plane : Plane
        Its bad values and its variance, without its values.
    header : `~astropy.io.fits.Header`
        Its header.
    wcs : `~astropy.wcs.WCS` or None
        Its world coordinates.
    seconds : float or None
        Exposure time.
    digest : str
        Identifies its values as they were read.
    masked : float
        Fraction of its values that are masked in the input.
    """

    name: str
    plane: Plane
    header: fits.Header
    wcs: WCS | None
    seconds: float | None
    digest: str
    masked: float


def check_saturation(read: list[ReadExposure], level: Any) -> None:
    """Refuse a saturation level below nearly all values, and warn of one below many.

    Parameters
    ----------
    read : list of ReadExposure
        The exposures.
    level : `~astropy.units.Quantity`, Keyword or None
        The level that is given.

    Raises
    ------
    InputError
        If nearly all values of each exposure are above the level.
    """
    if level is None:
        return
    over = {one.name: float(np.mean(one.plane.saturated)) for one in read if one.plane.saturated is not None}
    many = {name: fraction for name, fraction in over.items() if fraction > MANY_SATURATED}
    if not many:
        return
    shown = f"the keyword {level.name}" if isinstance(level, Keyword) else f"{np.min(u.Quantity(level)):g}"
    name, fraction = max(many.items(), key=lambda pair: pair[1])
    words = (
        f"{100 * fraction:.1f} % of the values of {name} are at or above the saturation of {shown}, "
        f"in {len(many)} of {len(over)} exposures more than {100 * MANY_SATURATED:g} %"
    )
    remedy = "Check the number and its unit; it includes the bias"
    if min(over.values()) > NEARLY_ALL:
        raise InputError(f"saturation must be higher than most values; got {shown}: {words}. {remedy}")
    warn_user(f"{words}; they are bad values. {remedy}")


def usable(cube: np.ndarray, read: list[ReadExposure], drop: bool) -> list[int]:
    """Indices of the exposures that have valid pixels and are not blank.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        Values (N, ny, nx).
    read : list of ReadExposure
        The exposures.
    drop : bool
        Whether to continue without the others.

    Returns
    -------
    kept : list of int
        Indices of the usable exposures.

    Raises
    ------
    InputError
        If an exposure cannot be used, unless ``drop``, or if too few can.
    """
    reasons = {}
    for i, (image, one) in enumerate(zip(cube, read, strict=True)):
        reason = _why_unusable(image, one)
        if reason:
            reasons[i] = reason
    kept = [i for i in range(len(read)) if i not in reasons]
    if reasons and len(kept) < MINIMUM_EXPOSURES:
        unusable = ", ".join(read[i].name for i in reasons)
        raise InputError(
            f"exposures must be {MINIMUM_EXPOSURES} or more that are usable; got {len(kept)}, because each of "
            f"{unusable} is blank or without valid pixels. {_what_to_check([read[i] for i in reasons])}. With "
            "drop_unusable=True (command: --drop-unusable), too few are left"
        )
    if reasons and not drop:
        raise InputError(
            f"{next(iter(reasons.values()))}; leave it out, or drop it with drop_unusable=True "
            "(command: --drop-unusable)"
        )
    for reason in reasons.values():
        warn_user(f"{reason}; it is left out")
    return kept


def _what_to_check(read):
    """What to check where some exposures cannot be used."""
    if all(one.masked == 1 for one in read):
        return f"All values are masked ({INVERTED})"
    without_error = [one.plane.n_without_error + round(one.masked * one.plane.bad.size) for one in read if _is_bad(one)]
    if len(without_error) == len(read) and min(without_error) >= read[0].plane.bad.size:
        return (
            "Their uncertainties are negative, 0 or far below the read noise. Check whether they are standard "
            "deviations, variances or inverse variances, and their unit"
        )
    return "Check the files, ext and saturation"


def _is_bad(one):
    """Whether all values of an exposure are bad."""
    return one.plane.bad is not None and bool(one.plane.bad.all())


def _why_unusable(image, one):
    """Words for why an exposure cannot be used; None if it can."""
    bad = one.plane.bad
    if _is_bad(one):
        inverted = f", where all are masked ({INVERTED})" if one.masked == 1 else ""
        return f"exposures must have valid pixels; got none in {one.name}{inverted}"
    if is_constant(image, bad):
        value = image[0, 0] if bad is None else image[~bad][0]
        return f"exposures must not be blank; got {value:g} everywhere in {one.name}"
    return None


def warn_of_masks(read: list[ReadExposure]) -> None:
    """Warn of masks that cover most of the exposures.

    Parameters
    ----------
    read : list of ReadExposure
        The exposures that are used.
    """
    many = [one for one in read if one.masked > MANY_MASKED]
    if not many:
        return
    most = max(many, key=lambda one: one.masked)
    others = f", and more than three quarters of those of {len(many) - 1} more" if len(many) > 1 else ""
    warn_user(f"{_percent(most.masked)} of the values of {most.name} are masked{others}; {INVERTED}")


def _percent(fraction):
    """A fraction as text that does not become 100 % by rounding."""
    return f"{100 * fraction:.{0 if fraction < 0.99 else 2}f} %"


def warn_of_errors(read: list[ReadExposure], n_values: int) -> None:
    """Warn of values that are bad because of their uncertainty.

    Parameters
    ----------
    read : list of ReadExposure
        The exposures.
    n_values : int
        Number of values of all exposures.
    """
    found = [f"{one.plane.n_without_error} in {one.name}" for one in read if one.plane.n_without_error]
    if found:
        warn_user(
            f"uncertainties that are negative, 0 or far below the read noise make bad values: {', '.join(found)}. "
            "Check how the uncertainties were computed"
        )
    below, above = (sum(one.plane.n_lost[i] for one in read) for i in (0, 1))
    if below > MANY_LOST * n_values and above < FEW_ABOVE * below:
        warn_user(
            f"{100 * below / n_values:.2g} % of the values are below 0 and have NaN as "
            "uncertainty. They are bad values, and combined values are too high without them. If create_deviation "
            "of ccdproc computed the uncertainties, give it disregard_nan=True"
        )
