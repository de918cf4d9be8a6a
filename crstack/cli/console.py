"""What the command tells: logging, section titles and a progress bar."""

import logging
import logging.handlers
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

from astropy import log as astropy_log
from tqdm import tqdm

from crstack.exceptions import CRStackError, InputError

__all__ = ["Console", "SessionStopped", "log", "logging_to", "section", "settings_lines"]

WIDTH = 79
log = logging.getLogger("crstack.cli")


class SessionStopped(CRStackError):
    """The user has quit an interactive session."""


def section(title):
    """Log the title of a section."""
    log.info(title, extra={"section": True})


def settings_lines(items):
    """Lines of names and values, aligned.

    Parameters
    ----------
    items : iterable of (str, object)
        Names and values.

    Returns
    -------
    lines : list of str
    """
    items = [(str(name), str(value)) for name, value in items]
    width = max((len(name) for name, _ in items), default=0)
    return [f"  {name:<{width}}  {value}".rstrip() for name, value in items]


class _Screen(logging.StreamHandler):
    """Plain lines; what the terminal cannot show is escaped."""

    def format(self, record):
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        text = record.getMessage()
        if getattr(record, "section", False):
            dash = "─" if encoding.lower().startswith("utf") else "-"
            text = f"\n{dash * 2} {text} ".ljust(WIDTH + 1, dash)
        elif record.levelno >= logging.WARNING:
            text = f"crstack: {record.levelname.lower()}: {text}"
        return text.encode(encoding, "backslashreplace").decode(encoding)


class _Kept(logging.Handler):
    """Keeps the warnings, for the page of the run."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


class Console:
    """The log file and the progress bar of one run of the command.

    Attributes
    ----------
    warnings : list of str
        What the run has warned of so far.
    """

    def __init__(self, warnings=None):
        self.warnings = [] if warnings is None else warnings
        self.log_file = None
        self._keeper = None
        self._bar = None

    def keep_log(self, log_file):
        """Write every line of the log, with its time, to a file.

        The file is opened now, or where its directory does not exist yet by
        `open_log_file`; lines are kept until then.
        """
        self.log_file = Path(log_file)
        keeper = logging.handlers.MemoryHandler(10**6, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self._keeper = keeper
        log.addHandler(keeper)
        if self.log_file.parent.is_dir():
            self.open_log_file()

    def check_log_file(self, output_dir):
        """Raise `InputError` unless the log file can be opened now or with ``output_dir``."""
        if self._keeper is None or self._keeper.target is not None:
            return
        if self.log_file.parent.resolve() != Path(output_dir).resolve():
            raise InputError(f"log file must be in a directory that exists; got {self.log_file}")

    def open_log_file(self):
        """Open the log file, and write what was kept for it."""
        if self._keeper is None or self._keeper.target is not None:
            return
        try:
            target = logging.FileHandler(self.log_file, mode="w", encoding="utf-8")
        except OSError as error:
            raise InputError(f"log file must be writable; got {self.log_file} ({error.strerror})") from error
        target.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        self._keeper.setTarget(target)
        self._keeper.flush()

    def close(self):
        """Close the log file and the progress bar."""
        self.end_progress()
        if self._keeper is not None:
            target = self._keeper.target
            self._keeper.flush()
            log.removeHandler(self._keeper)
            self._keeper.close()
            if target is not None:
                target.close()

    def progress(self, stage, fraction):
        """Show that a ``fraction`` of a ``stage`` is done; silent unless stderr is a terminal."""
        if not sys.stderr.isatty():
            return
        if self._bar is None or self._bar.desc != stage:
            self.end_progress()
            # a stage that tells no fraction shows its name and its time only
            self._bar = tqdm(total=1.0, leave=False, file=sys.stderr, bar_format="{desc} [{elapsed}]")
            self._bar.desc = stage
        if fraction > 0:
            self._bar.bar_format = "{desc} {percentage:3.0f}% |{bar:30}| [{elapsed}]"
        self._bar.n = fraction
        self._bar.refresh()

    def end_progress(self):
        """Take the progress bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def logging_to(level):
    """Send the log of the command to the screen.

    Warnings and errors go to stderr, the rest to stdout. Warnings of Python
    become lines of the log.

    Parameters
    ----------
    level : {"debug", "info", "warning", "error"}
        What the screen shows.

    Yields
    ------
    console : Console
    """
    number = getattr(logging, level.upper())
    told, warned = _Screen(sys.stdout), _Screen(sys.stderr)
    told.setLevel(number)
    told.addFilter(lambda record: record.levelno < logging.WARNING)
    warned.setLevel(max(number, logging.WARNING))
    before, astropy_level = (log.level, log.propagate), astropy_log.level
    log.setLevel(logging.DEBUG)
    log.propagate = False
    astropy_log.setLevel(logging.WARNING)  # it tells of every unit that overrides a BUNIT
    log.addHandler(told)
    log.addHandler(warned)
    kept = _Kept()
    log.addHandler(kept)
    console = Console(kept.messages)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield console
    finally:
        console.close()
        log.removeHandler(kept)
        log.removeHandler(told)
        log.removeHandler(warned)
        log.setLevel(before[0])
        log.propagate = before[1]
        astropy_log.setLevel(astropy_level)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    log.warning(" ".join(str(message).split()))
    log.debug("%s from %s, line %s", category.__name__, filename, lineno)
