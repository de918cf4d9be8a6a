"""Error and warning classes."""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "CRStackError",
    "CRStackWarning",
    "ConfigurationError",
    "ImplausibleResultError",
    "ImplausibleResultWarning",
    "InputError",
    "PluginError",
    "UnknownPluginError",
]


class CRStackError(Exception):
    """Base class of every error that crstack raises on purpose."""


class InputError(CRStackError, ValueError):
    """An argument, an exposure or a file is not what the operation needs."""


class ConfigurationError(InputError):
    """A key or a value of a parameter file is wrong."""


class PluginError(CRStackError, LookupError):
    """A plug-in is unknown, cannot be imported, fails, or returns an invalid result."""


class UnknownPluginError(InputError, PluginError):
    """No plug-in has the name that is given."""


class CRStackWarning(AstropyUserWarning):
    """A problem that does not stop the work."""


class ImplausibleResultWarning(CRStackWarning):
    """The result is implausible: too many values are flagged, or they contradict the noise."""


class ImplausibleResultError(CRStackError):
    """The result is implausible, and a limit was set that makes this an error."""
