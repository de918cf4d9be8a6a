"""Files that are written completely or not at all."""

import errno
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from crstack.exceptions import InputError

__all__ = ["atomic_path", "check_not_exposure", "remember_exposure"]

#: files that exposures were read from in this process
_exposures_read: set[Path] = set()


def remember_exposure(path):
    """Remember a file that an exposure is read from, for `check_not_exposure`."""
    _exposures_read.add(Path(path).resolve())


def check_not_exposure(path):
    """Raise InputError if an exposure was read from a file that is to be written."""
    if os.path.exists(path) and Path(path).resolve() in _exposures_read:
        raise InputError(f"name of a file to write must not be that of an exposure that was read; got {path}")


@contextmanager
def atomic_path(path):
    """Give a temporary name beside ``path``; move it there if the block succeeds.

    Parameters
    ----------
    path : str or path-like
        Final name of the file; replaced if it exists.

    Raises
    ------
    InputError
        If the directory does not exist or cannot be written.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"names of files must be shorter; got {path}") from error
        raise InputError(f"{path.parent} must be a directory that can be written; got {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; the mode of a product follows the umask
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
