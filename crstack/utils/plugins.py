"""Calls of plug-ins: their input arrays are read-only, and their errors name the plug-in."""

import copy
import inspect
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

import numpy as np

from crstack.exceptions import CRStackError, PluginError

__all__ = ["check_comparable", "error_in_words", "is_own", "plugin_errors", "protected"]


def is_own(plugin):
    """Whether an object, or a class, is part of crstack itself and no plug-in."""
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return kind.__module__.partition(".")[0] == "crstack"


@contextmanager
def plugin_errors(plugin, doing):
    """Convert errors of a plug-in into a `PluginError` with its name and the cause.

    Errors of crstack itself are passed on, because their messages are for the user. Interrupts and lack of memory are
    passed on too.

    Parameters
    ----------
    plugin : object
        Detector, boundary model or method, or its class.
    doing : str
        Name of the call, such as "detect".

    Raises
    ------
    PluginError
        If the block raises an error, or leaves by `SystemExit`.
    CRStackError
        The same of a class of crstack itself.
    """
    try:
        yield
    except (CRStackError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # plug-ins can raise any class of error
        name = (plugin if isinstance(plugin, type) else type(plugin)).__name__
        words = f"{name} must {doing} without an error; got {error_in_words(error)}"
        # an error of a base class that was passed in place of a plug-in is not a fault of crstack
        if is_own(plugin) and not inspect.isabstract(plugin):
            raise CRStackError(f"{words}. {name} is part of crstack: please report this, with the exposures") from error
        raise PluginError(words) from error


def error_in_words(error):
    """The class of an error and its message, in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def protected(value):
    """Read-only view of an object, for plug-ins.

    Parameters
    ----------
    value : object
        An array, or a dataclass or tuple that contains arrays.

    Returns
    -------
    view : object
        Arrays as read-only views, dataclasses, tuples and lists as copies with such views; other objects unchanged.
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) in (tuple, list):
        return type(value)(protected(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for field in fields(value):
            object.__setattr__(twin, field.name, protected(getattr(value, field.name)))
        return twin
    return value


def check_comparable(plugin):
    """Raise `PluginError` unless plug-ins with different parameters are unequal, and can be keys of a dict.

    The plug-in is the key of its stored results. A subclass that is not a dataclass inherits a comparison that ignores
    its attributes, and would get the results of other parameters.
    """
    name = type(plugin).__name__
    try:
        hash(plugin)
    except TypeError as error:
        raise PluginError(
            f"{name} must be a frozen dataclass whose parameters can be hashed, such as tuples in place of lists; "
            f"got {error}"
        ) from error
    owner = next(cls for cls in type(plugin).__mro__ if "__eq__" in vars(cls))
    unseen = set(getattr(plugin, "__dict__", ())) - set(getattr(owner, "__dataclass_fields__", ()))
    if owner is not type(plugin) and is_dataclass(owner) and unseen:
        raise PluginError(
            f"{name} must be a frozen dataclass (@dataclass(frozen=True)) whose parameters are fields; "
            f"got {', '.join(sorted(unseen))} set by other means"
        )
