"""Names of files in messages: without the folder that all share."""

import os

__all__ = ["common_folder", "short_names"]


def common_folder(names):
    """The folder that all files share; "" if one of the names has no folder.

    Parameters
    ----------
    names : sequence of path-like
        Paths, or other names of exposures.

    Returns
    -------
    folder : str
    """
    folders = [os.path.dirname(os.fspath(name)) for name in names]
    if not all(folders) or len({os.path.isabs(folder) for folder in folders}) > 1:
        return ""
    return os.path.commonpath(folders)


def short_names(names):
    """Names of exposures without the folder that all share, so that messages stay short.

    Parameters
    ----------
    names : sequence of path-like
        Paths, or other names of exposures.

    Returns
    -------
    names : tuple of str
    """
    folder = common_folder(names)
    return tuple(os.path.relpath(name, folder) if folder else os.fspath(name) for name in names)
