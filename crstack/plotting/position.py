"""The exposure at the median of each pixel."""

from typing import TYPE_CHECKING, Literal

import astropy.units as u
import numpy as np

from crstack.plotting.style import (
    add_bar,
    aspect_of,
    block_means,
    block_size,
    draw_image,
    fixed_grid,
    image_limits,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_median_position"]

#: inches left, right, below and above the panels, and between them
MARGINS = (0.75, 1.05, 0.6, 0.6, 1.2, 0.6)
#: the same where one panel lies above the other, and the width of a colour bar there over that of the panel
WIDE_MARGINS, WIDE_BAR = (0.75, 1.3, 0.6, 0.6, 0.0, 0.6), 0.015
#: most exposures whose parts fit into the title; those of more are beside the colours
MOST_IN_TITLE = 5


def plot_median_position(
    number: np.ndarray,
    median2d: np.ndarray,
    n_exposures: int,
    *,
    unit: u.UnitBase | str = "",
    color_scale: Literal["zscale", "minmax"] = "zscale",
    resolution: int | None = None,
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw the median and the number of the exposure of each of its pixels.

    If one colour dominates a region, an exposure is brighter or fainter than the others, and they are not equivalent
    there.

    Parameters
    ----------
    number : `~numpy.ndarray`
        (ny, nx), from 1; 0 where there is none: see
        `~crstack.statistics.exposure_at_median`.
    median2d : `~numpy.ndarray`
        (ny, nx), bias subtracted.
    n_exposures : int
        Number of exposures.
    unit : `~astropy.units.Unit`, optional
        Unit of the median.
    color_scale : {"zscale", "minmax"}, optional
        Contrast of the median.
    resolution : int, optional
        As for `~crstack.plotting.plot_mask`; of the numbers one pixel of each block is drawn.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
        The figure, not shown or saved.
    """
    ny, nx = median2d.shape
    wide = nx > 2 * ny
    drawn, left, right = _panels(ny, nx, fig)
    beside = {"width": WIDE_BAR} if wide else {}
    block = block_size(median2d.shape, resolution)
    options = {"block": block, "aspect": aspect_of((ny, nx))}
    image = draw_image(left, block_means(median2d, block), image_limits(median2d, color_scale), **options)
    add_bar(left, image, f"signal ({unit})", **beside)
    left.set_title("median2d", y=1.0)
    shown = _draw_numbers(right, number[::block, ::block], n_exposures, **options)
    bar = add_bar(right, shown, "number of the exposure", ticks=range(1, n_exposures + 1), **beside)
    _write_shares(right, bar, [np.mean(number == i) for i in range(1, n_exposures + 1)])
    for axes in (left, right):
        axes.set(xlim=(0.5, nx + 0.5), ylim=(0.5, ny + 0.5))  # the last blocks may reach beyond
        axes.set_xlabel("X (pixel)")
        axes.set_ylabel("Y (pixel)")
        axes.label_outer()
    return drawn


def _panels(ny, nx, fig):
    """The figure and its two panels: side by side, or one above the other for a wide image."""
    wide = nx > 2 * ny
    size, grid = ((11, 9), (2, 1)) if wide else ((13, min(5.2 * ny / nx + 1.2, 9)), (1, 2))
    fig = new_figure(size, fig, layout="none")
    places = fixed_grid(fig, WIDE_MARGINS if wide else MARGINS, rows=grid[0], columns=grid[1])
    return fig, *fig.subplots(*grid, sharex=True, sharey=True, gridspec_kw=places)


def _draw_numbers(axes, number, n_exposures, **options):
    """Draw the number of the exposure of each pixel, in a colour for each exposure; 0 has none."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    colours = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 1, n_exposures)))
    known = np.ma.masked_equal(number, 0)
    # nearest, because numbers of exposures cannot be averaged
    return draw_image(axes, known, (0.5, n_exposures + 0.5), colours=colours, interpolation="nearest", **options)


def _write_shares(axes, bar, shares):
    """Write the part of the pixels of each exposure in the title, or beside the colours if there are many."""
    words = [f"{i}: {100 * share:.0f}%" for i, share in enumerate(shares, start=1)]
    in_title = ": " + ", ".join(words) if len(words) <= MOST_IN_TITLE else ""
    axes.set_title(f"exposure at the median{in_title}", fontsize="medium", y=1.0)
    if not in_title:
        bar.set_ticks(range(1, len(words) + 1), labels=words)
        bar.set_label("number of the exposure: part of the pixels")
        bar.ax.tick_params(labelsize="small")
