"""Figures drawn by a second process."""

import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from crstack import plotting
from crstack.pipeline import figures, helper_process
from crstack.pipeline.helper_process import Drawing, Helper


@dataclass(frozen=True)
class Write:
    """A job of another module than the helper's own: it is found by its name."""

    path: Path
    values: np.ndarray

    def __call__(self):
        time.sleep(0.05)
        self.path.write_text(f"{os.getpid()} {self.values.sum()}")
        return True


@dataclass(frozen=True)
class _Save:
    path: Path
    values: np.ndarray

    def __call__(self):
        np.save(self.path, self.values)
        return True


@dataclass(frozen=True)
class Fail:
    def __call__(self):
        warnings.warn("careful", stacklevel=1)
        raise IndexError("no such panel")


def nothing():
    return False


@pytest.fixture
def findable(monkeypatch):
    """Let the helper import this module."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    for one in (Write, _Save, Fail, nothing):
        monkeypatch.setattr(one, "__module__", "test_helper_process")
    monkeypatch.setitem(sys.modules, "test_helper_process", sys.modules[__name__])


@pytest.fixture
def helper(findable):
    with Helper() as helper:
        yield helper


def draw_all(jobs, helper=None, *, here=0, done=None):
    """Outcomes of jobs, the first of which only this process runs."""
    with Drawing(jobs[here:], helper) as drawing:
        return drawing.finish(jobs[:here], done)


def test_without_a_helper(tmp_path):
    done = []
    outcomes = draw_all([Write(tmp_path / "a", np.ones(3)), nothing, Fail()], done=done.append)
    assert outcomes == [(True, "", []), (False, "", []), (None, "no such panel", ["careful"])]
    assert done == [0, 1, 2]
    assert (tmp_path / "a").read_text() == f"{os.getpid()} 3.0"


def test_both_processes_draw_and_each_job_is_done_once(helper, tmp_path):
    values = np.arange(100_000, dtype=np.float32).reshape(100, 1000)
    jobs = [Write(tmp_path / str(i), values[i : i + 1]) for i in range(60)]
    outcomes = draw_all([nothing, *jobs], helper, here=1)
    assert outcomes == [(False, "", []), *[(True, "", [])] * 60]
    texts = [(tmp_path / str(i)).read_text().split() for i in range(60)]
    for i, (_, total) in enumerate(texts):
        assert float(total) == values[i : i + 1].sum()
    workers = {int(process) for process, _ in texts}
    assert os.getpid() in workers
    assert len(workers) <= 2
    assert int(texts[0][0]) == os.getpid()


def test_the_helper_reports_failures(helper, tmp_path, monkeypatch):
    monkeypatch.setattr(helper_process, "_claim", lambda folder, i: False)  # the helper takes all
    outcomes = draw_all([nothing, Fail(), _Save(tmp_path / "a.npy", np.ones((3, 4)))], helper, here=1)
    assert outcomes == [(False, "", []), (None, "no such panel", ["careful"]), (True, "", [])]
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.ones((3, 4)))


def test_a_dead_helper_leaves_its_jobs_to_this_process(helper, tmp_path, monkeypatch):
    helper.process.kill()
    helper.process.wait()
    monkeypatch.setattr(helper_process, "_claim", lambda folder, i: False)  # as if it had taken all of them
    outcomes = draw_all([Write(tmp_path / "a", np.ones(3))], helper)
    assert outcomes == [(True, "", [])]
    assert (tmp_path / "a").read_text() == f"{os.getpid()} 3.0"


def test_what_pickle_cannot_take_is_drawn_here(helper, tmp_path):
    drawn = []
    assert draw_all([lambda: drawn.append(1) or True], helper) == [(True, "", [])]
    assert drawn == [1]


def test_arrays_are_written_once(tmp_path):
    values = np.zeros((300, 400), np.float32)
    jobs = [_Save(tmp_path / str(i), values) for i in range(5)]
    assert helper_process._write_jobs(tmp_path, jobs)
    assert (tmp_path / "arrays").stat().st_size == values.nbytes
    read = helper_process._read_jobs(tmp_path)
    np.testing.assert_array_equal(read[4].values, values)
    assert not read[4].values.flags.writeable


def test_an_early_helper_is_started_where_libraries_are_still_to_load(monkeypatch):
    monkeypatch.setenv("CRSTACK_NUM_THREADS", "2")
    monkeypatch.setitem(sys.modules, "crstack.plotting", plotting)
    with helper_process.early_helper() as helper:
        assert helper is None
    monkeypatch.delitem(sys.modules, "crstack.plotting")
    with helper_process.early_helper(wanted=False) as helper:
        assert helper is None
    with helper_process.early_helper() as helper:
        assert helper.is_free
    assert helper.process.poll() is not None
    monkeypatch.setenv("CRSTACK_NUM_THREADS", "1")
    with helper_process.early_helper() as helper:
        assert helper is None


def test_a_run_uses_the_early_helper_once_or_ends_it(monkeypatch):
    monkeypatch.setenv("CRSTACK_NUM_THREADS", "2")
    stack = SimpleNamespace(exposures=SimpleNamespace(data=np.zeros((3, 20, 20))))
    with Helper() as small, Helper() as large:
        assert figures.start_helper(stack, plots=True, early=small) is None
        assert small.process.poll() is not None
        monkeypatch.setattr(figures, "HELPED", 1)
        assert figures.start_helper(stack, plots=True, early=large) is large
        assert draw_all([nothing], large) == [(False, "", [])]
        # another chip has its own
        with figures.start_helper(stack, plots=True, early=large) as own:
            assert own is not large
            assert own.is_free


def test_no_interpreter_no_helper(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "absent"))
    with Helper() as helper:
        assert helper.process is None
        assert draw_all([nothing], helper) == [(False, "", [])]


def test_the_helper_draws_before_this_process_comes_to_it(helper, tmp_path):
    jobs = [Write(tmp_path / str(i), np.ones((2, 3))) for i in range(3)]
    with Drawing(jobs, helper) as drawing:
        deadline = time.monotonic() + 60
        while not all((tmp_path / str(i)).exists() for i in range(3)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        outcomes = drawing.finish([nothing])
    assert outcomes == [(False, "", []), *[(True, "", [])] * 3]
    assert all(int((tmp_path / str(i)).read_text().split()[0]) != os.getpid() for i in range(3))
