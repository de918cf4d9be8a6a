"""Shared style of the figures: colours and symbols, image scales, labels that do not overlap."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crstack.exceptions import InputError
from crstack.utils.validation import check_choice, check_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOR_SCALES",
    "IMAGE_COLOURS",
    "NONE",
    "add_bar",
    "aspect_of",
    "block_means",
    "block_size",
    "draw_image",
    "fixed_grid",
    "free_spots",
    "image_limits",
    "new_figure",
    "places_in_axes",
    "settled",
    "white_edges",
]

#: hits are dark on a bright sky, so that the symbols are visible
IMAGE_COLOURS = "gray_r"
COLOR_SCALES = ("zscale", "minmax")
#: largest ratio of the sides of an image whose pixels are drawn as squares
MOST_ELONGATED = 2.5
#: files contain the pixels without interpolation
NONE = {"interpolation": "none"}


def new_figure(size: tuple[float, float], fig: "Figure | str | None" = None, layout: Any = "constrained") -> "Figure":
    """``fig``, or a new figure of ``size`` inches: of pyplot for "pyplot", else one that belongs to no window.

    An empty ``fig`` gets the layout too, because labels would overlap panels. A figure with a layout keeps it, unless
    the positions of the panels are given (``layout="none"``).
    """
    if isinstance(fig, str):
        import matplotlib.pyplot as plt

        check_choice("fig", fig, ("pyplot",), "None, or a figure")
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


def add_bar(axes, image, label, *, width=0.035, **options):
    """Add a colour bar with the height of the axes, also for the aspect of an image.

    ``width`` is that of the bar over that of the axes.
    """
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1 + min(width, 0.02), 0, width, 1)), **options)
    bar.set_label(label)
    return bar


def aspect_of(shape):
    """Aspect of an image (ny, nx): square pixels, or a filled panel where the image would be too narrow to see."""
    return "auto" if max(shape) > MOST_ELONGATED * min(shape) else "equal"


def places_in_axes(axes, x, y):
    """Places of points in the axes, from 0 to 1, and which points are visible.

    Parameters
    ----------
    axes : `~matplotlib.axes.Axes`
        Axes with their current limits and scales.
    x, y : `~numpy.ndarray`
        (n,) data coordinates.

    Returns
    -------
    places : `~numpy.ndarray`
        (n, 2), from the lower left.
    inside : `~numpy.ndarray` of bool
        (n,).
    """
    places = (axes.transData - axes.transAxes).transform(np.column_stack([x, y]))
    return places, np.isfinite(places).all(axis=1) & (places >= 0).all(axis=1) & (places <= 1).all(axis=1)


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
    part, inside = places_in_axes(axes, x, y)
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


def white_edges(width: float = 2.0) -> list[Any]:
    """White edges of words, numbers and rings, which are seen on bright structures too: these are drawn dark."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground="white")]
