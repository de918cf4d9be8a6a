"""Look-up of methods, detectors and boundary models among the installed entry points."""

import os
import sys
from functools import lru_cache
from importlib import import_module, metadata

from crstack.exceptions import InputError, PluginError, UnknownPluginError
from crstack.utils.plugins import check_comparable, error_in_words, plugin_errors
from crstack.utils.validation import one_of
from crstack.utils.version import crstack_version
from crstack.utils.warn import warn_user

__all__ = ["BOUNDARIES", "DETECTORS", "METHODS", "Registry"]


def entry_points(group):
    """Entry points of a group; those of all groups are read once, and again after an installation."""
    return _installed(tuple((place, _changed(place)) for place in sys.path)).select(group=group)


@lru_cache(maxsize=1)
def _installed(places):
    return metadata.entry_points()


def _changed(place):
    """Time of the last change of a directory, or of an archive."""
    try:
        return os.stat(place or os.curdir).st_mtime_ns
    except OSError:
        return None


class Registry:
    """The plug-ins of one entry-point group, imported at first use.

    Parameters
    ----------
    group : str
        Name of the entry-point group.
    kind : str
        Name of the kind of plug-in in messages.
    base : str
        Class that every member is a subclass of, as "module:name"; imported with the first member.
    """

    def __init__(self, group, kind, base):
        self.group = group
        self.kind = kind
        self.base = base

    def __repr__(self):
        return f"<Registry of {self.kind}s: {', '.join(self.names())}>"

    def _entries(self):
        """Entry points by name. Of a name in use twice it is a `_Twice`, so that all other names work."""
        found = {}
        for entry in entry_points(group=self.group):
            known = found.setdefault(entry.name, entry)
            if known.value != entry.value:
                found[entry.name] = _Twice(self.kind, entry.name, f"{known.value} and {entry.value}")
        return found

    def names(self):
        """Names of the registered plug-ins, sorted; nothing is imported."""
        return sorted(self._entries())

    def get(self, name):
        """Return the class registered as ``name``.

        Raises
        ------
        UnknownPluginError
            If there is no such name. It is an `InputError` and a `PluginError`.
        PluginError
            If its module cannot be imported, it is not a class of that kind, or two plug-ins have this name.
        """
        entries = self._entries()
        if not entries:
            crstack_version()  # the error that crstack is not installed
        if name not in entries:
            raise UnknownPluginError(f"{self.kind} must be one of {one_of(name, sorted(entries))}")
        where = f"{self.kind} {name!r} ({entries[name].value})"
        try:
            found = entries[name].load()
        except PluginError:
            raise
        except (Exception, SystemExit) as error:  # plug-ins can raise any class of error
            raise PluginError(f"{where} must be importable; got {_in_words(error)}") from error
        base = self._base_class()
        if not (isinstance(found, type) and issubclass(found, base)):
            raise PluginError(f"{where} must be a subclass of {base.__name__}; got {found!r}")
        return found

    def _base_class(self):
        module, name = self.base.split(":")
        return getattr(import_module(module), name)

    def make(self, name):
        """Return an instance of the class registered as ``name``, with its default parameters.

        Raises
        ------
        PluginError
            As for `get`, or if it needs parameters.
        """
        kind = self.get(name)
        with plugin_errors(kind, "be made"):
            return kind()

    def instance(self, given, wanted):
        """Return the plug-in that is given, or made by its name.

        Parameters
        ----------
        given : object
            An instance, or a registered name.
        wanted : str
            The allowed values, for the message: "method must be a Method or the name of one".

        Raises
        ------
        InputError
            If it is neither.
        PluginError
            As for `make`, or if its parameters cannot be compared.
        """
        if isinstance(given, str):
            given = self.make(given)
        base = self._base_class()
        if isinstance(given, type) and issubclass(given, base):
            raise InputError(f"{wanted}; got a class: call it, {given.__name__}()")
        if not isinstance(given, base):
            raise InputError(f"{wanted}; got {given!r}")
        check_comparable(given)
        return given

    def load_all(self):
        """Return ``{name: class}`` of all plug-ins that can be imported; warn about the others."""
        classes = {}
        for name in self.names():
            try:
                classes[name] = self.get(name)
            except PluginError as error:
                warn_user(str(error))
        return classes


class _Twice:
    """In place of the entry point of a name that two plug-ins have: an error when the name is used."""

    def __init__(self, kind, name, value):
        self.kind, self.name, self.value = kind, name, value

    def load(self):
        """Raise `PluginError`."""
        raise PluginError(
            f"{self.kind} names must be unique; got {self.name!r} from both {self.value}: remove one of the packages"
        )


def _in_words(error):
    """The error in one line, with its class."""
    return str(error) if isinstance(error, ImportError | AttributeError) else error_in_words(error)


#: methods that decide on all exposures of a stack
METHODS = Registry("crstack.methods", "method", "crstack.methods:Method")
#: detectors of cosmic rays in single images
DETECTORS = Registry("crstack.detectors", "detector", "crstack.detectors.base:Detector")
#: models of the boundary in the median-minimum diagram
BOUNDARIES = Registry("crstack.boundaries", "boundary model", "crstack.boundaries.base:BoundaryModel")
