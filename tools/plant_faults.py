"""Plant faults one at a time, and see whether the tests notice: ``python tools/plant_faults.py --number 100 --seed 1``.

Run it in a clean copy of the repository with the package installed in editable mode: it changes the files of
``crstack``, and puts each back. A fault is a small change of one place in the code: a sign, a comparison turned round,
a number, any for all. The tests of the same room run, and then, if asked for, all others. What is not noticed is
listed in the table that is written.
"""

import argparse
import ast
import random
import subprocess
import sys
import time
from pathlib import Path

from astropy.table import Table

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "crstack"
#: tests of the modules that have no folder of their own
TESTS = {
    "stack.py": ["tests/test_stack.py"],
    "report": ["tests/report"],
    "exceptions.py": ["tests/test_stack.py"],
}
#: nothing is planted in text, nor where pictures are drawn
SKIPPED_FUNCTIONS = ("__repr__", "__str__", "summary", "describe", "_repr_html_")
SKIPPED_ROOMS = ("plotting", "report", "testing.py", "__init__.py", "__main__.py")
TIME_LIMIT = 600  # seconds of a run of tests

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
        if function.name in SKIPPED_FUNCTIONS:
            continue
        for node in ast.walk(function):
            for old, new in _changes(node):
                before = ast.get_source_segment(source, node)
                if before is None or old not in before:
                    continue
                first = starts[node.lineno - 1] + _columns(lines[node.lineno - 1], node.col_offset)
                changed = new if old == before else before.replace(old, new, 1)
                yield node.lineno, f"{before} -> {changed}", source[:first] + changed + source[first + len(before) :]


def _columns(line, n_bytes):
    return len(line.encode()[:n_bytes].decode())


def _changes(node):
    """Pairs of text in the source of a node and what stands in its place."""
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
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in NAMES:
            yield f"{name}(", f"{NAMES[name]}("
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
        new = ast.Subscript(node.value, ast.Constant(node.slice.value + 1), node.ctx)
        yield _whole(node, new)


def _whole(node, new):
    return ast.unparse(node), f"({ast.unparse(new)})"


def all_faults(rng, number):
    """Faults spread over the rooms: as many of each as it has places, at least one."""
    rooms = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        if room in SKIPPED_ROOMS or path.name in SKIPPED_ROOMS:
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
    """Tests of the room that a module stands in."""
    room = path.relative_to(PACKAGE).parts[0]
    folder = ROOT / "tests" / room
    if folder.is_dir():
        return [str(folder.relative_to(ROOT))]
    name = f"tests/test_{Path(room).stem.strip('_')}.py"
    return TESTS.get(room) or ([name] if (ROOT / name).is_file() else ["tests/test_stack.py"])


def notices(tests, workers):
    """Whether a run of tests fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", str(workers), *tests]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return True  # a fault that never ends is noticed
    return done.returncode != 0


def main(arguments=None):
    """Plant the faults and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=100, help="faults to plant")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice")
    parser.add_argument("--workers", type=int, default=2, help="processes of pytest")
    parser.add_argument("--all-tests", action="store_true", help="run all tests where those of the room notice nothing")
    parser.add_argument("--output", default="planted_faults.ecsv", help="table that is written")
    options = parser.parse_args(arguments)
    rows = []
    for path, line, change, changed in all_faults(random.Random(options.seed), options.number):
        source, start = path.read_text(), time.perf_counter()
        try:
            path.write_text(changed)
            noticed = notices(tests_of(path), options.workers)
            if not noticed and options.all_tests:
                noticed = notices(["tests"], options.workers)
        finally:
            path.write_text(source)
        name = str(path.relative_to(ROOT))
        rows.append((name, line, " ".join(change.split()), noticed, round(time.perf_counter() - start, 1)))
        print(f"{len(rows):4d}  {'noticed' if noticed else 'NOT NOTICED':<12} {name}:{line}  {change}", flush=True)
        table = Table(rows=rows, names=("module", "line", "change", "noticed", "seconds"))
        table.write(options.output, format="ascii.ecsv", overwrite=True)
    print(f"{sum(row[3] for row in rows)} of {len(rows)} faults were noticed")


if __name__ == "__main__":
    main()
