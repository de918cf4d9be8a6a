"""Tables and figures of a run, made after masks and images are written."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from crstack.files.whole import atomic_path
from crstack.joint import JointDecision
from crstack.masks import exposure_name
from crstack.masks.features import PROBLEMATIC, categories_of, feature_pixels
from crstack.methods import measured_of
from crstack.mmcosmic import MMDecision
from crstack.pipeline.helper_process import FAILURES, Drawing, Helper
from crstack.utils.cached import cached_property
from crstack.utils.first_imports import first_imports
from crstack.utils.log import log, section
from crstack.utils.memory import place_of
from crstack.utils.threads import map_images, n_threads

__all__ = [
    "FAILURES",
    "Results",
    "begin_figures",
    "find_hits",
    "log_file",
    "paths_of_tables",
    "start_helper",
    "write_figures",
    "write_tables",
]

#: resolution of figures with images, which are large files
IMAGE_DPI = 110
#: pixels along the longer side of an image, about the resolution of the figure
RESOLUTION = 600
#: directory of figures that are being drawn, hidden from what moves complete files
UNFINISHED = ".figures"
#: number of values of all exposures from which a second process saves time
HELPED = 500_000
#: names of the figures of masks that differ from the name of the mask
FIGURE_OF = {"MEANCRT": "meancr", "MEANCR": "meancr_residual"}
#: second line of the titles of those whose file has the name of another mask
WHY_SO_NAMED = {
    "MEANCRT": "pixels hit in any exposure; hits that touch count as one. numina-crmasks gives this figure the name "
    "diagnostic_meancr; it does not show MEANCR"
}


@dataclass(frozen=True)
class Results:
    """Results of a run for tables and figures.

    Attributes
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        Settings.
    stack : `~crstack.CRStack`
        The exposures.
    masks : `~crstack.MaskSet`
        The masks.
    output : `~pathlib.Path`
        Directory of the products.
    """

    configuration: object
    stack: object
    masks: object
    output: object

    def view(self, name):
        """A mask with its images; those of the exposures are the same objects in all views."""
        view = self.stack.plot.mask_view(name, masks=self.masks)
        image = view.image
        for i, (_, exposure) in enumerate(self._exposures):
            if name == exposure_name(i):
                image = exposure
        return replace(view, image=image, others=(view.others[0], *self._exposures))

    @cached_property
    def _exposures(self):
        return tuple((f"exposure {i + 1}", data) for i, data in enumerate(self.stack.exposures.data))

    @property
    def in_diagram(self):
        """The decision of M.M.Cosmic if it used a diagram; otherwise None."""
        decision = self.masks.decision
        return decision if isinstance(decision, MMDecision) and decision.diagram is not None else None

    @property
    def joint_summary(self):
        """Fitted values of the joint decision, as numbers; empty for other methods."""
        return {} if self._joint_result is None else dict(self._joint_result.summary())

    @property
    def joint_in_words(self):
        """The same as readable text; empty for other methods."""
        return {} if self._joint_result is None else self._joint_result.in_words()

    @property
    def _joint_result(self):
        decision = self.masks.decision
        return decision.result if isinstance(decision, JointDecision) else None


def log_file(path):
    """Log name and size of a file."""
    size = path.stat().st_size
    words = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    log.info("  %-30s %10s", path.name, words)


def find_hits(results):
    """Tables of the hits.

    Parameters
    ----------
    results : Results
        Of the run.

    Returns
    -------
    features : dict of str to `~astropy.table.QTable`
        Hits of MEDIANCR and of the problematic pixels.
    """
    names = ("MEDIANCR", PROBLEMATIC)
    results.stack.statistics  # noqa: B018 (computed once, not in each thread)
    tables = map_images(lambda name: results.stack.features(name, masks=results.masks), names)
    return dict(zip(names, tables, strict=True))


def paths_of_tables(results):
    """Paths of the files of `write_tables`."""
    classes = (f"mediancr_identified_{category}.csv" for category in categories_of(results.masks))
    return [results.output / name for name in ("mediancr_identified.ecsv", *classes, "problematic_pixels.csv")]


def write_tables(results, features):
    """Write the tables of the hits, and those of their pixels.

    Parameters
    ----------
    results : Results
        Of the run.
    features : dict of str to `~astropy.table.QTable`
        From `find_hits`.
    """
    masks, hits = results.masks, features["MEDIANCR"]
    whole, *of_classes, problematic = paths_of_tables(results)
    _write_table(hits, whole, "ascii.ecsv")
    pixels = feature_pixels(masks, hits)
    for category, path in zip(categories_of(masks), of_classes, strict=True):
        numbers = hits["number"][hits["category"] == category]
        _write_table(pixels[np.isin(pixels["CR_number"], numbers)], path, "ascii.csv")
    _write_table(feature_pixels(masks, features[PROBLEMATIC], PROBLEMATIC), problematic, "ascii.csv")


def _write_table(table, path, layout):
    with atomic_path(path) as temporary:
        table.write(temporary, format=layout, overwrite=True)


def start_helper(stack, plots, early=None):
    """Start a second process for figures; None if it would not save time.

    Parameters
    ----------
    stack : `~crstack.CRStack`
        The exposures.
    plots : bool
        Whether figures will be drawn.
    early : `~crstack.pipeline.helper_process.Helper`, optional
        A process that was started before. It is used, or ended.
    """
    data = stack.exposures.data
    # if memory is limited, only one process draws, because two would hold the images twice
    wanted = plots and data.size >= HELPED and n_threads() > 1 and place_of(data) is None
    if early is not None and early.is_free:
        if wanted:
            return early
        early.end()
    return Helper() if wanted else None


@dataclass(frozen=True)
class _Job:
    """A figure to draw. A call writes it, and returns whether there was anything to draw."""

    path: Path
    draw: Callable
    arguments: dict = field(default_factory=dict)

    def __call__(self):
        return self.draw(self.path, **self.arguments) is not False


def begin_figures(results, features, helper=None):
    """Let a helper begin to draw.

    Parameters
    ----------
    results : Results
        Of the run.
    features : dict
        From `find_hits`.
    helper : `~crstack.pipeline.helper_process.Helper`, optional
        Process that also draws figures.

    Returns
    -------
    drawing : `~crstack.pipeline.helper_process.Drawing`
        For `write_figures`; a context manager. Its files are in a hidden directory, because the helper may finish one
        at any time.
    """
    start = time.perf_counter()
    place = results.output / UNFINISHED
    place.mkdir()
    unfinished = replace(results, output=place)
    drawing = Drawing([*_masks(unfinished), *_hit_pages(unfinished, features)], helper)
    results.stack.timings["figures"] = time.perf_counter() - start
    return drawing


def write_figures(results, drawing, console, also=()):
    """Write every figure. A figure that fails gives a warning.

    Parameters
    ----------
    results : Results
        Of the run.
    drawing : `~crstack.pipeline.helper_process.Drawing`
        From `begin_figures`.
    console : `~crstack.pipeline.console.Console`
        Progress bar.
    also : sequence of callable, optional
        Further tasks of this process while the helper draws.

    Returns
    -------
    paths : list of `~pathlib.Path`
        The written files.
    """
    start = time.perf_counter()
    section("Figures")
    with first_imports("matplotlib.figure"):
        import matplotlib.figure  # noqa: F401
    here = [*(_Job(results.output / name, draw) for name, draw in _drawn_here(results)), *also]
    jobs = [*here, *drawing.jobs]

    def done(i):
        console.progress("figures", (i + 1) / len(jobs))

    outcomes = drawing.finish(here, done)
    console.end_progress()
    written = []
    for job, (drawn, why, warned) in zip(jobs, outcomes, strict=True):
        if not isinstance(job, _Job):
            continue
        for words in warned:
            log.warning(words)
        path = results.output / job.path.name
        if drawn:
            if path != job.path:
                job.path.replace(path)
            log_file(path)
            written.append(path)
        elif drawn is None:
            log.warning("%s is not drawn: %s", path.name, why)
    results.stack.timings["figures"] += time.perf_counter() - start
    return written


def _save(figure, path, **options):
    """Write a figure, and close it in pyplot."""
    from crstack import plotting

    plotting.save_figure(figure, path, **options)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


# figures that need the stack


def _drawn_here(results):
    """Names of the figures, and functions that draw each of them to a path."""
    stack, scale = results.stack, results.configuration["color_scale"]

    def diagram(path):
        _save(stack.plot.diagram(masks=results.masks), path)

    def position(path):
        _save(stack.plot.median_position(color_scale=scale, resolution=RESOLUTION), path, dpi=IMAGE_DPI)

    def flux(path, number):
        _save(stack.plot.flux_factor(number), path, dpi=IMAGE_DPI)

    def differences(path):
        _save(stack.plot.differences(masks=results.masks, resolution=RESOLUTION), path, dpi=IMAGE_DPI)

    def offset(path, number):
        _save(stack.plot.offset(number, color_scale=scale, resolution=RESOLUTION), path, dpi=IMAGE_DPI)

    if results.in_diagram is not None:
        yield "diagnostic_histogram2d.png", diagram
    yield "image_number_at_median_position.png", position
    if measured_of(results.masks.decision) is not None:
        yield "differences.png", differences
    flux_factors, offsets = stack.prepared.known.flux, stack.prepared.known.offsets
    for number in range(1, len(stack) + 1):
        if flux_factors is not None and flux_factors.is_measured:
            yield f"flux_factor{number}.png", partial(flux, number=number)
    for number in range(1, len(stack) + 1):
        if offsets is not None and any(offsets.errors[number - 1]):  # given offsets have no errors
            yield f"xyoffset_crosscorr_{number}.png", partial(offset, number=number)


# figures that another process can draw


def _draw_mask(path, view, scale):
    """Write the figure of a mask."""
    from crstack.plotting.mask import MaskPanels

    panels = MaskPanels(view, color_scale=scale, resolution=RESOLUTION)
    if view.name in WHY_SO_NAMED:
        panels.figure.suptitle(f"{panels.figure.get_suptitle()}\n{WHY_SO_NAMED[view.name]}", fontsize="medium")
    with panels.fixed():
        _save(panels.figure, path, dpi=IMAGE_DPI)


def _draw_hits(path, view, features, most, options):
    """Write the pages of some hits; False if there are none."""
    from crstack import plotting

    if most == 0 or not len(features):
        return False
    plotting.plot_hits(view, features, **options).write(path, maxplots=most)
    return True


def _masks(results):
    """Jobs of the figures of the masks."""
    scale = results.configuration["color_scale"]
    names = ["MEDIANCR", "MEANCRT", *(exposure_name(i) for i in range(results.masks.n_exposures)), "MEANCR"]
    for name in names:
        if name == "MEANCR" and results.masks.probability is not None and not results.masks[name].any():
            continue  # without a detector the mask is empty
        view = results.view(name)
        path = results.output / f"diagnostic_{FIGURE_OF.get(name, name.lower())}.png"
        yield _Job(path, _draw_mask, {"view": replace(view, others=view.others[:1]).for_drawing(), "scale": scale})


def _hit_pages(results, features):
    """Jobs of the pages of hits: the first ``maxplots`` of MEDIANCR, by class, and of the problematic pixels."""
    from crstack.plotting.hits import first_hits

    configuration, masks = results.configuration, results.masks
    options = {"semiwindow": configuration["semiwindow"], "color_scale": configuration["color_scale"], "masks": masks}
    options["masks"] = replace(masks, probability=None, decision=None, signal_shift=None, excess_variance=None)
    in_median = dict(options)
    if configuration["use_auxmedian"]:
        in_median["replacement"] = masks.auxclean
    hits = features["MEDIANCR"]
    first = hits[[number - 1 for number in first_hits(hits, configuration["maxplots"])]]
    view = results.view("MEDIANCR").for_drawing()
    for category in categories_of(masks):
        path = results.output / f"mediancr_identified_{category}.pdf"
        table = first[first["category"] == category]
        yield _Job(path, _draw_hits, {"view": view, "features": table, "most": -1, "options": in_median})
    name = "meancr2" if masks.probability is None else "meanjoint"
    options["corrected"] = name, results.stack.combine(name, masks=masks).data
    arguments = {"features": features[PROBLEMATIC], "most": configuration["maxplots"], "options": options}
    arguments["view"] = results.view(PROBLEMATIC).for_drawing()
    yield _Job(results.output / "problematic_pixels.pdf", _draw_hits, arguments)
