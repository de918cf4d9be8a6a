"""Benchmarks as modules of the tests."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Import a benchmark in the same way as running it."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module
