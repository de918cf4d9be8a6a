"""The files of a run, and those of the user."""

import json

from crstack.pipeline.outputs import MANIFEST, Outputs


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
