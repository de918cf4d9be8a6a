"""Run the unfinished stacks, and write a table of the results."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from astropy.table import Table

from crstack.batch.job import Job, compute, outcome
from crstack.batch.record import Record
from crstack.batch.stacks import Stack, as_stacks
from crstack.batch.table import results_table, write_results
from crstack.batch.workers import in_processes, on_executor
from crstack.exceptions import InputError
from crstack.pipeline.lock import DirectoryLock
from crstack.utils.validation import check_integer
from crstack.utils.version import code_version

__all__ = ["plan", "run"]

#: name of the table in the output directory
RESULTS = "results.ecsv"


def plan(stacks, output_dir, *, redo=False):
    """Stacks to compute, with the reason, and complete stacks.

    Parameters
    ----------
    stacks : list of Stack
        The requested stacks.
    output_dir : path-like
        Directory of the directories of the stacks.
    redo : bool, optional
        Compute all.

    Returns
    -------
    reasons : dict
        By name of the stack, the reason of its computation; None if it is complete.
    """
    reasons, version = {}, code_version()
    for stack in stacks:
        directory = Path(output_dir) / stack.name
        record = Record.read(directory)
        if redo:
            reasons[stack.name] = "asked for again"
        elif record is None:
            reasons[stack.name] = "its directory has no record" if directory.exists() else ""
        else:
            reasons[stack.name] = record.why_not(stack, directory, version)
    return reasons


def run(
    stacks: Mapping | Sequence[Stack],
    settings: Mapping | None = None,
    *,
    output_dir: str | Path = "out",
    executor: Executor | None = None,
    n_workers: int = 1,
    redo: bool = False,
    plots: bool = True,
    drop_unusable: bool = False,
    progress: Callable | None = None,
    under_way: Callable | None = None,
) -> Table:
    """Run many stacks, each an independent job.

    The products of a stack are written to a directory of its name, completely or not at all. A stack is skipped if its
    products are complete, and its settings, its exposures and the version of crstack have not changed. Where the
    code may change under one version, as in a checkout, the code is compared as well. A stack that fails is reported,
    and the others continue.

    Parameters
    ----------
    stacks : mapping or sequence of Stack
        By name, a list of images or a mapping of the differences from ``settings``.
    settings : mapping, optional
        Common settings of all stacks: the content of a parameter file.
    output_dir : path-like, optional
        Directory of the directories of the stacks and of ``results.ecsv``.
    executor : `~concurrent.futures.Executor`, optional
        Executor of the jobs, such as ``client.get_executor()`` of Dask. Its workers must see the same files. Processes
        of this machine by default.
    n_workers : int, optional
        Number of processes if no executor is given. They share the processors.
    redo : bool, optional
        Compute all stacks, complete or not.
    plots : bool, optional
        Whether to draw the figures and the report of each stack.
    drop_unusable : bool, optional
        Whether stacks continue without exposures that are blank, of another field or shifted too far.
    progress : callable, optional
        Called as ``progress(row, n_finished, n_stacks)`` with the row of each stack as it finishes.
    under_way : callable, optional
        Called as ``under_way(names, n_finished, n_stacks)`` when stacks start, and each second: the names of the stacks
        that have started and not finished, or that were given to the executor.

    Returns
    -------
    results : `~astropy.table.Table`
        A row for each stack, in the order given: see ``crstack.batch.table.COLUMNS``. It is written to
        ``results.ecsv`` after each stack.

    Raises
    ------
    InputError
        If the stacks or the settings are wrong, the disk is too small, or another batch runs in the output directory;
        nothing is written then.
    """
    check_integer("n_workers", n_workers, minimum=1)
    stacks = as_stacks(stacks, settings)
    output = Path(output_dir).absolute()
    if output.exists() and not output.is_dir():
        raise InputError(f"output directory must be a directory; got {output_dir}")
    reasons = plan(stacks, output, redo=redo)
    jobs = [
        Job(stack, output, plots, reasons[stack.name], drop_unusable)
        for stack in stacks
        if reasons[stack.name] is not None
    ]
    if jobs:
        from crstack.batch.space import check_space_of_jobs  # heavy, and needed by no batch that is complete

        check_space_of_jobs(jobs, output)
    output.mkdir(parents=True, exist_ok=True)
    lock = DirectoryLock(output)
    lock.acquire()
    try:
        results = _Results([stack.name for stack in stacks], output / RESULTS, progress)
        for name in results.names:
            if reasons[name] is None:
                earlier = Record.read(output / name).row
                results.add({**earlier, "state": "skipped", "message": "complete and up to date"})
        show = under_way and (lambda some: under_way([job.stack.name for job in some], len(results.rows), len(stacks)))
        if executor is None:
            running = in_processes(compute, jobs, n_workers, show)
        else:
            running = on_executor(executor, compute, jobs, under_way=show)
        for job, future in running:
            results.add(outcome(job, future))
    finally:
        lock.release()
    return results.table


class _Results:
    """Table of results, which is written whenever a row is added.

    Parameters
    ----------
    names : list of str
        Names of all stacks, in the order of the rows.
    path : path-like
        File of the table.
    progress : callable or None
        See `run`.
    """

    def __init__(self, names, path, progress):
        self.names, self._path, self._progress = names, path, progress
        self.rows, self.table = {}, None

    def add(self, row):
        """Add the row of a stack that is finished, and write the table."""
        self.rows[row["name"]] = row
        self.table = results_table(self.rows[name] for name in self.names if name in self.rows)
        write_results(self.table, self._path)
        if self._progress is not None:
            self._progress(row, len(self.rows), len(self.names))
