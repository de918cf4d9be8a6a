"""The output directory of a run: checks before writing, and a record of the written files.

Files are made in a hidden directory inside the output directory, and moved to their place when they are complete. A
manifest holds the checksum, size and time of change of each. If size and time are the same, the checksum is not
computed again. A file belongs to the user if the manifest does not contain it, or if it has changed since.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from crstack.exceptions import InputError
from crstack.pipeline.console import WorkFailedError
from crstack.pipeline.lock import LOCK, DirectoryLock
from crstack.utils.disk import existing_parent, why_not_writable
from crstack.utils.log import log
from crstack.utils.version import crstack_version
from crstack.utils.words import first_few

__all__ = ["MANIFEST", "Outputs", "check_output_directory"]

MANIFEST = "crstack_manifest.json"
#: prefix of the hidden directory
WORKPLACE = ".crstack-run-"
#: one second, in nanoseconds
SECOND = 10**9
#: largest number of files named in a message
MOST_NAMED = 3


def check_output_directory(directory):
    """Raise `InputError` unless the directory can be written, or made; it is not made."""
    place = existing_parent(directory)
    reason = why_not_writable(place)
    for name in Path(directory).absolute().parts[len(place.parts) :]:
        try:
            os.lstat(place / name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise InputError(f"output directory must have a shorter name; got {directory}") from error
    if reason:
        raise InputError(f"output directory must be writable; got {directory}, where {place} {reason}")


class Outputs:
    """The files of one run.

    Parameters
    ----------
    directory : path-like
        Their directory.
    overwrite : bool, optional
        Whether files that crstack did not write, or that were changed since, may be replaced.

    Attributes
    ----------
    directory : `~pathlib.Path`
        Directory of the files.
    written : list of str
        Names of the files that are complete.
    """

    def __init__(self, directory, *, overwrite=False):
        self.directory, self.overwrite = Path(directory), overwrite
        self.written = []
        self.workplace = None
        self._lock = DirectoryLock(self.directory)
        self._made = []
        self._kept = set()
        self._before, self._digests, self._stamps, self._complete = {}, {}, {}, {}
        self._held = set()

    def __truediv__(self, name):
        return self.directory / name

    # checks, before the work

    def check(self, names, inputs):
        """Check that no input and no file of the user is overwritten; nothing is written.

        Parameters
        ----------
        names : iterable of str
            Files that the run may write.
        inputs : iterable of (str, path-like)
            Name of each input in messages, and its path.

        Raises
        ------
        InputError
            If an input is one of these files, or one of them belongs to the user.
        """
        check_output_directory(self.directory)
        inputs = list(inputs)
        existing = [name for name in (*names, MANIFEST, LOCK) if os.path.lexists(self / name)]
        for name in existing:
            for what, path in inputs:
                if _same(self / name, path):
                    raise InputError(
                        f"{what} must not be a file that the run writes; got {path}, which is {self / name}; "
                        "use another --output-dir"
                    )
        self._before = self._read_manifest()
        self._check_owner([name for name in existing if name not in (MANIFEST, LOCK)])

    def _check_owner(self, names):
        """Raise `InputError` if files of the user would be replaced without ``overwrite``."""
        directories = [name for name in names if (self / name).is_dir()]
        if directories:
            raise InputError(f"{self / directories[0]} must be a file or nothing; got a directory")
        users = [name for name in names if not self._is_ours(name)]
        if users and not self.overwrite:
            shown = first_few([str(self / name) for name in users], MOST_NAMED)
            raise InputError(
                "files that the run writes must be new, or as an earlier run left them; "
                f"got {shown}; use another --output-dir, or --overwrite"
            )

    def _is_ours(self, name):
        """Whether an earlier run, or this one, wrote the file, and it has not changed since."""
        path = self / name
        if not path.is_file() or path.is_symlink():
            return False
        stamp = _stamp(path)
        if stamp is not None and self._stamps.get(name) == stamp:
            return True
        ours = _digest(path) in {*self._before.get(name, ()), self._digests.get(name)}
        if ours:
            self._stamps[name] = stamp
        return ours

    def _read_manifest(self):
        """Digests by name of the files that earlier runs wrote; empty if there were none."""
        path = self / MANIFEST
        if not os.path.lexists(path):
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            files, stamps = content["files"], content.get("stamps", {})
            if not all(Path(name).name == name for name in files):
                raise ValueError("a path in place of a name")
            self._stamps = {name: list(stamp) for name, stamp in stamps.items() if name in files}
            return {name: [str(one) for one in digests] for name, digests in files.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if self.overwrite:
                return {}
            raise InputError(
                f"{path} must be the list of files of an earlier run; got another file ({error}); remove it, "
                "use another --output-dir, or --overwrite"
            ) from None

    # during the work

    def __enter__(self):
        try:
            self._make_directories()
            self._lock.acquire()
            for stale in self.directory.glob(f"{WORKPLACE}*"):
                log.info("removed files of a killed run: %s", stale)
                shutil.rmtree(stale, ignore_errors=True)
            self.workplace = Path(tempfile.mkdtemp(prefix=WORKPLACE, dir=self.directory))
        except OSError as error:
            self._leave()
            reason = error.strerror or error
            raise InputError(
                f"output directory must be one that can be made and written; got {self.directory} ({reason})"
            ) from error
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *exception):
        self._leave()

    def _make_directories(self):
        """Make the directory and its parents, and record which were made."""
        missing = [self.directory, *self.directory.parents]
        self._made = [place for place in missing if not place.exists()]
        self.directory.mkdir(parents=True, exist_ok=True)

    def _leave(self):
        """Remove unfinished files, and the directory if it is empty."""
        if self.workplace is not None:
            shutil.rmtree(self.workplace, ignore_errors=True)
        self._lock.release()
        if not self.written:
            self.remove_empty()

    def remove_empty(self):
        """Remove the directories that were made for this run and are empty."""
        for place in self._made:
            try:
                place.rmdir()
            except OSError:  # not empty: a log file, or files of another run
                return

    def complete(self, path):
        """Compute the checksum of a complete file now, so that `publish` is faster."""
        self._complete[path.name] = _stamp(path), _digest(path)

    def hold(self, paths):
        """Exclude files that another thread writes from `publish`."""
        self._held |= {path.name for path in paths}

    def release(self, paths):
        """End what `hold` began."""
        self._held -= {path.name for path in paths}

    def publish(self):
        """Move the complete files to the output directory.

        Returns
        -------
        names : list of str
            Names of the moved files. A file of the user is not replaced, with a warning.

        Raises
        ------
        WorkFailedError
            If a file cannot be written.
        """
        moved = []
        # files that begin with a dot are not complete
        names = (path.name for path in self.workplace.iterdir() if not path.name.startswith("."))
        for name in sorted({*names} - self._held):
            path = self.workplace / name
            target = self / name
            if os.path.lexists(target) and not self.overwrite and not self._is_ours(name):
                log.warning(
                    "%s is not replaced: crstack did not write it, or it has changed since; give --overwrite",
                    target,
                )
                path.unlink()
                continue
            with self.writing(target):
                self._stamps[name], self._digests[name] = self._stamped_digest(path)
                self._write_manifest()
                path.replace(target)
            self.written.append(name)
            moved.append(name)
        return moved

    def _stamped_digest(self, path):
        """Stamp and checksum of a complete file."""
        stamp, digest = self._complete.pop(path.name, (None, None))
        return (stamp, digest) if stamp is not None and stamp == _stamp(path) else (_stamp(path), _digest(path))

    def keep(self, name):
        """Keep a file of an earlier run that this run reads."""
        self._kept.add(name)

    def keeps(self, name):
        """Whether a file of an earlier run is kept."""
        return name in self._kept

    def finish(self):
        """Remove the files of an earlier run that this one did not write, and report it in one line."""
        written = set(self.written)
        replaced = written & {*self._before}
        old = [name for name in self._before if name not in written | self._kept and self._is_ours(name)]
        with self.writing(self / MANIFEST):
            for name in old:
                (self / name).unlink()
            kept = {name: self._before[name] for name in self._kept if name in self._before}
            self._before = kept
            self._write_manifest()
        if replaced or old:
            log.note(
                "files of an earlier run: %d replaced, %d removed%s",
                len(replaced),
                len(old),
                f" ({first_few(old, MOST_NAMED)})" if old else "",
            )

    def _write_manifest(self):
        """Write the list of files of this and earlier runs, with their digests."""
        names = sorted({*self._before, *self._digests})
        files = {
            # until the file is moved, either version may be there
            name: [*self._before.get(name, ()), *([self._digests[name]] if name in self._digests else ())]
            for name in names
        }
        stamps = {name: self._stamps[name] for name in names if self._stamps.get(name) is not None}
        content = {"program": f"crstack {crstack_version()}", "algorithm": "sha256", "files": files, "stamps": stamps}
        text = json.dumps(content, indent=1)
        # among the unfinished files, which the next run removes if this one is killed
        temporary = self.workplace / f".{MANIFEST}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self / MANIFEST)

    @staticmethod
    def writing(path):
        """Convert an error of the file system into a `WorkFailedError` that names ``path``."""
        return _Writing(path)


class _Writing:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OSError):
            # NumPy gives no number of the error where a file is cut short
            reason = error.strerror or f"{error}: the disk is full, or a limit of the size of files is reached"
            raise WorkFailedError(f"{self.path} must be writable; got {reason}") from error
        if isinstance(error, InputError):  # from where a temporary file is made
            raise WorkFailedError(str(error)) from error


def _stamp(path):
    """Size and time of change of a file; None if the file system keeps whole seconds only."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns] if status.st_mtime_ns % SECOND else None


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(one, other):
    """Whether two paths are the same file, also by links."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
