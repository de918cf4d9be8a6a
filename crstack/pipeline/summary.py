"""Report of the results of a run."""

import re
from pathlib import Path

import astropy.units as u
import numpy as np

from crstack.config.detector_images import BOUNDS
from crstack.files.names import common_folder, short_names
from crstack.methods import measured_of
from crstack.utils.log import log, section, settings_lines
from crstack.utils.version import crstack_version

__all__ = [
    "log_boundary",
    "log_detector",
    "log_dry_run",
    "log_equivalence",
    "log_exposures",
    "log_joint",
    "log_masks",
    "log_outputs",
    "log_place",
    "log_timings",
    "numbers_of_run",
    "plan_of_run",
    "settings_with_numbers",
    "warn_of_lost_values",
]

#: from this number of exposures on, single exposures scatter far beyond the boundary of the median
MANY_EXPOSURES = 5
#: words for the keys of the parameter file
WORDS = {"rnoise": "read noise"}
#: least number of seconds of a stage that gets a line
SHORTEST = 0.005


def log_exposures(paths, stack, numbers):
    """Log the input: names, size, unit and noise of the exposures."""
    ny, nx = stack.exposures.shape
    folder = common_folder(paths)
    where = f", from {folder}" if folder else ""
    log.note("read %d exposures of %d x %d pixels in %s%s:", len(paths), nx, ny, stack.exposures.unit, where)
    log.note("  %s", ", ".join(short_names(paths)))
    names = ("gain", "rnoise", "bias") if numbers.saturation is None else ("gain", "rnoise", "bias", "saturation")
    words = [f"{WORDS.get(name, name)} {_with_unit(name, numbers, stack.exposures)}" for name in names]
    bad, saturated = stack.exposures.bad, stack.exposures.saturated
    if numbers.saturation is not None:
        words.append(f"saturated values {0 if saturated is None else np.count_nonzero(saturated)}")
    low = stack.exposures.low
    if low is not None:
        words.append(f"values that are too low {np.count_nonzero(low)}")
    log.note("  %s; bad values: %d", ", ".join(words), 0 if bad is None else np.count_nonzero(bad))


def _with_unit(name, numbers, exposures):
    """A number of the detector with its unit."""
    words = _number_of(name, numbers, exposures)
    if isinstance(getattr(numbers, name), str):
        return words
    if name == "rnoise" and exposures.unit == u.adu:
        in_electrons = np.multiply(numbers.rnoise, exposures.noise.electrons_per_unit)
        return f"{words} {exposures.unit} ({_range(in_electrons)} electron)"
    return f"{words} {'electron/adu' if name == 'gain' else exposures.unit}"


def _number_of(name, numbers, exposures):
    """A number of the detector, or the lowest and the highest of an image; if it was read with the exposures, also
    its keyword or section."""
    given = getattr(numbers, name)
    if not isinstance(given, str):
        return _range(given)
    read = {"gain": exposures.noise.gain, "rnoise": exposures.noise.readnoise}.get(name)
    if read is not None:
        return f"{_range(read)} ({given})"
    notes = [note for note in exposures.notes if note.startswith(f"{name} ")]
    # "bias of a.fits is 99.5 adu, ..." or "bias is 99.5 adu by ..."
    found = [re.search(r" is (\S+ \S+?),? ", f"{note} ") for note in notes]
    values = [one[1] for one in found if one]
    if not values:
        return given
    shown = values[0] if len(set(values)) == 1 else f"{min(values, key=_first)} to {max(values, key=_first)}"
    return f"{shown} ({given})"


def _first(words):
    return float(words.split()[0])


def _range(value):
    if np.ndim(value) == 0:
        return f"{value:g}"
    return f"{np.min(value):g} to {np.max(value):g}"


def settings_with_numbers(job):
    """Settings of the run as text, with the numbers that were read from headers or measured in sections.

    Parameters
    ----------
    job : `~crstack.pipeline.prepare.Job`
        The checked run.

    Returns
    -------
    settings : list of (str, str)
    """
    return [
        (name, _number_of(name, job.numbers, job.stack.exposures))
        if name in BOUNDS and isinstance(getattr(job.numbers, name), str)
        else (name, value)
        for name, value in job.configuration.settings(job.given_masks is None)
    ]


