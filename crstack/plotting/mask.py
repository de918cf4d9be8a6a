"""Where a mask lies in the diagram and in the image: four panels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from crstack.methods import DiagramView
from crstack.plotting.diagram import draw_boundary
from crstack.plotting.style import (
    SIZES,
    SYMBOLS,
    add_bar,
    block_means,
    block_size,
    draw_image,
    draw_symbols,
    free_spots,
    image_limits,
    new_figure,
    symbol_size,
)
from crstack.plotting.style import set_hit_limits as _set_hit_limits

__all__ = ["MaskPanels", "MaskView", "plot_mask"]

#: numbers drawn at most in a panel
MOST_NUMBERS = 150
#: an image longer than this many times its height, or the other way, fills its panel
MOST_ELONGATED = 2.5
SIZE = (13, 10.5)
TEXT = {"ha": "center", "va": "center", "fontsize": 7.5, "annotation_clip": True}
#: of a number in the image from its pixel, in points
BESIDE = (8, 8)


@dataclass(frozen=True, eq=False)
class MaskView:
    """A mask with the images that it belongs to.

    Attributes
    ----------
    name : str
        Name of the mask.
    codes : `~numpy.ndarray`
        uint8 (ny, nx), who flagged each pixel: `~crstack.masks.Code`.
    image : `~numpy.ndarray`
        (ny, nx), bias subtracted: what the mask was made of.
    label : str
        What it is, such as "median2d".
    min2d : `~numpy.ndarray`
        (ny, nx).
    others : tuple of (str, `~numpy.ndarray`)
        Names and images for the fourth panel: mean2d, then each exposure.
    unit : `~astropy.units.Unit`
        Unit of the images.
    decided : `~crstack.methods.DiagramView`, optional
        The image in the coordinates of the diagram, with the boundary and the threshold that decided. Without
        it the pixels are drawn at min2d and image - min2d, and no boundary is drawn.
    finder : str, optional
        What decided beside the auxiliary detector, for the legend.
    """

    name: str
    codes: np.ndarray
    image: np.ndarray
    label: str
    min2d: np.ndarray
    others: tuple
    unit: object
    decided: DiagramView | None = None
    finder: str = "M.M.Cosmic"

    @property
    def boundary(self):
        """The boundary that decided on this image, or None."""
        return None if self.decided is None else self.decided.boundary

    @property
    def threshold(self):
        """Least T - min2d of a hit, or None."""
        return None if self.decided is None else self.decided.threshold

    @property
    def diagram(self):
        """The diagram of the boundary, or None; it gives the linear part of the axes."""
        return None if self.decided is None else self.decided.diagram

    @cached_property
    def pixels(self):
        """Structured array of the flagged pixels: number, x, y (FITS), code; min2d and excess as in the diagram."""
        labels, _ = ndimage.label(self.codes > 0, np.ones((3, 3), dtype=int))
        row, column = np.nonzero(labels)
        kinds = [("number", int), ("x", int), ("y", int), ("code", int), ("min2d", float), ("excess", float)]
        pixels = np.empty(len(row), dtype=kinds)
        pixels["number"] = labels[row, column]
        pixels["x"], pixels["y"] = column + 1, row + 1
        pixels["code"] = self.codes[row, column]
        if self.decided is None:
            pixels["min2d"] = self.min2d[row, column]
            pixels["excess"] = self.image[row, column] - self.min2d[row, column]
        else:
            pixels["min2d"], pixels["excess"] = self.decided.x[row, column], self.decided.y[row, column]
        return pixels


def plot_mask(view, *, color_scale="zscale", resolution=None, fig=None):
    """Draw a mask in the diagram and in the image.

    Panel (a) has the flagged pixels in the diagram, (b) the number of each hit
    at its highest pixel, (c) the image with the flagged pixels, (d) another
    image. Numbers that would overlap are left out, faint hits first. Above
    the diagram the vertical axis is logarithmic.

    Parameters
    ----------
    view : MaskView
        The mask and its images.
    color_scale : {"zscale", "minmax"}, optional
        Contrast of the images.
    resolution : int, optional
        Average the images in blocks that leave about this many pixels along the longer
        side: enough for a file, and faster. All pixels by default, for zooms.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
    """
    return MaskPanels(view, color_scale=color_scale, resolution=resolution, fig=fig).figure


class MaskPanels:
    """The four panels of `plot_mask`, whose contents can be changed.

    Parameters
    ----------
    view, color_scale, resolution, fig
        As for `plot_mask`.

    Attributes
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    axes : tuple of `~matplotlib.axes.Axes`
        Panels (a) to (d); (a) and (b) share their axes, and so do (c) and (d).
    in_diagram, in_image : `~numpy.ndarray` of bool
        Which of ``view.pixels`` are shown in (c), and in (a) and (b).
    other : int
        Which of ``view.others`` is shown in (d).
    """

    def __init__(self, view, *, color_scale="zscale", resolution=None, fig=None):
        self.view = view
        self._block = block_size(view.image.shape, resolution)
        self.color_scale = color_scale
        self.figure = new_figure(SIZE, fig)
        a, b, c, d = self.figure.subplots(2, 2).ravel()
        b.sharex(a)
        b.sharey(a)
        d.sharex(c)
        d.sharey(c)
        self.axes = a, b, c, d
        self.in_diagram = self.in_image = np.ones(len(view.pixels), dtype=bool)
        self.numbers_in_image = False
        self._texts = {b: [], c: []}
        self._draw_diagrams()
        self._draw_images()
        self.other = 0
        self.show_other(0)
        self.figure.suptitle(f"{view.name}: {len(view.pixels)} pixels in {self.n_hits} hits")

    @property
    def n_hits(self):
        """Number of hits."""
        return int(self.view.pixels["number"].max(initial=0))

    def _draw_diagrams(self):
        view, pixels = self.view, self.view.pixels
        a, b = self.axes[:2]
        _set_hit_limits(a, pixels["min2d"], pixels["excess"], view.diagram, view.boundary)
        self._in_diagrams = draw_symbols(a, pixels["min2d"], pixels["excess"], pixels["code"], finder=view.finder)
        options = {"color": "#c8c8c8", "markersize": 2, "rasterized": True, "zorder": 1}
        (self._dots,) = b.plot(pixels["min2d"], pixels["excess"], ".", **options)
        for axes in (a, b):
            draw_boundary(axes, view.boundary, points=False, extensions=False)
            if view.threshold is not None:
                axes.axhline(view.threshold, color="black", linestyle=":", linewidth=1.2, label="threshold")
            axes.set_xlabel(f"min2d \N{MINUS SIGN} bias ({view.unit})")
            axes.set_ylabel(f"{view.label} \N{MINUS SIGN} min2d ({view.unit})")
        a.set_title("(a) flagged pixels")
        handles, labels = a.get_legend_handles_labels()
        kept = [i for i, one in enumerate(handles) if len(one.get_xdata())]
        if kept:
            shown = [handles[i] for i in kept], [labels[i] for i in kept]
            # where the symbols are small, those of the legend are not
            scale = SIZES[0][1] / symbol_size(len(pixels))
            options = {"frameon": False, "fontsize": "small", "markerscale": scale}
            legend = self.figure.legend(*shown, loc="outside lower center", ncols=len(kept), **options)
            for handle in legend.legend_handles:
                handle.set_markeredgewidth(1.3)
        self.renumber()

    def _draw_images(self):
        view = self.view
        c, d = self.axes[2:]
        ny, nx = view.image.shape
        aspect = "auto" if max(ny, nx) > MOST_ELONGATED * min(ny, nx) else "equal"
        limits = image_limits(view.image, self.color_scale)
        self.images = tuple(
            draw_image(axes, block_means(image, self._block), limits, block=self._block, aspect=aspect)
            for axes, image in ((c, view.image), (d, view.others[0][1]))
        )
        self.symbols = draw_symbols(c, view.pixels["x"], view.pixels["y"], view.pixels["code"], finder=view.finder)
        c.set_xlim(0.5, nx + 0.5)
        c.set_ylim(0.5, ny + 0.5)
        c.set_title(f"(c) {view.label} with flagged pixels")
        for axes, image in zip((c, d), self.images, strict=True):
            axes.set_xlabel("X (pixel)")
            axes.set_ylabel("Y (pixel)")
            add_bar(axes, image, f"signal ({view.unit})")

    def show_other(self, i):
        """Show the image ``i`` of ``view.others`` in panel (d), if there is one."""
        if 0 <= i < len(self.view.others):
            self.other = i
            label, image = self.view.others[i]
            self.images[1].set_data(block_means(image, self._block))
            self.axes[3].set_title(f"(d) {label}")

    def select(self, in_diagram, in_image):
        """Show only some of the pixels.

        Parameters
        ----------
        in_diagram : `~numpy.ndarray` of bool
            Which of ``view.pixels`` panel (c) shows: those in sight in (a).
        in_image : `~numpy.ndarray` of bool
            Which of them panels (a) and (b) show: those in sight in (c).
        """
        self.in_diagram, self.in_image = in_diagram, in_image
        pixels = self.view.pixels
        for lines, shown, x, y in (
            (self.symbols, in_diagram, "x", "y"),
            (self._in_diagrams, in_image, "min2d", "excess"),
        ):
            for code, line in lines.items():
                wanted = shown & (pixels["code"] == code)
                line.set_data(pixels[x][wanted], pixels[y][wanted])
        self._dots.set_data(pixels["min2d"][in_image], pixels["excess"][in_image])
        self.renumber()

    def toggle_numbers(self):
        """Show or hide the numbers of the hits in panel (c)."""
        self.numbers_in_image = not self.numbers_in_image
        self.renumber()

    def renumber(self):
        """Draw the numbers of the hits in sight, brightest first, where there is room."""
        b, c = self.axes[1:3]
        self._number(b, "min2d", "excess", self.in_image)
        self._number(c, "x", "y", self.in_diagram & self.numbers_in_image)

    def _number(self, axes, x, y, wanted):
        from matplotlib.patheffects import withStroke

        for text in self._texts[axes]:
            text.remove()
        pixels = self.view.pixels[wanted]
        order = np.argsort(-pixels["excess"])
        _, first = np.unique(pixels["number"][order], return_index=True)
        tops = pixels[order[np.sort(first)]]  # the highest pixel of each hit, highest first
        words = [str(number) for number in tops["number"]]
        placed = free_spots(axes, tops[x], tops[y], words, MOST_NUMBERS)
        beside = (0, 0) if y == "excess" else BESIDE
        self._texts[axes] = [
            axes.annotate(
                words[i],
                (tops[x][i], tops[y][i]),
                beside,
                textcoords="offset points",
                color=SYMBOLS[tops["code"][i]][1],
                path_effects=[withStroke(linewidth=2, foreground="white")],
                **TEXT,
            )
            for i in placed
        ]
        if y == "excess":
            few = "" if len(placed) == len(tops) else f" ({len(placed)} of {len(tops)} have room)"
            axes.set_title(f"(b) numbers of the hits{few}")
