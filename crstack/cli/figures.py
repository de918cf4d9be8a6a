"""Tables and figures of a run, made when masks and images are on disk."""

import sys
import time
from dataclasses import dataclass

from crstack._files import atomic_path
from crstack.cli.console import log, section
from crstack.joint import JointDecision
from crstack.masks import exposure_name
from crstack.masks.features import CATEGORIES, PROBLEMATIC, feature_pixels
from crstack.mmcosmic import MMDecision

__all__ = ["FAILURES", "Results", "log_file", "write_figures", "write_tables"]

#: what a drawing library may raise; a figure that fails costs nothing but itself
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


#: figures with images are large files
IMAGE_DPI = 110
#: pixels along the longer side of an image, about what is left of it at that many dots per inch
RESOLUTION = 600


@dataclass(frozen=True)
class Results:
    """What there is to show of a run.

    Attributes
    ----------
    configuration : `~crstack.cli.config.configuration.Configuration`
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

    @property
    def in_diagram(self):
        """The decision of M.M.Cosmic, where it used a diagram; else None."""
        decision = self.masks.decision
        return decision if isinstance(decision, MMDecision) and decision.diagram is not None else None

    @property
    def joint_summary(self):
        """What the joint decision has fitted, in words; empty without."""
        decision = self.masks.decision
        return decision.result.summary() if isinstance(decision, JointDecision) else {}


def log_file(path):
    """Log name and size of a file."""
    size = path.stat().st_size
    words = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    log.info("  %-30s %10s", path.name, words)


def write_tables(results):
    """Write the tables of the hits.

    Parameters
    ----------
    results : Results
        Of the run.

    Returns
    -------
    features : dict of str to `~astropy.table.QTable`
        Hits of MEDIANCR and of the problematic pixels.
    """
    masks = results.masks
    tables = {name: results.stack.features(name, masks=masks) for name in ("MEDIANCR", PROBLEMATIC)}
    hits = tables["MEDIANCR"]
    _write_table(hits, results.output / "mediancr_identified.ecsv", "ascii.ecsv")
    for category in CATEGORIES:
        pixels = feature_pixels(masks, hits[hits["category"] == category])
        _write_table(pixels, results.output / f"mediancr_identified_{category}.csv", "ascii.csv")
    pixels = feature_pixels(masks, tables[PROBLEMATIC], PROBLEMATIC)
    _write_table(pixels, results.output / "problematic_pixels.csv", "ascii.csv")
    return tables


def _write_table(table, path, layout):
    with atomic_path(path) as temporary:
        table.write(temporary, format=layout, overwrite=True)
    log_file(path)


def write_figures(results, features, console):
    """Write every figure; one that fails is a warning.

    Parameters
    ----------
    results : Results
        Of the run.
    features : dict
        From `write_tables`.
    console : `~crstack.cli.console.Console`
        Progress bar.

    Returns
    -------
    paths : list of `~pathlib.Path`
        The files that were written.
    """
    start = time.perf_counter()
    section("Figures")
    written = []
    for name, draw in (*_diagnostics(results), *_hit_pages(results, features, console)):
        path = results.output / name
        try:
            draw(path)
        except FAILURES as error:
            log.warning("%s is not drawn: %s", name, error)
        else:
            log_file(path)
            written.append(path)
        finally:
            console.end_progress()
    results.stack.timings["figures"] = time.perf_counter() - start
    return written


def _save(figure, path, **options):
    """Write a figure, and forget it where pyplot would keep it."""
    from crstack import plotting

    plotting.save_figure(figure, path, **options)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


def _diagnostics(results):
    """Names of the figures, and what draws each of them to a path."""
    from crstack import plotting

    scale = results.configuration["color_scale"]

    def diagram(path):
        _save(results.stack.plot.diagram(masks=results.masks), path)

    def position(path):
        figure = results.stack.plot.median_position(color_scale=scale, resolution=RESOLUTION)
        _save(figure, path, dpi=IMAGE_DPI)

    def mask(name):
        def draw(path):
            figure = plotting.plot_mask(
                results.stack.plot.mask_view(name, masks=results.masks), color_scale=scale, resolution=RESOLUTION
            )
            _save(figure, path, dpi=IMAGE_DPI)

        return draw

    if results.in_diagram is not None:
        yield "diagnostic_histogram2d.png", diagram
    yield "image_number_at_median_position.png", position
    yield from _equivalence(results.stack, scale)
    names = ["MEDIANCR", "MEANCRT", *(exposure_name(i) for i in range(results.masks.n_exposures)), "MEANCR"]
    for name in names:
        yield f"diagnostic_{name.lower()}.png", mask(name)


def _equivalence(stack, scale):
    """Names of the figures of what was measured to make the exposures equivalent, and what draws them."""

    def flux(number):
        def draw(path):
            _save(stack.plot.flux_factor(number), path, dpi=IMAGE_DPI)

        return draw

    def offset(number):
        def draw(path):
            figure = stack.plot.offset(number, color_scale=scale, resolution=RESOLUTION)
            _save(figure, path, dpi=IMAGE_DPI)

        return draw

    flux_factors, offsets = stack.equalized.flux, stack.equalized.offsets
    for number in range(1, len(stack) + 1):
        if flux_factors is not None and flux_factors.method != "given":
            yield f"flux_factor{number}.png", flux(number)
    for number in range(1, len(stack) + 1):
        if offsets is not None and any(offsets.errors[number - 1]):  # those that are given have none
            yield f"xyoffset_crosscorr_{number}.png", offset(number)


def _hit_pages(results, features, console):
    from crstack import plotting

    configuration = results.configuration
    options = {"semiwindow": configuration["semiwindow"], "color_scale": configuration["color_scale"]}
    if configuration["use_auxmedian"]:
        options["replacement"] = results.masks.auxclean

    def pages(name, table):
        def draw(path):
            hits = plotting.plot_hits(
                results.stack.plot.mask_view(name, masks=results.masks), table, masks=results.masks, **options
            )
            report = _progress(console, path.name)
            hits.write(path, maxplots=configuration["maxplots"], progress=report)

        return draw

    hits = features["MEDIANCR"]
    for category in CATEGORIES:
        yield f"mediancr_identified_{category}.pdf", pages("MEDIANCR", hits[hits["category"] == category])
    yield "problematic_pixels.pdf", pages(PROBLEMATIC, features[PROBLEMATIC])


def _progress(console, stage):
    return lambda fraction: console.progress(stage, fraction)