def log_equivalence(equalized):
    """Log the flux factors and the offsets used, with errors if they were measured."""
    flux, offsets = equalized.flux, equalized.offsets
    if flux is not None:
        how = f"measured, method {flux.method}" if flux.is_measured else flux.method
        log.note("flux factors, %s:", how)
        for number, (value, error) in enumerate(zip(flux.values, flux.errors, strict=True), start=1):
            log.note("  exposure %-3d %8.4f%s", number, value, f" +- {error:.4f}" if error else "")
    if offsets is not None:
        measured = any(any(pair) for pair in offsets.errors)
        log.note("offsets in x and y, pixels, %s:", "measured" if measured else "given")
        for number, (pair, errors) in enumerate(zip(offsets.values, offsets.errors, strict=True), start=1):
            words = "  ".join(
                f"{value:+8.3f}{f' +- {error:.3f}' if error else ''}" for value, error in zip(pair, errors, strict=True)
            )
            log.note("  exposure %-3d %s", number, words)


def log_dry_run(job):
    """Log the plan of a run: the exposures, the settings, and the directory of the files."""
    log_exposures(job.paths, job.stack, job.numbers)
    log.note("settings:")
    for line in settings_lines(settings_with_numbers(job)):
        log.note(line)
    log.note("files would be written to %s; all checks passed, and nothing is written", job.outputs.directory)


def plan_of_run(job, warnings):
    """The exposures and the settings of a run, for JSON."""
    ny, nx = job.stack.exposures.shape
    return {
        "crstack": crstack_version(),
        "exposures": [str(path) for path in job.paths],
        "shape": [ny, nx],
        "unit": str(job.stack.exposures.unit),
        "settings": dict(settings_with_numbers(job)),
        "warnings": list(warnings),
        "output_dir": str(job.outputs.directory),
        "dry_run": True,
    }


def numbers_of_run(job, results, warnings, seconds):
    """The numbers of a run, for JSON."""
    masks, equalized = results.masks, job.stack.prepared.known
    ny, nx = masks.shape
    numbers = {
        "crstack": crstack_version(),
        "exposures": [str(path) for path in job.paths],
        "shape": [ny, nx],
        "unit": str(job.stack.exposures.unit),
        "crmethod": str(job.configuration.crmethod),
        "uuid": masks.uuid,
        "masks": {
            row["name"]: {name: int(row[name]) for name in row.colnames if name != "name"} for row in masks.counts()
        },
        "problematic": int(np.count_nonzero(masks.problematic)),
        "joint": results.joint_summary,
        "warnings": list(warnings),
        "output_dir": str(job.outputs.directory),
        "files": sorted(job.outputs.written),
        "seconds": round(seconds, 3),
    }
    measured = measured_of(masks.decision)
    if measured is not None:
        table = measured.table()
        # exposures that are not used have NaN, which JSON cannot hold
        numbers["differences"] = {
            name: [None if value != value else value for value in table[name].tolist()] for name in table.colnames
        }
    for name, found in (("flux_factors", equalized.flux), ("offsets", equalized.offsets)):
        if found is not None:
            numbers[name] = {"values": np.array(found.values).tolist(), "errors": np.array(found.errors).tolist()}
    return numbers


def warn_of_lost_values(masks, configuration):
    """Warn of clean values that are masked by the common boundary of the reference, with many exposures.

    A boundary made for the median is too low for a single exposure, whose values scatter more. With many exposures the
    lowest values are low as well.
    """
    n = masks.n_exposures
    one_boundary = configuration["mm_boundary_fit"] in ("spline", "piecewise")
    if n < MANY_EXPOSURES or not configuration.crmethod.uses_diagram or not one_boundary:
        return
    inside = masks["MEANCRT"]
    n_pixels = int(np.count_nonzero(inside))
    flagged = int(np.count_nonzero(masks.crmasks[:, inside]))
    # nearly all hit pixels are hit in one exposure
    lost, clean = max(flagged - n_pixels, 0), (n - 1) * n_pixels
    if lost:
        log.warning(
            "with %d exposures the boundary of the median is too low for single exposures: about %d of the %d clean "
            "values inside MEANCRT (%.0f %%) are masked and lost. Write mm_boundary_fit: calibrated or crmethod: joint",
            *(n, lost, clean, 100 * lost / clean),
        )


