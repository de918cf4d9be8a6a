"""Properties that are computed once, and whose threads need the same property of other objects."""

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import crstack
from crstack.joint import candidates
from crstack.joint.candidates import Candidates
from crstack.utils.cached import cached_property


class Part:
    """A sum over parts."""

    def __init__(self, values):
        self.values, self.calls = values, 0

    @cached_property
    def total(self):
        """Sum of the values."""
        self.calls += 1
        if len(self.values) == 1:
            return self.values[0]
        pool = ThreadPoolExecutor(2)
        try:
            futures = [pool.submit(lambda value: Part([value]).total, value) for value in self.values]
            # with a lock of the whole class this raises TimeoutError
            return sum(future.result(timeout=5) for future in futures)
        finally:
            pool.shutdown(wait=False)


def test_threads_may_need_the_same_property_of_other_objects():
    part = Part([1, 2, 4])
    assert part.total == 7
    assert part.total == 7
    assert part.calls == 1
    assert Part.total.__doc__ == "Sum of the values."


def test_levels_of_many_candidates(monkeypatch):
    """More than two parts are computed in threads."""
    rng = np.random.default_rng(5)
    values = rng.normal(100, 10, (3, 50))
    given = {
        "where": (np.zeros(50, int), np.arange(50)), "values": values, "scales": np.ones((3, 1)),
        "shifts": np.full((3, 1), 2.0), "variance": np.full((3, 1), 9.0), "poisson": np.ones((3, 1)),
    }  # fmt: skip
    monkeypatch.setattr(candidates, "CANDIDATES_AT_ONCE", 8)
    with crstack.utils.threads.limited_threads(2), ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: Candidates(**given).levels)
        assert found.result(timeout=60) == pytest.approx(values - 2)


def test_no_property_has_a_lock():
    root = Path(crstack.__file__).parent
    for path in root.rglob("*.py"):
        if path.name == "cached.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "functools":
                assert "cached_property" not in {one.name for one in node.names}, path
