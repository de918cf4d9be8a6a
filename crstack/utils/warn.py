"""Warnings that point at the line of the user."""

import sys
import warnings

from crstack.exceptions import CRStackWarning

__all__ = ["warn_user"]

#: modules between the line of the user and a warning: the package, and the decorators of its functions
PASSED = ("crstack", "contextlib", "functools")


def warn_user(text, category=CRStackWarning):
    """Give a warning that points at the first line outside this package.

    Parameters
    ----------
    text : str or Warning
        The message.
    category : type, optional
        Kind of the warning.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PASSED:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
