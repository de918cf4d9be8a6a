"""The table of docs/development/architecture.rst is that of the imports."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import crstack

PACKAGE = Path(crstack.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "development" / "architecture.rst"


def name_of(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree_of(module):
    """Syntax tree of the source of a module."""
    return ast.parse(MODULES[module].read_text())


def is_for_types(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported(node, types):
    """Modules of the package imported by the code below a node, in functions too; for annotations if ``types``."""
    for child in ast.iter_child_nodes(node):
        if is_for_types(child) and not types:
            continue
        if isinstance(child, ast.Import):
            yield from (one.name for one in child.names if one.name in MODULES)
        elif isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "crstack":
            for one in child.names:
                inner = f"{child.module}.{one.name}"
                yield inner if inner in MODULES else child.module
        else:
            yield from imported(child, types)


@cache
def imports_of(module, types=False):
    return frozenset(imported(tree_of(module), types)) - {module}


def rows():
    """Row of each module or folder of the table, from the top."""
    table = PAGE.read_text().split(".. list-table::")[1].split("* - module")[1]
    first_cells = re.findall(r"\* - (``[^*]*?)\n     - ", table)
    return {name: i for i, cell in enumerate(first_cells) for name in re.findall(r"``(\w+)``", cell)}


ROWS = rows()
#: the only import from a lower row, for an annotation: a MaskSet carries the decision that made it
FOR_ANNOTATIONS = ("masks", "methods")


def place_of(module):
    return module.split(".")[1]


def places_of_imports(module):
    """Files and folders of the table that a module imports, for annotations too."""
    found = {place_of(one) for one in imports_of(module, types=True) if one != "crstack"}
    if place_of(module) == FOR_ANNOTATIONS[0]:
        found -= {FOR_ANNOTATIONS[1]} - {place_of(one) for one in imports_of(module)}
    return found


def test_every_module_has_one_row():
    places = {place_of(module) for module in MODULES if module not in ("crstack", "crstack.__main__")}
    assert set(ROWS) == places


@pytest.mark.parametrize("place", ROWS)
def test_modules_import_from_their_row_and_above(place):
    for module in MODULES:
        if module != "crstack" and place_of(module) == place:
            below = {one for one in places_of_imports(module) if ROWS[one] > ROWS[place]}
            assert not below, f"{module} imports from {below}"


def packages_of(module):
    """Packages that Python loads before the module, without ``crstack`` itself."""
    parts = module.split(".")
    return {".".join(parts[:n]) for n in range(2, len(parts))}


def loaded_by(module):
    """Modules that importing a module loads: those that it imports, with their packages."""
    direct = {one for one in imports_of(module) if one != "crstack"}
    own = packages_of(module) | {module}
    return direct | {package for one in direct for package in packages_of(one)} - own


def check_no_circle(graph):
    list(TopologicalSorter(graph).static_order())


def test_no_circle_of_modules():
    check_no_circle({module: loaded_by(module) for module in MODULES})


def test_no_circle_of_places():
    """Files and folders of the table, which may share a row."""
    graph = {place: set() for place in ROWS}
    for module in MODULES:
        if module not in ("crstack", "crstack.__main__"):
            graph[place_of(module)] |= places_of_imports(module)
    check_no_circle({place: others - {place} for place, others in graph.items()})


@pytest.mark.parametrize("package", sorted(set().union(*map(packages_of, MODULES))))
def test_no_circle_inside_a_folder(package):
    """Its modules and the folders inside it; imports for annotations count too."""
    folder, graph = f"{package}.", {}
    for module in MODULES:
        if module.startswith(folder):
            name = module.removeprefix(folder).split(".")[0]
            found = [one for one in imports_of(module, types=True) if one.startswith(folder)]
            inside = {one.removeprefix(folder).split(".")[0] for one in found}
            graph.setdefault(name, set()).update(inside - {name})
    check_no_circle(graph)


@cache
def listed(module):
    """Names in ``__all__`` of a module."""
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def imported_names(module):
    """Pairs of a module of the package and the name that another module imports from it."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield from ((node.module, one.name) for one in node.names if f"{node.module}.{one.name}" not in MODULES)


def test_modules_import_listed_names_only():
    """A name that another module imports is in ``__all__`` of the module that defines it."""
    found = {pair for module in MODULES for pair in imported_names(module)}
    assert not {f"{module}.{name}" for module, name in found if name not in listed(module)}


def test_private_modules_are_used_in_their_folder_only():
    for module in MODULES:
        private = {one for one in imports_of(module) if one.rpartition(".")[2].startswith("_")}
        assert {one.rpartition(".")[0] for one in private} <= {module.rpartition(".")[0]}, module


def test_nothing_imports_the_whole_package():
    """Only names of modules: the public names of ``crstack`` are for users."""
    for module in MODULES:
        if module not in ("crstack", "crstack.__main__"):
            assert "crstack" not in imports_of(module), module
