"""``crstack batch``: many stacks from one file, a table or a directory."""

import time
from contextlib import contextmanager
from pathlib import Path

from crstack.exceptions import ConfigurationError, InputError
from crstack.pipeline.console import WorkFailedError
from crstack.pipeline.outputs import check_output_directory
from crstack.utils.log import log, section
from crstack.utils.validation import check_integer
from crstack.utils.words import counted, first_few

__all__ = ["batch"]

#: state of the output directory after an interrupted batch, as words
IF_STOPPED = "has each stack that was complete: run the same command again for the others"
#: end of a message about settings of a table or a directory, where no parameter file is given
NO_SETTINGS = ": give a parameter file without images by --settings"
#: note of a dry run without settings
NOT_CHECKED = "The settings were not checked: --settings was not given. To run, it must have gain and read noise"
DOCUMENTS = (".yaml", ".yml")
TABLES = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv"}


def batch(
    source,
    *,
    output_dir,
    settings=None,
    group_by=None,
    only=None,
    n_workers=1,
    scheduler=None,
    redo=False,
    plots=True,
    drop_unusable=False,
    dry_run=False,
    console,
):
    """Run the stacks of a file, a table or a directory.

    Parameters
    ----------
    source : path-like
        YAML file with ``defaults`` and ``stacks``; table (ECSV, CSV) with a row for each exposure; or directory.
    output_dir : path-like
        Directory of the directories of the stacks and of the table of results.
    settings : path-like, optional
        Parameter file with the common settings, without ``images``; for a table or a directory.
    group_by : sequence of str, optional
        Header keywords whose values name a stack; for a directory.
    only : sequence of str, optional
        ``KEYWORD=VALUE`` that the exposures of a directory must have.
    n_workers : int, optional
        Number of processes.
    scheduler : str, optional
        Address of a Dask scheduler; its workers run the stacks instead of local processes.
    redo : bool, optional
        Run all stacks, complete or not.
    plots : bool, optional
        Whether to draw figures and reports.
    drop_unusable : bool, optional
        Whether stacks continue without exposures that cannot be used.
    dry_run : bool, optional
        List the stacks, and run none.
    console : `~crstack.pipeline.console.Console`
        Of the command.

    Raises
    ------
    InputError
        If the source is wrong; nothing is written then.
    WorkFailedError
        If a stack failed. All others are complete.
    """
    from crstack.batch import run

    check_integer("-j", n_workers, minimum=1)
    stacks = _stacks(Path(source), settings, group_by, only)
    without_settings = settings is None and Path(source).suffix.lower() not in DOCUMENTS
    # the groups of a table or a directory can be listed before there are settings
    if not (dry_run and without_settings):
        _check_settings(stacks, NO_SETTINGS if without_settings else "")
    if dry_run:
        _show_plan(stacks, output_dir, redo)
        if not Path(source).is_dir():  # those of a directory have been compared
            _warn_of_unlike(stacks)
        if without_settings:
            log.note(NOT_CHECKED)
        return
    check_output_directory(output_dir)
    console.begin_work(output_dir, if_stopped=IF_STOPPED)
    section(counted(len(stacks), "stack"))
    shown = _Progress(console)
    with _executor(scheduler) as executor:
        results = run(
            stacks,
            output_dir=output_dir,
            executor=executor,
            n_workers=n_workers,
            redo=redo,
            plots=plots,
            drop_unusable=drop_unusable,
            progress=shown.finished,
            under_way=shown.under_way,
        )
    console.end_progress()
    _sum_up(results, Path(output_dir))


def _stacks(source, settings, group_by, only):
    """Stacks of a file, a table or a directory."""
    from crstack.batch import stacks_of_directory, stacks_of_document, stacks_of_table

    if not source.exists():
        raise InputError(f"SOURCE must be a file or directory that exists; got {source}")
    common = {} if settings is None else _document(settings)
    if source.is_dir():
        if not group_by:
            raise InputError(
                f"--group-by must name header keywords for the directory {source}, such as OBJECT,FILTER; got none"
            )
        stacks, alone = stacks_of_directory(source, group_by, common, _pairs(only))
        if alone:
            log.warning(
                "files must share %s with another one to be a stack; not used: %s", ", ".join(group_by), _few(alone)
            )
        return stacks
    if group_by or only:
        raise InputError(f"--group-by and --only must be left out for a file; got {source}")
    if source.suffix.lower() in TABLES:
        return stacks_of_table(_table(source), common, source.parent)
    if settings is not None:
        raise InputError(
            f"--settings must be left out for a batch file, which has defaults: of its own; got {settings}"
        )
    return stacks_of_document(_document(source), source.parent)


def _pairs(only):
    """Values by keyword, from ``KEYWORD=VALUE``."""
    pairs = {}
    for one in only or ():
        keyword, sign, value = one.partition("=")
        if not (keyword and sign and value):
            raise InputError(f"--only must be KEYWORD=VALUE, such as IMAGETYP=object; got {one}")
        pairs[keyword] = value
    return pairs


def _few(names):
    """The names of the first files or stacks, without their directories."""
    return first_few([Path(name).name for name in names])


def _document(path):
    """The mapping in a YAML file of one document."""
    from crstack.config.document import as_mapping, load_documents

    documents = load_documents(path)
    if len(documents) > 1:
        raise ConfigurationError(f"{path} must hold one document; got {len(documents)}")
    return dict(as_mapping(documents[0] if documents else None, str(path)))


