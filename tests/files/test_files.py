"""Files appear whole or not at all."""

import os
import stat

import pytest
from astropy.io import fits

from crstack.exceptions import InputError
from crstack.files.history import LONGEST, add_history, header_line, history_of
from crstack.files.whole import atomic_path


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "one.txt") as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".txt"
            temporary.write_text("whole")
        assert os.umask(umask) == umask  # unchanged
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


@pytest.mark.parametrize(
    ("line", "n_cards"),
    [
        ("x" * LONGEST, 1),
        ("x" * (LONGEST - 1) + "&", 2),  # a card that ends so would go on
        ("x" * (LONGEST - 2) + "&", 1),
        ("x" * (LONGEST + 1), 2),
        ("ab " * 100 + ".", 5),
    ],
)
def test_history_comes_back_in_whole_lines(line, n_cards):
    header = fits.Header()
    add_history(header, ["first", line])
    assert len(header["HISTORY"]) == 1 + n_cards
    assert history_of(header) == ["first", line]
    # existing lines are not added again
    add_history(header, [line, "last"])
    assert history_of(header) == ["first", line, "last"]
