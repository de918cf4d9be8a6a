"""Figure of what was measured of exposures that differ."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from crstack.equalize.fit.differences import Differences
from crstack.plotting.style import add_bar, aspect_of, block_means, block_size, draw_image, new_figure, settled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_differences"]

#: terms by title, with their columns of `Differences.table` and the label of the axis
TERMS = (
    ("added level", ("level",), "added level (electron)"),
    ("throughput", ("throughput",), "throughput over the mean"),
    ("shift", ("dx", "dy"), "shift (pixel)"),
    ("second moments", ("xx", "yy", "xy"), "second moment (pixel\N{SUPERSCRIPT TWO})"),
)
#: terms that have a panel only where they differ
TERMS_WHERE_NEEDED = (
    ("corner shift", ("corner_shift",), "corner less centre (pixel)"),
    ("corner moment", ("corner_moment",), "corner less centre (pixel\N{SUPERSCRIPT TWO})"),
    ("pattern of the sky", ("pattern",), "amplitude over the mean"),
    ("hot pixels", ("hot_pixels",), "dark charge over the mean"),
)
#: terms that are relative to the mean of the exposures
RELATIVE = ("throughput", "pattern", "hot_pixels")
#: blue and red, distinct for colour-blind readers too
COLOURS = "RdBu_r"
#: distinct for colour-blind readers
MARKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"))
#: the same for the curves of exposures; styles differ too
CURVES = ("#0072b2", "#d55e00", "#009e73", "#aa3377", "#e69f00", "#56b4e9", "#404040")
STYLES = ("-", "--", "-.", ":")
MINUS = "\N{MINUS SIGN}"
#: most images beside each other, and most ticks of exposures
ACROSS, MOST_TICKS = 5, 10
#: inches: width of the figure, and heights of a row of images
WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 13, 2.6, 4.2
#: values that are 0 but for rounding
NOTHING = 1e-6
#: part of the values inside the limits of the colours
INSIDE = 99.0


def plot_differences(
    measured: Differences,
    images: Sequence[np.ndarray],
    *,
    unit: u.UnitBase | str = "",
    resolution: int | None = None,
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw the measured differences of each exposure, and its expected image minus the common image.

    Parameters
    ----------
    measured : `~crstack.equalize.Differences`
        What was measured.
    images : sequence of `~numpy.ndarray`
        (ny, nx) expected image of each exposure minus the common image, by all terms together.
    unit : `~astropy.units.Unit`, optional
        Unit of the images.
    resolution : int, optional
        Largest number of points along an axis of an image; means of blocks of pixels are drawn.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
        Rows of panels: the numbers of each term; the terms along rows and columns, such as the spectrum of sky lines,
        and the added smooth surfaces, where they were needed; and the expected images minus the common image.
    """
    shape, profiles = images[0].shape, _profiles(measured)
    with_surfaces = measured.grids is not None and bool(set(measured.surfaces) - {"", "level"})
    n_rows = _rows(len(images))
    of_images = _height(shape, -(-len(images) // n_rows)) * n_rows
    heights = [3.2, *[2.8] * bool(profiles), *[of_images] * with_surfaces, of_images]
    fig = new_figure((WIDTH, sum(heights)), fig)
    parts = [row[0] for row in fig.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)]
    _draw_numbers(parts.pop(0), measured.table())
    if profiles:
        _draw_profiles(parts.pop(0), profiles)
    if with_surfaces:
        options = {"title": "Smooth added level of each exposure", "label": "added level (electron)"}
        _draw_images(parts.pop(0), measured.surface_images(shape), resolution, **options)
    options = {"title": f"Each exposure {MINUS} common image", "label": f"expected difference ({unit})"}
    _draw_images(parts.pop(0), images, resolution, **options)
    lines = "; ".join(dict.fromkeys(line.words for line in measured.lines))
    fig.suptitle("Measured differences of the exposures" + (f"\n{lines}" if lines else ""))
    return settled(fig)


def _draw_numbers(figure, table):
    """A panel for each term that has one number, or few, in each exposure."""
    exposure = np.asarray(table["exposure"])
    terms = (*TERMS, *(term for term in TERMS_WHERE_NEEDED if term[1][0] in table.colnames))
    for axes, (title, names, label) in zip(figure.subplots(1, len(terms)), terms, strict=True):
        axes.set_title(title)
        # exposures that are not used have NaN
        if all(np.nanmax(np.abs(table[name] - (name in RELATIVE))) < NOTHING for name in names):
            axes.set(xticks=[], yticks=[])
            sky_is_pattern = names == ("level",) and "pattern" in table.colnames
            words = "none: see the\npattern of the sky" if sky_is_pattern else "no difference"
            axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="#606060")
            continue
        for name, (colour, marker) in zip(names, MARKS, strict=False):
            errors = np.asarray(table[f"{name}_error"]) if f"{name}_error" in table.colnames else None
            options = {"fmt": marker, "color": colour, "capsize": 2, "label": name}
            axes.errorbar(exposure, np.asarray(table[name]), errors, **options)
        axes.set(xlabel="exposure", ylabel=label)
        axes.set_xticks(exposure[:: -(-len(exposure) // MOST_TICKS)])
        axes.margins(x=0.2)
        if len(names) > 1:
            axes.legend(fontsize="small")


def _profiles(measured):
    """Terms along rows and columns: title, names of the axes, and values (N, length); added levels first."""
    found = {}
    for line, values in zip(measured.lines, measured.profiles, strict=True):
        is_response = line.name == "response"
        each = "row" if line.axis == "x" else "column"
        title = f"{'response' if is_response else 'added level'} of each {each}"
        ylabel = "response" if is_response else "added level (electron)"
        found[is_response, title] = (title, f"{line.crosses.upper()} (pixel)", ylabel, values)
    return [found[key] for key in sorted(found)]


def _draw_profiles(figure, profiles):
    """A panel for each, with a curve for each exposure."""
    from matplotlib import colormaps

    panels = figure.subplots(1, len(profiles), squeeze=False)[0]
    for axes, (title, xlabel, ylabel, values) in zip(panels, profiles, strict=True):
        axes.axhline(1.0 if ylabel == "response" else 0.0, color="#b0b0b0", linewidth=0.8)
        for i, one in enumerate(values):
            colour = CURVES[i] if len(values) <= len(CURVES) else colormaps["viridis"](i / len(values))
            style = STYLES[i % len(STYLES)]
            options = {"color": colour, "linestyle": style, "linewidth": 1.0, "label": f"exposure {i + 1}"}
            axes.plot(np.arange(1, len(one) + 1), one, **options)
        axes.set(title=f"{title}, mean", xlabel=xlabel, ylabel=ylabel)
        axes.margins(x=0.01)
    columns = -(-len(profiles[0][-1]) // len(CURVES))
    panels[-1].legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=columns)


def _rows(number):
    """Number of rows for images, at most `ACROSS` beside each other."""
    return -(-number // ACROSS)


def _height(shape, across):
    """Height in inches of a row of images, so that images with equal axes fill their panels."""
    if aspect_of(shape) == "auto":
        return LEAST_HEIGHT + 0.7
    return min(max((WIDTH - 1) / across * shape[0] / shape[1] + 0.7, LEAST_HEIGHT), MOST_HEIGHT)


def _draw_images(figure, images, resolution, *, title, label):
    """Images of all exposures on one scale, in rows of nearly equal length."""
    shape, number = images[0].shape, len(images)
    block = block_size(shape, resolution)
    means = [block_means(one, block) for one in images]
    most = float(np.percentile(np.abs(means), INSIDE)) or 1.0
    rows = _rows(number)
    across = -(-number // rows)
    panels = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False).ravel()
    aspect = aspect_of(shape)
    for i, (axes, one) in enumerate(zip(panels, means, strict=False), start=1):
        shown = draw_image(axes, one, (-most, most), block=block, colours=COLOURS, aspect=aspect)
        axes.set_title(f"exposure {i}")
        axes.tick_params(labelbottom=i > number - across)
        if i > number - across:
            axes.set_xlabel("X (pixel)")
        if i % across == 1 or across == 1:
            axes.set_ylabel("Y (pixel)")
        if i % across == 0 or i == number:
            add_bar(axes, shown, label)
    for axes in panels[number:]:
        axes.remove()
    figure.suptitle(title)
