"""Plant faults one at a time, and see whether the tests notice: ``python tools/plant_faults.py --number 100 --seed 1``.

Run it in a clean copy of the repository with the package installed in editable mode: it changes the files of
``crstack``, and restores each. A fault is a small change of one place in the code: another sign, comparison or index,
``any`` in place of ``all``, or a missing statement. ``--lines`` names the file that ``tests_by_line.py`` wrote. The
tests that run the line of the fault are then run, the fast ones first, up to ``--seconds`` of recorded time. Record the
file again when the code has changed. Without the file, or if no test is recorded for the line, the tests of the same
folder run, beginning with those that import the module. With ``--all-tests`` the other tests follow. The faults that no
test notices are listed in a table. ``--first`` and ``--last`` plant a part of the faults, ``--only`` those of the given
numbers.

No fault is planted where it cannot change a result: in messages, in the log, in reports of progress, in caches, and in
the choice of threads, of tiles and of row bands, which change only the time.
"""

import argparse
import ast
import importlib
import json
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
    "methods.py": ["tests/test_contracts.py", "tests/utils/test_plugins.py", "tests/test_stack.py"],
    "testing": ["tests/utils/test_plugins.py", "tests/test_contracts.py"],
}
#: further tests of a folder, outside its own tests
BESIDE = {
    "combine": ["tests/test_stack.py"],
    "files": ["tests/combine/test_files.py", "tests/cli/test_cli_safety.py"],
    "config": [
        f"tests/cli/test_cli_{name}.py" for name in ("equivalence", "inputs", "legacy", "maps", "options", "votes")
    ],
    "masks": ["tests/mmcosmic/test_dilation.py"],
    "mmcosmic": ["tests/test_stack.py"],
    "methods.py": ["tests/test_contracts.py"],
    "pipeline": [f"tests/cli/test_cli_{name}.py" for name in ("run", "safety", "figures", "implausible")],
    "prepared.py": ["tests/test_stack.py", "tests/test_detections.py", "tests/equalize/test_single_terms.py"],
    "stages": ["tests/test_stack.py"],
    "utils": ["tests/test_contracts.py", "tests/test_noise.py", "tests/masks/test_masks.py", "tests/test_stack.py"],
}
#: loaded once for all runs of tests
LIBRARIES = ("astropy.io.fits", "astropy.nddata", "astropy.wcs", "scipy.ndimage", "scipy.stats", "yaml")
#: functions that make text: no fault is planted there
SKIPPED_FUNCTIONS = ("__repr__", "__str__", "summary", "describe", "_repr_html_")
SKIPPED_ROOMS = ("__init__.py", "__main__.py", "_version.py")
#: modules that change the time of an answer only
SKIPPED_MODULES = ("progress.py", "threads.py", "_tiles.py", "completion.py")
#: calls that report words or progress
REPORTING_CALLS = {"warn", "debug", "info", "warning", "error", "exception", "print", "progress", "update", "describe"}
#: words in the name of a function or a variable that changes only the time
COST_WORDS = ("cache", "progress", "thread", "tile", "band", "chunk", "block_size", "maxsize")
TIME_LIMIT = 600  # seconds of processor time of a run of tests
MEMORY_LIMIT = 12 * 1024**3  # bytes

SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPARISONS = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
NAMES = {"any": "all", "all": "any", "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}


def faults_of(source):
    """Places of a module where a fault can be planted: (first line, last line, what is changed, changed source)."""
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
                faulty = source[:first] + changed + source[first + len(before) :]
                yield node.lineno, node.end_lineno, f"{before} -> {changed}", faulty


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
    elif _is_left_out(node):
        yield ast.unparse(node), "pass"


def _is_left_out(node):
    """Whether a statement can be left out: it changes a part of an array, or what a name stands for."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Subscript)
    return isinstance(node, ast.AugAssign)


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
    """Tests of the room that a module stands in; those that name the module and what it defines come first."""
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


class _Chosen:
    """Runs some of the tests of the files only, in a given order."""

    def __init__(self, tests):
        self.rank = {test: number for number, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        """Pick the tests."""
        items[:] = sorted((item for item in items if item.nodeid in self.rank), key=lambda item: self.rank[item.nodeid])


def tests_on(record, name, lines, seconds):
    """Tests that run some lines of a module: file by file, the fast ones first, and their recorded time.

    Parameters
    ----------
    record : dict
        The record that ``tests_by_line.py`` wrote.
    name : str
        The module.
    lines : iterable of int
        Numbers of the lines.
    seconds : float
        The fast tests are taken until their time adds up to this.
    """
    of_line = record["modules"].get(name, {})
    numbers = {number for line in lines for number in of_line.get(str(line), [])}
    chosen, files, total = [], {}, 0.0
    for test, time_of_test in sorted((record["tests"][number] for number in numbers), key=lambda one: one[1]):
        if total + time_of_test > seconds and chosen:
            break
        if not (ROOT / test.split("::")[0]).is_file():
            continue  # it was removed, or moved, after the record
        chosen.append(test)
        total += time_of_test
        files[test.split("::")[0]] = files.get(test.split("::")[0], 0.0) + time_of_test
    # tests of a file stay together, since they share fixtures
    return sorted(chosen, key=lambda test: files[test.split("::")[0]]), total


def notices(tests, noted, workers=1, chosen=None, limit=TIME_LIMIT):
    """The test that fails, or None, in a process that has the libraries loaded, and the package not.

    ``noted`` is a file for what that process reports; ``limit`` is its processor time in seconds.
    """
    noted.write_text("")
    parallel = ["-n", str(workers)] if workers > 1 else ["-p", "no:xdist"]
    arguments = ["-q", "-x", "-p", "no:cacheprovider", *parallel, *tests]
    plugins = [_FirstFailure(noted)] + ([_Chosen(chosen)] if chosen else [])
    process = multiprocessing.get_context("fork").Process(target=_run_tests, args=(arguments, plugins, int(limit)))
    process.start()
    process.join(10 * limit)
    if process.is_alive():
        process.kill()
        process.join()
    if process.exitcode == 0:
        return None
    failed = noted.read_text()
    # a fault that kills the process is noticed as well
    if not failed and process.exitcode not in (1, 2) and process.exitcode > 0:
        raise SystemExit(f"pytest must run; got exit code {process.exitcode} for {' '.join(arguments)}")
    return failed or "(the process of the tests dies, or never ends)"


def _run_tests(arguments, plugins, limit):
    os.chdir(ROOT)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        code = int(pytest.main(arguments, plugins=plugins))
    except BaseException:
        os._exit(99)
    os._exit(code)


def tried(path, lines, record, options, noted):
    """The test that notices the fault that stands in a module now, or None."""
    if record:
        chosen, seconds = tests_on(record, str(path.relative_to(ROOT)), lines, options.seconds)
        if chosen:
            files = list(dict.fromkeys(test.split("::")[0] for test in chosen))
            return notices(files, noted, chosen=chosen, limit=60 + 4 * seconds)
    return notices(tests_of(path)[: options.closest], noted, options.workers)


def _options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=100, help="faults to choose")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice")
    parser.add_argument("--first", type=int, default=1, help="number of the first fault that is planted")
    parser.add_argument("--last", type=int, default=None, help="number of the last one; otherwise all")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the faults that are planted")
    parser.add_argument("--list", action="store_true", help="list the faults, and plant none")
    parser.add_argument("--lines", type=Path, help="which tests run which line, as tests_by_line.py writes it")
    parser.add_argument("--seconds", type=float, default=60, help="recorded time of the tests that run for one fault")
    parser.add_argument("--workers", type=int, default=1, help="processes of pytest for the tests of a room")
    parser.add_argument("--closest", type=int, help="run so many test files of the room only")
    parser.add_argument("--all-tests", action="store_true", help="run all tests where the others notice nothing")
    parser.add_argument("--output", default="planted_faults.ecsv", help="table that is written")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Plant the faults and write the table."""
    options = _options(arguments)
    for name in LIBRARIES:
        importlib.import_module(name)
    record = json.loads(options.lines.read_text()) if options.lines else None
    noted = Path(options.output).with_suffix(".first_failure").absolute()
    rows = []
    faults = list(enumerate(all_faults(random.Random(options.seed), options.number), 1))[
        options.first - 1 : options.last
    ]
    for number, (path, line, last_line, change, changed) in faults:
        if options.only and number not in options.only:
            continue
        name, words = str(path.relative_to(ROOT)), " ".join(change.split())
        if options.list:
            print(f"{number:4d}  {name}:{line}  {words}")
            continue
        source, start = path.read_text(), time.perf_counter()
        try:
            path.write_text(changed)
            failed = tried(path, range(line, last_line + 1), record, options, noted)
            if failed is None and options.all_tests:
                failed = notices(["tests"], noted, options.workers)
        finally:
            path.write_text(source)
        seconds = round(time.perf_counter() - start, 1)
        rows.append((number, name, line, words, failed is not None, failed or "", seconds))
        word = "noticed" if failed else "NOT NOTICED"
        print(f"{number:4d}  {word:<12} {name}:{line}  {words}  {failed or ''}  ({seconds} s)", flush=True)
        names = ("number", "module", "line", "change", "noticed", "first_failure", "seconds")
        Table(rows=rows, names=names).write(options.output, format="ascii.ecsv", overwrite=True)
    if rows:
        noted.unlink()
        print(f"{sum(row[4] for row in rows)} of {len(rows)} faults were noticed")


if __name__ == "__main__":
    main()
