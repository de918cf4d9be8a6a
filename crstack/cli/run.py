"""``crstack run``: from a parameter file to masks, images and a figure."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from crstack.cli.config import PREFIXES, Configuration, read_configuration
from crstack.cli.console import log, section, settings_lines
from crstack.cli.inputs import check_masks, check_output_directory, check_places, find_images, inspect_images
from crstack.cli.report import log_boundary, log_detector, log_masks, log_timings
from crstack.combine import COMBINATIONS
from crstack.exceptions import InputError
from crstack.io import write_combination
from crstack.masks import MaskSet
from crstack.stack import CRStack

__all__ = ["run"]

FIGURE = "diagnostic_histogram2d.png"


@dataclass(frozen=True)
class _Job:
    """What was asked for, checked."""

    configuration: Configuration
    paths: list
    stack: CRStack
    output: Path
    given_masks: MaskSet | None
    masks_path: Path | None


def run(parameters, output_dir=".", *, crmasks=None, plots=True, console):
    """Make masks and combined images.

    Parameters
    ----------
    parameters : path-like
        YAML file.
    output_dir : path-like, optional
        Where the products go; made once everything is checked and the masks
        are known.
    crmasks : path-like, optional
        Masks to use in place of finding them.
    plots : bool, optional
        Whether to draw figures.
    console : `~crstack.cli.console.Console`
        Log file and progress bar.

    Returns
    -------
    masks : `~crstack.masks.MaskSet`

    Raises
    ------
    CRStackError
        If anything is wrong with parameters, images or places.
    """
    start = time.perf_counter()
    job = _prepare(parameters, output_dir, crmasks, console)
    diagram = boundary = None
    if job.given_masks is None:
        masks, diagram, boundary = _find(job, console)
    else:
        section("Masks")
        masks = job.given_masks
        log.info("taken from %s", job.masks_path)
        log_masks(masks, verbose=True)
    _write(job, masks, diagram if plots else None, boundary, console)
    log_timings(job.stack.timings, time.perf_counter() - start)
    return masks


# checks


def _prepare(parameters, output_dir, crmasks, console):
    """Check everything and read the exposures; nothing is written."""
    section("crstack " + version("crstack"))
    log.info("parameter file:   %s", parameters)
    configuration = read_configuration(parameters)
    if configuration["interactive"]:
        log.warning("interactive: True has no effect, as interactive work is not there yet")
    output = Path(output_dir)
    check_output_directory(output)
    console.check_log_file(output)
    paths = find_images(configuration["images"], configuration.path.parent)
    shape, unit = inspect_images(paths, configuration["extnum"], configuration["gain"])
    check_places(configuration, shape)
    given = None
    if crmasks is not None:
        given = MaskSet.read(crmasks)
        check_masks(given, crmasks, shape, len(paths), configuration["use_auxmedian"])
    log.info("output directory: %s", output)
    _log_settings(configuration, given is None)
    stack = CRStack.from_files(
        paths,
        ext=configuration["extnum"],
        cr_coincidences=configuration["mm_cr_coincidences"],
        **configuration.noise(unit),
    )
    return _Job(configuration, paths, stack, output, given, None if crmasks is None else Path(crmasks))


def _log_settings(configuration, finding):
    section("Settings")
    settings = configuration.settings(finding)
    if not configuration.verbose:
        settings = [(name, value) for name, value in settings if name[:3] not in PREFIXES.values()]
    if finding and configuration.uses_diagram:
        threshold = configuration["mm_threshold_rnoise"] * configuration["rnoise"]
        settings.append(("mm_threshold", f"{threshold:.6g} (derived: mm_threshold_rnoise x rnoise)"))
    for line in settings_lines(settings):
        log.info(line)


# masks


def _find(job, console):
    configuration, stack = job.configuration, job.stack
    detector = configuration.detector()
    if detector is not None and configuration.verbose:
        log_detector(configuration.auxiliary, detector)
    diagram = boundary = None
    if configuration.uses_diagram:
        section("Median-minimum diagram")
        diagram, boundary = _fit(configuration, stack, detector, console)
        log_boundary(diagram, boundary)
    section("Masks")
    masks = stack.detect(aux=detector, boundary=boundary, progress=console.progress, **configuration.rules())
    console.end_progress()
    log_masks(masks, verbose=configuration.verbose or detector is None)
    # what stays in HISTORY is the file that was asked for, too
    history = (*masks.history, *_setting_lines(configuration))
    return replace(masks, history=history), diagram, boundary


def _fit(configuration, stack, detector, console):
    """Diagram that holds every fixed point, and the boundary fitted to it."""
    model = configuration.boundary()
    diagram = stack.mm_diagram(aux=detector, progress=console.progress, **configuration.diagram())
    boundary = stack.fit_boundary(model, progress=console.progress)
    console.end_progress()
    return diagram, boundary


# files


@contextmanager
def _told_if_unwritable(path):
    """Make an error of the file system one of the user's."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} must be writable; got {error.strerror or error}") from error


def _write(job, masks, diagram, boundary, console):
    """Make the output directory and everything in it; no figure where ``diagram`` is None."""
    with _told_if_unwritable(job.output):
        job.output.mkdir(parents=True, exist_ok=True)
    console.open_log_file()
    section("Files")
    log.info("in %s", job.output)
    _write_masks(job, masks)
    _write_combinations(job, masks)
    if diagram is not None:
        _write_figure(job, diagram, boundary)


def _log_file(path):
    size = path.stat().st_size
    words = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    log.info("  %-30s %10s", path.name, words)


def _write_masks(job, masks):
    path = job.output / "crmasks.fits"
    if job.masks_path is not None and path.exists() and path.samefile(job.masks_path):
        return  # they are there already
    with _told_if_unwritable(path):
        masks.write(path)
    _log_file(path)


def _write_combinations(job, masks):
    history = _history(job, masks)
    use_auxmedian = job.configuration["use_auxmedian"]
    for name in COMBINATIONS:
        path = job.output / f"combined_{name}.fits"
        # one at a time: they are large, and none is needed again
        combination = job.stack.combine(name, masks, full_output=True, use_auxmedian=use_auxmedian)
        with _told_if_unwritable(path):
            write_combination(path, combination, history)
        _log_file(path)


def _history(job, masks):
    lines = [
        f"crstack {version('crstack')}, {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"parameter file: {job.configuration.path}",
        *_setting_lines(job.configuration, job.given_masks is None),
        *(f"exposure {number}: {path}" for number, path in enumerate(job.paths, start=1)),
        f"masks UUID: {masks.uuid}",
    ]
    if job.masks_path is not None:
        lines.append(f"masks from: {job.masks_path}")
    return lines


def _setting_lines(configuration, finding=True):
    return [f"{name}: {value}" for name, value in configuration.settings(finding)]


def _write_figure(job, diagram, boundary):
    """Draw the diagram; a figure that fails costs nothing but itself."""
    from crstack.plotting import plot_diagram, save_figure

    path = job.output / FIGURE
    threshold = job.configuration["mm_threshold_rnoise"] * job.configuration["rnoise"]
    try:
        save_figure(plot_diagram(diagram, boundary, threshold=threshold), path)
    except (ArithmeticError, AttributeError, ImportError, LookupError, MemoryError) as error:
        log.warning("%s is not drawn: %s", path.name, error)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        log.warning("%s is not drawn: %s", path.name, error)
    else:
        _log_file(path)
