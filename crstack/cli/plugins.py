"""``crstack plugins``: the installed plug-ins."""

from crstack.utils.log import log, settings_lines
from crstack.utils.registry import BOUNDARIES, DETECTORS, METHODS

__all__ = ["show_plugins"]


def show_plugins():
    """Log the methods, detectors and boundary models with their parameters and defaults.

    A plug-in that cannot be loaded gives a warning, and the others are shown.
    """
    for title, registry in (("Methods", METHODS), ("Detectors", DETECTORS), ("Boundary models", BOUNDARIES)):
        words = f"{title} (entry points {registry.group})"
        log.note("%s\n%s\n", words, "-" * len(words))
        for name, kind in registry.load_all().items():
            _show(name, kind)


def _show(name, kind):
    """List the registered members of one kind, with their parameters."""
    summary = (kind.__doc__ or "").strip().splitlines()
    log.note("%s: %s.%s", name, kind.__module__, kind.__name__)
    if summary:
        log.note("  %s", summary[0].replace("``", ""))
    lines = settings_lines((key, f"= {_default(value)}") for key, value in kind.parameters().items())
    for line in lines:
        log.note("  %s", line)
    log.note("")


def _default(value):
    """The default of a parameter, as words; a field of a dataclass may have none."""
    return "(must be given)" if type(value).__name__ == "_MISSING_TYPE" else repr(value)
