"""Whether a stack is complete and up to date."""

import os

import pytest

from crstack.batch.record import FILE_NAME, Record, stamp
from crstack.batch.stacks import Stack


@pytest.fixture
def finished(tmp_path):
    """A stack with two exposures and one product, and its record."""
    images = []
    for name in ("a.fits", "b.fits"):
        (tmp_path / name).write_text(name)
        images.append(str(tmp_path / name))
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "mask.fits").write_text("mask")
    stack = Stack("one", {"images": images, "gain": 1})
    Record.of(stack, directory, "0.1", {"name": "one"}, images).write(directory)
    return stack, directory


def test_complete(finished):
    stack, directory = finished
    record = Record.read(directory)
    assert record.row == {"name": "one"}
    assert record.why_not(stack, directory, "0.1") is None
    os.utime(stack.images[0])  # a new time of change with the same content
    assert record.why_not(stack, directory, "0.1") is None


def test_why_it_is_computed_again(finished, tmp_path):
    stack, directory = finished
    record = Record.read(directory)
    assert record.why_not(stack, directory, "0.2") == "crstack was 0.1, and is 0.2"
    other = Stack("one", {**stack.settings, "gain": 2})
    assert record.why_not(other, directory, "0.1") == "its settings have changed"
    (directory / "mask.fits").write_text("mesk")
    assert record.why_not(stack, directory, "0.1") == "product mask.fits has changed"
    (directory / "mask.fits").unlink()
    assert record.why_not(stack, directory, "0.1") == "product mask.fits is missing"
    (tmp_path / "b.fits").write_text("another")
    assert record.why_not(stack, directory, "0.1") == f"exposure {tmp_path / 'b.fits'} has changed"


def test_exposures_that_were_left_out_or_added(finished, tmp_path):
    """A file that vanished from a directory is no change of the settings."""
    stack, directory = finished
    record = Record.read(directory)
    a, b = stack.images
    for images, reason in (
        ([a], "it had 2 exposures, and has 1: b.fits left out"),
        ([a, b, "c.fits", "d.fits"], "it had 2 exposures, and has 4: c.fits and 1 more added"),
        ([a, "c.fits"], "it had 2 exposures, and has 2: b.fits left out, c.fits added"),
    ):
        assert record.why_not(Stack("one", {**stack.settings, "images": images}), directory, "0.1") == reason


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "0.1"}', "nonsense"])
def test_a_record_that_cannot_be_read_is_none(tmp_path, text):
    assert Record.read(tmp_path) is None
    (tmp_path / FILE_NAME).write_text(text)
    assert Record.read(tmp_path) is None


def test_a_file_that_was_not_touched_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    path.write_text("a")
    earlier = stamp(path)

    def fail(path):
        raise AssertionError(path)

    monkeypatch.setattr("crstack.batch.record.digest_of_file", fail)
    assert stamp(path, earlier) == earlier
