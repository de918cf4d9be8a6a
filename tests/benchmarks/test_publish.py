"""Publishing tables: digests, written tables, and the list of old ones."""

import functools
import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks are not installed")

SOURCE = '''"""What it does."""

import math  # for the constant


def area(radius):
    """Area of a circle."""
    # Archimedes
    text = """a # string
    of two lines"""
    return math.pi * radius**2, text, "é # no comment"  # é is two bytes
'''


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """The program in a repository of its own, with one script and one module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("publish")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "TABLES", tmp_path / "docs" / "tables")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "one.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "benchmarks" / "area.py").write_text("import sys\nprint('area of', *sys.argv[1:])\n")
    table = module.Table("areas", "area.py --seed 9001", ("code",))
    monkeypatch.setattr(module, "PUBLISHED", (table,))
    return module


def test_code_without_comments_and_docstrings(publish):
    lines = publish.code_of(SOURCE).decode().splitlines()
    assert lines == [
        "import math",
        "def area(radius):",
        '    text = """a # string',
        '    of two lines"""',
        '    return math.pi * radius**2, text, "é # no comment"',
    ]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# Archimedes", "# Archimedes of Syracuse", True),
        ("Area of a circle.", "Area of a circle.\n\n    Not of a sphere.", True),
        ("\n\n\ndef", "\ndef", True),
        ("radius**2", "radius**3", False),
        ("two lines", "three lines", False),
        ("# no comment", "# a comment", False),
    ],
)
def test_digest_depends_on_code_alone(publish, tmp_path, old, new, same):
    table = publish.PUBLISHED[0]
    before = publish.digest_of(table)
    assert old in SOURCE
    (tmp_path / "code" / "one.py").write_text(SOURCE.replace(old, new), encoding="utf-8")
    assert (publish.digest_of(table) == before) is same


def test_digest_depends_on_script_command_and_names(publish, tmp_path):
    table = publish.PUBLISHED[0]
    digests = {publish.digest_of(table), publish.digest_of(replace(table, command="area.py --seed 9002"))}
    (tmp_path / "benchmarks" / "area.py").write_text("print('other')\n")
    digests.add(publish.digest_of(table))
    (tmp_path / "code" / "one.py").rename(tmp_path / "code" / "two.py")
    digests.add(publish.digest_of(table))
    (tmp_path / "code" / "three.py").write_text("x = 1\n")
    digests.add(publish.digest_of(table))
    assert len(digests) == 5


def test_write_and_check(publish, tmp_path, capsys):
    assert publish.main(["--check"]) == 1
    assert capsys.readouterr().out == "areas: missing\n0 of 1 tables are current\n"
    assert publish.main([]) == 0
    path = tmp_path / "docs" / "tables" / "areas.txt"
    first, second, *rest = path.read_text().splitlines()
    assert first == ".. python benchmarks/area.py --seed 9001"
    assert second == f".. digest: {publish.digest_of(publish.PUBLISHED[0])}"
    assert rest == ["", "area of --seed 9001"]
    assert [one.name for one in path.parent.iterdir()] == ["areas.txt"]
    capsys.readouterr()
    assert publish.main(["--check"]) == 0
    assert capsys.readouterr().out == "1 of 1 tables are current\n"
    (tmp_path / "code" / "one.py").write_text("x = 2\n")
    assert publish.main(["--check", "areas"]) == 1
    assert capsys.readouterr().out == "areas: older than the code\n0 of 1 tables are current\n"
    path.write_text("a table of long ago\n")
    assert publish.main(["--check"]) == 1
    assert "areas: without a digest" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["import sys\nprint('half')\nsys.exit(3)\n", "pass\n"])
def test_what_fails_leaves_the_table(publish, tmp_path, capsys, script):
    path = tmp_path / "docs" / "tables" / "areas.txt"
    path.parent.mkdir(parents=True)
    path.write_text("as it was\n")
    (tmp_path / "benchmarks" / "area.py").write_text(script)
    assert publish.main([]) == 1
    assert "areas: not written" in capsys.readouterr().out
    assert path.read_text() == "as it was\n"


def test_code_that_changes_meanwhile(publish, tmp_path, capsys):
    (tmp_path / "benchmarks" / "area.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'code' / 'one.py')!r}).write_text('x = 3')\nprint('area')\n"
    )
    assert publish.main([]) == 1
    assert "the code changed while the command ran" in capsys.readouterr().out
    assert not (tmp_path / "docs" / "tables" / "areas.txt").exists()


