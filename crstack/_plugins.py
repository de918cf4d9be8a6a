"""Calls of code that others wrote: read-only arrays go in, errors come out with the name of the plug-in."""

import copy
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

import numpy as np

from crstack.exceptions import CRStackError, PluginError

__all__ = ["check_comparable", "error_in_words", "plugin_errors", "protected"]


@contextmanager
def plugin_errors(plugin, doing):
    """Turn whatever a plug-in raises into a `PluginError` with its name and the cause.

    Errors that crstack raises on purpose pass, as their sentences are for the user, and so do
    interrupts and lack of memory.

    Parameters
    ----------
    plugin : object
        Detector, boundary model or method, or its class.
    doing : str
        What is asked of it, such as "detect".

    Raises
    ------
    PluginError
        If the block raises an error, or leaves by `SystemExit`.
    """
    try:
        yield
    except (CRStackError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # any class of error can come from code that others wrote
        name = (plugin if isinstance(plugin, type) else type(plugin)).__name__
        raise PluginError(f"{name} must {doing} without an error; got {error_in_words(error)}") from error


def error_in_words(error):
    """The class of an error and its message, in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def protected(thing):
    """What a plug-in may read but not change.

    Parameters
    ----------
    thing : object
        An array, or a dataclass or tuple that holds some.

    Returns
    -------
    view : object
        Arrays as read-only views, dataclasses, tuples and lists as copies that hold such views; anything else as it is.
    """
    if isinstance(thing, np.ndarray):
        view = thing.view()
        view.flags.writeable = False
        return view
    if type(thing) in (tuple, list):
        return type(thing)(protected(one) for one in thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        twin = copy.copy(thing)
        for field in fields(thing):
            object.__setattr__(twin, field.name, protected(getattr(thing, field.name)))
        return twin
    return thing


def check_comparable(plugin):
    """Raise `PluginError` unless plug-ins of other parameters are unequal, and can be keys of a dict.

    Results are kept by the plug-in that made them. A subclass that is no dataclass inherits a comparison that does
    not see its attributes, and would get the results of other parameters.
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
