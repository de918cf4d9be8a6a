"""Ctrl-C at any moment of the command: it must end with 130, and never be lost."""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

from crstack.cli import main
from crstack.cli.interrupts import kept_interrupts


@pytest.fixture(autouse=True)
def _usual_interrupts():
    """A shell ignores SIGINT for the commands that it starts in the background; processes inherit this."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
#: a module whose import is interrupted, and that loses the exception
LOSES = """
import signal
try:
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):
        pass
except BaseException:
    lost = True
else:
    lost = False
"""
#: a process that is sent SIGINT while it imports, in a module that catches every exception
PROCESS = """
import sys
sys.path.insert(0, {path!r})
from crstack.cli import main
import crstack.utils.version
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            import loses
            assert not loses.lost
sys.meta_path.insert(0, Finder())
sys.exit(main({arguments!r}))
"""


class Target:
    """An object that weak references can refer to."""


def waited():
    """Wait for an interrupt that is given again; AssertionError if none comes."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        time.sleep(0.01)
    raise AssertionError("the interrupt was lost")


def interrupt(*_):
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):
        pass


def forget_with(callback):
    """Call ``callback`` when an object is forgotten."""
    target = Target()
    reference = weakref.ref(target, callback)
    del target
    assert reference() is None


def test_an_interrupt_at_once():
    with pytest.raises(KeyboardInterrupt), kept_interrupts():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_in_a_callback_is_raised_afterwards():
    hook = sys.unraisablehook
    with kept_interrupts() as interrupts:
        forget_with(interrupt)
        assert interrupts.pending
        with pytest.raises(KeyboardInterrupt):
            waited()
    assert not interrupts.pending
    assert sys.unraisablehook is hook


def test_another_exception_in_a_callback_is_reported_as_before(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)

    def fail(_):
        raise ValueError("of a callback")

    with kept_interrupts() as interrupts:
        forget_with(fail)
    assert [str(one.exc_value) for one in seen] == ["of a callback"]
    assert not interrupts.pending


def test_the_kind_of_an_exception_that_was_lost():
    class Terminated(KeyboardInterrupt):
        """Of SIGTERM."""

    def terminate(_):
        raise Terminated

    with kept_interrupts():
        forget_with(terminate)
        with pytest.raises(Terminated):
            waited()


def test_an_interrupt_waits_for_the_end_of_an_import(tmp_path, monkeypatch):
    (tmp_path / "loses.py").write_text(LOSES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loses", raising=False)
    with kept_interrupts() as interrupts:
        assert not importlib.import_module("loses").lost
        assert interrupts.pending
        with pytest.raises(KeyboardInterrupt):
            waited()
    monkeypatch.delitem(sys.modules, "loses")


def test_an_interrupt_at_the_very_end_is_pending():
    with kept_interrupts() as interrupts:
        interrupts.closed = True
        interrupt()
    assert interrupts.pending


def test_another_handler_stays():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with kept_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("crstack.cli.parser", ["--version"]),
        ("crstack.cli.work", ["plugins"]),
        ("crstack.exceptions", ["run", "no.yaml"]),
    ],
)
def test_the_command_is_interrupted_while_it_imports(tmp_path, name, arguments):
    (tmp_path / "loses.py").write_text(LOSES)
    code = PROCESS.format(path=str(tmp_path), name=name, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "crstack: error: interrupted\n")