def _table(path):
    """The table of exposures in a file."""
    from astropy.table import Table

    if not path.is_file():
        raise InputError(f"table of exposures must be a file that exists; got {path}")
    try:
        return Table.read(path, format=TABLES[path.suffix.lower()])
    except (OSError, ValueError) as error:
        raise InputError(f"table of exposures must be ECSV or CSV; got {path} ({error})") from None


def _check_settings(stacks, remedy=""):
    """Raise `ConfigurationError` if the settings of a stack are wrong, before any is run; the message has a remedy."""
    from crstack.batch.stacks import LEAST_EXPOSURES
    from crstack.config.configuration import configuration_of

    for stack in stacks:
        if len(stack.images) < LEAST_EXPOSURES:
            continue  # this stack alone fails
        try:
            configuration_of({**stack.settings, "images": list(stack.images)}, Path(stack.images[0]))
        except ConfigurationError as error:
            raise ConfigurationError(f"stack {stack.name}: {error}{remedy}") from None


@contextmanager
def _executor(scheduler):
    """The executor of a Dask scheduler; None for processes of this machine."""
    if scheduler is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            f"distributed must be installed for --scheduler (pip install 'crstack[dask]'); got {scheduler}"
        ) from None
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler must be the address of a Dask scheduler that runs; got {scheduler} ({error})"
        ) from None
    with client:
        yield client.get_executor()


def _show_plan(stacks, output_dir, redo):
    """List the stacks, and why each is run or skipped."""
    from crstack.batch.runner import plan

    reasons = plan(stacks, output_dir, redo=redo)
    _warn_of_absent([stack for stack in stacks if reasons[stack.name] is not None])
    for stack in stacks:
        reason = reasons[stack.name]
        words = "complete, skipped" if reason is None else f"run: {reason}" if reason else "run"
        log.note("%-24s %2d exposures   %s", stack.name, len(stack.images), words)


def _warn_of_absent(stacks):
    """Warn of stacks whose files do not exist: they would fail."""
    from glob import has_magic

    from crstack.config.image_names import image_places, is_file

    absent = {}
    for stack in stacks:
        beside = Path(stack.images[0]).parent
        for image in stack.images:
            if not has_magic(image) and not any(is_file(path) for path in image_places(image, beside)):
                absent.setdefault(stack.name, image)
    if absent:
        shown = first_few([f"{name} ({Path(image).name})" for name, image in absent.items()])
        log.warning("stacks must have files that exist, or they fail; got %s", shown)


def _warn_of_unlike(stacks):
    """Warn of stacks whose exposures have different filters, binnings or kinds of image."""
    from crstack.batch.unlike import headers_of_stacks, sentence_of_unlike, unlike_stacks

    found = unlike_stacks(headers_of_stacks(stacks))
    if found:
        log.warning("%s", sentence_of_unlike(found, len(stacks), "Give each stack exposures of one setup"))


class _Progress:
    """Lines of a batch: stacks that start, and stacks that finish. In a terminal, a last line shows what is under way.

    Parameters
    ----------
    console : `~crstack.pipeline.console.Console`
        Of the command.
    """

    def __init__(self, console):
        self._console, self._names, self._start = console, [], time.time()

    def under_way(self, names, n_finished, n_stacks):
        """One line for stacks that have started since the last call."""
        new = [name for name in names if name not in self._names]
        self._names = names
        if new:
            self._console.end_progress()
            seconds = time.time() - self._start
            log.note("%4d/%d  started after %.0f s: %s", n_finished, n_stacks, seconds, _few(new))
        some = f"{n_finished} of {counted(n_stacks, 'stack')}, under way: {_few(names)}"
        self._console.progress(some, n_finished / n_stacks, self._start)

    def finished(self, row, n_finished, n_stacks):
        """One line for a stack that is finished."""
        self._console.end_progress()
        line = f"{n_finished:4d}/{n_stacks}  {row['name']:<24} {row['state']:<8}"
        if row["state"] == "failed":
            log.error("%s %s", line, row["message"])
        elif row["state"] == "skipped":
            log.note("%s", line)
        else:
            words = ". ".join(one for one in (row["message"], "with warnings" if row.get("warnings") else "") if one)
            log.note("%s", f"{line} {row['seconds']:6.1f} s  {row['peak_memory']:5.0f} MiB  {words}".rstrip())


def _sum_up(results, output_dir):
    """Count the stacks by their state, and name those with warnings; `WorkFailedError` if some failed."""
    counts = {state: int((results["state"] == state).sum()) for state in ("done", "skipped", "failed")}
    log.note(
        "%s; table: %s", ", ".join(f"{count} {state}" for state, count in counts.items()), output_dir / "results.ecsv"
    )
    warned = [str(row["name"]) for row in results if row["warnings"] and row["state"] != "failed"]
    if warned:
        log.warning(
            "%s; see the column warnings of the table: %s",
            f"{len(warned)} of {counted(len(results), 'stack')} {'has' if len(warned) == 1 else 'have'} warnings",
            _few(warned),
        )
    if counts["failed"]:
        names = _few(list(results["name"][results["state"] == "failed"]))
        raise WorkFailedError(
            f"{counts['failed']} of {len(results)} stacks failed: {names}; a second call runs these alone"
        )
