"""Record which tests run which line of crstack: ``python tools/tests_by_line.py --output tests_by_line.json [PATHS]``.

``plant_faults.py`` reads the file, and runs for each fault only the tests that can notice it. Needs the package
coverage. A test that uses a fixture of a module or of the session is recorded with the lines that the fixture runs.
What runs in another process (the commands that tests start, the workers of a batch) is not recorded.
``--append`` adds to an existing file, so that the suite can be recorded in pieces, or a new test file after the rest.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[1]


class _Recorder:
    """Names the test that runs, or the fixture that is set up, as the context of the lines that are run."""

    def __init__(self, measured):
        self.measured = measured
        self.running = ""
        self.seconds = {}
        self.users = {}  # tests of each fixture

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """A test runs, with the set-up of its fixtures."""
        self.running = item.nodeid
        for definitions in getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).values():
            for definition in definitions:
                self.users.setdefault(_name_of(definition), []).append(item.nodeid)
        self.measured.switch_context(self.running)
        start = _processor_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = _processor_time() - start

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        """A fixture that several tests share is set up by the first of them."""
        self.measured.switch_context(_name_of(fixturedef))
        try:
            return (yield)
        finally:
            self.measured.switch_context(self.running)


def _processor_time():
    """Seconds of this process and of those that it has started and waited for."""
    return sum(os.times()[:4])


def _name_of(definition):
    return f"fixture {definition.baseid}::{definition.argname}"


def main(arguments=None):
    """Run the tests and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["tests", "crstack", "docs", "README.rst"])
    parser.add_argument("--output", default="tests_by_line.json", help="file that is written")
    parser.add_argument("--append", action="store_true", help="add to the file instead")
    options = parser.parse_args(arguments)
    output = Path(options.output)
    tests, modules = json.loads(output.read_text()).values() if options.append and output.exists() else ([], {})
    seconds = dict(tests)
    measured = coverage.Coverage(data_file=None, source=[str(ROOT / "crstack")], config_file=False, messages=False)
    recorder = _Recorder(measured)
    measured.start()
    code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options.paths], plugins=[recorder])
    measured.stop()
    seconds.update({name: round(value, 3) for name, value in recorder.seconds.items()})
    numbers = {name: number for number, name in enumerate(seconds)}
    data = measured.get_data()
    for file in data.measured_files():
        lines = modules.setdefault(str(Path(file).relative_to(ROOT)), {})
        for line, contexts in data.contexts_by_lineno(file).items():
            found = set(lines.get(str(line), []))
            for context in contexts:
                found.update(numbers[name] for name in recorder.users.get(context, [context]) if name in numbers)
            lines[str(line)] = sorted(found)
    # a test stands as a number in the lines: its place in the list
    output.write_text(json.dumps({"tests": list(seconds.items()), "modules": modules}))
    return code


if __name__ == "__main__":
    sys.exit(main())
