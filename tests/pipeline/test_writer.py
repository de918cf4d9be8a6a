"""Files that threads write while the next ones are made."""

import logging
import threading
from functools import partial

import pytest

from crstack.pipeline.console import WorkFailedError
from crstack.pipeline.outputs import Outputs
from crstack.pipeline.writer import AT_ONCE, Writer

WAIT = 20


@pytest.fixture(params=[False, True], ids=["here", "beside"])
def beside(request):
    return request.param


def test_files_are_published_in_the_order_of_the_calls(tmp_path, caplog, beside):
    caplog.set_level(logging.INFO, "crstack")
    names = [f"{number}.txt" for number in range(5)]
    with Outputs(tmp_path / "out") as outputs, Writer(outputs, beside) as writer:
        for name in names:
            path = outputs.workplace / name
            writer.write([path], lambda path=path: path.write_text(path.name))
    assert outputs.written == names
    assert [line.split()[0] for line in caplog.messages] == names
    assert [(tmp_path / "out" / name).read_text() for name in names] == names


def test_a_file_under_way_is_not_published(tmp_path):
    half, go_on = threading.Event(), threading.Event()

    def write_slowly(path):
        path.write_text("half")
        half.set()
        assert go_on.wait(WAIT)
        path.write_text("whole")

    with Outputs(tmp_path / "out") as outputs, Writer(outputs, True) as writer:
        slow, quick = (outputs.workplace / name for name in ("slow.txt", "quick.txt"))
        writer.write([slow], lambda: write_slowly(slow))
        assert half.wait(WAIT)
        quick.write_text("whole")
        assert outputs.publish() == ["quick.txt"]
        go_on.set()
        writer.finish()
        assert outputs.written == ["quick.txt", "slow.txt"]
    assert (tmp_path / "out" / "slow.txt").read_text() == "whole"


def test_few_files_are_under_way(tmp_path):
    running, most, lock = 0, 0, threading.Lock()

    def count(path):
        nonlocal running, most
        path.write_text("")
        with lock:
            running += 1
            most = max(most, running)
        assert not together.wait(0.01)
        with lock:
            running -= 1

    together = threading.Event()
    with Outputs(tmp_path / "out") as outputs, Writer(outputs, True) as writer:
        for number in range(3 * AT_ONCE):
            path = outputs.workplace / f"{number}.txt"
            writer.write([path], partial(count, path))
            assert len(writer._under_way) <= AT_ONCE
    assert 1 <= most <= AT_ONCE


def test_a_file_that_cannot_be_written_is_reported(tmp_path, beside):
    def fail():
        raise OSError(28, "No space left on device")

    message = r"out.one\.txt must be writable; got No space left on device"
    with (
        Outputs(tmp_path / "out") as outputs,
        pytest.raises(WorkFailedError, match=message),
        Writer(outputs, beside) as writer,
    ):
        writer.write([outputs.workplace / "one.txt"], fail)
    assert outputs.written == []
