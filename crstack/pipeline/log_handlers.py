"""Places of the log of a run: screen, file and a list; each goes on without output if it can no longer be written."""

import logging
import os
import sys

from crstack.utils.log import LOGGER, log

__all__ = ["KeptWarnings", "LogFile", "Screen", "print_whole"]

#: characters of the line of a heading
WIDTH = 79


class Screen(logging.StreamHandler):
    """Plain lines; characters that the terminal cannot show are escaped.

    If a stream is closed or full, one message reports it, and the work continues without it.
    """

    def format(self, record):
        """Text of a message: a title has a line beside it, and a warning begins with its kind."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        text = record.getMessage()
        if getattr(record, "section", False):
            dash = "─" if encoding.lower().startswith("utf") else "-"
            text = f"\n{dash * 2} {text} ".ljust(WIDTH + 1, dash)
        elif record.levelno >= logging.WARNING:
            text = f"crstack: {record.levelname.lower()}: {text}"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def handleError(self, record):
        """Stop using the stream if it cannot be written."""
        error = sys.exception()
        if not isinstance(error, OSError | ValueError):
            super().handleError(record)
            return
        LOGGER.removeHandler(self)
        _discard(self.stream)
        if self.stream is sys.stdout:
            log.warning("standard output cannot be written (%s); the run continues without it", _reason(error))


class LogFile(logging.FileHandler):
    """A log file. If it can no longer be written, one message reports it."""

    def __init__(self, path):
        super().__init__(path, mode="w", encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        self.lost = False

    def emit(self, record):
        """Write a line, unless writing has failed before."""
        if not self.lost:
            super().emit(record)

    def handleError(self, record):
        """Stop using the file."""
        self._lose(sys.exception())

    def _lose(self, error):
        """Report once that the log file cannot be written."""
        if not self.lost:
            self.lost = True
            log.warning("log file %s cannot be written (%s); the run continues without it", self.baseFilename, error)

    def close(self):
        """Close the file."""
        try:
            super().close()
        except OSError as error:
            self._lose(error.strerror or error)


def _reason(error):
    return getattr(error, "strerror", None) or error


def print_whole(text):
    """Print to standard output; if what reads it has ended, such as ``head`` behind a pipe, the rest is left out."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _discard(sys.stdout)


def _discard(stream):
    """Discard the buffer of a stream, so that it does not fail again when Python ends."""
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


class KeptWarnings(logging.Handler):
    """Stores the warnings, for the page of the run."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        """Keep the message, unless it is kept already."""
        if not getattr(record, "kept", False):
            self.messages.append(record.getMessage())
