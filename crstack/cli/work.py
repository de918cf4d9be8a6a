"""Runs a command and converts its end into an exit code."""

import atexit
import errno
import gc
import signal
import threading
from contextlib import contextmanager

from crstack.exceptions import CRStackError, InputError
from crstack.pipeline.console import SessionStopped, WorkFailedError, logging_to
from crstack.utils.log import log

__all__ = ["execute"]

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
#: exit code after a signal: this plus the number of the signal
SIGNALLED = 128
#: errors of names that no file can have: too long, or a circle of links
BAD_NAMES = (errno.ENAMETOOLONG, errno.ELOOP)
#: errors of a disk, of the network that it is on, and of the limits of a process
OF_THE_DISK = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE),
)
#: largest number of characters of a message
LONGEST = 2000


# at its end Python looks for garbage among all objects, although the memory is given back anyway
atexit.register(gc.freeze)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, or SIGHUP of a terminal that is closed; the argument is the number of the signal."""


def execute(arguments):
    """Run the command of the arguments; return the exit code."""
    # with --json only the numbers are written to stdout
    level = "warning" if getattr(arguments, "json", False) else arguments.log_level
    with logging_to(level) as console:
        if getattr(arguments, "log_file", None):
            console.keep_log(arguments.log_file)
        code = _execute(arguments, console)
        if code == BAD_INPUT:
            console.discard_log_file()
        return code


def _execute(arguments, console):
    """Run the command of the arguments, and convert errors into exit codes."""
    try:
        with _terminated_as_interrupted():
            arguments.run(arguments, console)
    except SessionStopped as stop:
        log.warning(str(stop))
        return INTERRUPTED
    except KeyboardInterrupt as interrupt:
        # this is the last line of the output
        console.seen.implausible.clear()
        terminated = isinstance(interrupt, _Terminated)
        log.error("%s%s", "terminated" if terminated else "interrupted", _words_on_what_is_left(console))
        return SIGNALLED + interrupt.args[0] if terminated else INTERRUPTED
    except (CRStackError, MemoryError) as error:
        console.show_implausible()
        return _code_of(error, console)
    except PermissionError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error
        return _report(
            f"files and directories must be readable, and those of results writable; got {what}",
            FAILED if console.working else BAD_INPUT,
        )
    except OSError as error:
        if error.errno in OF_THE_DISK:
            return _report(f"files must be such that the disk can hold and read them; got {error}", FAILED)
        if error.errno not in BAD_NAMES:
            raise
        return _report(f"names of files must be such that the system takes them; got {error}", BAD_INPUT)
    return DONE


def _code_of(error, console):
    """Report an error; return the exit code."""
    if isinstance(error, WorkFailedError):
        return _report(error, FAILED)
    if isinstance(error, MemoryError):
        return _report(f"memory must suffice for the work; got {str(error) or 'a failure to allocate'}", FAILED)
    # a plug-in that fails during the work is not a mistake in the input
    bad = isinstance(error, InputError) or not console.working
    return _report(error, BAD_INPUT if bad else FAILED)


def _words_on_what_is_left(console):
    """Words on the output directory, if the work had begun and the directory exists."""
    if console.output_dir is None or not console.output_dir.is_dir():
        return ""
    return f"; the output directory {console.output_dir} {console.if_stopped}"


def _report(error, code):
    """Log an error as one line; return the code."""
    text = " ".join(str(error).split())
    log.error("%s", text if len(text) <= LONGEST else f"{text[:LONGEST]} ...")
    return code


@contextmanager
def _terminated_as_interrupted():
    """Handle SIGTERM and SIGHUP like Ctrl-C, unless they are ignored, as after ``nohup``.

    A handler that was not installed from Python stays, because Python could not put it back: it is None here.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in numbers if before[number] not in (signal.SIG_IGN, None)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        for one in handled:
            signal.signal(one, signal.SIG_IGN)  # a second one must not stop the clean-up
        raise _Terminated(number)

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
