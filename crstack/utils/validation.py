"""Checks of arguments, with one wording: ``X must be ...; got ...``."""

import difflib
import numbers
from collections.abc import Hashable, Mapping, Set

import astropy.units as u
import numpy as np
from astropy.utils.masked import Masked

from crstack.exceptions import InputError
from crstack.utils.adu import named_adu
from crstack.utils.words import first_few, unit_words

__all__ = [
    "check_boolean",
    "check_choice",
    "check_image_shape",
    "check_integer",
    "check_number",
    "check_numbers",
    "check_pixel",
    "check_quantity",
    "check_region",
    "closest",
    "did_you_mean",
    "one_of",
]

#: most choices that a message lists
MOST_CHOICES = 8


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _bounds(minimum, maximum, exclusive):
    """The limits of a number in words."""
    words = []
    if minimum is not None:
        words.append(f"{'greater than' if exclusive else 'at least'} {minimum:g}")
    if maximum is not None:
        words.append(f"at most {maximum:g}")
    return " and ".join(words)


def _check_bounds(name, value, kind, minimum, maximum, exclusive):
    """Raise `InputError` unless a number lies within its limits."""
    low = minimum is not None and (value < minimum or (exclusive and value == minimum))
    high = maximum is not None and value > maximum
    if low or high:
        raise InputError(f"{name} must be {kind} {_bounds(minimum, maximum, exclusive)}; got {value}")


def check_number(name, value, *, minimum=None, maximum=None, exclusive=False):
    """Return ``value`` as a finite float, or raise `InputError`.

    ``exclusive`` makes ``minimum`` itself an error.
    """
    if not _is_number(value) or not np.isfinite(value):
        raise InputError(f"{name} must be a finite number; got {value!r}")
    _check_bounds(name, value, "a number", minimum, maximum, exclusive)
    return float(value)


def check_numbers(name, values, what, unit=u.one, **bounds):
    """Return a list of numbers as a tuple of floats, or raise `InputError`.

    Parameters
    ----------
    name : str
        Name of the list in messages.
    values : sequence of float or Quantity
        Numbers, each of which may have a unit.
    what : str
        What the list must be, for messages.
    unit : `~astropy.units.Unit`, optional
        Unit of the numbers.
    **bounds
        As for `check_number`.
    """
    message = f"{name} must be {what}; got {values!r:.60}"
    is_list = hasattr(values, "__len__") and np.ndim(values if isinstance(values, np.ndarray) else [0]) == 1
    if not is_list or isinstance(values, str | bytes | Mapping | Set) or not len(values):
        raise InputError(message)
    found = []
    for one in values:
        if isinstance(one, u.Quantity):
            if not one.unit.is_equivalent(unit):
                raise InputError(message)
            one = one.to_value(unit)
        if np.ndim(one) if isinstance(one, np.ndarray) else not isinstance(one, str | numbers.Number | np.generic):
            raise InputError(message)
        found.append(check_number(name, one.item() if isinstance(one, np.ndarray | np.generic) else one, **bounds))
    return tuple(found)


def check_integer(name, value, *, minimum=None, maximum=None):
    """Return ``value`` as an int, or raise `InputError`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InputError(f"{name} must be an integer; got {value!r}")
    _check_bounds(name, value, "an integer", minimum, maximum, False)
    return int(value)


def check_boolean(name, value):
    """Return ``value`` as a bool, or raise `InputError`."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def check_choice(name, value, choices, others=""):
    """Return ``value`` if it is one of ``choices``, or raise `InputError`.

    If there is one choice only, ``others`` are words on what else is accepted, such as "None or a number".
    """
    if not isinstance(value, Hashable) or value not in choices:
        if len(choices) == 1:
            other = f", {others}" if "," in others or " or " in others else f" or {others}" if others else ""
            raise InputError(f"{name} must be {choices[0]!r}{other}; got {value!r:.60}")
        raise InputError(f"{name} must be one of {one_of(value, choices)}")
    return value


def one_of(value, choices):
    """The end of a message: the choices, the most similar one first if there are many, and the value that was given."""
    near, names = closest(value, choices), [str(one) for one in choices]
    if len(names) > MOST_CHOICES:
        names = sorted(names, key=lambda one: one != near)  # the others stay in their order
    return f"{first_few(names, MOST_CHOICES)}; got {value!r}{did_you_mean(value, choices)}"


def did_you_mean(value, choices):
    """Words in brackets that suggest the most similar name, such as " (did you mean 'joint'?)"; "" if none is."""
    near = closest(value, choices)
    return "" if near is None else f" (did you mean {near!r}?)"


