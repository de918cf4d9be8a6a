"""The files that describe the package agree with each other: setup.cfg, tox.ini, workflows, recipe, addresses."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="the source of the package is not here")

#: stands for the address of the project until it has one
PLACEHOLDER = "https://example.org/crstack"


@pytest.fixture
def setup():
    """setup.cfg, parsed."""
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


@pytest.fixture
def required(setup):
    """Lower bounds of the dependencies, by name."""
    lines = setup["options"]["install_requires"].split()
    return dict(line.split(">=") for line in lines)


def workflows():
    """Workflows of GitHub, parsed, by name of the file."""
    return {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def tox_factors():
    """Words that environments of tox are made of."""
    text = (ROOT / "tox.ini").read_text(encoding="utf-8")
    names = re.search(r"^envlist = (.*)$", text, re.MULTILINE)[1].split(", ")
    return {*names, *re.findall(r"^    !?(\w+): ", text, re.MULTILINE), "test"}


def test_oldest_has_every_lower_bound(required):
    text = (ROOT / "tox.ini").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^    oldest: ([\w-]+)==([\d.]+)\.\*$", text, re.MULTILINE))
    assert pinned == required


def test_recipe_has_the_dependencies(setup, required):
    text = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    run = text.split("  run:\n")[1].split("\ntest:")[0]
    found = dict(re.findall(r"^    - ([\w-]+) >=([\d.]+)$", run, re.MULTILINE))
    found["matplotlib"] = found.pop("matplotlib-base")
    assert found == required
    assert setup["options.entry_points"]["console_scripts"].strip() in text


def test_python_versions_agree(setup):
    oldest = setup["options"]["python_requires"].removeprefix(">=")
    versions = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    matrix = workflows()["tests.yml"]["jobs"]["tests"]["strategy"]["matrix"]
    assert versions[0] == oldest
    assert versions == matrix["python"]
    assert {row["python"] for row in matrix["include"]} <= set(versions)


def test_environments_of_the_workflows_exist():
    matrix = workflows()["tests.yml"]["jobs"]["tests"]["strategy"]["matrix"]
    names = {*matrix["env"], *(row["env"] for row in matrix["include"])}
    for path in (*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.rst"):
        names |= set(re.findall(r"tox -e ([\w-]+)", path.read_text(encoding="utf-8")))
    assert {"test", "build_dist", "codestyle"} <= names
    for name in names:
        assert name in tox_factors() or set(name.split("-")) <= tox_factors()


def test_read_the_docs_installs_extras_that_exist(setup):
    found = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())
    assert (ROOT / found["sphinx"]["configuration"]).is_file()
    (install,) = found["python"]["install"]
    assert set(install["extra_requirements"]) <= set(setup["options.extras_require"])


def test_extras_that_pages_and_messages_name_exist(setup):
    named = set()
    for path in (*(ROOT / "docs").rglob("*.rst"), *(ROOT / "crstack").rglob("*.py"), ROOT / "CONTRIBUTING.rst"):
        for words in re.findall(r"(?:crstack|\.)\[([\w,]+)\]['\"]", path.read_text(encoding="utf-8")):
            named |= set(words.split(","))
    assert {"deepcr", "conn", "test", "docs"} <= named
    assert named <= set(setup["options.extras_require"])


def test_the_placeholder_address_is_in_few_files():
    listed = subprocess.run(["git", "grep", "-l", PLACEHOLDER], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode > 1 or not listed.stdout:
        pytest.skip("not a repository of git")
    found = set(listed.stdout.split()) - {"tests/test_packaging.py", "docs/development/releasing.rst"}
    assert found == {"setup.cfg", "benchmarks/asv.conf.json"}


def links_of(readme):
    """Targets of the links and images at the end of README.rst."""
    return re.findall(r"^\.\. (?:_.*:|\|.*\| image::) (\S+)$", readme, re.MULTILINE)


def test_links_of_the_readme_lead_to_files():
    links = [link for link in links_of((ROOT / "README.rst").read_text(encoding="utf-8")) if "://" not in link]
    assert {"docs/images/readme.png", "docs/index.rst", "CHANGES.rst"} <= set(links)
    for link in links:
        assert (ROOT / link).is_file(), link


def test_a_release_has_links_with_addresses(tmp_path):
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    (tmp_path / "README.rst").write_text(text, encoding="utf-8")
    page = (ROOT / "docs" / "development" / "releasing.rst").read_text(encoding="utf-8")
    command = re.search(r"^    (sed -i -E '.*?' README\.rst)$", page, re.MULTILINE | re.DOTALL)[1]
    if not shutil.which("sed") or subprocess.run(["sed", "--version"], capture_output=True).returncode:
        pytest.skip("sed is not that of GNU")
    subprocess.run(["sh", "-c", command.replace("ADDRESS", "https://x.org")], cwd=tmp_path, check=True)
    links = links_of((tmp_path / "README.rst").read_text(encoding="utf-8"))
    assert all(link.startswith("https://") for link in links)
    for name in ("_images/readme.png", "index.html", "explanation/peers.html", "development/changes.html"):
        assert f"https://x.org/docs/{name}" in links


def test_files_of_changes_become_a_section_of_the_changelog(tmp_path):
    pytest.importorskip("towncrier")
    for name in ("pyproject.toml", "CHANGES.rst"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    folder = tmp_path / "changes"
    folder.mkdir()
    kinds = {"feature": "New features", "api": "API changes", "performance": "Performance", "bugfix": "Bug fixes"}
    for number, kind in enumerate(kinds, start=1):
        (folder / f"{number}.{kind}.rst").write_text(f"A change of the kind {kind}.\n", encoding="utf-8")
    command = [sys.executable, "-m", "towncrier", "build", "--version", "9.9", "--date", "2030-01-01", "--keep"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "CHANGES.rst").read_text(encoding="utf-8")
    new, old = text.split("\n0.1 (unreleased)\n")
    assert new.startswith("Changes\n=======\n")
    assert "\n9.9 (2030-01-01)\n----------------\n" in new
    for number, (kind, title) in enumerate(kinds.items(), start=1):
        assert f"{title}\n{'^' * len(title)}\n\n- A change of the kind {kind}. (#{number})\n" in new
    assert old.startswith("----------------\n")


def test_files_of_changes_have_a_known_kind():
    for path in (ROOT / "changes").iterdir():
        assert path.name == "README.rst" or re.fullmatch(
            r"(\d+|\+[\w-]+)\.(feature|api|performance|bugfix)(\.\d+)?\.rst", path.name
        )
