"""Place of large arrays: in memory or, if a limit of the memory requires it, in temporary files.

A temporary file is mapped into memory, so that its array is a plain `~numpy.ndarray`. Its pages count as memory of the
process only while they are used. `Workspace.relax` gives them back to the system, which keeps them in its cache or
writes them to the disk. The values do not change.
"""

import ctypes
import mmap
import os
import shutil
import tempfile
import threading
import time
import weakref
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from crstack.exceptions import InputError
from crstack.utils.disk import check_temporary_space
from crstack.utils.process_memory import held_bytes
from crstack.utils.words import amount_of_bytes

__all__ = [
    "Workspace",
    "current_workspace",
    "empty_image",
    "filled_image",
    "in_files",
    "kept",
    "limited_memory",
    "place_of",
    "relax",
    "stacked",
    "trim",
    "zero_image",
]

#: smaller arrays stay in memory, bytes
SMALL = 1 << 16
#: pages are given back when the process holds more than this share of the limit
SHARE = 0.8
#: least number of seconds between two calls that tidy the heaps of the C library
PERIOD_OF_TRIMS = 0.5
#: pages of fewer bytes are not given back, because they fill little memory
FEW_PAGES = 16_000_000
#: seconds between two measurements of the memory of the process
PERIOD = 0.01
#: memory of the libraries that are loaded later, and of what does not depend on the size of the images
FIXED = 100_000_000


class Workspace:
    """Place of the large arrays of a stack.

    Parameters
    ----------
    limit : int, optional
        Memory that the process may hold, in bytes.
    whole : sequence of str, optional
        Requested work that needs all images at once. It is refused if the arrays are kept in files.
    one_by_one : mapping, optional
        Requested work that needs whole images one after the other, with its memory for each pixel: see `allow`.
    in_regions : mapping, optional
        Requested work in regions of all images, with its memory for each exposure.

    Attributes
    ----------
    in_files : bool
        Whether large arrays are kept in temporary files. `decide` sets it.
    """

    def __init__(self, limit=None, whole=(), one_by_one=None, in_regions=None):
        self.limit = limit
        self.in_files = False
        self._whole, self._one_by_one = tuple(whole), dict(one_by_one or {})
        self._in_regions = dict(in_regions or {})
        self._needed = self._of_libraries = 0
        self._held_before, self._n_pixels = 0, 0
        self._maps = weakref.WeakSet()
        self._lock = threading.Lock()
        self._watched, self._trimmed = False, 0.0

    def __getstate__(self):
        """The state of a copy in another process, whose arrays are in memory."""
        work = {"whole": self._whole, "one_by_one": self._one_by_one, "in_regions": self._in_regions}
        return {"limit": self.limit} | work

    def __setstate__(self, state):
        self.__init__(**state)

    def decide(self, n_bytes, n_pixels=0, n_exposures=0, n_bytes_of_files=0):
        """Keep large arrays in files if ``n_bytes`` more than now would exceed the limit.

        Parameters
        ----------
        n_bytes : float
            Memory of all arrays.
        n_pixels : int, optional
            Pixels of an image, for `allow`.
        n_exposures : int, optional
            Number of exposures, for work in regions.
        n_bytes_of_files : float, optional
            Space of the temporary files, if arrays are kept there.

        Raises
        ------
        InputError
            If the process holds more than the limit already, if the requested work needs all images at once, or if the
            disk of the temporary files is too small.
        """
        if self.limit is not None:
            trim()  # memory that earlier work has freed is available
        held, self._of_libraries = held_bytes()
        if self.limit is not None and self.limit < held:
            raise InputError(
                f"mem_limit must be more than {amount_of_bytes(held)}, which Python and its libraries hold before "
                f"the work; got {amount_of_bytes(self.limit)}"
            )
        self._held_before, self._n_pixels = held, n_pixels
        self._needed = held + int(n_bytes)
        self.in_files = self.limit is not None and self._needed > self.limit
        if self._whole:
            self.refuse(" and ".join(self._whole))
        for what, bytes_per_pixel in self._one_by_one.items():
            self.allow(what, bytes_per_pixel)
        for what, bytes_per_exposure in self._in_regions.items():
            needed = min(held + FIXED + int(bytes_per_exposure * n_exposures), self._needed)
            if self.in_files and needed > self.limit:
                self._refuse(what, needed, "the regions of all images")
        if self.in_files:
            check_temporary_space(n_bytes_of_files, f"the arrays of mem_limit {amount_of_bytes(self.limit)}")

    def refuse(self, what):
        """Raise `InputError` where arrays are kept in files: ``what`` has all images in memory at once."""
        if self.in_files:
            self._refuse(what, self._needed, "all images")

    def allow(self, what, bytes_per_pixel):
        """Raise `InputError` where the limit is too small for ``what``, which works on whole images one by one.

        Parameters
        ----------
        what : str
            Name of the work, for the message.
        bytes_per_pixel : float
            Memory that it needs for each pixel of an image, besides the arrays that are kept in files.
        """
        needed = min(self._held_before + FIXED + bytes_per_pixel * self._n_pixels, self._needed)
        if self.in_files and needed > self.limit:
            self._refuse(what, needed, "whole images")

    def _refuse(self, what, needed, images):
        """Raise `InputError` for work that needs more memory than the limit."""
        raise InputError(
            f"mem_limit must be at least {amount_of_bytes(needed)} for {what} of this stack, because {images} "
            f"are needed at once; got {amount_of_bytes(self.limit)}. Less is enough for the joint decision without an "
            "auxiliary detector, and its combinations"
        )

    def empty(self, shape, dtype):
        """New array of any values; of zeros if it is in a file."""
        dtype = np.dtype(dtype)
        n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not self.in_files or n_bytes < SMALL:
            return np.empty(shape, dtype)
        mapped = _mapped_file(n_bytes)
        with self._lock:
            self._maps.add(mapped)
            _places[mapped] = self
            if not self._watched:
                self._watched = True
                threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True).start()
        return np.ndarray(shape, dtype, buffer=mapped)

    def relax(self):
        """Give back the pages of the files if the process holds too much."""
        if not self.in_files:
            return
        held, of_files = held_bytes()
        if 0 < held <= SHARE * self.limit:
            return
        if of_files - self._of_libraries > FEW_PAGES or not held:
            with self._lock:
                maps = list(self._maps)
            for one in maps:
                _give_back(one)
        if time.monotonic() - self._trimmed > PERIOD_OF_TRIMS:
            self._trimmed = time.monotonic()
            trim()

    @property
    def is_used(self):
        """Whether any array is in a file."""
        with self._lock:
            return len(self._maps) > 0


