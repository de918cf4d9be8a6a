"""Look-up of methods, detectors and boundary models among the installed entry points."""

import difflib
import warnings
from importlib.metadata import entry_points

from crstack.exceptions import CRStackWarning, PluginError

__all__ = ["BOUNDARIES", "DETECTORS", "METHODS", "Registry"]


class Registry:
    """The plug-ins of one entry-point group, imported when first asked for.

    Parameters
    ----------
    group : str
        Name of the entry-point group.
    kind : str
        What a member is called in messages.
    """

    def __init__(self, group, kind):
        self.group = group
        self.kind = kind

    def __repr__(self):
        return f"<Registry of {self.kind}s: {', '.join(self.names())}>"

    def _entries(self):
        found = {}
        for entry in entry_points(group=self.group):
            known = found.setdefault(entry.name, entry)
            if known.value != entry.value:
                raise PluginError(
                    f"{self.kind} names must be unique; got {entry.name!r} from both {known.value} and {entry.value}"
                )
        return found

    def names(self):
        """Names of the registered plug-ins, sorted; nothing is imported."""
        return sorted(self._entries())

    def get(self, name):
        """Return the class registered as ``name``.

        Raises
        ------
        PluginError
            If there is no such name, or its module cannot be imported.
        """
        entries = self._entries()
        if name not in entries:
            near = difflib.get_close_matches(str(name), entries, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise PluginError(f"{self.kind} must be one of {', '.join(sorted(entries))}; got {name!r}{hint}")
        try:
            return entries[name].load()
        except Exception as error:  # whatever a stranger's module may raise; the others must work
            raise PluginError(
                f"{self.kind} {name!r} ({entries[name].value}) must be importable; got {_told(error)}"
            ) from error

    def load_all(self):
        """Return ``{name: class}`` of all that import; warn for those that do not."""
        classes = {}
        for name in self.names():
            try:
                classes[name] = self.get(name)
            except PluginError as error:
                warnings.warn(str(error), CRStackWarning, stacklevel=2)
        return classes


def _told(error):
    """The error in one line; the class says what a bare KeyError does not."""
    return str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"


#: methods that decide for all exposures of a stack
METHODS = Registry("crstack.methods", "method")
#: detectors of cosmic rays in single images
DETECTORS = Registry("crstack.detectors", "detector")
#: models of the boundary in the median-minimum diagram
BOUNDARIES = Registry("crstack.boundaries", "boundary model")
