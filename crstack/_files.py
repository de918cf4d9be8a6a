"""Files that are written completely or not at all."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from crstack.exceptions import InputError

__all__ = ["add_history", "atomic_path", "header_line", "history_of"]

#: letters of a card of HISTORY, and the last one of a card whose line goes on in the next
LONGEST, GOES_ON = 72, "&"


def header_line(text):
    """Text that a FITS header can hold: printable ASCII, other letters escaped."""
    escaped = str(text).encode("ascii", "backslashreplace").decode("ascii")
    if escaped.isprintable():
        return escaped
    return "".join(letter if letter.isprintable() else " " for letter in escaped)


def add_history(header, lines):
    """Add lines to the HISTORY of a header, but for those that it has; `history_of` gives them back whole.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Changed in place.
    lines : iterable of str
        A line that is longer than a card goes on in the next; "&" ends the card before, as with CONTINUE.
    """
    there = set(history_of(header))
    for line in map(header_line, lines):
        if line in there:
            continue
        rest = line
        while len(rest) > LONGEST or (len(rest) == LONGEST and rest.endswith(GOES_ON)):
            header.add_history(rest[: LONGEST - 1] + GOES_ON)
            rest = rest[LONGEST - 1 :]
        header.add_history(rest)


def history_of(header):
    """Lines of the HISTORY of a header, those that `add_history` has split in one piece."""
    lines, begun = [], ""
    for card in map(str, header.get("HISTORY", ())):
        if len(card) == LONGEST and card.endswith(GOES_ON):
            begun += card[:-1]
        else:
            lines.append(begun + card)
            begun = ""
    return [*lines, begun] if begun else lines


#: files that exposures were read from in this process
_exposures_read: set[Path] = set()


def remember_exposure(path):
    """Remember a file that an exposure is read from, for `check_not_exposure`."""
    _exposures_read.add(Path(path).resolve())


def check_not_exposure(path):
    """Raise InputError if an exposure was read from a file that is to be written."""
    if Path(path).exists() and Path(path).resolve() in _exposures_read:
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
