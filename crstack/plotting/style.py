"""Shared style of the figures: colours and symbols, image scales, labels that do not overlap."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crstack.exceptions import InputError
from crstack.masks import Code
from crstack.utils.validation import check_choice, check_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOR_SCALES",
    "IMAGE_COLOURS",
    "NONE",
    "SIZES",
    "SYMBOLS",
    "add_bar",
    "block_means",
    "block_size",
    "draw_image",
    "draw_key",
    "draw_symbols",
    "fixed_grid",
    "free_spots",
    "image_limits",
    "key_of_codes",
    "mark_scale",
    "new_figure",
    "set_hit_limits",
    "symbol_size",
    "words_of",
    "words_of_codes",
]

#: hits are dark on a bright sky, so that the symbols are visible
IMAGE_COLOURS = "gray_r"
COLOR_SCALES = ("zscale", "minmax")
#: files contain the pixels without interpolation
NONE = {"interpolation": "none"}
#: symbol, colour and words by code; distinct in shape, and in colour for colour-blind readers
SYMBOLS = {
    Code.DILATED: ("s", "#b0b0b0", "dilation only"),
    Code.MMCOSMIC: ("+", "#0072b2", "{finder} only"),
    Code.AUXILIARY: ("x", "#d55e00", "auxiliary detector only"),
    Code.BOTH: ("o", "#aa3377", "both"),
    Code.GIVEN: ("D", "#009e73", "given"),
    Code.LOW: ("v", "#56b4e9", "too low"),
    Code.SOURCE: ("*", "#e69f00", "source in some exposures"),
    Code.TRAIL: ("_", "#f0e442", "trail"),
    Code.MOVED: ("|", "#882255", "moved target"),
}
#: size of the symbols, by the least number of pixels
SIZES = ((0, 6.0), (300, 4.5), (3000, 3.0), (20000, 1.5), (60000, 0.8))
#: length of the linear part of the y axis in decades of the logarithmic part above the diagram
LINEAR_PART = 2.5


def new_figure(size: tuple[float, float], fig: "Figure | str | None" = None, layout: Any = "constrained") -> "Figure":
    """``fig``, or a new figure of ``size`` inches: of pyplot for "pyplot", else one that belongs to no window.

    An empty ``fig`` gets the layout too, because labels would overlap panels. A figure with a layout keeps it, unless
    the positions of the panels are given (``layout="none"``).
    """
    if isinstance(fig, str):
        import matplotlib.pyplot as plt

        check_choice("fig", fig, ("pyplot",))
        return plt.figure(figsize=size, layout=layout)
    if fig is None:
        from matplotlib.figure import Figure

        return Figure(figsize=size, layout=layout)
    if not fig.axes and (layout == "none" or fig.get_layout_engine() is None):
        fig.set_layout_engine(layout)
    return fig


def settled(figure):
    """The figure after a first layout: with images of equal axes, labels lie outside the figure until the second one.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        Complete.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The same.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    return figure


def fixed_grid(figure, margins, *, rows=2, columns=2):
    """Positions of panels in a figure of any size, for ``gridspec_kw``.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    margins : tuple of float
        Inches left, right, below and above the panels, between them across and up.
    rows, columns : int, optional
        Number of panels up and across.

    Returns
    -------
    places : dict
    """
    width, height = figure.get_size_inches()
    left, right, bottom, top, across, up = margins
    panel_width = max((width - left - right - (columns - 1) * across) / columns, 0.5)
    panel_height = max((height - bottom - top - (rows - 1) * up) / rows, 0.5)
    places = {"left": left / width, "right": 1 - right / width, "bottom": bottom / height, "top": 1 - top / height}
    return places | {"wspace": across / panel_width, "hspace": up / panel_height}


