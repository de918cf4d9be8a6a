"""Figures of the measured flux factors and offsets."""

from typing import TYPE_CHECKING, Literal

import astropy.units as u
import numpy as np

from crstack.plotting.style import (
    add_bar,
    aspect_of,
    block_means,
    block_size,
    draw_image,
    image_limits,
    new_figure,
    settled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_flux_factor", "plot_offset"]

#: bins along the signal and along the ratio
BINS = (60, 80)
#: ranges of signal whose ratio is drawn, and fewest pixels in one
N_RANGES, FEWEST = 12, 20
#: fraction of the ratios inside the limits
SHOWN = (0.5, 99.5)
LINE = "#d55e00"
#: blue and red, distinct for colour-blind readers too
DIFFERENCES = "RdBu_r"
#: fraction of the differences inside the limits of their colours
INSIDE = 99.0


def plot_flux_factor(
    level: np.ndarray,
    signal: np.ndarray,
    reference: np.ndarray,
    factor: float,
    *,
    error: float = 0.0,
    label: str = "exposure",
    unit: u.UnitBase | str = "",
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw the ratio of an exposure to the others against the signal, and its flux factor.

    The left panel is a histogram of the pixels. The right one is the ratio of the sums in several ranges of signal,
    with its error, on an enlarged scale. Points that differ from the line show that one factor does not describe the
    exposure.

    Parameters
    ----------
    level : `~numpy.ndarray`
        (n,) signal by which the pixels are sorted; positive.
    signal : `~numpy.ndarray`
        (n,) signal of the exposure.
    reference : `~numpy.ndarray`
        (n,) the same of the others, over their flux factors: see
        ``crstack.equalize.terms.compare.compare_fluxes``.
    factor : float
        Flux factor of the exposure.
    error : float, optional
        Its standard error.
    label : str, optional
        Name of the exposure.
    unit : `~astropy.units.Unit`, optional
        Unit of the signals.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
        The figure, not shown or saved.
    """
    fig = new_figure((12, 5), fig)
    left, right = fig.subplots(1, 2, sharex=True)
    words = f"flux factor {factor:.4f}" + (f" \N{PLUS-MINUS SIGN} {error:.4f}" if error else "")
    for axes in (left, right):
        axes.set(xlabel=f"signal ({unit})", ylabel=f"{label} over the others")
        axes.axhline(factor, color=LINE, linewidth=1.5, label=words)
        if error:
            axes.axhspan(factor - error, factor + error, color=LINE, alpha=0.25, linewidth=0)
    if len(level):
        sure = reference > 0  # not next to a steep edge
        _draw_ratios(left, level[sure], signal[sure] / reference[sure])
        _draw_sums(right, level, signal, reference)
        right.legend(fontsize="small")
    left.set_title(f"{len(level)} clean pixels well above the noise")
    right.set_title("ratio of the sums in ranges of signal")
    fig.suptitle(f"{label}: {words}")
    return fig


def _draw_ratios(axes, level, ratio):
    """Draw the histogram of the ratios of pixels against the level."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = np.percentile(ratio, SHOWN)
    margin = 0.2 * (high - low) or 0.1
    ends = _edges(level, BINS[0]), np.linspace(low - margin, high + margin, BINS[1] + 1)
    counts, x, y = np.histogram2d(level, ratio, bins=ends)
    norm = LogNorm(1, max(10, counts.max()))
    options = {"cmap": "viridis_r", "norm": norm, "rasterized": True, "zorder": 0}
    add_bar(axes, axes.pcolormesh(x, y, np.ma.masked_equal(counts.T, 0), **options), "pixels in a bin")
    axes.set(xscale="log", xlim=ends[0][[0, -1]], ylim=ends[1][[0, -1]])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_sums(axes, level, signal, reference):
    """Draw the ratios of the sums in ranges of the level, with their errors."""
    edges = _edges(level, N_RANGES)
    number = np.digitize(level, edges[1:-1])

    def sums(values):
        return np.bincount(number, values, minlength=N_RANGES)

    kept = sums(np.ones(len(level))) >= FEWEST
    total = np.where(kept, sums(reference), 1)
    ratio = sums(signal) / total
    error = np.sqrt(sums((signal - ratio[number] * reference) ** 2)) / total
    middles = np.sqrt(edges[1:] * edges[:-1])
    options = {"fmt": "o", "color": "#0072b2", "capsize": 2, "label": "ratio of sums, and its error"}
    axes.errorbar(middles[kept], ratio[kept], error[kept], **options)


def _edges(level, n):
    return np.geomspace(0.999 * level.min(), 1.001 * level.max(), n + 1)


def plot_offset(
    expected: np.ndarray,
    shifted: np.ndarray,
    image: np.ndarray,
    offset: tuple[float, float],
    *,
    errors: tuple[float, float] = (0.0, 0.0),
    first: tuple[int, int] = (1, 1),
    label: str = "exposure",
    unit: u.UnitBase | str = "",
    color_scale: Literal["zscale", "minmax"] = "zscale",
    resolution: int | None = None,
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw an exposure, the common image, and their difference without and with its offset.

    Parameters
    ----------
    expected : `~numpy.ndarray`
        (ny, nx) the common image, times the flux factor of this exposure.
    shifted : `~numpy.ndarray`
        (ny, nx) the same, shifted by the offset.
    image : `~numpy.ndarray`
        (ny, nx) the exposure, bias subtracted.
    offset : (float, float)
        (dx, dy) in pixels.
    errors : (float, float), optional
        Their standard errors.
    first : (int, int), optional
        (x, y) of the first pixel: FITS coordinates.
    label : str, optional
        Name of the exposure.
    unit : `~astropy.units.Unit`, optional
        Unit of the images.
    color_scale : {"zscale", "minmax"}, optional
        Contrast of the images.
    resolution : int, optional
        Average the images in blocks, so that about this many pixels remain along the longer side.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
        The figure, not shown or saved.
    """
    ny, nx = image.shape
    fig = new_figure((11, min(max(8.4 * ny / nx + 1.5, 5), 12)), fig)
    panels = fig.subplots(2, 2, sharex=True, sharey=True).ravel()
    block = block_size(image.shape, resolution)
    limits = image_limits(image, color_scale)
    apart, left_over = (block_means(image - one, block) for one in (expected, shifted))
    finite = np.abs(apart[np.isfinite(apart)])
    most = float(np.percentile(finite, INSIDE)) if finite.size else 1.0
    differences = {"colours": DIFFERENCES, "limits": (-most or -1.0, most or 1.0)}
    drawn = (
        ("common image of the exposures", block_means(expected, block), {"limits": limits}),
        (label, block_means(image, block), {"limits": limits}),
        ("difference", apart, differences),
        ("difference once the common image is shifted", left_over, differences),
    )
    aspect = aspect_of((ny, nx))
    for axes, (title, values, options) in zip(panels, drawn, strict=True):
        shown = draw_image(axes, values, first=first, block=block, aspect=aspect, **options)
        add_bar(axes, shown, f"signal ({unit})")
        axes.set_title(title, fontsize="medium")
        axes.set(xlabel="X (pixel)", ylabel="Y (pixel)")
        axes.label_outer()
    panels[0].set(xlim=(first[0] - 0.5, first[0] + nx - 0.5), ylim=(first[1] - 0.5, first[1] + ny - 0.5))
    words = ", ".join(
        f"{name} = {value:+.3f}".replace("-", "\N{MINUS SIGN}") + (f" \N{PLUS-MINUS SIGN} {error:.3f}" if error else "")
        for name, value, error in zip(("dx", "dy"), offset, errors, strict=True)
    )
    fig.suptitle(f"{label}: {words} pixels")
    return settled(fig)