#: workspaces by the maps of their files
_places: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def place_of(array):
    """The `Workspace` that has an array in a file; None for an array in memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return _places.get(array) if isinstance(array, mmap.mmap) else None


def _mapped_file(n_bytes):
    """A new file without a name, mapped into memory; the system removes the file together with the map."""
    try:
        with tempfile.TemporaryFile(prefix="crstack-") as file:
            if hasattr(os, "posix_fallocate"):
                # reserve the space now: a write to a page without space on the disk would end the process
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
            return mmap.mmap(file.fileno(), n_bytes)
    except OSError as error:
        directory = tempfile.gettempdir()
        free = shutil.disk_usage(directory).free
        raise MemoryError(
            f"the temporary directory {directory} has {free / 1e9:.3g} GB free, and {n_bytes / 1e9:.3g} GB more are "
            f"needed for mem_limit ({error.strerror}); set TMPDIR to a directory on a larger disk"
        ) from error


def _give_back(mapped):
    """Let the system write pages of an array in a file, and free their memory."""
    try:
        mapped.madvise(mmap.MADV_DONTNEED)
    except (AttributeError, ValueError, OSError):
        return  # this system cannot, or the array has gone


def trim():
    """Let the C library give back what freed arrays have left in its heaps, where it can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # another C library than that of GNU


def _watch(reference):
    """Look at the memory of the process as long as a workspace has arrays in files."""
    while True:
        time.sleep(PERIOD)
        workspace = reference()
        if workspace is None:
            return
        with workspace._lock:
            if not workspace._maps:
                workspace._watched = False
                return
        workspace.relax()
        del workspace


_current = ContextVar("workspace", default=None)


@contextmanager
def limited_memory(workspace):
    """Context in which large arrays are made in a `Workspace`."""
    token = _current.set(workspace)
    try:
        yield
    finally:
        _current.reset(token)


def current_workspace():
    """The `Workspace` of the context; None without one."""
    return _current.get()


def in_files():
    """Whether large arrays are kept in files here."""
    return _current.get() is not None and _current.get().in_files


def empty_image(shape, dtype=np.float32):
    """New array of any values, in the workspace of the context."""
    return np.empty(shape, dtype) if _current.get() is None else _current.get().empty(shape, dtype)


def zero_image(shape, dtype=np.float32):
    """New array of zeros, in the workspace of the context."""
    if in_files():
        image = empty_image(shape, dtype)
        if image.nbytes < SMALL:
            image[...] = 0
        return image
    return np.zeros(shape, dtype)


def filled_image(shape, value):
    """New float32 image (ny, nx) of a number, or a copy of an image, in the workspace of the context."""
    image = empty_image(shape)
    image[...] = value
    return image


def kept(arrays):
    """A tuple of arrays (or numbers, or None), moved to files where large arrays are kept there."""
    if not in_files():
        return arrays
    moved = []
    for one in arrays:
        new = one
        if np.ndim(one) and one.nbytes >= SMALL:
            new = empty_image(one.shape, one.dtype)
            new[...] = one
        moved.append(new)
    return tuple(moved)


def stacked(planes):
    """`numpy.stack` of arrays of one shape that are made one after the other, in the workspace of the context."""
    if not in_files():
        return np.stack(list(planes))
    planes = [kept((one,))[0] for one in planes]
    cube = empty_image((len(planes), *planes[0].shape), np.result_type(*planes))
    for plane, one in zip(cube, planes, strict=True):
        plane[...] = one
        relax()
    return cube


def relax():
    """Give back pages that are not needed, if the process holds too much."""
    if in_files():
        _current.get().relax()
