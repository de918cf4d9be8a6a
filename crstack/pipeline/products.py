"""Files of a run: masks, tables, combined images, cleaned exposures, figures and the page."""

from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial

from crstack.combine.files import combination_name, requested_combinations, write_combination
from crstack.files.fits_writing import write_fits
from crstack.files.history import add_history
from crstack.pipeline.figures import FAILURES, begin_figures, write_figures
from crstack.pipeline.page import Viewer, write_report
from crstack.pipeline.prepare import clean_name
from crstack.pipeline.summary import settings_with_numbers
from crstack.pipeline.tables import find_hits, paths_of_tables, write_tables
from crstack.pipeline.writer import Writer, log_file
from crstack.stages.combining import cleaned
from crstack.stages.levels import warn_of_levels
from crstack.utils.log import log, section
from crstack.utils.memory import limited_memory, place_of, trim
from crstack.utils.threads import n_threads
from crstack.utils.version import crstack_version

__all__ = ["setting_lines", "write_files"]

#: number of pixels from which images are made and written one after the other
PIXELS_AT_ONCE = 1 << 24


def write_files(job, results, console, helper, *, plots, clean, files_at=""):
    """Write every product. Threads write files while the next are made, and the helper draws figures.

    Parameters
    ----------
    job : `~crstack.pipeline.prepare.Job`
        The run.
    results : `~crstack.pipeline.results.Results`
        Its masks and images.
    console : `~crstack.pipeline.console.Console`
        Progress bar and warnings.
    helper : `~crstack.pipeline.helper_process.Helper` or None
        A second process for figures.
    plots, clean : bool
        Whether to draw figures, and to write each exposure with its hits replaced.
    files_at : str, optional
        Directory of the FITS files in links of the report, relative to it.
    """
    outputs = job.outputs
    trim()  # the C library keeps what the search has freed, and several files are in memory at a time
    section("Files")
    log.info("in %s", outputs.directory)
    place = place_of(job.stack.exposures.data)
    # large images would need too much memory together
    beside = n_threads() > 1 and place is None and results.masks.codes["MEDIANCR"].size <= PIXELS_AT_ONCE
    # figures, too, make large images in files if the exposures are there
    with outputs.writing(outputs.directory), limited_memory(place):
        with Writer(outputs, beside) as writer:
            _write_masks(job, results.masks, writer)
            features = find_hits(results)
            writer.write(paths_of_tables(results), partial(write_tables, results, features))
            drawing = begin_figures(results, features, helper) if plots else None
            with drawing or nullcontext():
                _write_combinations(job, results.masks, writer)
                writer.finish()
                if clean:
                    _write_clean(job, results.masks)
                if plots:
                    viewer = Viewer(results, job.paths)
                    figures = write_figures(results, drawing, console, also=[viewer])
                    _write_report(job, viewer, figures, console, files_at)
                    outputs.publish()
        outputs.finish()


def _write_report(job, viewer, figures, console, files_at=""):
    """Write the page of the run. A failure gives a warning, as for a figure."""
    path = viewer.results.output / "report.html"
    linked = [*job.outputs.written, *(path.name for path in figures)]
    try:
        write_report(
            path,
            viewer,
            figures=[figure for figure in figures if figure.suffix == ".png"],
            files=[files_at + name if ".fits" in name else name for name in sorted(linked)],
            settings=settings_with_numbers(job),
            timings=job.stack.timings,
            warnings=console.warnings,
        )
    except FAILURES as error:
        log.warning("%s is not written: %s", path.name, error)
    else:
        log_file(path)


def _write_masks(job, masks, writer):
    """Write crmasks.fits, unless it is the given file of masks."""
    if job.outputs.keeps("crmasks.fits"):
        return
    path = job.outputs.workplace / "crmasks.fits"
    writer.write([path], partial(masks.write, path, overwrite=True))


def _write_combinations(job, masks, writer):
    """Make each combination, and write it while the next is made."""
    history = _history(job, masks)
    options = {key: job.configuration[key] for key in ("use_auxmedian", "variance")}
    # the HISTORY of the files states it
    warn_of_levels("median", job.stack.prepared, silent=True)
    for name in requested_combinations(job.configuration["outputs"], masks):
        path = job.outputs.workplace / combination_name(name, job.configuration["compression"])
        combination = job.stack.combine(name, masks=masks, full_output=True, **options)
        writer.write([path], partial(write_combination, path, combination, history, overwrite=True))
        del combination  # the writer holds it as long as it needs


def _write_clean(job, masks):
    """Write each exposure with its hits replaced by the expected values."""
    history = _history(job, masks)
    for number, ccd in enumerate(cleaned(job.stack.prepared, masks), start=1):
        path = job.outputs.workplace / clean_name(number, job.configuration["compression"])
        hdus = ccd.to_hdu(hdu_mask="MASK", hdu_uncertainty="VARIANCE", hdu_flags=None)
        add_history(hdus[0].header, history)
        with job.outputs.writing(job.outputs / path.name):
            write_fits(path, hdus, inputs_checked=True)
        log_file(path)
        job.outputs.publish()


def _history(job, masks):
    """Lines of HISTORY of the files: settings, exposures and masks."""
    lines = [
        f"crstack {crstack_version()}, {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"parameter file: {job.configuration.path}",
        *setting_lines(job.configuration, job.given_masks is None),
        *(f"exposure {number}: {path}" for number, path in enumerate(job.paths, start=1)),
        f"masks UUID: {masks.uuid}",
    ]
    if job.masks_path is not None:
        lines.append(f"masks from: {job.masks_path}")
    return lines


def setting_lines(configuration, finding=True):
    """Lines of HISTORY with the settings; without ``finding``, those that apply to given masks."""
    return [f"{name}: {value}" for name, value in configuration.settings(finding)]
