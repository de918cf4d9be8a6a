"""Jobs on an executor, a few at a time. If a worker is killed, only its running jobs are lost."""

import concurrent.futures
import multiprocessing
import os
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

__all__ = ["Lost", "in_processes", "on_executor"]

#: seconds between two calls that report what is under way
PAUSE = 1.0

#: variables that set how many threads a library uses, read when it is loaded
THREAD_VARIABLES = ("CRSTACK_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Lost(Exception):
    """The worker of a job died."""


@contextmanager
def threads_of_workers(n_workers):
    """Divide the threads among the processes that are started here."""
    each = str(max(1, (os.cpu_count() or 1) // n_workers))
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update({name: each for name in THREAD_VARIABLES if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def on_executor(executor, function, jobs, at_once=None, under_way=None):
    """Run jobs on an executor of the user.

    Parameters
    ----------
    executor : `~concurrent.futures.Executor`
        Any: of processes, threads, Dask, MPI.
    function : callable
        Called with each job; can be pickled.
    jobs : sequence
        Arguments.
    at_once : int, optional
        Number of jobs submitted at a time; all by default.
    under_way : callable, optional
        Called with the list of the submitted jobs that have not finished: when jobs are submitted, and each second.

    Yields
    ------
    job, future : object, `~concurrent.futures.Future`
        As they finish.
    """
    waiting, running = list(reversed(jobs)), {}
    at_once = at_once or len(jobs)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop()
                running[executor.submit(function, job)] = job
            if under_way is not None:
                under_way(list(running.values()))
            pause = None if under_way is None else PAUSE
            finished, _ = concurrent.futures.wait(running, pause, concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future
    finally:
        for future in running:
            future.cancel()


def in_processes(function, jobs, n_workers, under_way=None):
    """Run jobs in processes of their own; one that dies is replaced.

    A job whose worker died is tried once more, alone, so that it does not affect other jobs.

    Parameters
    ----------
    function, jobs, under_way
        As for `on_executor`.
    n_workers : int
        Processes at a time.

    Yields
    ------
    job, future : object, `~concurrent.futures.Future`
        As they finish. A job that killed its worker twice has a future that raises `Lost`.
    """
    suspects, rest = [], list(jobs)
    while rest or suspects:
        # jobs that were running when a worker died run alone, to find the one that killed it
        alone = not rest
        batch, width = (suspects[:1], 1) if alone else (rest, n_workers)
        lost = []
        with threads_of_workers(n_workers), _pool(width) as pool:
            for job, future in on_executor(pool, function, batch, width, under_way):
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(job)
                else:
                    batch = [one for one in batch if one is not job]
                    yield job, future
                if lost:
                    break
        if alone:
            suspects = suspects[1:]
            if lost:
                yield lost[0], _failed(Lost("its worker was killed, twice"))
        elif lost:
            suspects += batch[:width]
            rest = batch[width:]
        else:
            rest = []


@contextmanager
def _pool(n_workers):
    """New processes, which end with the block in any case."""
    others = multiprocessing.active_children()
    pool = concurrent.futures.ProcessPoolExecutor(n_workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _failed(error):
    """A future that has failed with an error."""
    future = concurrent.futures.Future()
    future.set_exception(error)
    return future
