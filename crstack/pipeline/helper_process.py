"""A second process that draws figures at the same time.

Threads would not make figures faster, because matplotlib holds the lock of the interpreter. The process is started
early, so that its libraries are loaded before the first figure. The command starts it before it loads its own ones.
Jobs and their arrays come in one file, each array once. Both processes claim jobs, the first from the start of the list
and the second from its end, until none is left.
"""

import contextlib
import mmap
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from threading import Thread

from crstack.utils.first_imports import first_imports
from crstack.utils.threads import n_threads

__all__ = ["FAILURES", "Drawing", "Helper", "early_helper"]

#: errors of a drawing library; if a figure fails, all others are still drawn
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
#: time limit (seconds) of the helper for its claimed jobs
PATIENCE = 600


class Helper:
    """The second process; a context manager that ends it.

    Attributes
    ----------
    process : `~subprocess.Popen` or None
        None if it could not be started.
    """

    def __init__(self):
        # -P: nothing is imported from the current directory
        command = [sys.executable, "-P", "-m", "crstack.pipeline.helper_process"]
        self._has_begun = False
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            self.process = subprocess.Popen(command, text=True, **pipes)
        except OSError:
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5 if exception[0] is None else 0.1)
        except subprocess.TimeoutExpired:
            self.end()

    @property
    def is_free(self):
        """Whether it has had no jobs, and waits for them."""
        return self.process is not None and not self._has_begun and self.process.poll() is None

    def end(self):
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def begin(self, folder):
        """Let it work on the jobs in a folder."""
        self._has_begun = True
        if self.process is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(f"{folder}\n")
                self.process.stdin.flush()

    def wait(self):
        """Wait until it has finished its claimed jobs."""
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()


def early_helper(wanted=True):
    """A helper whose libraries are loaded while this process loads its own.

    Parameters
    ----------
    wanted : bool, optional
        Whether figures will be drawn.

    Returns
    -------
    context : Helper or context without one
        Without a helper if there is one processor, or if the libraries of this process are loaded already.
    """
    useful = wanted and "crstack.plotting" not in sys.modules and n_threads() > 1
    return Helper() if useful else contextlib.nullcontext()


class Drawing:
    """Figures that a helper begins to draw while this process does other work; a context manager.

    Parameters
    ----------
    jobs : list of callable
        Each draws and writes one figure, and returns whether there was anything to draw. Jobs for a helper must be
        objects that can be pickled.
    helper : Helper, optional
        The second process.
    """

    def __init__(self, jobs, helper=None):
        self.jobs, self.helper = jobs, helper
        self._files = tempfile.TemporaryDirectory(prefix="crstack")
        self._folder = Path(self._files.name)
        # in a thread, because the arrays are large
        self._start = Thread(target=self._begin)
        self._start.start()

    def _begin(self):
        """Give the jobs to the helper, if there is one that runs."""
        helper = self.helper
        if helper is not None and helper.process is not None and _write_jobs(self._folder, self.jobs):
            helper.begin(self._folder)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._start.join()
        with contextlib.suppress(OSError):  # the helper may be writing there
            self._files.cleanup()

    def finish(self, here=(), done=None):
        """Run the jobs of this process, then those of the list that the helper has not claimed.

        Parameters
        ----------
        here : sequence of callable, optional
            Jobs that only this process runs.
        done : callable, optional
            Called with the number of each job that this process has done, and ``here`` counts first.

        Returns
        -------
        outcomes : list of (bool or None, str, list of str)
            For each job of ``here`` and of the list: its result, or None if it failed; the reason; and its warnings.
        """
        self._start.join()
        outcomes = {}
        for i, job in enumerate([*here, *self.jobs]):
            if i < len(here) or _claim(self._folder, i - len(here)):
                outcomes[i] = _outcome(job)
                if done is not None:
                    done(i)
        if len(outcomes) < len(here) + len(self.jobs):
            self.helper.wait()
        for i, job in enumerate(self.jobs):
            if i + len(here) not in outcomes:
                path = self._folder / f"{i}.done"
                # if the helper has died, this process runs its job
                outcomes[i + len(here)] = pickle.loads(path.read_bytes()) if path.is_file() else _outcome(job)
        return [outcomes[i] for i in range(len(here) + len(self.jobs))]


def _outcome(job):
    """Whether a job drew something (None if it failed), why not, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            drawn, why = bool(job()), ""
        except FAILURES as error:
            drawn, why = None, str(error) or type(error).__name__
    return drawn, why, [str(one.message) for one in caught]


def _claim(folder, i):
    """Whether the job is not claimed by the other process."""
    try:
        os.close(os.open(folder / f"{i}.claimed", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _write_jobs(folder, jobs):
    """Write the jobs and their arrays, each once; False if that fails."""
    buffers = []
    try:
        text = pickle.dumps(jobs, protocol=5, buffer_callback=buffers.append)
        sizes = []
        with (folder / "arrays").open("wb") as file:
            for buffer in buffers:
                raw = buffer.raw()
                file.write(raw)
                file.write(bytes(-raw.nbytes % 64))  # arrays are aligned for the processor
                sizes.append(raw.nbytes)
        (folder / "jobs").write_bytes(pickle.dumps((text, sizes)))
    except (pickle.PicklingError, AttributeError, TypeError, OSError):
        return False  # for example a plug-in that cannot be pickled, or a full disk
    return True


def _read_jobs(folder):
    """The jobs in a folder; their arrays are read where they are used."""
    text, sizes = pickle.loads((folder / "jobs").read_bytes())
    buffers, start = [], 0
    if sum(sizes):
        with (folder / "arrays").open("rb") as file:
            held = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    for size in sizes:
        buffers.append(held[start : start + size] if size else b"")
        start += size + -size % 64
    return pickle.loads(text, buffers=buffers)


def serve():
    """Main function of the second process: wait for folders with jobs, and draw until none is left."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C, the first process ends this one
    with first_imports("matplotlib.backends.backend_pdf"):
        import matplotlib.backends.backend_pdf  # noqa: F401

        import crstack.plotting  # noqa: F401

    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        jobs = _read_jobs(folder)
        for i in reversed(range(len(jobs))):
            if _claim(folder, i):
                partial = folder / f"{i}.part"
                partial.write_bytes(pickle.dumps(_outcome(jobs[i])))
                partial.replace(folder / f"{i}.done")


if __name__ == "__main__":
    serve()
