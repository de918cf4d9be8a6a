"""Files appear whole or not at all."""

import os
import stat

import pytest

from crstack._files import atomic_path, header_line
from crstack.exceptions import InputError


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "one.txt") as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".txt"
            temporary.write_text("whole")
        assert os.umask(umask) == umask  # as it was
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]
    assert stat.S_IMODE((tmp_path / "one.txt").stat().st_mode) == mode
    assert (tmp_path / "one.txt").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_a_failure(tmp_path, error):
    path = tmp_path / "one.txt"
    path.write_text("before")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [one.name for one in tmp_path.iterdir()] == ["one.txt"]
    assert path.read_text() == "before"


def test_the_directory_must_be_there(tmp_path):
    with pytest.raises(InputError, match="none must be a directory that can be written; got No such file"):
        atomic_path(tmp_path / "none" / "one.txt").__enter__()


def test_lines_of_headers():
    assert header_line("José\tü\n") == "Jos\\xe9 \\xfc "
    assert header_line(3) == "3"
