"""Jobs on executors, and workers that die."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from support.jobs import die_always, die_once, double, threads

from crstack.batch.workers import THREAD_VARIABLES, Lost, in_processes, on_executor


def answers(running):
    """Result or error by job."""
    return {job: future.exception() or future.result() for job, future in running}


def test_jobs_run_and_fail_by_themselves():
    found = answers(in_processes(double, [1, -2, 3], 2))
    assert (found[1], found[3]) == (2, 6)
    assert isinstance(found[-2], ValueError)


def test_any_executor_runs_them_a_few_at_a_time():
    with ThreadPoolExecutor(2) as pool:
        found = answers(on_executor(pool, double, [1, -2, 3, 4], at_once=2))
    assert (found[1], found[3], found[4]) == (2, 6, 8)
    assert isinstance(found[-2], ValueError)


def test_what_is_under_way_is_reported_at_the_start_and_while_jobs_run(monkeypatch):
    monkeypatch.setattr("crstack.batch.workers.PAUSE", 0.01)
    go_on, seen = Event(), []

    def wait(number):
        assert go_on.wait(60)
        return number

    def under_way(jobs):
        seen.append(jobs)
        if len(seen) == 5:
            go_on.set()

    with ThreadPoolExecutor(2) as pool:
        found = answers(on_executor(pool, wait, [1, 2, 3], at_once=2, under_way=under_way))
    assert found == {1: 1, 2: 2, 3: 3}
    assert seen[:5] == [[1, 2]] * 5
    assert [3] in [jobs[-1:] for jobs in seen[5:]]


def test_a_worker_that_is_killed_costs_only_time(tmp_path):
    jobs = [(None, 0), (str(tmp_path / "died"), 1), (None, 2), (None, 3)]
    found = answers(in_processes(die_once, jobs, 2))
    assert found == {job: job[1] for job in jobs}


def test_a_job_that_kills_its_worker_twice_takes_no_other_with_it():
    found = answers(in_processes(die_always, [0, 1, 2, 3], 2))
    assert isinstance(found.pop(1), Lost)
    assert found == {0: 0, 2: 2, 3: 3}


def test_workers_share_the_processors(monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    before = dict(os.environ)
    assert answers(in_processes(threads, [0], 4)) == {0: ("2", "2")}
    assert dict(os.environ) == before


def test_closing_early_ends_the_workers():
    running = in_processes(double, [1, 2, 3, 4], 1)
    next(running)
    running.close()
    import multiprocessing

    assert not multiprocessing.active_children()


def test_threads_asked_for_by_the_user_stay(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert answers(in_processes(threads, [0], 4))[0][0] == "3"


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_order_of_jobs_does_not_matter(n_workers):
    assert answers(in_processes(double, [5, 4, 3], n_workers)) == {5: 10, 4: 8, 3: 6}
