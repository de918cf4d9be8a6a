"""Figures of a run, made after masks and images are written."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from crstack.combine import best_combination
from crstack.masks import exposure_name
from crstack.masks.features import PROBLEMATIC, categories_of
from crstack.methods import measured_of
from crstack.pipeline.helper_process import FAILURES, Drawing, Helper
from crstack.pipeline.writer import log_file
from crstack.utils.first_imports import first_imports
from crstack.utils.log import log, section
from crstack.utils.memory import place_of
from crstack.utils.threads import n_threads

__all__ = [
    "FAILURES",
    "begin_figures",
    "start_helper",
    "write_figures",
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
    """Jobs of the pages of hits: the first ``maxplots`` of MEDIANCR, by category, and of the problematic pixels."""
    from crstack.plotting.hits import first_hits

    configuration, masks = results.configuration, results.masks
    options = {"semiwindow": configuration["semiwindow"], "color_scale": configuration["color_scale"], "masks": masks}
    planes = ("probability", "decision", "signal_shift", "signal_variance", "excess_variance")
    options["masks"] = replace(masks, **dict.fromkeys(planes))
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
    name = best_combination(masks)
    options["corrected"] = name, results.stack.combine(name, masks=masks).data
    arguments = {"features": features[PROBLEMATIC], "most": configuration["maxplots"], "options": options}
    arguments["view"] = results.view(PROBLEMATIC).for_drawing()
    yield _Job(results.output / "problematic_pixels.pdf", _draw_hits, arguments)
