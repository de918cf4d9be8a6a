"""The median-minimum diagram and its boundary."""

from typing import TYPE_CHECKING, cast

import numpy as np

from crstack.plotting.style import add_bar, fixed_grid, new_figure
from crstack.utils.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from crstack.boundaries import FittedBoundary
    from crstack.diagram import MMDiagram

__all__ = ["draw_boundary", "fixed_points_of", "plot_diagram"]

#: colours of the extensions, first fit first; distinct for colour-blind readers too
CURVES = "plasma"
#: counts below one pixel per simulation are grey
FEW = ("#eeeeee", "#a8a8a8")
#: inches left, right, below and above the panels, and between them
MARGINS = (0.8, 1.0, 1.15, 0.75, 0.35, 0.0)
LABELS = {
    "x": "min2d ({unit})",
    "y": "median2d \N{MINUS SIGN} min2d ({unit})",
    "simulated": "simulated: mean of {sets}",
    "observed": "observed",
}


def plot_diagram(
    diagram: "MMDiagram",
    boundary: "FittedBoundary | None" = None,
    *,
    threshold: float | None = None,
    ax: "Axes | None" = None,
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw the median-minimum diagram, simulated beside observed.

    The colour of a bin is its number of pixels; simulated counts are those of one simulation, and bins with less than
    one pixel per simulation are grey. Empty bins are white.

    Parameters
    ----------
    diagram : `~crstack.diagram.MMDiagram`
        The diagram.
    boundary : `~crstack.boundaries.FittedBoundary`, optional
        Drawn over it: its points as crosses, each extension, and the fixed
        points of its model as squares.
    threshold : float, optional
        Least median2d - min2d that counts as a hit, in the unit of the
        diagram; a horizontal line.
    ax : `~matplotlib.axes.Axes`, optional
        Draw only the observed diagram, in these axes.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
        The figure, not shown or saved.
    """
    n_sets = diagram.n_sets
    simulated, observed = diagram.simulated.T / n_sets, diagram.observed.T
    if ax is not None:
        panels, drawn = [ax], [observed]
    else:
        fig = new_figure((12, 6.2), fig, layout="none")
        places = fixed_grid(fig, MARGINS, rows=1)
        panels, drawn = list(fig.subplots(1, 2, sharex=True, sharey=True, gridspec_kw=places)), [simulated, observed]
    most = max(10.0, *(counts.max() for counts in drawn))
    images = []
    for axes, counts in zip(panels, drawn, strict=True):
        axes.set_xlim(*_x_limits(diagram, boundary))
        axes.set_ylim(0, diagram.y_edges[-1])
        images.append(_draw_counts(axes, counts, diagram, most, 1 / n_sets))
        axes.set_xlabel(LABELS["x"].format(unit=diagram.unit))
        draw_boundary(axes, boundary)
        if threshold is not None:
            axes.axhline(threshold, color="black", linestyle=":", linewidth=1.2, label="threshold")
    panels[0].set_ylabel(LABELS["y"].format(unit=diagram.unit))
    lie = "lies" if diagram.n_outside == 1 else "lie"
    beyond = f"; {counted(diagram.n_outside, 'pixel')} {lie} beyond the axes" if diagram.n_outside else ""
    panels[-1].set_title(LABELS["observed"] + beyond)
    if ax is not None:
        ax.figure.colorbar(images[0], ax=ax, label="pixels in a bin")
        return cast("Figure", ax.figure)
    panels[0].set_title(LABELS["simulated"].format(sets=counted(n_sets, "simulation")))
    _draw_keys(fig, images[0], panels)
    return cast("Figure", fig)


def _draw_keys(fig, image, panels):
    """Draw the colour bar, and the legend below the panels."""
    add_bar(panels[-1], image, "pixels in a bin (grey: less than one a simulation)")
    panels[-1].tick_params(labelleft=False)  # the left panel has the same numbers
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.0), "ncols": 5}
        fig.legend(handles, labels, frameon=False, fontsize="small", **place)


def _draw_counts(axes, counts, diagram, most, least):
    """Draw counts on a logarithmic scale of two parts: below and above 1."""
    colours, norm = _scale(least, most)
    limits = axes.get_xlim(), axes.get_ylim()
    extent = (*diagram.x_edges[[0, -1]], *diagram.y_edges[[0, -1]])
    options = {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    image = axes.imshow(np.ma.masked_equal(counts, 0), cmap=colours, norm=norm, **options)
    axes.set(xlim=limits[0], ylim=limits[1])
    return image


def _scale(least, most):
    """Colour map and norm: greys from ``least`` to 1, colours from 1 to ``most``."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm

    least = min(least, 1.0)
    norm = LogNorm(least, most)
    steps = 512
    n_few = int(float(norm(1.0)) * steps) if least < 1 else 0  # 1 is the first of the colours
    few = LinearSegmentedColormap.from_list("few", FEW)(np.linspace(0, 1, n_few)) if n_few else np.empty((0, 4))
    many = matplotlib.colormaps["viridis_r"](np.linspace(0.05, 1, steps - n_few))
    return ListedColormap(np.vstack([few, many])), norm


def fixed_points_of(boundary):
    """(n, 2) fixed points of the model of a boundary."""
    points = getattr(getattr(boundary, "model", None), "fixed_points", ())
    return np.array([point[:2] for point in points], dtype=float).reshape(-1, 2)


def _x_limits(diagram, boundary):
    """Limits of the x axis: those of the diagram, widened to show every fixed point."""
    low, high = diagram.x_edges[0], diagram.x_edges[-1]
    fixed = fixed_points_of(boundary)[:, 0]
    margin = 0.02 * (max(high, *fixed, low) - min(low, *fixed, high))
    return min(low, *(fixed - margin), high), max(high, *(fixed + margin), low)


def draw_boundary(
    axes: "Axes", boundary: "FittedBoundary | None", *, points: bool = True, extensions: bool = True
) -> "list[Line2D]":
    """Draw a boundary over a diagram.

    Parameters
    ----------
    axes : `~matplotlib.axes.Axes`
        Its x limits set the length of the constant parts of the boundary.
    boundary : `~crstack.boundaries.FittedBoundary` or None
        The boundary.
    points, extensions : bool, optional
        Whether its points, with the fixed ones, and its extensions are drawn.

    Returns
    -------
    lines : list of `~matplotlib.lines.Line2D`
        What was drawn; empty without a boundary.
    """
    if boundary is None:
        return []
    import matplotlib

    lines = []
    if points and len(boundary.points):
        x, y = np.asarray(boundary.points)[:, :2].T
        lines += axes.plot(x, y, "x", color="#d62728", markersize=5, markeredgewidth=1, label="boundary points")
    curves = [*(boundary.extensions if extensions else ()), boundary.y]
    tones = matplotlib.colormaps[CURVES](np.linspace(0.75, 0.0, len(curves)) if len(curves) > 1 else [0.0])
    for number, (curve, tone) in enumerate(zip(curves, tones, strict=True)):
        last = number == len(curves) - 1
        label = "boundary" if last else ("first fit" if number == 0 else f"extension {number}")
        x, y = _to_the_sides(axes, boundary.x, curve)
        lines += axes.plot(x, y, color=tone, linewidth=2.2 if last else 1.2, label=label)
    fixed = fixed_points_of(boundary)
    if points and len(fixed):
        x, y = fixed.T
        lines += axes.plot(x, y, "s", color="black", markersize=6, markerfacecolor="none", label="fixed points")
    return lines


def _to_the_sides(axes, x, y):
    """A curve with its constant parts outside its ends."""
    low, high = axes.get_xlim()
    return np.r_[min(low, x[0]), x, max(high, x[-1])], np.r_[y[0], y, y[-1]]