def test_what_a_table_needs(publish, monkeypatch, tmp_path, capsys):
    table = publish.Table("areas", "area.py --files {sprat} --more", ("code",), ("sprat",))
    monkeypatch.setattr(publish, "PUBLISHED", (table,))
    assert publish.main([]) == 0
    assert capsys.readouterr().out == "areas: left out; give --sprat\n"
    assert publish.main(["--sprat", "a.fits", "b c.fits"]) == 0
    assert "area of --files a.fits b c.fits --more" in (tmp_path / "docs" / "tables" / "areas.txt").read_text()


PEERS = """
======= ======================== ======== =============
  scene                  program high/Mpx own: high/Mpx
======= ======================== ======== =============
    ifu            perfect masks        1             -
    ifu crstack JointPosterior()       12            13
    ifu       numina mm_pycosmic        4             5
    ifu ccdproc sigma clipping          6          1234
imaging            perfect masks        7             -
======= ======================== ======== =============

Versions: none.
"""


def test_rows_of_a_table(publish):
    rows = publish.rows_of(PEERS)
    assert rows[1] == {
        "scene": "ifu", "program": "crstack JointPosterior()", "high/Mpx": "12", "own: high/Mpx": "13"
    }  # fmt: skip
    assert len(rows) == 5


def test_numbers_of_the_readme(publish, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(publish, "README_COLUMNS", {"ifu": "fibres"})
    monkeypatch.setattr(
        publish, "README_ROWS", (("a", "perfect masks", "high/Mpx"), ("b", "ccdproc sigma clipping", "own: high/Mpx"))
    )
    monkeypatch.setattr(publish, "PUBLISHED", (publish.Table("peers_table", "peers.py", ("code",)),))
    (tmp_path / "benchmarks" / "peers.py").write_text(f"print({PEERS!r})")
    readme = tmp_path / "README.rst"
    readme.write_text(f"before\n\n{publish.README_START}\n\nold\n\n{publish.README_END}\n\nafter\n")
    assert publish.main([]) == 0
    lines = [line for line in readme.read_text().splitlines() if line]
    assert lines == [
        "before", publish.README_START, "= ======", "\\ fibres", "= ======", "a      1", "b   1234", "= ======",
        publish.README_END, "after",
    ]  # fmt: skip
    capsys.readouterr()
    assert publish.main(["--check"]) == 0
    readme.write_text(readme.read_text().replace("1234", "123"))
    assert publish.main(["--check"]) == 1
    assert "README.rst: its numbers are not those of peers_table" in capsys.readouterr().out
    assert publish.main(["--readme"]) == 0
    assert publish.main(["--check"]) == 0


def test_unknown_names_and_modules(publish, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        publish.main(["volumes"])
    assert caught.value.code == 2
    assert "NAME must be one of areas; got volumes" in capsys.readouterr().err
    monkeypatch.setattr(publish, "PUBLISHED", (publish.Table("areas", "area.py", ("gone",)),))
    with pytest.raises(SystemExit, match="areas depends on gone, which does not exist"):
        publish.main(["--check"])


class TestPublished:
    """The list of the tables, against the existing files."""

    @pytest.fixture
    def published(self, monkeypatch):
        monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("publish")

    def test_every_table_of_the_documentation_is_listed(self, published):
        names = {table.name for table in published.PUBLISHED}
        assert len(names) == len(published.PUBLISHED)
        assert {path.stem for path in (ROOT / "docs" / "tables").glob("*.txt")} <= names

    def test_digests_can_be_made(self, published, monkeypatch):
        # many tables share files
        monkeypatch.setattr(published, "code_of", functools.cache(published.code_of))
        assert len({published.digest_of(table) for table in published.PUBLISHED}) == len(published.PUBLISHED)

    def test_seeds_are_those_reserved_and_used_once(self, published):
        seeds = []
        for table in published.PUBLISHED:
            for words in re.findall(r"--seeds? ([\d ]+)", table.command):
                seeds += map(int, words.split())
        assert len(set(seeds)) == len(seeds) >= 8
        assert all(9000 <= seed <= 9099 for seed in seeds)

    def test_options_are_known_to_the_scripts(self, published):
        for table in published.PUBLISHED:
            source = (ROOT / table.script).read_text(encoding="utf-8")
            for word in table.command.split():
                if word.startswith("--"):
                    assert f'"{word}"' in source or f"{word[2:]}" in source
                if word.startswith("{"):
                    assert word[1:-1] in table.needs

    def test_readme_has_the_numbers_of_the_table(self, published):
        assert published.readme_is_current()

    def test_readme_names_every_script(self):
        readme = (ROOT / "benchmarks" / "README.rst").read_text(encoding="utf-8")
        for path in (ROOT / "benchmarks").glob("[a-z]*.py"):
            assert f"``{path.name}``" in readme


def test_as_a_command():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "publish.py"), "--list"], capture_output=True, text=True, check=True
    )
    assert "joint_null             python benchmarks/joint.py --null" in done.stdout