def image_limits(values, color_scale="zscale"):
    """Lowest and highest value shown of an image.

    Parameters
    ----------
    values : `~numpy.ndarray`
        Of any shape; NaN and infinities are ignored.
    color_scale : {"zscale", "minmax"}, optional
        Contrast of IRAF's zscale, or everything.

    Returns
    -------
    low, high : float
        Different, also for a constant image.
    """
    from astropy.visualization import ZScaleInterval

    if color_scale not in COLOR_SCALES:
        raise InputError(f"color_scale must be one of {', '.join(COLOR_SCALES)}; got {color_scale!r}")
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = ZScaleInterval().get_limits(values) if color_scale == "zscale" else (values.min(), values.max())
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def block_size(shape, resolution):
    """Side of the square blocks that leave about ``resolution`` pixels on the longer side; 1 for None."""
    return 1 if resolution is None else max(1, max(shape) // check_integer("resolution", resolution, minimum=1))


def block_means(image, block):
    """Means of the finite values in blocks of ``block`` pixels a side; those at the far edges may be smaller."""
    if block == 1:
        return image
    starts = [np.arange(0, size, block) for size in image.shape]

    def sums(values, **options):
        return np.add.reduceat(np.add.reduceat(values, starts[0], axis=0, **options), starts[1], axis=1)

    finite = np.isfinite(image)
    if finite.all():
        ny, nx = (np.diff([*start, size]) for start, size in zip(starts, image.shape, strict=True))
        return sums(image) / np.outer(ny, nx).astype(np.float32)
    counts = sums(finite, dtype=np.float32)
    return np.divide(sums(np.where(finite, image, 0)), counts, out=np.full_like(counts, np.nan), where=counts > 0)


def draw_image(axes, image, limits, *, first=(1, 1), block=1, colours=IMAGE_COLOURS, **options):
    """Draw an image on FITS coordinates.

    ``first`` is (x, y) of its first pixel, and each of its pixels is ``block`` wide and high.
    """
    ny, nx = (block * size for size in image.shape[:2])
    extent = (first[0] - 0.5, first[0] + nx - 0.5, first[1] - 0.5, first[1] + ny - 0.5)
    options = {"origin": "lower", "cmap": colours, "vmin": limits[0], "vmax": limits[1]} | options
    return axes.imshow(image, extent=extent, **options)


def add_bar(axes, image, label, **options):
    """Add a colour bar with the height of the axes, also for the aspect of an image."""
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.02, 0, 0.035, 1)), **options)
    bar.set_label(label)
    return bar


def symbol_size(n_pixels):
    """Size of the symbols for a number of pixels, in points."""
    return [size for least, size in SIZES if n_pixels >= least][-1]


def key_of_codes(codes, finder, marker=None):
    """Words and symbols of the codes that occur, for `draw_key`.

    Parameters
    ----------
    codes : `~numpy.ndarray`
        Codes of the flagged pixels.
    finder : str
        Name of the method.
    marker : str, optional
        Filled marker in the colours of the codes; by default the symbols of the diagram.
    """
    key, words = [], words_of_codes(np.unique(codes).tolist(), finder)
    for code, (own, colour, _) in SYMBOLS.items():
        if (codes == code).any():
            look = {"marker": marker or own, "color": colour, "markerfacecolor": colour if marker else "none"}
            key.append((words[code], look))
    return key


def words_of(code, finder="M.M.Cosmic"):
    """Text of a code in a legend; ``finder`` is the name of the method."""
    return SYMBOLS[code][2].format(finder=finder)


def words_of_codes(held, finder):
    """Texts of the codes that occur, by code, for a legend.

    "Only" is left out unless an auxiliary detector has found pixels too.

    Parameters
    ----------
    held : collection of int
        The codes.
    finder : str
        Name of the method.
    """
    words = {code: words_of(code, finder) for code in SYMBOLS if code in held}
    if Code.AUXILIARY in words or Code.BOTH in words:
        return words
    return {code: text.removesuffix(" only") for code, text in words.items()}


def draw_symbols(axes, x, y, codes, *, finder="M.M.Cosmic", size=None, rasterized=True):
    """Draw a symbol for each pixel, by its code. In vector files they are drawn as pixels if ``rasterized``.

    Returns
    -------
    lines : dict of Code to `~matplotlib.lines.Line2D`
        One for each code, also for those that have no pixel.
    """
    if size is None:
        size = symbol_size(len(x))
    lines = {}
    for code, (marker, colour, _) in SYMBOLS.items():
        wanted = codes == code
        (lines[code],) = axes.plot(
            x[wanted],
            y[wanted],
            marker,
            color=colour,
            label=words_of(code, finder),
            markersize=size,
            markerfacecolor="none",
            markeredgewidth=min(1.3, size / 3),
            rasterized=rasterized,
        )
    return lines


