"""Work on bands of rows in a few threads (numpy and scipy release the GIL).

A call of NumPy should work on 30 000 values or more. After each call, a thread waits until no other one holds the GIL.
With less work between, two threads may need more time than one.
"""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from functools import cache, wraps
from itertools import count
from threading import Lock
from types import FunctionType

import numpy as np

from crstack.exceptions import InputError
from crstack.utils.memory import current_workspace, limited_memory, relax
from crstack.utils.validation import check_integer

__all__ = [
    "PIXELS_IN_CACHE",
    "contiguous",
    "limited_threads",
    "map_images",
    "map_threads",
    "n_threads",
    "row_bands",
    "slices",
    "wide_bands",
    "with_limited_threads",
]

#: environment variable with the number of threads
VARIABLE = "CRSTACK_NUM_THREADS"
#: default number of threads
MOST = 8
#: largest number of threads beside the calling ones
MOST_HELPERS = 256

#: pixels of a band whose temporary arrays fit into the caches
PIXELS_IN_CACHE = 1 << 17

_limit = ContextVar("limit", default=None)
#: threads that have no work, of those that all nested calls share
_spare = ContextVar("spare", default=None)
_single_blas = ContextVar("single_blas", default=False)


def n_threads():
    """Number of threads: that of `limited_threads`, else CRSTACK_NUM_THREADS, else the number of processors, at most
    8.

    Raises
    ------
    InputError
        If CRSTACK_NUM_THREADS is not an integer of at least 1.
    """
    if _limit.get() is not None:
        return _limit.get()
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        if not (named.isascii() and named.isdigit() and int(named)):
            raise InputError(f"{VARIABLE} must be an integer at least 1; got {named!r}; set it to a number or unset it")
        return int(named)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors, MOST)


@contextmanager
def limited_threads(n):
    """Context that uses ``n`` threads; None does not change the number.

    The matrix library of NumPy (BLAS) uses one thread in this context. Its own threads occupy processors while they
    wait, which slows other threads, and its rounding depends on their number.

    Raises
    ------
    InputError
        If ``n`` is not an integer of at least 1.
    """
    token = _limit.set(_limit.get() if n is None else check_integer("n_threads", n, minimum=1))
    inner = _single_blas.set(True)
    try:
        with nullcontext() if inner.old_value is True else _blas().limit(limits=1):
            yield
    finally:
        _single_blas.reset(inner)
        _limit.reset(token)


@cache
def _blas():
    """Controller of the number of threads of BLAS, in all libraries that contain one."""
    # scipy may contain its own BLAS, which must be loaded first
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def with_limited_threads(cls):
    """Class whose public methods and properties use ``self._n_threads`` threads; None for the default number.

    Their large arrays are made in ``self._workspace``, if there is one.
    """

    def limited(function):
        @wraps(function)
        def work(self, *args, **kwargs):
            with limited_threads(self._n_threads), limited_memory(getattr(self, "_workspace", None)):
                return function(self, *args, **kwargs)

        return work

    for name, member in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, FunctionType):
            setattr(cls, name, limited(member))
        elif isinstance(member, property):
            setattr(cls, name, property(limited(member.fget), member.fset, member.fdel, member.__doc__))
    return cls


