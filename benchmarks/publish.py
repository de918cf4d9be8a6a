"""Write the tables that the documentation shows, and list those that are older than the code.

    python benchmarks/publish.py [NAME ...] [--peers peers.yaml] [--sprat FILE ...] [--golden FILE.npz]
    python benchmarks/publish.py --list
    python benchmarks/publish.py --check

Each table is what one command prints, and is kept in docs/tables with that command and with a digest of the code that
it describes. The digest does not depend on comments, docstrings and blank lines. With names, only these tables are
written. A table whose command fails stays as it was. Some commands need other programs or exposures, which the
options name; without these, their tables are left out. With --check, the exit code is 1 if a table is older than the
code or is missing. Seeds 9000 to 9099 are used for nothing else.
"""

import argparse
import ast
import hashlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs" / "tables"
#: what the scripts of several tables have in common
HELPERS = ("benchmarks/_truth.py", "crstack/datasets")
#: what a decision and its combinations depend on
CORE = ("crstack/combine", "crstack/equalize", "crstack/exposures", "crstack/masks", "crstack/noise.py")
DETECTORS = ("crstack/detectors", "crstack/noise.py")
JOINT = (*CORE, "crstack/joint", "crstack/statistics.py")
MMCOSMIC = (*CORE, *DETECTORS, "crstack/boundaries", "crstack/mmcosmic", "crstack/simulation", "crstack/statistics.py")


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
    Table("nights_table", "nights.py --seeds 9040 9041 9042", (*JOINT, *HELPERS, "benchmarks/_night_scenes.py")),
    Table("calibrated_table", "false_alarms.py --seed 9010", (*MMCOSMIC, *HELPERS)),
    Table("pulls_table", "pulls.py --seed 9020", (*JOINT, *HELPERS)),
    Table(
        "peers_table",
        "peers.py --environments {peers} --seed 9030",
        (*JOINT, *MMCOSMIC, *HELPERS, "benchmarks/_peer_runs.py"),
        ("peers",),
    ),
    Table(
        "networks_table", "detectors.py --golden {golden} --sprat {sprat}", (*DETECTORS, *HELPERS), ("golden", "sprat")
    ),
    Table("speed_table", "speed.py", ("crstack",)),
)


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
            raise SystemExit(f"publish.py: {table.name} depends on {name}, which is not there; mend the list of tables")
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
    """What there is to say of a table: "current", or why it is not."""
    digest = digest_of(table)
    if not table.path.exists():
        return "missing"
    stored = stored_digest(table)
    if stored is None:
        return "without a digest"
    return "current" if stored == digest else "older than the code"


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
        absent = [f"--{name}" for name in table.needs if not options[name]]
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
    return int(failed)


def check(tables):
    """Print the state of the tables that are not current; return the exit code."""
    states = {table.name: state_of(table) for table in tables}
    old = {name: state for name, state in states.items() if state != "current"}
    for name, state in old.items():
        print(f"{name}: {state}")
    print(f"{len(states) - len(old)} of {len(states)} tables are current")
    return int(bool(old))


def main(arguments=None):
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables to write; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing; list the tables that are not current")
    parser.add_argument("--list", action="store_true", help="write nothing; list the tables and their commands")
    parser.add_argument("--peers", nargs=1, default=[], metavar="FILE.yaml", help="the Python of each other program")
    parser.add_argument("--golden", nargs=1, default=[], metavar="FILE.npz", help="exposures with their truth")
    parser.add_argument("--sprat", nargs="+", default=[], metavar="FILE", help="the exposures of SPRAT")
    options = parser.parse_args(arguments)
    known = {table.name: table for table in PUBLISHED}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"NAME must be one of {', '.join(known)}; got {unknown[0]}")
    tables = [known[name] for name in options.names] or list(PUBLISHED)
    if options.list:
        for table in tables:
            print(f"{table.name:18s} python benchmarks/{table.command}")
        return 0
    if options.check:
        return check(tables)
    return publish(tables, vars(options))


if __name__ == "__main__":
    sys.exit(main())