def draw_key(figure, entries, x, y):
    """Draw symbols and their text in one line, which is much faster than the legend of matplotlib.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        Where, on its first axes' page.
    entries : list of (str, dict)
        Words, and properties of a line or a symbol.
    x, y : float
        Middle of the key, in parts of the figure.
    """
    from matplotlib.lines import Line2D

    width = figure.get_size_inches()[0]
    # letters of the size of 8 points are 0.062 inches wide on average
    sizes = [(0.45 + 0.062 * len(words)) / width for words, _ in entries]
    left = x - sum(sizes) / 2
    for (words, look), size in zip(entries, sizes, strict=True):
        ends = [left, left + 0.22 / width] if look.get("marker") is None else [left + 0.11 / width]
        figure.add_artist(Line2D(ends, [y] * len(ends), transform=figure.transFigure, **look))
        figure.text(left + 0.3 / width, y, words, fontsize=8, va="center_baseline")
        left += size


def set_hit_limits(axes, x, y, diagram=None, boundary=None):
    """Limits that show all of x and y; the y axis is logarithmic above the diagram.

    Without a diagram the linear part ends at twice the boundary. Without either, the whole axis is linear.

    Returns
    -------
    above : float or None
        Start of the logarithmic part, if there is one.
    """
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    low, high = (diagram.x_edges[0], diagram.x_edges[-1]) if diagram is not None else (0.0, 1.0)
    top = None
    if diagram is not None:
        top = float(diagram.y_edges[-1])
    elif boundary is not None:
        top = 2 * float(np.max(boundary.y))
    if len(x):
        # bright pixels without a hit would compress the range of the hits
        spread = x.max() - x.min()
        low = min(low, x.min()) if diagram is not None else x.min()
        high = max(min(high, x.max() + 0.5 * spread), x.max()) if diagram is not None and spread else x.max()
    margin = 0.03 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    highest = max(y.max(initial=0.0), top or 0.0) or 1.0
    lowest = min(0.0, y.min(initial=0.0))
    if top and highest > 1.1 * top:
        axes.set_yscale("symlog", linthresh=top, linscale=LINEAR_PART)
        axes.set_ylim(1.1 * lowest, highest * 1.5)
        axes.set_yticks(_ticks(top, highest))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        return top
    axes.set_ylim(1.1 * lowest, 1.05 * highest)
    return None


def mark_scale(axes, above):
    """Mark the start of the logarithmic part of the y axis."""
    axes.axhline(above, color="#909090", linewidth=0.8, zorder=0.5)
    spot = {"xy": (1, above), "xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(
        "logarithmic above this line",
        xytext=(-3, 2),
        ha="right",
        va="bottom",
        fontsize="x-small",
        color="#606060",
        **spot,
    )


def _ticks(top, highest):
    """Ticks of the linear part, then powers of ten and their halves."""
    from matplotlib.ticker import MaxNLocator

    linear = [tick for tick in MaxNLocator(5).tick_values(0, top) if 0 <= tick <= top]
    decades = 10.0 ** np.arange(np.floor(np.log10(top)), np.ceil(np.log10(highest)) + 1)
    steps = (1, 2, 5) if len(decades) < 4 else (1,)
    above = sorted(decade * step for decade in decades for step in steps)
    return [*linear, *(tick for tick in above if 1.2 * top < tick <= 1.5 * highest)]


def free_spots(axes, x, y, words, most, size=(0.011, 0.032)):
    """Indices of the labels that can be placed at (x, y) without overlapping earlier ones.

    Parameters
    ----------
    axes : `~matplotlib.axes.Axes`
        Axes; its limits define the visible range.
    x, y : `~numpy.ndarray`
        Data coordinates, most important first.
    words : list of str
        As many.
    most : int
        Largest number of labels.
    size : tuple of float, optional
        Width of a letter and height of a line, in parts of the axes.

    Returns
    -------
    placed : list of int
    """
    if not len(x):
        return []
    part = (axes.transData - axes.transAxes).transform(np.column_stack([x, y]))
    inside = np.isfinite(part).all(axis=1) & (part >= 0).all(axis=1) & (part <= 1).all(axis=1)
    placed, boxes = [], np.empty((0, 3))
    for i in np.flatnonzero(inside)[: 20 * most]:
        half = size[0] * (len(words[i]) + 1) / 2
        near_x = np.abs(boxes[:, 0] - part[i, 0]) < boxes[:, 2] + half
        if (near_x & (np.abs(boxes[:, 1] - part[i, 1]) < size[1])).any():
            continue
        placed.append(int(i))
        boxes = np.vstack([boxes, (*part[i], half)])
        if len(placed) == most:
            break
    return placed
