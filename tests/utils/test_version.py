"""The version that a batch compares, and the first imports."""

import gc
import sys
from importlib import metadata
from pathlib import Path

import pytest

import crstack
from crstack.cli import main
from crstack.exceptions import InputError
from crstack.utils import registry
from crstack.utils import version as _version
from crstack.utils.first_imports import first_imports
from crstack.utils.version import code_version, crstack_version, digest_of_code


@pytest.fixture
def fresh(monkeypatch):
    """Nothing remembered before and after."""
    monkeypatch.setattr(_version, "crstack_version", lambda: "1.2")
    monkeypatch.setattr(_version, "_is_editable", lambda: False)
    code_version.cache_clear()
    yield monkeypatch
    code_version.cache_clear()


def test_a_release_is_its_version(fresh):
    assert code_version() == "1.2"


@pytest.mark.parametrize(("version", "editable"), [("1.2", True), ("1.2.dev3", False), ("1.2+local", False)])
def test_code_that_may_change_under_one_version_is_compared(fresh, version, editable):
    fresh.setattr(_version, "crstack_version", lambda: version)
    fresh.setattr(_version, "_is_editable", lambda: editable)
    assert code_version() == f"{version} with code {digest_of_code(Path(crstack.__file__).parent)}"


@pytest.fixture
def not_installed(monkeypatch):
    """The files of a source tree without an installation."""

    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_version, "distribution", distribution)
    monkeypatch.setattr(registry, "entry_points", lambda group: ())
    crstack_version.cache_clear()
    yield
    crstack_version.cache_clear()


@pytest.mark.usefixtures("not_installed")
def test_a_source_tree_that_is_not_installed_has_one_sentence(capsys):
    package = Path(crstack.__file__).parent
    for use in (crstack_version, lambda: registry.METHODS.get("joint"), lambda: crstack.__version__):
        with pytest.raises(InputError, match=r"^crstack must be installed, .* Type: pip install /") as caught:
            use()
        assert str(caught.value).endswith(f"got the files in {package} alone. Type: pip install {package.parent}")
    assert main(["--version"]) == main(["demo", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("crstack: error: crstack must be installed") == err.count("\n") == 2
    assert not Path("nowhere").exists()


def test_the_digest_depends_on_names_and_contents(tmp_path):
    (tmp_path / "room").mkdir()
    one = tmp_path / "room" / "one.py"
    one.write_text("a = 1\n")
    first = digest_of_code(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    assert digest_of_code(tmp_path) == first
    one.write_text("a = 2\n")
    assert digest_of_code(tmp_path) != first
    one.write_text("a = 1\n")
    assert digest_of_code(tmp_path) == first
    one.rename(tmp_path / "room" / "two.py")
    assert digest_of_code(tmp_path) != first


def test_the_public_version_is_that_of_the_installation():
    assert crstack.__version__ == crstack_version()


def test_the_search_for_garbage_rests_during_first_imports_only():
    try:
        with first_imports("crstack.not_imported_yet"):
            assert not gc.isenabled()
        assert gc.isenabled()
        with pytest.raises(ImportError), first_imports("crstack.not_imported_yet"):
            raise ImportError
        assert gc.isenabled()
        assert "crstack.utils.version" in sys.modules
        with first_imports("crstack.utils.version"):
            assert gc.isenabled()
        gc.disable()
        with first_imports("crstack.not_imported_yet"):
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
