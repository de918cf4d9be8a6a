"""Public names have complete docstrings in numpydoc form, and annotations of all parameters."""

import ast
import dataclasses
import enum
import importlib
import inspect
import re
from pathlib import Path

import pytest

import crstack

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.rst"
#: modules that the reference lists, and the names in `crstack` itself
PLACES = ["crstack", *re.findall(r"^\.\. automodapi:: (\S+)", PAGE.read_text(), re.MULTILINE)]
#: classes that the user does not call
UNDERSTOOD = (enum.Enum, BaseException)

#: its docstring names the class that has the same parameters
SAME_AS_ITS_CLASS = ("crstack.stack.CRStack.from_files",)

#: rules of numpydoc that are not asked for: examples, "See Also", longer text, and single results without a name
NOT_ASKED = {"EX01", "SA01", "ES01", "RT02"}


def public_names():
    """Classes and functions by their full name, with the public methods of the classes."""
    found = {}
    for place in PLACES:
        module = importlib.import_module(place)
        for name in module.__all__:
            value = getattr(module, name)
            if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("crstack"):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    for name, value in list(found.items()):
        if inspect.isclass(value):
            found |= {f"{name}.{part}": method for part, method in methods_of(value)}
    return dict(sorted(found.items()))


def methods_of(kind):
    """Functions and properties that the class itself defines, or takes from a class of crstack."""
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("crstack"):
            for name, value in vars(base).items():
                value = getattr(value, "__func__", value)  # of a class method
                if not name.startswith("_") and isinstance(value, property):
                    yield name, value
                elif not name.startswith("_") and inspect.isfunction(value):
                    yield name, getattr(kind, name)


NAMES = public_names()
FUNCTIONS = {name: value for name, value in NAMES.items() if not isinstance(value, property)}


def described(value):
    """Names under "Parameters" of a docstring, or under "Attributes" of a class that users do not make."""
    names, section = {"Parameters": [], "Attributes": []}, None
    lines = (inspect.getdoc(value) or "").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=False):  # some classes of Python have no docstring
        if re.fullmatch("-{4,}", below):
            section = line
        elif section in names and line and not line[0].isspace() and not re.fullmatch("-{4,}", line):
            head = line.split(" : ")[0]
            names[section] += [one.strip().lstrip("*") for one in head.split(",")]
    return names


def documented(name, value):
    """Parameters of a docstring, or those of the method of a base class."""
    own = described(value)
    if own["Parameters"] or inspect.isclass(value):
        return own
    kind, _, part = name.rpartition(".")
    for base in getattr(NAMES.get(kind), "__mro__", ())[1:]:
        if part in vars(base) and described(getattr(base, part))["Parameters"]:
            return described(getattr(base, part))
    return own


def attributes_of(kind):
    """Names under "Attributes", with those of the base classes."""
    return {one for base in kind.__mro__ for one in described(base)["Attributes"]}


def parameters_of(value):
    skipped = ("self", "cls")
    return {name: one for name, one in inspect.signature(value).parameters.items() if name not in skipped}


def is_made_elsewhere(value):
    """Whether it is an error, a set of codes, or a class without parameters of its own."""
    return inspect.isclass(value) and (
        issubclass(value, UNDERSTOOD) or (inspect.isabstract(value) and not parameters_of(value))
    )


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    value = NAMES[name]
    doc = inspect.getdoc(value)
    assert doc, "a docstring is missing"
    first, *rest = doc.splitlines()
    assert first.strip().endswith((".", ":")) or rest, "the first line must be a sentence"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_in_docstring(name):
    value = FUNCTIONS[name]
    if is_made_elsewhere(value) or name in SAME_AS_ITS_CLASS:
        return
    expected = [one for one in parameters_of(value) if not one.startswith("_")]
    names = documented(name, value)["Parameters"]
    if dataclasses.is_dataclass(value) and not names:
        assert set(expected) <= attributes_of(value)
    else:
        assert names == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_annotations(name):
    value = FUNCTIONS[name]
    if is_made_elsewhere(value):
        return
    bare = [one.name for one in parameters_of(value).values() if one.annotation is one.empty]
    assert not bare, "parameters without annotation"
    if not inspect.isclass(value):
        assert inspect.signature(value).return_annotation is not inspect.Signature.empty, "no annotation of the result"


@pytest.mark.parametrize("name", NAMES)
def test_form_of_docstring(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    found = {code: fault for code, fault in validate(name)["errors"] if code not in NOT_ASKED}
    if inspect.isclass(NAMES[name]) or name in SAME_AS_ITS_CLASS:
        found.pop("PR01", None)  # fields of results are attributes: test_parameters_in_docstring
    assert found == {}


def protocols():
    """Nodes of the classes that describe a part of another class, by their name in the code."""
    for path in sorted(Path(crstack.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Protocol" for base in node.bases):
                yield node


def test_members_of_protocols_have_docstrings():
    classes = {node.name: node for node in protocols()}
    assert {"PosteriorSettings", "HitMasks", "PlottedStack"} <= set(classes)
    members = {
        f"{name}.{member.name}": ast.get_docstring(member)
        for name, node in classes.items()
        for member in node.body
        if isinstance(member, ast.FunctionDef)
    }
    assert [name for name, doc in members.items() if not doc] == []


def test_the_names_of_the_quick_start_are_among_them():
    assert {"crstack.stack.CRStack.detect", "crstack.datasets.making.make_stack"} <= set(NAMES)
    assert crstack.CRStack is NAMES["crstack.stack.CRStack"]
