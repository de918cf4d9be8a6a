"""Plant faults one at a time, and see whether the tests notice: ``python tools/plant_faults.py --number 100 --seed 1``.

Run it in a clean copy of the repository with the package installed in editable mode: it changes the files of
``crstack``, and restores each. A fault is a small change of one place in the code: another sign, comparison or
number, or ``any`` in place of ``all``. The tests of the same folder run, beginning with those that import the module.
With ``--all-tests`` the other tests run too. The faults that no test notices are listed in a table. ``--first`` and
``--last`` plant a part of the faults.

No fault is planted where it cannot change a result: in messages, in the log, in reports of progress, in caches, and in
the choice of threads, of tiles and of row bands, which change only the time.
"""

import argparse
import ast
import importlib
import multiprocessing
import os
import random
import resource
import sys
import time
from pathlib import Path

import pytest
from astropy.table import Table

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "crstack"
#: tests of the modules without a folder of their own
TESTS = {
    "_files.py": ["tests/combine/test_files.py", "tests/cli/test_cli_safety.py"],
    "_fits_writing.py": ["tests/combine/test_files.py", "tests/test_fits.py"],
    "_photons.py": ["tests/simulation/test_photons.py", "tests/simulation/test_crowded_levels.py"],
    "_pixels.py": ["tests/masks/test_masks.py", "tests/test_stack.py"],
    "_plugins.py": ["tests/test_plugins.py"],
    "_registry.py": ["tests/test_contracts.py"],
    "_summary.py": ["tests/test_progress_and_summary.py"],
    "_validation.py": ["tests/test_noise.py", "tests/masks/test_masks.py", "tests/test_stack.py"],
    "methods.py": ["tests/test_contracts.py", "tests/test_plugins.py", "tests/test_stack.py"],
}
#: further tests of a folder, outside its own tests
BESIDE = {
    "combine": ["tests/test_stack.py"],
    "config": [f"tests/cli/test_cli_{name}.py" for name in ("equivalence", "legacy", "maps", "options", "votes")],
    "masks": ["tests/mmcosmic/test_dilation.py"],
    "mmcosmic": ["tests/test_stack.py"],
    "methods.py": ["tests/test_contracts.py"],
    "_registry.py": ["tests/test_contracts.py"],
    "pipeline": [f"tests/cli/test_cli_{name}.py" for name in ("run", "safety", "figures", "implausible")],
    "prepared.py": ["tests/test_stack.py", "tests/equalize/test_equalize.py"],
}
#: loaded once for all runs of tests
LIBRARIES = ("astropy.io.fits", "astropy.nddata", "astropy.wcs", "scipy.ndimage", "scipy.stats", "yaml")
#: functions and folders that make text or figures: no fault is planted there
SKIPPED_FUNCTIONS = ("__repr__", "__str__", "summary", "describe", "_repr_html_")
SKIPPED_ROOMS = ("plotting", "report", "testing.py", "__init__.py", "__main__.py")
#: modules that change the time of an answer only
SKIPPED_MODULES = ("_progress.py", "_threads.py", "_tiles.py", "completion.py")
#: calls that report words or progress
REPORTING_CALLS = {"warn", "debug", "info", "warning", "error", "exception", "print", "progress", "update", "describe"}
#: words in the name of a function or a variable that changes only the time
COST_WORDS = ("cache", "progress", "thread", "tile", "band", "chunk", "block_size", "maxsize")
TIME_LIMIT = 600  # seconds of processor time of a run of tests

SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
NAMES = {"any": "all", "all": "any", "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}


def faults_of(source):
    """Places of a module where a fault can be planted: (line, what it was, changed source)."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        if function.name in SKIPPED_FUNCTIONS or _is_cost(function.name):
            continue
        for node in _nodes_with_effect(function):
            for old, new in _changes(node):
                before = ast.get_source_segment(source, node)
                if before is None or old not in before:
                    continue
                first = starts[node.lineno - 1] + _columns(lines[node.lineno - 1], node.col_offset)
                changed = new if old == before else before.replace(old, new, 1)
                yield node.lineno, f"{before} -> {changed}", source[:first] + changed + source[first + len(before) :]


def _is_cost(name):
    return any(word in name.lower() for word in COST_WORDS)


def _nodes_with_effect(node):
    """Nodes of a function that can change a result; inner functions are visited separately."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Raise | ast.JoinedStr | ast.Assert | ast.arguments):
            continue
        if isinstance(child, ast.expr) and child is getattr(node, "returns", None):
            continue
        if isinstance(child, ast.Call) and _called(child) in REPORTING_CALLS:
            continue
        if isinstance(child, ast.BinOp) and "perf_counter" in ast.unparse(child):
            continue
        if isinstance(child, ast.Assign) and all(_is_cost(ast.unparse(target)) for target in child.targets):
            continue
        yield child
        yield from _nodes_with_effect(child)


def _called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", None))


def _columns(line, n_bytes):
    return len(line.encode()[:n_bytes].decode())


def _changes(node):
    """Pairs of a text in the source of a node and its replacement."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        yield _whole(node, ast.BinOp(node.left, SWAPS[type(node.op)](), node.right))
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield _whole(node, ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators))
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield _whole(node, ast.BoolOp(other, node.values))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield _whole(node, node.operand)
    elif isinstance(node, ast.Call):
        name = _called(node)
        if name in NAMES:
            yield f"{name}(", f"{NAMES[name]}("
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
        new = ast.Subscript(node.value, ast.Constant(node.slice.value + 1), node.ctx)
        yield _whole(node, new)


def _whole(node, new):
    return ast.unparse(node), f"({ast.unparse(new)})"


def all_faults(rng, number):
    """Faults spread over the folders in proportion to their places, at least one in each."""
    rooms = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        if room in SKIPPED_ROOMS or path.name in SKIPPED_ROOMS or path.name in SKIPPED_MODULES:
            continue
        source = path.read_text()
        rooms.setdefault(room, []).extend((path, *fault) for fault in faults_of(source))
    total = sum(map(len, rooms.values()))
    chosen = []
    for faults in rooms.values():
        share = min(len(faults), max(1, round(number * len(faults) / total)))
        chosen.extend(rng.sample(faults, share))
    rng.shuffle(chosen)
    return chosen[:number]


def tests_of(path):
    """Tests of the folder of a module; those that name the module and its definitions come first."""
    room = path.relative_to(PACKAGE).parts[0]
    folder = ROOT / "tests" / room
    if folder.is_dir():
        found = sorted(folder.rglob("test_*.py"))
    else:
        name = ROOT / "tests" / f"test_{Path(room).stem.strip('_')}.py"
        found = [name] if name.is_file() else [ROOT / one for one in TESTS.get(room, ["tests/test_stack.py"])]
    found += [ROOT / one for one in BESIDE.get(room, [])]
    defined = [node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")]
    defined += [".".join((*path.relative_to(ROOT).parent.parts, path.stem))]

    def closeness(test):
        text = test.read_text()
        return -sum(name in text for name in defined), -(path.stem.strip("_") in test.stem), len(text)

    return [str(test.relative_to(ROOT)) for test in sorted(found, key=closeness)]


class _FirstFailure:
    """Writes the name of the first test, or module, that fails into a file."""

    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        """A test has run."""
        if report.failed:
            self.path.write_text(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


def notices(tests, workers, noted):
    """Name of the test that fails, or None. The tests run in a process that has loaded the libraries, but not the package.

    That process writes its report to the file ``noted``.
    """
    noted.write_text("")
    parallel = ["-n", str(workers)] if workers > 1 else ["-p", "no:xdist"]
    arguments = ["-q", "-x", "-p", "no:cacheprovider", *parallel, *tests]
    process = multiprocessing.get_context("fork").Process(target=_run_tests, args=(arguments, noted))
    process.start()
    process.join()
    if process.exitcode == 0:
        return None
    failed = noted.read_text()
    # a fault that kills the process is noticed as well
    if not failed and process.exitcode not in (1, 2) and process.exitcode > 0:
        raise SystemExit(f"pytest must run; got exit code {process.exitcode} for {' '.join(arguments)}")
    return failed or "(the process of the tests dies, or never ends)"


def _run_tests(arguments, noted):
    os.chdir(ROOT)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT, TIME_LIMIT))
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        code = int(pytest.main(arguments, plugins=[_FirstFailure(noted)]))
    except BaseException:
        os._exit(99)
    os._exit(code)


def main(arguments=None):
    """Plant the faults and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=100, help="faults to plant")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice")
    parser.add_argument("--workers", type=int, default=2, help="processes of pytest")
    parser.add_argument("--first", type=int, default=1, help="number of the first fault that is planted")
    parser.add_argument("--last", type=int, default=None, help="number of the last one; otherwise all")
    parser.add_argument("--list", action="store_true", help="list the faults, and plant none")
    parser.add_argument("--closest", type=int, help="run so many test files of the room only, for a quick lower bound")
    parser.add_argument("--all-tests", action="store_true", help="run all tests where those of the room notice nothing")
    parser.add_argument("--output", default="planted_faults.ecsv", help="table that is written")
    options = parser.parse_args(arguments)
    for name in LIBRARIES:
        importlib.import_module(name)
    noted = Path(options.output).with_suffix(".first_failure")
    rows = []
    faults = list(enumerate(all_faults(random.Random(options.seed), options.number), 1))
    for number, (path, line, change, changed) in faults[options.first - 1 : options.last]:
        name, words = str(path.relative_to(ROOT)), " ".join(change.split())
        if options.list:
            print(f"{number:4d}  {name}:{line}  {words}")
            continue
        source, start = path.read_text(), time.perf_counter()
        try:
            path.write_text(changed)
            failed = notices(tests_of(path)[: options.closest], options.workers, noted)
            if failed is None and options.all_tests:
                failed = notices(["tests"], options.workers, noted)
        finally:
            path.write_text(source)
        rows.append(
            (number, name, line, words, failed is not None, failed or "", round(time.perf_counter() - start, 1))
        )
        print(
            f"{number:4d}  {'noticed' if failed else 'NOT NOTICED':<12} {name}:{line}  {words}  {failed or ''}",
            flush=True,
        )
        names = ("number", "module", "line", "change", "noticed", "first_failure", "seconds")
        Table(rows=rows, names=names).write(options.output, format="ascii.ecsv", overwrite=True)
    if rows:
        noted.unlink()
        print(f"{sum(row[4] for row in rows)} of {len(rows)} faults were noticed")


if __name__ == "__main__":
    main()
