"""Write the tables that the documentation shows, and list those that are older than the code.

    python benchmarks/publish.py [NAME ...] [--peers peers.yaml] [--sprat FILE ...] [--golden FILE.npz]
                                 [--numina-masks FILE.npz ...] [--real FOLDER]
    python benchmarks/publish.py --list
    python benchmarks/publish.py --check
    python benchmarks/publish.py --readme

Each table is what one command prints, and is kept in docs/tables with that command and with a digest of the code that
it describes. The digest does not depend on comments, docstrings and blank lines. If names are given, only these tables
are written. A table whose command fails stays as it was. Some commands need other programs or exposures, which the
options name; without these, their tables are left out. With --check, the exit code is 1 if a table is older than the
code or is missing, or if the numbers in README.rst are not those of peers_table. These numbers are written with
peers_table, and by --readme. Seeds 9000 to 9099 are used for nothing else.
"""

import argparse
import ast
import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs" / "tables"
#: code that the scripts of several tables share
HELPERS = ("benchmarks/_truth.py", "crstack/datasets")
#: code that a decision and its combinations depend on
CORE = ("crstack/combine", "crstack/equalize", "crstack/exposures", "crstack/masks", "crstack/noise.py")
#: simulated exposures that differ
NIGHTS = tuple(f"benchmarks/{name}.py" for name in ("_night", "_night_fields", "_night_scenes", "_night_slits"))
DETECTORS = ("crstack/detectors", "crstack/noise.py")
JOINT = (*CORE, "crstack/joint", "crstack/normal_samples.py", "crstack/statistics.py")
MMCOSMIC = (
    *(*CORE, *DETECTORS, "crstack/boundaries", "crstack/diagram.py", "crstack/mmcosmic"),
    *("crstack/normal_samples.py", "crstack/simulation", "crstack/statistics.py"),
)


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    name : str
        Its file in docs/tables, without the ending.
    command : str
        Script in benchmarks and its arguments, as a shell has them. Words in braces stand for the options of
        this program.
    modules : tuple of str
        Files and directories whose code the table describes, from the root of the repository.
    needs : tuple of str
        Options of this program without which the command cannot run.
    """

    name: str
    command: str
    modules: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def path(self):
        """File of the table."""
        return TABLES / f"{self.name}.txt"

    @property
    def script(self):
        """Script that prints the table, from the root of the repository."""
        return f"benchmarks/{shlex.split(self.command)[0]}"


PUBLISHED = (
    Table("joint_table", "joint.py --seeds 9000 9001", (*JOINT, *HELPERS)),
    Table("joint_reliability", "joint.py --reliability --seeds 9002 9003", (*JOINT, *HELPERS)),
    Table("joint_everywhere", "joint.py --everywhere --seeds 9004 9005", (*JOINT, *HELPERS)),
    Table("joint_limit", "limit.py --seeds 9006 9007", (*JOINT, *HELPERS)),
    Table("joint_null", "joint.py --null", (*JOINT, *HELPERS)),
    Table("nights_table", "nights.py --seeds 9040 9041 9042", (*JOINT, *HELPERS, *NIGHTS)),
    Table(
        "nights_numbers",
        "nights.py --n 2 5 --populations cosmic mixed --seeds 9043 9044 9045",
        (*JOINT, *HELPERS, *NIGHTS),
    ),
    Table("calibrated_table", "false_alarms.py --seed 9010", (*MMCOSMIC, *HELPERS)),
    Table("pulls_table", "pulls.py --seed 9020", (*JOINT, *HELPERS)),
    Table(
        "peers_table",
        "peers.py --environments {peers} --seed 9030",
        (
            *JOINT,
            *MMCOSMIC,
            *HELPERS,
            "benchmarks/_peer_runs.py",
            "benchmarks/_peer_scenes.py",
            *NIGHTS,
        ),
        ("peers",),
    ),
    Table(
        "networks_table", "detectors.py --golden {golden} --sprat {sprat}", (*DETECTORS, *HELPERS), ("golden", "sprat")
    ),
    Table("golden_table", "peers.py --golden {numina_masks}", (*JOINT, *MMCOSMIC, *HELPERS), ("numina_masks",)),
    Table("real_table", "real.py {real}", JOINT, ("real",)),
    Table("equivalence_recovered", "equivalence.py --only recovered --seed 9050", (*CORE, *HELPERS)),
    Table("equivalence_masks", "equivalence.py --only masks --seed 9051", (*MMCOSMIC, *HELPERS)),
    Table("examples_table", "examples.py", (*MMCOSMIC, *HELPERS, "examples/make_exposures.py")),
    Table("speed_table", "speed.py", ("crstack", *NIGHTS)),
    Table("batch_table", "batch.py", ("crstack",)),
    Table("memory_table", "memory.py --stacks 4096x4096x3 4096x4096x7 --mem-limit 1.5GB", ("crstack",)),
    Table("survey_table", "survey.py", ("crstack",)),
)

#: rows of the table in README.rst: its words, the program in peers_table and the column of that table
README_ROWS = (
    ("perfect masks", "perfect masks", "high/Mpx"),
    ("``crstack``, joint decision", "crstack joint", "own: high/Mpx"),
    ("``numina-crmasks``, PyCosmic", "numina-crmasks mm_pycosmic", "own: high/Mpx"),
    ("``ccdproc``, sigma clipping", "ccdproc sigma clipping", "own: high/Mpx"),
)
README_COLUMNS = {"ifu": "fibres", "imaging": "field of stars", "slit": "long slit", "night": "changing night"}
README_START, README_END = ".. numbers of peers_table, written by benchmarks/publish.py", ".. end of the numbers"


def code_of(source):
    """Python source without comments, docstrings, blank lines and spaces at the ends of lines."""
    lines = [line.encode() for line in source.splitlines()]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1].decode()[:column].encode()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            if not lines[first.lineno - 1][: first.col_offset].strip():
                lines[first.lineno - 1 : first.end_lineno] = [b""] * (first.end_lineno - first.lineno + 1)
    return b"\n".join(line.rstrip() for line in lines if line.strip())


def files_of(table):
    """Python files that a table depends on, its script among them."""
    found = set()
    for name in (table.script, *table.modules):
        path = ROOT / name
        if not path.exists():
            raise SystemExit(
                f"publish.py: {table.name} depends on {name}, which does not exist; correct the list of tables"
            )
        found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return sorted(found, key=lambda path: path.relative_to(ROOT).as_posix())


def digest_of(table):
    """Digest of the command of a table and of the code that the table describes."""
    digest = hashlib.sha256(table.command.encode())
    for path in files_of(table):
        code = code_of(path.read_text(encoding="utf-8"))
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0{len(code)}\0".encode() + code)
    return digest.hexdigest()


def stored_digest(table):
    """Digest that the file of a table holds; None without a file or without a digest."""
    if not table.path.exists():
        return None
    for line in table.path.read_text(encoding="utf-8").splitlines():
        if line.startswith(".. digest: "):
            return line.removeprefix(".. digest: ").strip()
    return None


def state_of(table):
    """State of a table: "current", or why it is not."""
    digest = digest_of(table)
    if not table.path.exists():
        return "missing"
    stored = stored_digest(table)
    if stored is None:
        return "without a digest"
    return "current" if stored == digest else "older than the code"


def rows_of(text):
    """Rows of a simple table of reStructuredText, as dicts of str by the names of the columns."""
    lines = text.splitlines()
    borders = [number for number, line in enumerate(lines) if line.startswith("=")]
    starts = [found.start() for found in re.finditer("=+", lines[borders[0]])]
    cuts = [slice(start, stop) for start, stop in zip(starts, [*starts[1:], None], strict=True)]
    cells = [[line[cut].strip() for cut in cuts] for line in lines[borders[0] + 1 : borders[2]]]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def numbers_of_readme(peers):
    """The table of README.rst, from the text of peers_table."""
    found = {(row["scene"], row["program"]): row for row in rows_of(peers)}
    rows = [("", *README_COLUMNS.values())]
    for words, program, column in README_ROWS:
        rows.append((words, *(found[scene, program][column] for scene in README_COLUMNS)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    border = " ".join("=" * width for width in widths)
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(one.rjust(width) for one, width in zip(others, widths[1:], strict=True))]
        lines.append(" ".join(cells).rstrip())
    # an empty first cell would continue the row above
    lines[0] = "\\" + lines[0][1:]
    return "\n".join((border, lines[0], border, *lines[1:], border))


def readme_with_numbers():
    """Text of README.rst with the numbers of peers_table."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    head, rest = text.split(README_START)
    tail = rest.split(README_END)[1]
    numbers = numbers_of_readme((TABLES / "peers_table.txt").read_text(encoding="utf-8"))
    return f"{head}{README_START}\n\n{numbers}\n\n{README_END}{tail}"


