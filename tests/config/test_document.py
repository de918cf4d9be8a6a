"""YAML files that are large, deep, strange or hostile."""

from pathlib import Path

import pytest
from support.parameter_files import refused, write_parameters

from crstack.config.configuration import read_configuration
from crstack.config.document import load_documents, parsed_text


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Empty current directory."""
    monkeypatch.chdir(tmp_path)


def bomb(levels=12):
    """An alias of ten aliases of ten aliases ..."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


REFUSED = {
    "a: !!set {1, 2}": "got the tag !!set in line 1",
    "a: !!timestamp 2020-01-01": "got the tag !!timestamp in line 1",
    "a: !!binary aGVsbG8=": "got the tag !!binary",
    "a: !mine 3": "got the tag !mine in line 1",
    "a: !!python/object/apply:os.system [ls]": "got the tag .*python/object",
    "a: &x [1, *x]": "alias .x must not be part of itself; got it in line 1",
    "a: *x": "must be YAML|must follow its anchor",
    "? [1, 2]\n: 3": "keys of the parameter file must be texts; got a list in line 1",
    "{a: 1}: 3": "keys of the parameter file must be texts; got a mapping",
    "gain: &x [1]\n*x : 2": "keys of the parameter file must be texts",
    "a: " + "[" * 500 + "]" * 500: "at most 20 levels; got more in line 1",
    "\n".join(f"{' ' * i}a:" for i in range(500)): "at most 20 levels; got more in line 21",
    "gain: 36893488147419103232": "integers must fit into 64 bits; got 36893488147419103232 in line 1",
    "gain: " + "9" * 5000: "texts of the parameter file must have at most 4096 characters; got 5000 in line 1",
    "k" * 10_000 + ": 1": "must be YAML|at most 4096 characters",
    "x" * 200 + ": 1": "key must be one of a parameter file; got x{60}$",
    "gain: !!int abc": "got 'abc' as int in line 1",
    "gain: \x00": "must be YAML",
    "gain: 1\n\tbias: 3": "must be YAML; got a tab in line 2, where YAML takes spaces",
    "gain: 1\nrequirements:\n\tcrmethod: joint": "must be YAML; got a tab in line 3, where YAML takes spaces",
    "<<: {gain: 1}": "key must be one of a parameter file; got <<",
    "%YAML 3.0\n---\ngain: 1": "must be YAML",
    bomb(): "at most 2000000 values; got more",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_refused(capsys, text):
    Path("p.yaml").write_text(text)
    refused(capsys, ["run", "p.yaml", "--output-dir", "out"], REFUSED[text])


def test_plain_values_come_out():
    Path("p.yaml").write_text(
        "a: [1, -2, 0x1F, 1.5, 1.0E6, .inf, ~, yes, 'x', 2020-01-01]\nb: &b {c: 1}\nd: *b\n1: one\nnull: nothing\n"
    )
    (document,) = load_documents("p.yaml")
    assert document["a"] == [1, -2, 31, 1.5, "1.0E6", float("inf"), None, True, "x", "2020-01-01"]
    assert document["d"] == document["b"] == {"c": 1}
    assert (document[1], document[None]) == ("one", "nothing")
    assert parsed_text("[1, 2]") == [1, 2]
    assert parsed_text("1: 2: 3") == "1: 2: 3"


def test_many_listed_pixels_are_summarized():
    pixels = [[1 + i % 4000, 1 + i % 3999] for i in range(100_000)]
    path = write_parameters("p.yaml", pixels_to_be_ignored_as_cr=[])
    lines = "".join(f"\n  - [{x}, {y}]" for x, y in pixels)
    text = Path(path).read_text().replace("pixels_to_be_ignored_as_cr: []", f"pixels_to_be_ignored_as_cr:{lines}")
    Path(path).write_text(text)
    configuration = read_configuration(path)
    words = dict(configuration.settings())["pixels_to_be_ignored_as_cr"]
    assert configuration["pixels_to_be_ignored_as_cr"] == tuple(map(tuple, pixels))
    assert "(100000 items, sha256 " in words
    assert len(words) < 2000
