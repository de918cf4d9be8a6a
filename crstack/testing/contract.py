"""What the checks of all kinds of plug-ins share: hits in a flat sky, and sentences about faults."""

import inspect
from contextlib import contextmanager
from typing import TypeVar, cast

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError, PluginError
from crstack.noise import NoiseModel

__all__ = [
    "CHARGE",
    "READNOISE",
    "SKY",
    "TRACKS",
    "check_arguments",
    "check_few_false",
    "check_frozen",
    "expect",
    "faults_named",
    "faults_of_plugins",
    "instance_of",
    "noise_of_gain",
]

T = TypeVar("T")

#: noise and sky of the exposures (electrons)
READNOISE, SKY = 4.0, 60.0
#: tracks of hits, negative from the last row and column; all are diagonal, because L.A.Cosmic keeps compact ones as
#: stars
TRACKS = (
    ((0, 0), (1, 1), (2, 2)),
    ((-1, -1), (-1, -2), (-2, -3)),
    ((0, -1), (1, -2), (2, -3)),
    ((6, 30), (7, 31), (8, 32), (9, 33)),
)
#: charge of a hit in each of its pixels (electrons)
CHARGE = 2500.0


def instance_of(given: T | type[T], base: type, name: str) -> T:
    """The given object, or the class called without arguments."""
    if isinstance(given, type) and issubclass(given, base):
        given = given()
    if not isinstance(given, base):
        raise InputError(f"{name} must be a {base.__name__}, or a class of one; got {given!r}")
    return cast(T, given)


@contextmanager
def faults_named(plugin):
    """Name the class of a plug-in in the sentence of a fault."""
    name = type(plugin).__name__
    try:
        yield
    except AssertionError as fault:
        if name in str(fault):
            raise
        raise AssertionError(f"{name}: {fault}") from fault


@contextmanager
def faults_of_plugins():
    """Convert the error of a plug-in that crstack finds faulty into a failed check."""
    try:
        yield
    except PluginError as error:
        raise AssertionError(str(error)) from error


def check_frozen(plugin):
    """Check that a plug-in is a frozen dataclass that can be compared."""
    kind = type(plugin).__name__
    names = list(plugin.parameters())
    expect(set(names) <= set(vars(plugin)), f"the parameters of {kind} must be its fields", names)
    twin = type(plugin)(**{name: getattr(plugin, name) for name in names})
    expect(plugin == twin, f"two {kind} of the same parameters must be equal")
    expect(hash(plugin) == hash(twin), f"two {kind} of the same parameters must have the same hash")
    expect(kind in repr(plugin), f"repr must name the class, {kind}", repr(plugin))
    for name in names[:1]:
        try:
            setattr(plugin, name, getattr(plugin, name))
        except AttributeError:
            continue
        raise AssertionError(f"{kind} must be a frozen dataclass; got one whose {name} can be set")


def check_arguments(function, *names):
    """Check that a function of a plug-in accepts the arguments with which crstack calls it."""
    parameters = inspect.signature(function).parameters.values()
    named = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return
    lacking = [name for name in names if name not in named]
    sentence = f"{function.__name__} must accept the arguments {', '.join(names)}"
    expect(len(named) >= len(names), sentence, f"{', '.join(named) or 'none'}, without {', '.join(lacking)}")


def check_few_false(false, most_false, where):
    """Check that few pixels are flagged without a hit, ``false`` (bool array)."""
    fraction = np.count_nonzero(false) / false.size
    expect(fraction <= most_false, f"at most {most_false:g} of the pixels may be false {where}", f"{fraction:.5f}")


def expect(condition, sentence, got=None):
    """Raise an `AssertionError` of this sentence unless the condition holds."""
    if not condition:
        raise AssertionError(sentence if got is None else f"{sentence}; got {got}")


def noise_of_gain(gain, unit=u.adu):
    """Noise model of a detector of this gain, for exposures in this unit."""
    return NoiseModel(gain * u.electron / u.adu, READNOISE * u.electron, unit)
