"""``crstack run``: from a parameter file to masks, images and a figure."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from crstack.cli.config.configuration import Configuration, read_configuration
from crstack.cli.config.crmethod import OWN_KEYS
from crstack.cli.config.detector_images import DetectorNumbers, read_detector_numbers
from crstack.cli.console import log, section, settings_lines
from crstack.cli.figures import FAILURES, Results, log_file, write_figures, write_tables
from crstack.cli.inputs import (
    check_gain,
    check_masks,
    check_output_directory,
    check_places,
    find_images,
    inspect_images,
)
from crstack.cli.page import write_report
from crstack.cli.session import Session, can_be_interactive
from crstack.cli.summary import log_boundary, log_detector, log_joint, log_masks, log_timings
from crstack.combine import possible_combinations
from crstack.combine.files import write_combination
from crstack.exceptions import InputError
from crstack.masks import MaskSet
from crstack.stack import CRStack

__all__ = ["run"]

#: what the page links to
REPORTED = (
    "combined_",
    "crmasks.",
    "diagnostic_",
    "flux_factor",
    "image_number_",
    "mediancr_identified",
    "problematic_pixels.",
    "xyoffset_",
)


@dataclass(frozen=True)
class _Job:
    """What was asked for, checked."""

    configuration: Configuration
    numbers: DetectorNumbers
    paths: list
    stack: CRStack
    output: Path
    given_masks: MaskSet | None
    masks_path: Path | None


def run(parameters, output_dir=".", *, crmasks=None, plots=True, interactive=None, console):
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
    interactive : bool, optional
        Whether to show windows and ask; as the file says by default.
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
    interactive = job.configuration["interactive"] if interactive is None else interactive
    if interactive and job.given_masks is None and can_be_interactive():
        # it only chooses settings: what follows is the run that they give
        job = replace(job, configuration=Session(job.configuration, job.stack, console).run())
    diagram = boundary = None
    joint = {}
    if job.given_masks is None:
        masks, diagram, boundary, joint = _find(job, console)
    else:
        section("Masks")
        masks = job.given_masks
        log.info("taken from %s", job.masks_path)
        log_masks(masks, verbose=True)
    results = Results(job.configuration, job.stack, masks, job.output, diagram, boundary, joint)
    _write(job, results, console, plots)
    log_timings(job.stack.timings, time.perf_counter() - start)
    return masks


# checks


def _prepare(parameters, output_dir, crmasks, console):
    """Check everything and read the exposures; nothing is written."""
    section("crstack " + version("crstack"))
    log.info("parameter file:   %s", parameters)
    configuration = read_configuration(parameters)
    output = Path(output_dir)
    check_output_directory(output)
    console.check_log_file(output)
    paths = find_images(configuration["images"], configuration.path.parent)
    shape, unit = inspect_images(paths, configuration["extnum"])
    numbers = read_detector_numbers(configuration, shape)
    check_gain(numbers.gain, unit, paths[0])
    check_places(configuration, shape)
    given = None
    if crmasks is not None:
        given = MaskSet.read(crmasks)
        check_masks(given, crmasks, shape, len(paths), configuration["use_auxmedian"])
    log.info("output directory: %s", output)
    _log_settings(configuration, numbers, given is None)
    stack = CRStack.from_files(
        paths,
        ext=configuration["extnum"],
        cr_coincidences=configuration["mm_cr_coincidences"],
        **configuration.noise(numbers, unit),
        **_equalization(configuration, given),
    )
    return _Job(configuration, numbers, paths, stack, output, given, None if crmasks is None else Path(crmasks))


def _equalization(configuration, masks):
    """Arguments of `CRStack`; exposures are divided by the factors of the masks they are combined with."""
    arguments = dict(configuration.parts.equalization)
    if masks is None or arguments.get("apply_flux_factors_to") != "original":
        return arguments
    if not masks.flux_factors or set(masks.flux_factors) == {1.0}:
        return arguments
    log.info("flux factors of the masks: %s", ", ".join(f"{factor:g}" for factor in masks.flux_factors))
    arguments.pop("flux_regions", None)
    return arguments | {"flux_factors": masks.flux_factors}


def _log_settings(configuration, numbers, finding):
    section("Settings")
    settings = configuration.settings(finding)
    if not configuration.verbose:
        settings = [(name, value) for name, value in settings if name[:3] not in OWN_KEYS.values()]
    if finding and configuration.crmethod.uses_diagram:
        lowest, highest = (configuration["mm_threshold_rnoise"] * end(numbers.rnoise) for end in (np.min, np.max))
        words = f"{lowest:.6g}" if lowest == highest else f"{lowest:.6g} to {highest:.6g}"
        settings.append(("mm_threshold", f"{words} (derived: mm_threshold_rnoise x rnoise)"))
    for line in settings_lines(settings):
        log.info(line)


# masks


def _find(job, console):
    configuration, stack = job.configuration, job.stack
    parts, detector = configuration.parts, configuration.parts.detector
    if detector is not None and configuration.verbose:
        log_detector(configuration.crmethod.detectors, detector)
    diagram = boundary = None
    if configuration.crmethod.uses_diagram:
        section("Median-minimum diagram")
        diagram, boundary = _fit(parts, stack, console)
        log_boundary(diagram, boundary)
    options = {"method": parts.joint, "progress": console.progress}
    masks = stack.detect(aux=detector, boundary=boundary, **parts.rules, **options)
    console.end_progress()
    joint = {}
    if parts.joint is not None:
        result = stack.joint_posterior(parts.joint, detector)
        log_joint(result)
        joint = result.summary()
    section("Masks")
    log_masks(masks, verbose=configuration.verbose or detector is None)
    # what stays in HISTORY is the file that was asked for, too
    history = (*masks.history, *_setting_lines(configuration))
    return replace(masks, history=history), diagram, boundary, joint


def _fit(parts, stack, console):
    """Diagram that holds every fixed point, and the boundary fitted to it."""
    diagram = stack.mm_diagram(aux=parts.detector, progress=console.progress, **parts.diagram)
    boundary = stack.fit_boundary(parts.boundary, progress=console.progress)
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


def _write(job, results, console, plots):
    """Make the output directory and everything in it; figures last."""
    with _told_if_unwritable(job.output):
        job.output.mkdir(parents=True, exist_ok=True)
    console.open_log_file()
    section("Files")
    log.info("in %s", job.output)
    masks = results.masks
    _write_masks(job, masks)
    _write_combinations(job, masks)
    with _told_if_unwritable(job.output):
        features = write_tables(results)
    if plots:
        figures = write_figures(results, features, console)
        _write_report(job, results, figures, console)


def _write_report(job, results, figures, console):
    """Write the page of the run; it fails as a figure does."""
    path = job.output / "report.html"
    linked = [one for one in sorted(job.output.iterdir()) if one.name.startswith(REPORTED)]
    try:
        write_report(
            path,
            results,
            figures=[figure for figure in figures if figure.suffix == ".png"],
            files=linked,
            paths=job.paths,
            settings=job.configuration.settings(job.given_masks is None),
            timings=job.stack.timings,
            warnings=console.warnings,
        )
    except FAILURES as error:
        log.warning("%s is not written: %s", path.name, error)
    else:
        log_file(path)


def _write_masks(job, masks):
    path = job.output / "crmasks.fits"
    if job.masks_path is not None and path.exists() and path.samefile(job.masks_path):
        return  # they are there already
    with _told_if_unwritable(path):
        masks.write(path)
    log_file(path)


def _write_combinations(job, masks):
    history = _history(job, masks)
    use_auxmedian = job.configuration["use_auxmedian"]
    for name in possible_combinations(masks):
        path = job.output / f"combined_{name}.fits"
        # one at a time: they are large, and none is needed again
        combination = job.stack.combine(name, masks, full_output=True, use_auxmedian=use_auxmedian)
        with _told_if_unwritable(path):
            write_combination(path, combination, history)
        log_file(path)


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