def readme_is_current():
    """Whether README.rst has the numbers of peers_table."""
    return (ROOT / "README.rst").read_text(encoding="utf-8") == readme_with_numbers()


def run(table, options):
    """Text that the command of a table prints.

    Raises
    ------
    subprocess.CalledProcessError
        If the command fails or prints nothing.
    """
    words = []
    for word in shlex.split(table.command)[1:]:
        words += options[word[1:-1]] if word.startswith("{") else [word]
    done = subprocess.run(
        [sys.executable, str(ROOT / table.script), *words],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    if not done.stdout.strip():
        raise subprocess.CalledProcessError(0, table.command, output="nothing is printed")
    return done.stdout


def write(table, text):
    """Write the file of a table, whole or not at all."""
    text = f".. python benchmarks/{table.command}\n.. digest: {digest_of(table)}\n\n{text.strip()}\n"
    table.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=table.path.parent, suffix=".part", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    os.replace(file.name, table.path)


def publish(tables, options):
    """Run commands and write their tables; return the exit code."""
    failed = False
    for table in tables:
        absent = [f"--{name.replace('_', '-')}" for name in table.needs if not options[name]]
        if absent:
            print(f"{table.name}: left out; give {' and '.join(absent)}")
            continue
        print(f"{table.name}: python benchmarks/{table.command}", flush=True)
        before = digest_of(table)
        try:
            text = run(table, options)
        except subprocess.CalledProcessError as error:
            print(
                f"{table.name}: not written; the command ended with {error.returncode}, {error.output or 'no output'}"
            )
            failed = True
            continue
        if digest_of(table) != before:
            print(f"{table.name}: not written; the code changed while the command ran")
            failed = True
            continue
        write(table, text)
        if table.name == "peers_table":
            write_readme()
    return int(failed)


def write_readme():
    """Write the numbers of peers_table into README.rst."""
    (ROOT / "README.rst").write_text(readme_with_numbers(), encoding="utf-8")


def check(tables):
    """Print the state of the tables that are not current; return the exit code."""
    states = {table.name: state_of(table) for table in tables}
    old = {name: state for name, state in states.items() if state != "current"}
    for name, state in old.items():
        print(f"{name}: {state}")
    print(f"{len(states) - len(old)} of {len(states)} tables are current")
    old_readme = "peers_table" in states and states["peers_table"] != "missing" and not readme_is_current()
    if old_readme:
        print("README.rst: its numbers are not those of peers_table; run publish.py --readme")
    return int(bool(old) or old_readme)


def main(arguments=None):
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables to write; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing; list the tables that are not current")
    parser.add_argument("--list", action="store_true", help="write nothing; list the tables and their commands")
    parser.add_argument("--readme", action="store_true", help="write only the numbers of README.rst")
    parser.add_argument("--peers", nargs=1, default=[], metavar="FILE.yaml", help="the Python of each other program")
    parser.add_argument("--golden", nargs=1, default=[], metavar="FILE.npz", help="exposures with their truth")
    parser.add_argument("--sprat", nargs="+", default=[], metavar="FILE", help="the exposures of SPRAT")
    parser.add_argument("--numina-masks", nargs="+", default=[], metavar="FILE.npz", help="masks of numina-crmasks")
    parser.add_argument("--real", nargs=1, default=[], metavar="FOLDER", help="folders of real exposures")
    options = parser.parse_args(arguments)
    known = {table.name: table for table in PUBLISHED}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"NAME must be one of {', '.join(known)}; got {unknown[0]}")
    tables = [known[name] for name in options.names] or list(PUBLISHED)
    if options.readme:
        write_readme()
        return 0
    if options.list:
        for table in tables:
            print(f"{table.name:22s} python benchmarks/{table.command}")
        return 0
    if options.check:
        return check(tables)
    return publish(tables, vars(options))


if __name__ == "__main__":
    sys.exit(main())
