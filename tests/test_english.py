"""Comments, docstrings, messages and pages use the words of a paper, not those of a story or a proverb."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: patterns of whole words, and what to write in their place
BANNED = {
    r"tells?|told": "a measurement does not speak: write reports, measures, shows or states",
    r"foretells?|foretold": "write predicts",
    r"hangs? on|hung on": "write depends on",
    r"in vain": "write without result, or say what failed",
    r"spoils?|spoilt": "write changes, or makes wrong",
    r"useless": "write ineffective, or say what it lacks",
    r"likelier": "write more probable, in a sentence without 'the more ... the ...-er'",
    r"the more .{0,60}, the \w+(er|more)": "write increases with, or decreases with",
    r"somebody|nobody|whoever": "name the person or the program, or write no one is needed",
    r"someone has said|somebody has said": "write measured, or given by the user",
    r"taken at its word": "write used without a check",
    r"(do|does|did) no harm|it does no harm": "say what changes, and by how much",
    r"one of 3000 electrons": "write a charge of 3000 electrons",
    r"of what it lies below|to x comes": "write the difference that is added",
    r"lest": "write so that ... not, or because",
    r"at last the": "put the subject first",
}
WORDS = {reason: re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern, reason in BANNED.items()}
#: any of them: hardly any text has one, so that one search takes the place of many
ANY = re.compile(rf"\b(?:{'|'.join(f'(?:{pattern})' for pattern in BANNED)})\b", re.IGNORECASE)
#: the heading of a parameter in a docstring names an identifier, such as the callable ``tell``
PARAMETER = re.compile(r"^\s*[\w, *]+ : .*$", re.MULTILINE)


def faults(text):
    """The banned words in a text, with the reason of each."""
    text = " ".join(re.sub(r"``[^`]*``", "", text).split())
    if not ANY.search(text):
        return []
    return [f"{found.group()!r}: {reason}" for reason, words in WORDS.items() for found in words.finditer(text)]


def texts(source):
    """Comments, docstrings and other strings of Python source; expressions in f-strings are left out."""
    comments = [
        token.string.lstrip("#: ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    strings = [
        PARAMETER.sub("", node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    return [" ".join(comments), *strings]


@pytest.mark.parametrize(
    "text",
    [
        "Only the neighbours tell.",
        "It hangs\n  on the noise.",
        "a likelier value",
        "The more pixels there are, the better",
    ],
)
def test_banned_words_are_found(text):
    assert faults(text)


@pytest.mark.parametrize("text", ["The neighbours measure it.", "a ``tell`` callable", "the tellurian lines"])
def test_other_words_pass(text):
    assert not faults(text)


def test_identifiers_pass():
    source = 'def tell(line, told):\n    """Report.\n\n    tell : callable\n    """\n    return f"{told} lines"\n'
    assert not any(faults(text) for text in texts(source))
    assert any(faults(text) for text in texts("x = 1  # the others tell\n"))


def test_the_code_has_no_banned_words():
    found = {
        str(path.relative_to(ROOT)): wrong
        for folder in ("crstack", "benchmarks", "tools", "examples", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__) and (wrong := [one for text in texts(path.read_text()) for one in faults(text)])
    }
    assert not found


def test_the_pages_have_no_banned_words():
    pages = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    built = ROOT / "docs" / "_build"
    found = {
        str(page.relative_to(ROOT)): wrong
        for page in pages
        if built not in page.parents and (wrong := faults(page.read_text()))
    }
    assert not found