def log_place(output_dir):
    """Log that the products go to the current directory, which may hold other files."""
    if Path(output_dir) == Path():
        log.note("  products are written to the current directory; --output-dir DIR names another one")


def log_outputs(outputs):
    """Log the number of written files and their directory."""
    size = sum((outputs / name).stat().st_size for name in outputs.written) / 1e6
    log.note("%d files, %.1f MB, in %s", len(outputs.written), size, outputs.directory)
    if "report.html" in outputs.written:
        log.note("  report on one page: %s", outputs / "report.html")


def log_detector(names, detector):
    """Log the parameters of the auxiliary detector, or of each detector that votes."""
    for name, one in zip(names, getattr(detector, "detectors", (detector,)), strict=True):
        section(f"Auxiliary detector: {name}")
        for line in settings_lines((key, getattr(one, key)) for key in type(one).parameters()):
            log.info(line)


def log_boundary(diagram, boundary):
    """Log the limits of the diagram and some values of the boundary."""
    unit = diagram.unit
    x, y = diagram.x_edges, diagram.y_edges
    log.info("min2d               %10.3f to %10.3f %s", x[0], x[-1], unit)
    log.info("median2d - min2d    %10.3f to %10.3f %s", y[0], y[-1], unit)
    n_sets = diagram.n_sets
    n_observed, n_simulated = diagram.observed.sum(), diagram.simulated.sum()
    log.info("%d pixels observed, %d simulated in %d sets of exposures", n_observed, n_simulated, n_sets)
    log.debug("%r", boundary)
    log.info("%s through %d points", type(boundary.model).__name__, len(boundary.points))
    first, last = boundary.x[0], boundary.x[-1]
    where = [first + (last - first) * part / 4 for part in range(5)]
    log.info("  min2d     %s", " ".join(f"{value:10.2f}" for value in where))
    log.info("  boundary  %s", " ".join(f"{value:10.2f}" for value in boundary(where)))


def log_joint(result):
    """Log the fitted parameters of the joint decision."""
    section("Joint decision")
    log.note("measured by the joint decision:")
    for line in settings_lines(result.in_words().items()):
        log.note(line)


def log_masks(masks, *, verbose):
    """Log the number of pixels after each rule, and by the method that found them, where there are any.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    verbose : bool
        Whether the counts of the auxiliary detector are logged.
    """
    for name, steps in masks.steps.items():
        log.info(name)
        for rule, count in steps.items():
            if verbose or not rule.startswith("auxiliary"):
                log.info("  %-50s %10d", rule, count)
    n_pixels = masks.shape[0] * masks.shape[1]
    table = masks.counts()
    finder = table.colnames[2]
    codes = [name for name in table.colnames[2:] if table[name].any()]
    alone = codes == [finder]
    columns = ["flagged"] if alone else ["flagged", *codes]
    log.info("")
    log.note("%-10s%s%9s", "pixels of", "".join(f"{head:>11}" for head in columns), "%")
    for row in table:
        numbers = "".join(f"{row[name]:11d}" for name in columns)
        log.note("%-10s%s%9.4f", row["name"], numbers, 100 * row["flagged"] / n_pixels)
    if alone:
        log.note("all found by: %s", masks.finder)
    log.note("problematic pixels, masked in every exposure: %d", np.count_nonzero(masks.problematic))


def log_timings(timings, total):
    """Log the seconds that each stage took."""
    section("Seconds")
    for stage, seconds in timings.items():
        if seconds >= SHORTEST:
            log.info("  %-40s %8.2f", stage, seconds)
    log.info("  %-40s %8.2f", "total, with reading and writing", total)
    log.note("%.1f seconds", total)
    if "diagram" in timings or "masks" in timings:
        log.info("  (the diagram and the masks include the detections made for them)")
