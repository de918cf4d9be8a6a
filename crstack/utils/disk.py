"""Free space on the disks of results and of temporary files."""

import os
import shutil
import tempfile
from pathlib import Path

from crstack.exceptions import InputError
from crstack.utils.words import amount_of_bytes

__all__ = [
    "check_temporary_space",
    "existing_parent",
    "free_bytes",
    "is_on_disk_of_temporary_files",
    "why_not_writable",
]


def existing_parent(directory):
    """The directory itself, or the nearest of its parents that exists, as a `~pathlib.Path`."""
    place = Path(directory).absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return place


def why_not_writable(place):
    """Why no file can be made in a place, in words; None if one can.

    A temporary file is made and removed. The rights of a directory do not show that its disk is read-only or full.
    """
    if not Path(place).is_dir():
        return "is not a directory"
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return f"cannot be written ({error.strerror})"


def free_bytes(directory):
    """Bytes that may still be written to a directory, which need not exist; None where the system does not report it.

    Parameters
    ----------
    directory : path-like
        The directory.

    Returns
    -------
    free : int or None
    """
    try:
        usage = shutil.disk_usage(existing_parent(directory))
    except OSError:
        return None
    return usage.free if usage.total > 0 else None  # some file systems of other hosts report sizes of 0


def is_on_disk_of_temporary_files(directory):
    """Whether a directory, which need not exist, is on the disk of the temporary files."""
    return os.stat(existing_parent(directory)).st_dev == os.stat(tempfile.gettempdir()).st_dev


def check_temporary_space(n_bytes, purpose):
    """Check the space for temporary files before the work.

    Parameters
    ----------
    n_bytes : float
        Bytes that are needed.
    purpose : str
        What they are for, for the message.

    Raises
    ------
    InputError
        If there are fewer.
    """
    directory = tempfile.gettempdir()
    free = free_bytes(directory)
    if free is not None and free < n_bytes:
        raise InputError(
            f"temporary directory must have space for {purpose}, about {amount_of_bytes(n_bytes)}; got "
            f"{amount_of_bytes(free)} free in {directory}: set TMPDIR to a directory on a larger disk"
        )
