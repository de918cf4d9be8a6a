"""The files of a run, and those of the user."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from crstack.boundaries.base import DEFAULT_WEIGHT
from crstack.exceptions import InputError
from crstack.pipeline.lock import LOCK
from crstack.pipeline.mosaic import _joined_names
from crstack.pipeline.outputs import MANIFEST, WORKPLACE, Outputs
from crstack.pipeline.questions import Questions


def publish(outputs, name, text):
    (outputs.workplace / name).write_text(text)
    return outputs.publish()


def test_a_run_may_replace_what_it_wrote_itself(tmp_path):
    with Outputs(tmp_path / "out") as outputs:
        assert publish(outputs, "one.txt", "first") == ["one.txt"]
        assert publish(outputs, "one.txt", "second") == ["one.txt"]
        (tmp_path / "out" / "one.txt").write_text("of the user")
        assert publish(outputs, "one.txt", "third") == []
    assert (tmp_path / "out" / "one.txt").read_text() == "of the user"


def test_the_manifest_lists_files_before_they_are_there(tmp_path):
    with Outputs(tmp_path / "out") as outputs:
        publish(outputs, "one.txt", "first")
        listed = json.loads((tmp_path / "out" / MANIFEST).read_text())["files"]
        assert list(listed) == ["one.txt"]


def test_unfinished_files_are_in_one_directory(tmp_path, monkeypatch):
    """A run that is killed leaves nothing else that the next one would not remove."""
    place, seen, replace = tmp_path / "out", set(), Path.replace

    def noted(path, target):
        seen.update(one.name for one in place.iterdir() if not one.name.startswith(WORKPLACE))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noted)
    with Outputs(place) as outputs:
        publish(outputs, "one.txt", "first")
        publish(outputs, "two.txt", "second")
        outputs.finish()
    assert seen == {LOCK, MANIFEST, "one.txt", "two.txt"}


def written(directory, names):
    """Files written by a first run."""
    with Outputs(directory) as outputs:
        for name in names:
            path = outputs.workplace / name
            path.write_text(name)
            outputs.complete(path)
            assert outputs.publish() == [name]


def test_a_file_that_was_not_touched_is_not_read_again(tmp_path, monkeypatch):
    written(tmp_path / "out", ["one.txt", "two.txt"])
    monkeypatch.setattr("crstack.pipeline.outputs._digest", lambda path: pytest.fail(f"{path} was read"))
    Outputs(tmp_path / "out").check(["one.txt", "two.txt"], [])


def test_a_touched_file_with_the_same_content_is_still_ours(tmp_path):
    written(tmp_path / "out", ["one.txt"])
    os.utime(tmp_path / "out" / "one.txt")
    Outputs(tmp_path / "out").check(["one.txt"], [])


@pytest.mark.parametrize("text", ["eno.txt", "another text"])
def test_a_changed_file_is_of_the_user(tmp_path, text):
    written(tmp_path / "out", ["one.txt"])
    (tmp_path / "out" / "one.txt").write_text(text)
    with pytest.raises(InputError, match="must be new, or as an earlier run left them"):
        Outputs(tmp_path / "out").check(["one.txt"], [])


def test_a_change_within_the_resolution_of_the_file_system_is_seen(tmp_path):
    path = tmp_path / "out" / "one.txt"
    written(tmp_path / "out", ["one.txt"])
    # a file system of whole seconds
    os.utime(path, ns=(0, 5 * 10**9))
    with Outputs(tmp_path / "out") as outputs:
        outputs.check(["one.txt"], [])
        publish(outputs, "two.txt", "of the second run")
    path.write_text("eno.txt")
    os.utime(path, ns=(0, 5 * 10**9))
    with pytest.raises(InputError, match="must be new"):
        Outputs(tmp_path / "out").check(["one.txt"], [])


def test_a_file_changed_after_its_checksum_gets_a_new_one(tmp_path):
    with Outputs(tmp_path / "out") as outputs:
        path = outputs.workplace / "one.txt"
        path.write_text("one")
        outputs.complete(path)
        path.write_text("changed")
        outputs.publish()
    Outputs(tmp_path / "out").check(["one.txt"], [])


def test_weights_of_fixed_points_are_kept():
    questions = Questions(lambda *_: None, lambda _: "n")
    assert questions.fixed_points([(1.0, 2.0, 5.0), (3.0, 4.0)]) == [[1.0, 2.0, 5.0], [3.0, 4.0, DEFAULT_WEIGHT]]


def test_names_of_the_files_of_all_chips():
    """Masks that are given may be those of the joint decision."""

    class Settings(dict):
        crmethod = SimpleNamespace(is_joint=False)

    settings = Settings(compression="none", outputs=None)
    given = _joined_names(settings, 3, clean=False, given=True)
    found = _joined_names(settings, 3, clean=False, given=False)
    assert set(given) - set(found) == {"combined_meanjoint.fits"}


def test_a_directory_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    """As below /proc, where the system grants every permission to root and makes no directory."""

    def refuse(self, *args, **options):
        raise FileNotFoundError(2, "No such file or directory", str(self))

    monkeypatch.setattr("crstack.pipeline.outputs.Path.mkdir", refuse)
    words = (
        rf"output directory must be one that can be made and written; got {tmp_path}/x \(No such file or directory\)"
    )
    with pytest.raises(InputError, match=words), Outputs(tmp_path / "x"):
        pytest.fail("there is no directory")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux has /proc")
def test_a_directory_below_proc_is_named():
    with pytest.raises(InputError, match=r"output directory must be .*; got /proc/x"), Outputs("/proc/x"):
        pytest.fail("there is no directory")
