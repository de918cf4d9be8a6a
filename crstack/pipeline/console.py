"""Output of a run: screen, log file and progress bar."""

import functools
import logging
import logging.handlers
import os
import re
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

from crstack.exceptions import CRStackError, ImplausibleResultWarning, InputError
from crstack.pipeline.log_handlers import KeptWarnings, LogFile, Screen
from crstack.utils.disk import why_not_writable
from crstack.utils.log import LOGGER, NOTE, log

__all__ = ["Console", "SessionStopped", "WorkFailedError", "logging_to"]

#: state of the output directory after an interrupted run, as words
IF_STOPPED = "may hold files of this run and of an earlier one: run the same command again"

#: start of a line of a log file
DATED = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ ")


class SessionStopped(CRStackError):
    """The user has quit an interactive session."""


class WorkFailedError(CRStackError):
    """The work has begun and cannot be finished."""


class Seen:
    """Warnings of Python that were shown in one run, and those about an implausible result, which come last."""

    def __init__(self):
        self.shown = set()
        self.implausible = []

    def is_new(self, text):
        """Whether a warning was not shown before."""
        new = text not in self.shown
        self.shown.add(text)
        return new


class Console:
    """The log file and the progress bar of one run of the command.

    Attributes
    ----------
    warnings : list of str
        Warnings of the run so far.
    working : bool
        Whether the checks are complete and the work has begun.
    output_dir : `~pathlib.Path` or None
        Directory of the products, once the work has begun.
    """

    def __init__(self, warnings=None, seen=None):
        self.warnings = [] if warnings is None else warnings
        self.seen = Seen() if seen is None else seen
        self.log_file = None
        self.working = False
        self.output_dir = None
        self.if_stopped = IF_STOPPED
        self._keeper = None
        self._bar = None

    def begin_work(self, output_dir, if_stopped=IF_STOPPED):
        """Note that the checks are complete, where products will be written, and what an interrupted work leaves."""
        self.working = True
        self.output_dir = Path(output_dir)
        self.if_stopped = if_stopped

    def next_part(self):
        """Begin another stack of the same run, whose report has its own warnings."""
        self.show_implausible()
        del self.warnings[:]
        self.seen.shown.clear()

    def show_implausible(self):
        """Log the warnings about an implausible result, which are kept for the end of the work."""
        for text in self.seen.implausible:
            # the report already shows them
            log.warning("implausible result: %s", text, extra={"kept": True})
        self.seen.implausible.clear()

    # the log file

    def keep_log(self, log_file):
        """Store every line for a log file, which `open_log_file` writes after the checks."""
        self.log_file = Path(log_file)
        self._keeper = logging.handlers.MemoryHandler(10**6, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        LOGGER.addHandler(self._keeper)

    def check_log_file(self, output_dir, names, inputs, *, overwrite=False):
        """Check that the log file overwrites no other file; it is not opened.

        Parameters
        ----------
        output_dir : path-like
            Directory of the products, which may not exist yet.
        names : iterable of str
            Products of the run.
        inputs : iterable of (str, path-like)
            Name of each input in messages, and its path.
        overwrite : bool, optional
            Whether a file that is not a log may be replaced.

        Raises
        ------
        InputError
            If the log file cannot be opened, or is an input, a product or a file of another kind.
        """
        if self._keeper is None:
            return
        path, output = self.log_file, Path(output_dir)
        if os.path.realpath(path.parent) != os.path.realpath(output) and not path.parent.is_dir():
            raise InputError(f"log file must be in a directory that exists; got {path}")
        if path.exists():
            self._check_existing(inputs, overwrite)
        elif path.parent.is_dir() and (reason := why_not_writable(path.parent)):
            raise InputError(f"log file must be writable; got {path}, where {path.parent} {reason}")
        for name in names:
            if os.path.realpath(path) == os.path.realpath(output / name):
                raise InputError(f"log file must not be a product of the run; got {path}")

    def _check_existing(self, inputs, overwrite):
        """Raise `InputError` if the log file is an input, or another file of the user."""
        path = self.log_file
        for what, given in inputs:
            if os.path.exists(given) and os.path.samefile(path, given):
                raise InputError(f"log file must not be an input of the run; got {path}, which holds {what}")
        try:
            with open(path, "ab"):
                pass
        except OSError as error:
            raise InputError(f"log file must be writable; got {path} ({error.strerror})") from error
        if path.is_file() and not overwrite and not _is_log(path):
            raise InputError(
                f"log file must be new, or a log of an earlier run; got {path}, another file; "
                "give --overwrite to replace it"
            )

    def open_log_file(self):
        """Open the log file, and write the stored lines."""
        if self._keeper is None or self._keeper.target is not None:
            return
        try:
            target = LogFile(self.log_file)
        except OSError as error:
            raise InputError(f"log file must be writable; got {self.log_file} ({error.strerror})") from error
        self._keeper.setTarget(target)
        self._keeper.flush()
        LOGGER.removeHandler(self._keeper)
        LOGGER.addHandler(target)

    def discard_log_file(self):
        """Remove the log file of a run that has written nothing."""
        if self._keeper is None or self._keeper.target is None:
            return
        LOGGER.removeHandler(self._keeper.target)
        self._keeper.target.close()
        self._keeper.target = None
        if self.log_file.is_file():
            self.log_file.unlink()

    def close(self):
        """Close the log file and the progress bar."""
        self.end_progress()
        if self._keeper is None:
            return
        target = self._keeper.target
        LOGGER.removeHandler(self._keeper)
        self._keeper.close()
        if target is not None:
            LOGGER.removeHandler(target)
            target.close()

    # the progress bar

    def progress(self, stage, fraction, since=None):
        """Show the completed ``fraction`` of a ``stage``; silent unless stderr is a terminal.

        With ``since`` (of `time.time`) the time since then is shown, which the caller keeps up to date.
        """
        if sys.stderr is None or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        if self._bar is None or self._bar.desc != stage:
            self.end_progress()
            # a stage without fractions is drawn once: it shows its name and when it began
            clock = f", since {time.strftime('%H:%M:%S')}" if since is None else " [{elapsed}]"
            self._bar = tqdm(total=1.0, leave=False, file=sys.stderr, bar_format="{desc}" + clock)
            self._bar.desc = stage
            self._bar.start_t = self._bar.start_t if since is None else since
        if fraction > 0:
            self._bar.bar_format = "{desc} {percentage:3.0f}% |{bar:30}| [{elapsed}]"
        self._bar.n = fraction
        self._bar.refresh()

    def end_progress(self):
        """Remove the progress bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _is_log(path):
    """Whether a file is empty, or begins as a log of the command."""
    with open(path, "rb") as file:
        beginning = file.read(64)
    return not beginning or DATED.match(beginning) is not None


@contextmanager
def logging_to(level):
    """Send the log of the command to the screen.

    Warnings and errors go to stderr, the rest to stdout. Warnings of Python
    become lines of the log.

    Parameters
    ----------
    level : {"debug", "info", "note", "warning", "error", "critical"}
        Lowest level shown on the screen.

    Yields
    ------
    console : Console
    """
    from astropy import log as astropy_log

    number = NOTE if level == "note" else getattr(logging, level.upper())
    kept, screens = KeptWarnings(), []
    if sys.stdout is not None:  # it is None if it was closed before Python started
        screens.append(Screen(sys.stdout))
        screens[-1].setLevel(number)
        screens[-1].addFilter(lambda record: record.levelno < logging.WARNING)
    if sys.stderr is not None:
        screens.append(Screen(sys.stderr))
        screens[-1].setLevel(max(number, logging.WARNING))
    before, astropy_level = (LOGGER.level, LOGGER.propagate), astropy_log.level
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    astropy_log.setLevel(logging.WARNING)  # it reports every unit that overrides a BUNIT
    handlers = [kept, *screens]
    for handler in handlers:
        LOGGER.addHandler(handler)
    console = Console(kept.messages)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = functools.partial(_show_warning, console)
            yield console
            # the most important warning is shown last
            console.show_implausible()
    finally:
        console.close()
        for handler in handlers:
            LOGGER.removeHandler(handler)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]
        astropy_log.setLevel(astropy_level)


def _show_warning(console, message, category, filename, lineno, file=None, line=None):
    """Log a warning of Python, once for each text; those of implausible results come last."""
    text = " ".join(str(message).split())
    if not console.seen.is_new(text):
        return
    if issubclass(category, ImplausibleResultWarning):
        console.seen.implausible.append(text)
        console.warnings.append(text)
    else:
        log.warning("%s", text)
    log.debug("%s from %s, line %s", category.__name__, filename, lineno)
