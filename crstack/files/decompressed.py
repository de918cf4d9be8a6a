"""Files of gzip, bzip2 and xz, decompressed once."""

import bz2
import gzip
import lzma
import os
import shutil
import tempfile
from contextlib import contextmanager
from io import BytesIO

from crstack.utils.memory import in_files

__all__ = ["ENDING", "decompressed", "opened_plain"]

#: ending of the names of FITS files, as a regular expression
ENDING = r"\.(?:fits?|fts)(?:\.(?:gz|bz2|fz|Z|xz))?"

#: first bytes of a compressed file, and the module that reads it
KINDS = {b"\x1f\x8b": gzip, b"BZ": bz2, b"\xfd7": lzma}
#: bytes that are decompressed at a time into a temporary file
AT_ONCE = 1 << 20


def _kind_of(file):
    """The module that reads a compressed file; None for others. The file is then at its start."""
    file.seek(0)
    kind = KINDS.get(file.read(2))
    file.seek(0)
    return kind


def opened_plain(file):
    """A file to read from its start, which is decompressed only as far as it is read.

    Parameters
    ----------
    file : file object
        Open for reading, in binary mode.

    Returns
    -------
    plain : file object
        ``file`` itself where it is not compressed with gzip, bzip2 or xz.
    """
    kind = _kind_of(file)
    return file if kind is None else kind.open(file)


@contextmanager
def decompressed(file):
    """The content of a file without its compression, as a file that is open for reading.

    astropy decompresses such a file from its start each time that it reads an earlier place: for the header, each
    checksum and the data.

    Parameters
    ----------
    file : file object
        Open for reading, in binary mode. It stays open.

    Yields
    ------
    plain : file object
        ``file`` itself, from its start, where it is not compressed with gzip, bzip2 or xz. Otherwise it is in memory,
        or in a temporary file where large arrays are kept in files.

    Raises
    ------
    OSError, EOFError, zlib.error, LZMAError
        If the file is damaged.
    """
    kind = _kind_of(file)
    if kind is None:
        yield file
    elif in_files():
        with tempfile.TemporaryFile(prefix="crstack-") as plain:
            with kind.open(file) as source:
                shutil.copyfileobj(source, plain, AT_ONCE)
            plain.seek(0)
            # astropy accepts only a file that is open for reading alone
            with os.fdopen(os.dup(plain.fileno()), "rb") as read_only:
                yield read_only
    else:
        yield BytesIO(kind.decompress(file.read()))
