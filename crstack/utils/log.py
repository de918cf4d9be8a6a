"""The log: lines, titles of sections, aligned settings.

A line is a detail (``log.info``) or part of the report that is always shown (``log.note``). A log file has all lines.
"""

import logging
from contextlib import contextmanager

__all__ = ["LOGGER", "NOTE", "log", "quiet_detectors", "section", "settings_lines"]

#: level between INFO and WARNING, shown by default
NOTE = 25
logging.addLevelName(NOTE, "NOTE")


class _Log(logging.LoggerAdapter):
    """The logger of a run, with a method for the lines that are always shown."""

    def note(self, message, *arguments, **options):
        """Log a line of the report."""
        self.log(NOTE, message, *arguments, **options)

    def process(self, message, options):
        """Pass on the message and its options unchanged."""
        return message, options


#: log lines of other modules are shown too
LOGGER = logging.getLogger("crstack")
log = _Log(logging.getLogger("crstack.pipeline"), None)


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


@contextmanager
def quiet_detectors(quiet):
    """Remove the reports of the detectors on their iterations from the log, if ``quiet``."""
    logger = logging.getLogger("crstack.detectors")
    before = logger.level
    if quiet:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
