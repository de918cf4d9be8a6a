"""Names of images: the home directory, and patterns."""

import glob
import os
from pathlib import Path

from crstack.exceptions import ConfigurationError
from crstack.exposures.input.products import without_products

__all__ = ["image_places", "is_file", "matching_images"]


def is_file(path):
    """Whether a path is a file; False for an invalid name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def image_places(name, directory):
    """Paths of the search for an image: in the current directory, ``directory``, and its subdirectory ``data``."""
    name = os.path.expanduser(name)
    return Path(name), Path(directory) / name, Path(directory) / "data" / name


def matching_images(names, directory):
    """Names of images with each pattern replaced by the files that match it, sorted.

    Parameters
    ----------
    names : object
        A list of names and patterns such as ``raw/n*.fits``, or one pattern. Other values are returned unchanged, for
        the check of the key.
    directory : path-like
        See `image_places`.

    Raises
    ------
    ConfigurationError
        If no file matches a pattern.

    Warns
    -----
    CRStackWarning
        If products of crstack match a pattern; they are left out.
    """
    if isinstance(names, str) and glob.has_magic(names):
        names = [names]
    if not isinstance(names, list):
        return names
    found = []
    for name in names:
        places = image_places(name, directory) if isinstance(name, str) and glob.has_magic(name) else ()
        if not places or any(is_file(path) for path in places):  # brackets may be part of a name
            found.append(name)
            continue
        matches = next((some for some in (sorted(glob.glob(str(path))) for path in places) if some), None)
        if matches is None:
            raise ConfigurationError(f"images must match files that exist; got {name}, which matches none")
        found += without_products(matches)
    return found
