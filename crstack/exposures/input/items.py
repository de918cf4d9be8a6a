"""The list of exposures: paths with wildcards, collections of ccdproc, iterators."""

import glob
import os
from collections.abc import Iterable

import numpy as np
from astropy.nddata import NDData

from crstack.exceptions import InputError
from crstack.exposures.input.products import warn_of_products, without_products

__all__ = ["MINIMUM_EXPOSURES", "exposure_items"]

MINIMUM_EXPOSURES = 2


def exposure_items(items):
    """The exposures as a list.

    Parameters
    ----------
    items : str, path-like, ImageFileCollection or iterable
        A path with wildcards (``*``, ``?``, ``[...]``; ``~`` is the home directory), sorted by name;
        an `~ccdproc.ImageFileCollection`; or exposures and paths.

    Returns
    -------
    items : list

    Raises
    ------
    InputError
        If there are too few, or it is a single exposure.
    """
    if isinstance(items, str | os.PathLike):
        found = _expanded(items)
        if len(found) == 1 and not _has_wildcard(items):
            raise InputError(f"exposures must be a list, or a path with wildcards; got the single path {items}")
        items = found
    elif hasattr(items, "files_filtered") and hasattr(items, "location"):
        items = without_products(list(items.files_filtered(include_path=True)))
    elif isinstance(items, NDData) or (isinstance(items, np.ndarray) and items.ndim != 3):
        raise InputError(f"exposures must be a list of them; got a single {type(items).__name__}")
    elif not isinstance(items, Iterable) or isinstance(items, bytes | dict):
        raise InputError(f"exposures must be a list, or a path with wildcards; got {type(items).__name__}")
    items = [one for item in items for one in (_expanded(item) if isinstance(item, str | os.PathLike) else [item])]
    if len(items) < MINIMUM_EXPOSURES:
        raise InputError(f"exposures must be {MINIMUM_EXPOSURES} or more; got {len(items)}")
    warn_of_products(item for item in items if isinstance(item, str | os.PathLike))
    return items


def _has_wildcard(path):
    return glob.has_magic(os.fspath(path))


def _expanded(path):
    """The files that match a path; the path itself if it exists or has no wildcard."""
    path = os.path.expanduser(os.fspath(path))
    if os.path.exists(path) or not _has_wildcard(path):
        return [path]
    found = sorted(glob.glob(path))
    if not found:
        raise InputError(f"exposures must be files that exist; got none for {path}")
    return without_products(found)