def slices(n, step):
    """Slices of ``step`` that cover ``n``; the last may be shorter."""
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def row_bands(n_rows, n_columns, pixels_per_band=1 << 18):
    """Slices of whole rows that cover ``n_rows``, of about ``pixels_per_band`` pixels each."""
    return slices(n_rows, max(1, pixels_per_band // max(n_columns, 1)))


def wide_bands(n_rows, n_columns, margin=0, pixels=None):
    """Bands that fit into the caches: rows, the same with a ``margin`` on both sides, and their position in these.

    They have about `PIXELS_IN_CACHE` pixels each if another number of ``pixels`` is not given.
    """
    bands = []
    for rows in row_bands(n_rows, n_columns, PIXELS_IN_CACHE if pixels is None else pixels):
        first = max(rows.start - margin, 0)
        wide = slice(first, min(rows.stop + margin, n_rows))
        bands.append((rows, wide, slice(rows.start - first, rows.stop - first)))
    return bands


class _Spare:
    """A number of threads without work. Nested calls take them, and give them back when no item is left."""

    def __init__(self, n):
        self._n, self._lock = n, Lock()

    def take(self, most):
        """Take up to ``most`` of them; return how many."""
        with self._lock:
            n = min(most, self._n)
            self._n -= n
        return n

    def give(self, n):
        """Give ``n`` of them back."""
        with self._lock:
            self._n += n


@contextmanager
def _shared_threads():
    """Context in which nested calls share the threads; yields those without work."""
    if _spare.get() is not None:
        yield _spare.get()
        return
    token = _spare.set(_Spare(n_threads() - 1))
    try:
        yield _spare.get()
    finally:
        _spare.reset(token)


@cache
def _helpers():
    """The threads that work beside the one that calls; they wait for the next work."""
    return ThreadPoolExecutor(MOST_HELPERS, thread_name_prefix="crstack")


if hasattr(os, "register_at_fork"):
    # a new process has none of the threads
    os.register_at_fork(after_in_child=_helpers.cache_clear)


class _Items:
    """Items that several threads take one after the other, with their results."""

    def __init__(self, function, items):
        self._function, self._items = function, items
        self._numbers = count()
        self.results = [None] * len(items)
        self.errors = {}
        self.stopped = False

    def take(self):
        """Work until no item is left, or one has failed."""
        # a count gives each number to one thread only
        for i in self._numbers:
            if self.stopped or i >= len(self._items):
                return
            try:
                # each item has its own context, so that nested calls keep the limit
                self.results[i] = copy_context().run(self._function, self._items[i])
                relax()
            except BaseException as error:
                self.stopped = True
                self.errors[i] = error


def map_threads(function, items):
    """``[function(item) for item in items]`` in threads, in the order of ``items``.

    The calling thread works too. Calls within ``function`` use the threads for which no item is left. If an item fails,
    those that have not started are not run.
    """
    items = list(items)
    work = _Items(function, items)
    with _shared_threads() as spare:
        n = spare.take(max(min(n_threads(), len(items)) - 1, 0))
        if n:
            _work_beside(work, n, spare)
        else:
            work.take()
    if work.errors:
        error = work.errors[min(work.errors)]
        work.errors.clear()
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame
    return work.results


def _work_beside(work, n, spare):
    """Work on the items with ``n`` threads beside the calling one, and give each back when it is free."""

    def help_out():
        try:
            work.take()
        finally:
            spare.give(1)

    with limited_threads(None):
        helpers = [_helpers().submit(copy_context().run, help_out) for _ in range(n)]
        try:
            work.take()
        finally:
            work.stopped = True  # a signal, such as Ctrl-C, may arrive while items are left
            # those that have not started are not needed any more
            begun = [one for one in helpers if not one.cancel()]
            # nested calls of the others may use the calling thread too, while it waits
            spare.give(n - len(begun) + 1)
            wait(begun)
            spare.give(-1)


def contiguous(array):
    """An array (..., ny, nx) with its rows contiguous in memory, as `numpy.ascontiguousarray`, copied in threads."""
    if array.flags.c_contiguous:
        return array
    copy = np.empty(array.shape, array.dtype)

    def work(rows):
        copy[..., rows, :] = array[..., rows, :]

    map_threads(work, row_bands(*array.shape[-2:]))
    return copy


def map_images(function, items):
    """As `map_threads`, for work that needs several whole images: one after the other where memory is limited."""
    workspace = current_workspace()
    limited = workspace is not None and workspace.limit is not None
    return [function(item) for item in items] if limited else map_threads(function, items)
