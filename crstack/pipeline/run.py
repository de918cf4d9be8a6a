"""``crstack run``: from a parameter file to masks, images and figures."""

import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from crstack.config.configuration import Configuration
from crstack.exceptions import ImplausibleResultError, ImplausibleResultWarning
from crstack.joint import JointDecision
from crstack.pipeline.console import WorkFailedError
from crstack.pipeline.figures import start_helper
from crstack.pipeline.prepare import prepare, read_parameters
from crstack.pipeline.products import setting_lines, write_files
from crstack.pipeline.results import Results
from crstack.pipeline.session import Session, can_be_interactive
from crstack.pipeline.summary import (
    log_boundary,
    log_detector,
    log_dry_run,
    log_equivalence,
    log_exposures,
    log_joint,
    log_masks,
    log_outputs,
    log_place,
    log_timings,
    numbers_of_run,
    plan_of_run,
    warn_of_lost_values,
)
from crstack.plausibility import MAX_FRACTION, implausibilities
from crstack.utils.log import log, quiet_detectors, section
from crstack.utils.process_memory import forget_peak, warn_of_excess
from crstack.utils.warn import warn_user

__all__ = ["run"]

#: measured peak memory of a run for each value of the exposures
BYTES_PER_VALUE = 100


def run(
    parameters,
    output_dir=".",
    *,
    crmasks=None,
    plots=True,
    interactive=None,
    overwrite=False,
    drop_unusable=False,
    clean=False,
    dry_run=False,
    numbers_to=None,
    files_at="",
    mem_limit=None,
    helper=None,
    console,
):
    """Make masks and combined images.

    Parameters
    ----------
    parameters : path-like or `~crstack.config.configuration.Configuration`
        YAML file, or its settings.
    output_dir : path-like, optional
        Directory of the products; made after the checks.
    crmasks : path-like, optional
        Masks to use instead of a search for hits.
    plots : bool, optional
        Whether to draw figures.
    interactive : bool, optional
        Whether to show windows and ask; by default as set in the file.
    overwrite : bool, optional
        Whether files that crstack did not write, or that were changed since, may be replaced.
    drop_unusable : bool, optional
        Whether to continue without unusable exposures.
    clean : bool, optional
        Whether to write each exposure with its hits replaced.
    dry_run : bool, optional
        Whether only to check everything and show the settings.
    numbers_to : callable, optional
        Called with the numbers of the run, for JSON.
    files_at : str, optional
        Directory of the FITS files in links of the report, relative to it.
    mem_limit : int or str, optional
        Memory that the run may hold, such as "2GB"; by default as set in the file.
    helper : `~crstack.pipeline.helper_process.Helper`, optional
        A second process for figures that was started before.
    console : `~crstack.pipeline.console.Console`
        Log file and progress bar.

    Returns
    -------
    masks : `~crstack.masks.MaskSet` or None
        None after a dry run.

    Raises
    ------
    InputError
        If parameters, images or paths are wrong; nothing is written then.
    WorkFailedError
        If a product cannot be written, or there is too little memory.
    """
    start = time.perf_counter()
    forget_peak()
    configuration = parameters
    if mem_limit is not None or not isinstance(parameters, Configuration):
        configuration = read_parameters(parameters, mem_limit)
    more = {"drop_unusable": drop_unusable, "clean": clean}
    job = prepare(configuration, output_dir, crmasks=crmasks, plots=plots, overwrite=overwrite, **more, console=console)
    if dry_run:
        log_dry_run(job)
        if numbers_to is not None:
            numbers_to(plan_of_run(job, console.warnings))
        return None
    console.begin_work(output_dir)
    with job.outputs:
        console.open_log_file()
        log_exposures(job.paths, job.stack, job.numbers)
        log_place(output_dir)
        try:
            job = _with_answers(job, interactive, console)
            with start_helper(job.stack, plots, helper) or nullcontext() as helper:
                results = _results(job, console)
                write_files(job, results, console, helper, plots=plots, clean=clean, files_at=files_at)
        except MemoryError as error:
            raise _too_little_memory(job, error) from error
        warn_of_excess(configuration["mem_limit"])
        if not files_at:
            log_outputs(job.outputs)
        seconds = time.perf_counter() - start
        log_timings(job.stack.timings, seconds)
    if numbers_to is not None:
        numbers_to(numbers_of_run(job, results, console.warnings, seconds))
    return results.masks


def _too_little_memory(job, error):
    """The error of a run whose memory did not suffice, with the memory that it needs."""
    n_exposures, (ny, nx) = len(job.paths), job.stack.exposures.shape
    need = BYTES_PER_VALUE * n_exposures * ny * nx / 1e9
    reason = str(error) or "a failure to allocate"
    return WorkFailedError(
        f"memory must suffice for {n_exposures} exposures of {nx} x {ny} pixels, some {need:.1f} GB; got: {reason}; "
        "close other programs, or cut the images"
    )