def closest(value, choices):
    """The most similar of some names, as str, or None. Letters in another order count as the same name."""
    by_lower = {str(one).lower().replace("_", ""): str(one) for one in choices}
    word = str(value).lower().replace("_", "")
    near = [one for one in by_lower if sorted(one) == sorted(word)] or difflib.get_close_matches(word, by_lower, n=1)
    return by_lower[near[0]] if near else None


def check_image_shape(name, shape, expected):
    """Raise `InputError` unless ``shape`` equals ``expected``."""
    if tuple(shape) != tuple(expected):
        raise InputError(f"{name} must have the shape {tuple(expected)} of the exposures; got {tuple(shape)}")


def check_region(name, region, shape=None):
    """Return ``(xmin, xmax, ymin, ymax)`` as ints (FITS: the first pixel is 1, 1).

    With ``shape``, (ny, nx), the region must also lie inside the image.
    """
    try:
        xmin, xmax, ymin, ymax = (check_integer(name, value) for value in region)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be four integers [xmin, xmax, ymin, ymax]; got {region!r}") from None
    ordered = 1 <= xmin <= xmax and 1 <= ymin <= ymax
    if not ordered:
        raise InputError(f"{name} must have 1 <= xmin <= xmax and 1 <= ymin <= ymax; got {list(region)}")
    if shape is not None and (xmax > shape[1] or ymax > shape[0]):
        raise InputError(f"{name} must lie inside the image of {shape[1]} x {shape[0]} pixels; got {list(region)}")
    return xmin, xmax, ymin, ymax


def check_pixel(name, pixel, shape=None):
    """Return ``(x, y)`` as ints (FITS: the first pixel is 1, 1), inside ``shape`` if given."""
    try:
        x, y = (check_integer(name, value) for value in pixel)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be two integers [X, Y]; got {pixel!r}") from None
    if x < 1 or y < 1:
        raise InputError(f"{name} must have X and Y of at least 1; got {[x, y]}")
    if shape is not None and (x > shape[1] or y > shape[0]):
        raise InputError(f"{name} must lie inside the image of {shape[1]} x {shape[0]} pixels; got {[x, y]}")
    return x, y


def check_quantity(name, value, unit, *, shape=None, minimum=None, exclusive=False):
    """Return ``value`` in ``unit`` as a float or a float32 image.

    Parameters
    ----------
    name : str
        Name of the value in messages.
    value : `~astropy.units.Quantity`
        Scalar, or an image of ``shape``.
    unit : `~astropy.units.Unit`
        The unit to convert to.
    shape : tuple of int, optional
        The shape that an image must have.
    minimum : float, optional
        Smallest value allowed.
    exclusive : bool, optional
        Whether the smallest value itself is not allowed.

    Raises
    ------
    InputError
        If the value is a bare number, of another unit or shape, masked, not finite or out of bounds.
    """
    if not isinstance(value, u.Quantity):
        if isinstance(value, u.UnitBase):
            raise InputError(f"{name} must be a Quantity such as 1 * u.Unit('{unit}'); got the unit {value} alone")
        if hasattr(value, "unit") or isinstance(value, np.ndarray | list | tuple):
            raise InputError(
                f"{name} must be a Quantity, a number or an image with a unit such as image * u.Unit('{unit}'), "
                f"or ccd.data * ccd.unit of a CCDData; got a {type(value).__name__}"
            )
        raise InputError(
            f"{name} must be a Quantity such as {value!r} * u.Unit('{unit}'); got a bare {type(value).__name__}"
        )
    if isinstance(value, Masked):
        if np.any(value.mask):
            raise InputError(
                f"{name} must not be masked; got {np.count_nonzero(value.mask)} masked values: fill them, and mask "
                "these pixels in the exposures"
            )
        value = value.unmasked
    try:
        number = named_adu(value).to_value(unit)
    except u.UnitConversionError:
        inverse = f": give 1 / {name}" if value.unit == 1 / unit else ""
        raise InputError(f"{name} must be in {unit}; got {unit_words(value.unit)}{inverse}") from None
    if np.ndim(number):
        number = np.asarray(number, dtype=np.float32)
        if shape is not None:
            check_image_shape(name, number.shape, shape)
    low = np.min(number)
    if not np.all(np.isfinite(number)):
        raise InputError(f"{name} must be finite everywhere; got NaN or infinity")
    if minimum is not None and (low < minimum or (exclusive and low == minimum)):
        raise InputError(f"{name} must be {_bounds(minimum, None, exclusive)}; got {low:g} {unit}")
    return number if np.ndim(number) else float(number)
