"""Files that are written completely or not at all."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from crstack.exceptions import InputError

__all__ = ["atomic_path", "header_line"]


def header_line(text):
    """Text that a FITS header can hold: printable ASCII, other letters escaped."""
    escaped = str(text).encode("ascii", "backslashreplace").decode("ascii")
    return "".join(letter if letter.isprintable() else " " for letter in escaped)


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
