"""A lock file that guards a directory against a second run."""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from crstack.exceptions import InputError

try:
    import fcntl
except ImportError:  # this system has no such module
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK", "DirectoryLock"]

LOCK = ".crstack.lock"


class DirectoryLock:
    """A file with host and process, locked by the system while the process lives.

    The system releases the lock when a process ends in any way, so that the file of a killed run does not block later
    runs on the same host. Another host cannot detect this, and is refused while the file exists.

    Parameters
    ----------
    directory : path-like
        The directory to guard; it must exist when the lock is acquired.
    """

    def __init__(self, directory):
        self.path = Path(directory) / LOCK
        self._handle = None

    def acquire(self):
        """Acquire the lock.

        Raises
        ------
        InputError
            If another run has it.
        OSError
            If the file cannot be written.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def _take(self, handle):
        """Write this process into the file of the lock; `InputError` if another run holds it."""
        holder = _holder(handle)
        if not self._is_free(handle, holder):
            raise InputError(self._sentence(holder))
        who = {"host": socket.gethostname(), "process": os.getpid(), "since": _now()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(who).encode(), 0)

    def _is_free(self, handle, holder):
        """Whether no other run holds the directory."""
        if fcntl is None or holder.get("host") not in (None, socket.gethostname()):
            return not holder  # it is not known whether the holder is alive
        return _locked(handle, holder) and self._is_still(handle)

    def _is_still(self, handle):
        """Whether the path is still the open file: its holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _sentence(self, holder):
        """The error message for a directory that another run holds."""
        who = f"process {holder.get('process', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}"
        return (
            f"output directory must not be in use by another run; got {self.path.parent}, used by {who}; wait for it, "
            f"use another --output-dir, or remove {self.path} if that run is dead"
        )

    def release(self):
        """Remove the file and release the lock."""
        if self._handle is None:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None


def _locked(handle, holder):
    """Whether this process gets the lock of the system; without locks, whether the holder is dead."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # some network file systems have no locks
        return not _is_alive(holder.get("process"))
    return True


def _is_alive(process):
    """Whether a process of this number runs."""
    if not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _holder(handle):
    """Information on the holder in the file; empty for a new file."""
    try:
        found = json.loads(os.pread(handle, 4096, 0) or b"{}")
    except ValueError:
        return {"host": "an unknown host"}
    return found if isinstance(found, dict) else {"host": "an unknown host"}


def _now():
    return datetime.now(UTC).isoformat(timespec="seconds")
