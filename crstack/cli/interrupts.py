"""Ctrl-C that is never lost."""

import _thread
import signal
import sys
import threading
import time
from contextlib import contextmanager

__all__ = ["kept_interrupts"]

#: seconds until an interrupt that had to wait is given again
WAIT = 0.05


@contextmanager
def kept_interrupts():
    """Context in which Ctrl-C ends the work even if Python would lose it.

    An exception that is raised while modules are imported, or in a callback of the garbage collector, can be lost:
    Python only reports it, and continues. Therefore an interrupt waits until an import is complete, and an interrupt
    that was lost in a callback is raised again. Nothing changes outside the main thread, or if Ctrl-C is ignored or has
    another handler already.

    Yields
    ------
    interrupts : Interrupts
        Its ``pending`` is True while an interrupt waits.
    """
    interrupts = Interrupts(sys._getframe())
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    interrupts.report, sys.unraisablehook = sys.unraisablehook, interrupts.take_unraisable
    signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield interrupts
    finally:
        with interrupts.lock:
            interrupts.closed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = interrupts.report


class Interrupts:
    """Handler of Ctrl-C: see `kept_interrupts`.

    Parameters
    ----------
    base : frame
        The frames above this one are searched for imports.
    """

    def __init__(self, base):
        self.base = base
        self.lock = threading.Lock()
        self.pending = False
        self.closed = False
        self.kind = KeyboardInterrupt
        self.report = sys.unraisablehook

    def handle(self, number, frame):
        """Raise KeyboardInterrupt, or wait for the end of an import."""
        if self.closed or self._is_importing(frame):
            self._wait()
            return
        self.pending = True
        self.check()

    def check(self):
        """Raise KeyboardInterrupt if an interrupt waits."""
        if self.pending:
            self.pending = False
            raise self.kind

    def take_unraisable(self, unraisable):
        """Give an interrupt that was raised in a callback again; report other exceptions."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            self.kind = unraisable.exc_type
            self._wait()
        else:
            self.report(unraisable)

    def _wait(self):
        """Keep an interrupt, and give it again a little later."""
        self.pending = True
        if not self.closed:
            _thread.start_new_thread(self._again, ())

    def _again(self):
        """Give the interrupt that waits again."""
        time.sleep(WAIT)
        with self.lock:
            if self.pending and not self.closed:
                _thread.interrupt_main()

    def _is_importing(self, frame):
        """Whether Python is importing a module at a frame."""
        while frame is not None and frame is not self.base:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False
