"""The pages: their formulas can be drawn, and each published table is shown."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/*/*.rst"))
pytestmark = pytest.mark.skipif(not PAGES, reason="the pages are not installed")


def module(path):
    """A script of the repository, imported from its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def mathml():
    """The extension that draws formulas."""
    pytest.importorskip("docutils.utils.math.latex2mathml")
    return module(ROOT / "docs" / "_ext" / "mathml.py")


def formulas(text):
    """Formulas of a page, within lines and on their own."""
    blocks = re.findall(r"^( *)\.\. math::(.*(?:\n\s*\n?\1 +.*)*)", text, re.MULTILINE)
    inline = [(one, False) for one in re.findall(r":math:`([^`]+)`", text)]
    return inline + [(one, True) for _, one in blocks]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_formulas_are_understood(page, mathml):
    for formula, block in formulas(page.read_text(encoding="utf-8")):
        assert "</math>" in mathml.mathml_of(formula, block)


def test_formulas_are_found(mathml):
    found = formulas("a :math:`x_1` b\n\n.. math::\n\n   y = 1\n\n.. math:: z\n\nend\n")
    assert [("".join(one.split()), block) for one, block in found] == [("x_1", False), ("y=1", True), ("z", True)]


def test_an_unknown_command_is_an_error(mathml):
    from docutils.utils.math import MathError

    with pytest.raises(MathError):
        mathml.mathml_of(r"\unknowncommand x", False)


def test_published_tables_are_shown(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import publish

    shown = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown |= set(re.findall(r"^\.\. published:: (\w+)$", text, re.MULTILINE))
        # only the directive says whether a table is older than the code
        assert "include:: /tables" not in text
    assert shown == {table.name for table in publish.PUBLISHED}


def constant_texts_of(path):
    """The constant parts of all strings in a module; numbers and names are replaced by a line end."""
    yield from constant_texts_of_node(ast.parse(path.read_text(encoding="utf-8")))


def constant_texts_of_node(tree):
    """The constant parts of all strings in a part of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(one.value if isinstance(one, ast.Constant) else "\n" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def constant_texts(folder):
    """The constant parts of all strings in the modules of a folder."""
    for path in sorted(folder.rglob("*.py")):
        yield from constant_texts_of(path)


def quoted_warnings():
    """The words of warnings that their page quotes."""
    text = (ROOT / "docs" / "how_to" / "warnings.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - (``.+)$", text, re.MULTILINE)
    assert len(rows) > 20
    return [one for row in rows for one in re.findall(r"``(.+?)``", row)]


def test_the_page_of_warnings_quotes_warnings_of_the_code():
    known = "\n".join(constant_texts(ROOT / "crstack"))
    assert [one for one in quoted_warnings() if one not in known] == []


def test_the_page_of_warnings_quotes_each_module_that_warns():
    # these pass on the words of astropy and of other modules
    passing = {"files/fits_reading.py", "utils/warn.py"}
    quoted, absent = quoted_warnings(), set()
    for path in sorted((ROOT / "crstack").rglob("*.py")):
        if "warn_user(" not in path.read_text(encoding="utf-8"):
            continue
        if not any(one in text for text in constant_texts_of(path) for one in quoted):
            absent.add(path.relative_to(ROOT / "crstack").as_posix())
    assert absent == passing


def words_of_warnings(path):
    """The constant texts in each call of a module that gives a warning, if it has some."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in {"warn_user", "log.warning"} and node.args:
            texts = list(constant_texts_of_node(node.args[0]))
            if any(len(re.findall(r"[a-z]{2,}", one)) > 1 for one in texts):
                yield texts


def test_the_page_of_warnings_quotes_each_warning_with_words_of_its_own():
    """Other calls hand on words that a function has made; `test_the_page_of_warnings_quotes_each_module_that_warns`."""
    # ends of sentences whose beginnings other functions make, and whose words are quoted there
    continued = {"fewer than two exposures remain", "it is left out", "\n left out", "Such profiles are not measured"}
    continued |= {"; they are bad values.", "They are taken as bad values", "; the other exposures do not"}
    # of `exposure times differ`
    continued |= {"each exposure is divided by the ratio", "the exposures are not divided by them"}
    known, absent = {*quoted_warnings(), *continued}, []
    for path in sorted((ROOT / "crstack").rglob("*.py")):
        for texts in words_of_warnings(path):
            if not any(one in text for text in texts for one in known):
                absent.append(texts)
    assert absent == []


@pytest.mark.parametrize("command", ["run", "batch", "init", "demo"])
def test_the_page_of_the_command_has_its_options(command):
    from crstack.cli.parser import make_parser

    text = (ROOT / "docs" / "reference" / "command.rst").read_text(encoding="utf-8")
    section = re.split(r"^crstack (\w+)\n-+\n", text, flags=re.MULTILINE)
    sections = dict(zip(section[1::2], section[2::2], strict=True))
    actions = make_parser().commands[command]._actions
    # the options of the log are explained once
    options = [one.option_strings for one in actions if one.option_strings and one.dest not in {"help", "log_level"}]
    assert len(options) > 1
    assert [names for names in options if not any(name in sections[command] for name in names)] == []


def test_the_page_of_large_stacks_has_the_memory_of_the_code():
    from crstack import JointPosterior, LACosmicDetector, MMCosmic, PyCosmicDetector
    from crstack.equalize.settings import BYTES_OF_OFFSETS, BYTES_OF_SEEING
    from crstack.pipeline.prepare import BYTES_OF_FIGURES

    text = (ROOT / "docs" / "how_to" / "large_stacks.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - (.+)\n     - (\d+)(?: \+ (\d+) N)?$", text, re.MULTILINE)
    found = {work: (float(bytes_), float(more or 0)) for work, bytes_, more in rows}
    fixed, each = (MMCosmic().bytes_per_pixel(n) for n in (0, 1))
    assert BYTES_OF_OFFSETS == BYTES_OF_SEEING
    assert found == {
        "figures and the page of the run": (BYTES_OF_FIGURES, 0),
        "auxiliary detector PyCosmic": (PyCosmicDetector.bytes_per_pixel, 0),
        "auxiliary detector L.A.Cosmic": (LACosmicDetector.bytes_per_pixel, 0),
        "interactive windows": (BYTES_OF_FIGURES, 0),
        "``offsets`` that you give or measure in a region, and ``seeing`` that you give": (BYTES_OF_OFFSETS, 0),
        "M.M.Cosmic and its diagram, for N exposures": (fixed, each - fixed),
        "the joint decision with ``false_alarm``": (JointPosterior(false_alarm=1e-5).bytes_per_pixel(3), 0),
    }


def test_the_page_of_numina_names_files_that_the_command_writes():
    from crstack.pipeline.prepare import product_names

    text = (ROOT / "docs" / "numina" / "index.rst").read_text(encoding="utf-8")
    section = text.partition("Files and figures\n---")[2].partition("What is the same\n---")[0]
    written = set(product_names(3, plots=True, joint=True))
    whole = {one for one in re.findall(r"``([\w.]+)``", section) if "." in one and not one.startswith((".", "_"))}
    assert len(whole) > 12
    assert whole <= written
    # the others are endings of the first name of their row, such as ``_median`` of ``combined_mean.fits``
    for first, rest in re.findall(r"^   \* - ``(\w+_)\w+\.\w+``, (``_.*)$", section, re.MULTILINE):
        stems = {name.partition(".")[0] for name in written}
        assert {first.removesuffix("_") + one for one in re.findall(r"``(_\w+)``", rest)} <= stems
