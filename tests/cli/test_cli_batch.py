"""What ``crstack batch`` shows while stacks are under way."""

import io
import re
import sys
from pathlib import Path

import pytest
from astropy.table import Table

from crstack.cli.batch import _Progress, _sum_up
from crstack.pipeline.console import logging_to


class Terminal(io.StringIO):
    """Text that is written to a terminal."""

    def isatty(self):
        return True


ROW = {"name": "b", "state": "done", "seconds": 3.0, "peak_memory": 300.0, "message": ""}


def shown(monkeypatch, stream):
    """Text on stderr and stdout of two stacks that start, one that finishes, and another one that starts."""
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    with logging_to("note") as console:
        progress = _Progress(console)
        progress._start -= 75
        for _ in range(3):
            progress.under_way(["a", "b"], 0, 4)
        progress.finished(ROW, 1, 4)
        progress.under_way(["a", "c"], 1, 4)
        return stream.getvalue(), sys.stdout.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_each_stack_has_a_line_when_it_starts_and_when_it_is_done(monkeypatch, stream):
    _, out = shown(monkeypatch, stream())
    lines = [re.sub(" +", " ", line.strip()) for line in out.splitlines()]
    assert lines == ["0/4 started after 75 s: a, b", "1/4 b done 3.0 s 300 MiB", "1/4 started after 75 s: c"]


def test_a_terminal_shows_what_is_under_way_and_the_time_since_the_start(monkeypatch):
    err, _ = shown(monkeypatch, Terminal())
    assert "0 of 4 stacks, under way: a, b [01:15]" in err
    assert re.search(r"1 of 4 stacks, under way: a, c +25% \|.*\| \[01:15\]", err)


def test_elsewhere_there_is_no_such_line(monkeypatch):
    assert shown(monkeypatch, io.StringIO())[0] == ""


def test_stacks_with_warnings_are_named(monkeypatch):
    """Warnings were in the table alone, and a night seemed to be fine."""
    rows = [ROW | {"warnings": "the bias is too high"}, ROW | {"name": "c", "warnings": ""}]
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    with logging_to("note") as console:
        progress = _Progress(console)
        for number, row in enumerate(rows, start=1):
            progress.finished(row, number, 2)
        _sum_up(Table(rows, masked=True), Path("out"))
        lines = [re.sub(" +", " ", line.strip()) for line in sys.stdout.getvalue().splitlines()]
    assert lines[:2] == ["1/2 b done 3.0 s 300 MiB with warnings", "2/2 c done 3.0 s 300 MiB"]
    assert "1 of 2 stacks has warnings; see the column warnings of the table: b" in stream.getvalue()
