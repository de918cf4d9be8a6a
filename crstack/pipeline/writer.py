"""Files that threads write while the next ones are made."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from crstack.utils.log import log

__all__ = ["Writer", "log_file"]

#: files that are written at a time: their images are in memory until then
AT_ONCE = 2


class Writer:
    """Lets threads write files, and moves complete ones to the output directory; a context manager.

    Lines of the log are in the order of the calls. They do not depend on the number of threads.

    Parameters
    ----------
    outputs : `~crstack.pipeline.outputs.Outputs`
        The files of the run.
    beside : bool
        Whether threads write. If not, each call waits until its files are complete.
    """

    def __init__(self, outputs, beside):
        self._outputs = outputs
        self._pool = ThreadPoolExecutor(AT_ONCE) if beside else None
        self._under_way = deque()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            if kind is None:
                self.finish()
        finally:
            if self._pool is not None:
                # after an error, calls that have not started are not run
                self._pool.shutdown(cancel_futures=True)

    def write(self, paths, function):
        """Let a thread call ``function()``, which writes files.

        Parameters
        ----------
        paths : sequence of `~pathlib.Path`
            The files, in the work place of the outputs. They are published when all of them are complete.
        function : callable
            Writes them.

        Raises
        ------
        WorkFailedError
            If a file cannot be written, also one of an earlier call.
        """

        def work():
            with self._outputs.writing(self._outputs / paths[0].name):
                function()
                for path in paths:
                    self._outputs.complete(path)

        if self._pool is None:
            work()
            self._publish(paths)
            return
        while len(self._under_way) >= AT_ONCE:
            self._finish_first()
        self._outputs.hold(paths)
        self._under_way.append((paths, self._pool.submit(copy_context().run, work)))

    def finish(self):
        """Wait until all files are complete and published."""
        while self._under_way:
            self._finish_first()

    def _finish_first(self):
        paths, future = self._under_way.popleft()
        future.result()
        self._outputs.release(paths)
        self._publish(paths)

    def _publish(self, paths):
        for path in paths:
            log_file(path)
        self._outputs.publish()


def log_file(path):
    """Log name and size of a file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    """
    size = path.stat().st_size
    words = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    log.info("  %-30s %10s", path.name, words)