def _with_answers(job, interactive, console):
    """The job with the settings chosen in windows; the run itself is the same as without windows."""
    configuration = job.configuration
    asked = configuration["interactive"] if interactive is None else interactive
    verify = configuration["verify_cr"]
    if not (asked or verify):
        return job
    names = " and ".join(name for name, wanted in (("interactive", asked), ("verify_cr", verify)) if wanted)
    if job.given_masks is not None:
        log.warning("%s: True has no effect, because the masks are read from %s", names, job.masks_path)
        return job
    if not can_be_interactive(names):
        return job
    session = Session(configuration, job.stack, console, choose=asked)
    return replace(job, configuration=session.run())


# masks

#: words on the difference from the run that found the hits
MASKS_OF_A_FILE = (
    "combined images may differ from those of the run that found the hits by some hundredths of a standard deviation, "
    "in pixels with hits: the file holds the probabilities in steps of 1/255"
)


def _results(job, console):
    """Masks, found or read, with intermediate results."""
    if job.given_masks is None:
        masks = _find(job, console)
    else:
        section("Masks")
        masks = job.given_masks
        log.info("taken from %s", job.masks_path)
        if masks.probability is not None:
            log.info(MASKS_OF_A_FILE)
        log_masks(masks, verbose=True)
        _check_given(masks, job)
    return Results(job.configuration, job.stack, masks, job.outputs.workplace)


def _check_given(masks, job):
    """Warn of masks of a file that are implausible; an error with ``max_fraction``, as for masks that are found.

    The noise was compared by the run that found them, with the differences that it knew.
    """
    limit = job.configuration["max_fraction"]
    some = MAX_FRACTION if limit is None else limit
    sentences = implausibilities(masks, job.stack.exposures, some, noise=False)
    if not sentences:
        return
    text = f"{'; '.join(sentences)} (masks of {job.masks_path})"
    if limit is not None:
        raise ImplausibleResultError(text)
    warn_user(text, ImplausibleResultWarning)


def _find(job, console):
    """The masks of a search for hits, with lines of the log on each step."""
    configuration, stack = job.configuration, job.stack
    parts, detector = configuration.parts, configuration.parts.detector
    if detector is not None and configuration.verbose:
        log_detector(configuration.crmethod.detectors, detector)
    if configuration.crmethod.uses_diagram:
        section("Median-minimum diagram")
        with quiet_detectors(not configuration.verbose):
            diagram, boundary = _fit(parts, stack, console)
        log_boundary(diagram, boundary)
    with quiet_detectors(not configuration.verbose):
        limit = configuration["max_fraction"]
        masks = stack.detect(
            parts.method, aux=detector, rules=parts.rules, max_fraction=limit, progress=console.progress
        )
    console.end_progress()
    if isinstance(masks.decision, JointDecision):
        log_joint(masks.decision.result)
    masks = without_dropped(masks, configuration["mediancr_pixels_to_be_dropped"])
    log_equivalence(stack.prepared.known)
    warn_of_lost_values(masks, configuration)
    section("Masks")
    log_masks(masks, verbose=configuration.verbose or detector is None)
    # HISTORY also names the requested file
    history = (*masks.history, *setting_lines(configuration))
    return replace(masks, history=history)


def _fit(parts, stack, console):
    """Diagram that contains every fixed point, and the boundary fitted to it."""
    diagram = stack.mm_diagram(aux=parts.detector, progress=console.progress, **parts.diagram)
    boundary = stack.fit_boundary(parts.boundary, progress=console.progress)
    console.end_progress()
    return diagram, boundary


def without_dropped(masks, pixels):
    """Masks with the pixels dropped by the user removed from MEDIANCR.

    The other masks do not change: they were made with the original MEDIANCR.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        As found.
    pixels : sequence of (X, Y)
        FITS convention.

    Returns
    -------
    masks : `~crstack.MaskSet`
    """
    if not pixels:
        return masks
    x, y = (np.array(pixels) - 1).T
    codes, steps, found_by = dict(masks.codes), dict(masks.steps), dict(masks.found_by)
    codes["MEDIANCR"] = codes["MEDIANCR"].copy()
    codes["MEDIANCR"][y, x] = 0
    if "MEDIANCR" in found_by:
        found_by["MEDIANCR"] = np.where(codes["MEDIANCR"] > 0, found_by["MEDIANCR"], 0).astype(np.uint8)
    if "MEDIANCR" in steps:
        count = int(np.count_nonzero(codes["MEDIANCR"]))
        steps["MEDIANCR"] = dict(steps["MEDIANCR"]) | {"flagged, without those dropped by hand": count}
    return replace(masks, codes=codes, steps=steps, found_by=found_by)
