"""Checks of the arguments of `make_stack`."""

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.noise import GAIN_UNIT
from crstack.utils.validation import check_integer, check_number, check_quantity
from crstack.utils.words import unit_words

__all__ = [
    "bias_in_unit",
    "check_backgrounds",
    "check_detector",
    "check_factors",
    "check_offsets",
    "check_seeing",
    "check_shape",
    "check_unit",
    "electrons_of",
]


def check_shape(shape):
    """Return ``shape`` as (ny, nx), or raise `InputError`."""
    try:
        ny, nx = (check_integer("shape", size, minimum=1) for size in shape)
    except (TypeError, ValueError):
        raise InputError(f"shape must be two positive integers (ny, nx); got {shape!r}") from None
    return ny, nx


def check_unit(unit):
    """Return ``unit`` as ADU or electron, or raise `InputError`."""
    try:
        unit = u.Unit(unit)
    except (TypeError, ValueError):
        raise InputError(f"unit must be adu or electron; got {unit!r}") from None
    if unit not in (u.adu, u.electron):
        raise InputError(f"unit must be adu or electron; got {unit_words(unit)}")
    return unit


def check_factors(name, factors, n):
    """Return ``n`` positive factors, 1 for each exposure by default, or raise `InputError`."""
    if factors is None:
        return (1.0,) * n
    factors = _check_length(name, factors, n, "numbers")
    return tuple(check_number(name, factor, minimum=0, exclusive=True) for factor in factors)


def check_seeing(seeing, n):
    """Return ``n`` widths (FWHM in pixels) or None, or raise `InputError`."""
    if seeing is None:
        return None
    widths = _check_length("seeing", seeing, n, "numbers")
    return tuple(check_number("seeing", width, minimum=0.5, maximum=20) for width in widths)


def check_backgrounds(backgrounds, n, gain, shape):
    """Levels or images in electrons, one for each exposure."""
    if backgrounds is None:
        return (0.0,) * n
    levels = _check_length("backgrounds", backgrounds, n, "quantities")
    found = [electrons_of("backgrounds", level, gain, shape=shape, minimum=0) for level in levels]
    return tuple(np.asarray(one, dtype=np.float32) for one in found)


def check_offsets(offsets, n):
    """Return ``n`` pairs (dx, dy) in pixels, 0 by default, or raise `InputError`."""
    if offsets is None:
        return ((0.0, 0.0),) * n
    pairs = _check_length("offsets", offsets, n, "pairs (dx, dy)")
    pairs = [_check_length("each of offsets", pair, 2, "numbers (dx, dy)") for pair in pairs]
    return tuple(tuple(check_number("offsets", shift) for shift in pair) for pair in pairs)


def _check_length(name, values, n, what):
    """Return ``n`` values as a list, or raise `InputError`; ``what`` names them in the message."""
    try:
        values = list(values)
    except TypeError:
        raise InputError(f"{name} must be {n} {what}; got {values!r}") from None
    if len(values) != n:
        raise InputError(f"{name} must be {n} {what}; got {len(values)}")
    return values


def check_detector(gain, readnoise, saturation, shape):
    """Raise `InputError` unless gain, read noise and saturation are Quantities in range, scalars or images."""
    check_quantity("gain", gain, GAIN_UNIT, shape=shape, minimum=0, exclusive=True)
    of_readnoise = u.adu if getattr(readnoise, "unit", None) == u.adu else u.electron
    check_quantity("readnoise", readnoise, of_readnoise, shape=shape, minimum=0)
    if saturation is not None:
        electrons_of("saturation", saturation, gain, shape=shape, minimum=0, exclusive=True)


def electrons_of(name, value, gain, **limits):
    """Value in electrons of a Quantity in electrons or ADU."""
    if getattr(value, "unit", None) == u.adu:
        return check_quantity(name, value, u.adu, **limits) * check_quantity("gain", gain, GAIN_UNIT)
    return check_quantity(name, value, u.electron, **limits)


def bias_in_unit(bias, gain, unit, shape):
    """Bias in ``unit``, converted with the gain if it is given in the other unit."""
    given = getattr(bias, "unit", None)
    if given == unit or given not in (u.adu, u.electron):
        check_quantity("bias", bias, unit, shape=shape)
        return bias
    check_quantity("bias", bias, given, shape=shape)
    return bias * gain if unit == u.electron else bias / gain
