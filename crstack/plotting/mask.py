"""A mask in the diagram and in the image: four panels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

from crstack.plotting.diagram import draw_boundary
from crstack.plotting.fixed_scales import FixedScales
from crstack.plotting.hit_numbers import HitNumbers, in_sight
from crstack.plotting.hit_scale import mark_scale
from crstack.plotting.hit_scale import set_hit_limits as _set_hit_limits
from crstack.plotting.mask_legend import draw_legend_of_codes
from crstack.plotting.mask_view import MaskView
from crstack.plotting.rasters import CELLS, cell_codes, cell_counts, cells_in_axes, code_image
from crstack.plotting.style import (
    add_bar,
    aspect_of,
    block_means,
    block_size,
    draw_image,
    fixed_grid,
    image_limits,
    new_figure,
    white_edges,
)
from crstack.plotting.symbols import draw_symbols, symbol_size
from crstack.utils.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SIZE", "MaskPanels", "plot_mask"]

#: if there are few hits, numbers are drawn in panel (b) if this share of them fits; with many hits, all must fit
LEAST_NUMBERED, FEW_HITS = 0.5, 40
#: number of pixels above which the diagram has coloured cells instead of symbols
MOST_SYMBOLS = 1500
#: least size (points) of a pixel of the image for a symbol; smaller ones are coloured cells
LEAST_POINTS = 2.5
#: largest number of hits for which each has a ring
MOST_RINGS = 150
#: coloured cells along the longer side of an image
MOST_CELLS = 400
#: size of the figure in inches
SIZE = (13, 10.5)
#: inches around the panels, and between them: left, right, bottom, top, across, up
MARGINS = (0.85, 0.95, 1.0, 0.85, 1.3, 0.85)
#: distance of a label in the image from its pixel, in points
BESIDE = (8, 8)


def plot_mask(
    view: MaskView,
    *,
    color_scale: Literal["zscale", "minmax"] = "zscale",
    resolution: int | None = None,
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw a mask in the diagram and in the image.

    Panel (a) has the flagged pixels in the diagram. Panel (b) has the number of each hit at its highest pixel, or the
    number of pixels there if the labels would overlap. Panel (c) is the image with the flagged pixels, (d) another
    image. If symbols would hide each other or the hits, the flagged pixels are coloured cells. Above the diagram the
    vertical axis is logarithmic; a line marks the start of this part.

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
        The figure, not shown or saved.
    """
    return MaskPanels(view, color_scale=color_scale, resolution=resolution, fig=fig).figure


class MaskPanels:
    """The four panels of `plot_mask`, whose contents can be changed.

    Parameters
    ----------
    view : MaskView
        The mask and its images.
    color_scale : {"zscale", "minmax"}, optional
        Contrast of the images.
    resolution : int, optional
        Average the images in blocks, so that about this many pixels remain along the longer side.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Attributes
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    axes : tuple of `~matplotlib.axes.Axes`
        Panels (a) to (d); (a) and (b) share their axes, and so do (c) and (d).
    in_diagram, in_image : `~numpy.ndarray` of bool
        Pixels of ``view.pixels`` that are shown in (c), and in (a) and (b).
    other : int
        Index of the image of ``view.others`` in (d).
    """

    def __init__(
        self,
        view: MaskView,
        *,
        color_scale: Literal["zscale", "minmax"] = "zscale",
        resolution: int | None = None,
        fig: "Figure | str | None" = None,
    ) -> None:
        self.view = view
        self._block = block_size(view.image.shape, resolution)
        self.color_scale = color_scale
        # the places are the same for all masks, and need not be searched
        self.figure = new_figure(SIZE, fig, layout="none")
        a, b, c, d = self.figure.subplots(2, 2, gridspec_kw=fixed_grid(self.figure, MARGINS)).ravel()
        b.sharex(a)
        b.sharey(a)
        d.sharex(c)
        d.sharey(c)
        self.axes = a, b, c, d
        self.in_diagram = self.in_image = np.ones(len(view.pixels), dtype=bool)
        self.numbers_in_image = False
        self._numbers = {b: HitNumbers(b, "min2d", "excess"), c: HitNumbers(c, "x", "y", beside=BESIDE)}
        for axes in (b, d):  # parts that the panels at the left have too
            axes.tick_params(labelleft=False)
        self._tops = self._highest()
        self._draw_images()
        self._draw_diagrams()
        self.other = 0
        self.show_other(0)
        if not len(view.pixels):
            for axes in self.axes[:2]:
                axes.text(0.5, 0.5, "no pixel is flagged", transform=axes.transAxes, ha="center", va="center")
                axes.set(xticks=[], yticks=[])
        words = f"{counted(len(view.pixels), 'pixel')} in {counted(self.n_hits, 'hit')}"
        self.figure.suptitle(f"{view.name}: {words if len(view.pixels) else 'no hit'}")

    @property
    def n_hits(self):
        """Number of hits."""
        return int(self.view.pixels["number"].max(initial=0))

    def _highest(self):
        """Index of the highest pixel of each hit, highest first."""
        pixels = self.view.pixels
        order = np.argsort(-pixels["excess"], kind="stable")
        _, first = np.unique(pixels["number"][order], return_index=True)
        return order[np.sort(first)]

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """Context in which the scales are drawn faster, and do not follow a zoom: for files.

        Yields
        ------
        None
            The scales are fixed until the context ends.
        """
        at_the_left = self.axes[0], self.axes[2]
        bars = [image.colorbar.ax for image in self.images] + [self._bar.ax] * self._bar.ax.get_visible()
        with FixedScales(self.figure, [*self.axes, *bars]) as scales:
            sides = [(axes, side) for axes in self.axes for side in ("bottom", "left")]
            for axes, side in [*sides, *((axes, "right") for axes in bars)]:
                words = scales.set_as(axes, side, labelled=side != "left" or axes in at_the_left)
                scales.label_beside(axes, side, words)
            scales.update()
            yield

    # parts that are drawn once

    def _draw_diagrams(self):
        """Draw panels (a) and (b): the pixels in the median-minimum diagram."""
        view, pixels = self.view, self.view.pixels
        a, b = self.axes[:2]
        above = _set_hit_limits(a, pixels["min2d"], pixels["excess"], view.diagram, view.boundary)
        nothing = np.array([])
        self._in_diagrams = draw_symbols(a, nothing, nothing, nothing, finder=view.finder)
        (self._dots,) = b.plot([], [], ".", color="#c8c8c8", markersize=2, rasterized=True, zorder=1)
        for axes in (a, b):
            draw_boundary(axes, view.boundary, points=False, extensions=False)
            if view.threshold is not None:
                axes.axhline(view.threshold, color="black", linestyle=":", linewidth=1.2, label="threshold")
            axes.set_xlabel(f"min2d ({view.unit})")
            if above:
                mark_scale(axes, above)
        a.set_ylabel(f"{view.label} \N{MINUS SIGN} min2d ({view.unit})")
        # a fixed position of a title need not be computed: that takes as long as the rest of a panel
        a.set_title("(a) flagged pixels", y=1.0)
        limits = a.get_xlim(), a.get_ylim()
        self._cells = tuple(
            axes.imshow(
                np.zeros((*CELLS[::-1], 4), np.uint8),
                extent=(0, 1, 0, 1),
                transform=axes.transAxes,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                zorder=1,
                visible=False,
            )
            for axes in (a, b)
        )
        a.set(xlim=limits[0], ylim=limits[1])
        self._bar = add_bar(b, self._count_colours(), "pixels in a cell")
        self._bar.ax.set_visible(False)
        draw_legend_of_codes(self.figure, a, view, as_cells=len(view.pixels) > MOST_SYMBOLS)
        self._update_diagrams()
        self.renumber()

    def _count_colours(self):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm

        return ScalarMappable(LogNorm(1, 10), "viridis_r")

    def _draw_images(self):
        """Draw panels (c) and (d): the image with its pixels, and another image."""
        view = self.view
        c, d = self.axes[2:]
        ny, nx = view.image.shape
        aspect = aspect_of((ny, nx))
        limits = image_limits(view.image, self.color_scale)
        self.images = tuple(
            draw_image(axes, block_means(image, self._block), limits, block=self._block, aspect=aspect)
            for axes, image in ((c, view.image), (d, view.others[0][1]))
        )
        nothing = np.array([])
        self.symbols = draw_symbols(c, nothing, nothing, nothing, finder=view.finder)
        self._cell = max(self._block, -(-max(ny, nx) // MOST_CELLS))
        empty = np.zeros((-(-ny // self._cell), -(-nx // self._cell), 4), np.uint8)
        self._over = draw_image(c, empty, (0, 1), block=self._cell, interpolation="nearest", aspect=aspect, zorder=1)
        (self._rings,) = c.plot(
            [],
            [],
            "o",
            markersize=9,
            markerfacecolor="none",
            color="black",
            markeredgewidth=0.7,
            path_effects=white_edges(1.6),
        )
        c.set_xlim(0.5, nx + 0.5)
        c.set_ylim(0.5, ny + 0.5)
        for axes, image in zip((c, d), self.images, strict=True):
            axes.set_xlabel("X (pixel)")
            add_bar(axes, image, f"signal ({view.unit})")
        c.set_ylabel("Y (pixel)")
        self._update_image()

    # what follows a zoom

    def show_other(self, i: int) -> None:
        """Show the image ``i`` of ``view.others`` in panel (d), if there is one.

        Parameters
        ----------
        i : int
            Number of the image, from 0.
        """
        if 0 <= i < len(self.view.others):
            self.other = i
            label, image = self.view.others[i]
            self.images[1].set_data(block_means(image, self._block))
            self.axes[3].set_title(f"(d) {label}", y=1.0)

    def select(self, in_diagram: np.ndarray, in_image: np.ndarray) -> None:
        """Show only some of the pixels.

        Parameters
        ----------
        in_diagram : `~numpy.ndarray` of bool
            Pixels of ``view.pixels`` in panel (c): those visible in (a).
        in_image : `~numpy.ndarray` of bool
            Pixels in panels (a) and (b): those visible in (c).
        """
        self.in_diagram, self.in_image = in_diagram, in_image
        self._update_diagrams()
        self._update_image()
        self.renumber()

    def _update_diagrams(self):
        """Symbols in panel (a), or coloured cells if there are too many."""
        pixels = self.view.pixels[self.in_image]
        as_cells = len(pixels) > MOST_SYMBOLS
        shown = pixels[:0] if as_cells else pixels
        _set_symbols(self._in_diagrams, shown, "min2d", "excess", symbol_size(len(shown)))
        self._cells[0].set_visible(as_cells)
        if as_cells:
            rows, columns, inside = cells_in_axes(self.axes[0], pixels["min2d"], pixels["excess"])
            codes = cell_codes(rows[inside], columns[inside], pixels["code"][inside], CELLS[::-1])
            self._cells[0].set_data(code_image(codes))

    def _update_image(self):
        """Symbols in panel (c) if a pixel is large enough; otherwise coloured cells, with rings if there are few
        hits."""
        pixels = self.view.pixels[self.in_diagram]
        points = self._points_per_pixel()
        as_cells = points < LEAST_POINTS
        size = min(symbol_size(len(pixels)), 0.9 * points)
        _set_symbols(self.symbols, pixels[:0] if as_cells else pixels, "x", "y", size)
        self._over.set_visible(as_cells)
        ringed = pixels[:0]
        if as_cells:
            rows, columns = ((pixels[name] - 1) // self._cell for name in ("y", "x"))
            shape = self._over.get_array().shape[:2]
            self._over.set_data(code_image(cell_codes(rows, columns, pixels["code"], shape)))
            tops = self.view.pixels[self._tops[self.in_diagram[self._tops]]]
            inside = in_sight(self.axes[2], tops["x"], tops["y"])
            ringed = tops[inside] if inside.sum() <= MOST_RINGS else ringed
        self._rings.set_data(ringed["x"], ringed["y"])
        rings = "; a ring around each hit" if len(ringed) else ""
        self.axes[2].set_title(f"(c) {self.view.label} with flagged pixels{rings}", y=1.0)

    def _points_per_pixel(self):
        """Size of a pixel of panel (c) in points."""
        c = self.axes[2]
        spot = c.get_position(original=True)
        width, height = self.figure.get_size_inches()
        (left, right), (bottom, top) = c.get_xlim(), c.get_ylim()
        return 72 * min(spot.width * width / abs(right - left), spot.height * height / abs(top - bottom))

    def toggle_numbers(self) -> None:
        """Show or hide the numbers of the hits in panel (c)."""
        self.numbers_in_image = not self.numbers_in_image
        self.renumber()

    def renumber(self) -> None:
        """Draw the numbers of the visible hits: in panel (b) if all fit, in (c) those that fit."""
        b, c = self.axes[1:3]
        tops = self.view.pixels[self._tops[self.in_image[self._tops]]]
        n_placed, n_hits = self._numbers[b].draw(tops, least=LEAST_NUMBERED if len(tops) <= FEW_HITS else 1.0)
        numbered = n_placed > 0 or n_hits == 0
        self._count(self.view.pixels[self.in_image], numbered)
        if not n_hits:
            words = "no hits" if not len(self.view.pixels) else "no hits in sight"
        elif n_placed == n_hits:
            words = "numbers of the hits"
        elif numbered:
            words = f"numbers of {n_placed} of {n_hits} hits; the others overlap"
        else:
            words = f"pixels in a cell; {n_hits} hits are too crowded for numbers"
        b.set_title(f"(b) {words}", y=1.0)
        numbered = self.in_diagram[self._tops] & self.numbers_in_image
        self._numbers[c].draw(self.view.pixels[self._tops[numbered]])

    def _count(self, pixels, numbered):
        """Dots under the labels in panel (b); without labels, the number of pixels."""
        from matplotlib.colors import LogNorm

        shown = pixels if numbered else pixels[:0]
        self._dots.set_data(shown["min2d"], shown["excess"])
        self._cells[1].set_visible(not numbered)
        self._bar.ax.set_visible(not numbered)
        if not numbered:
            rows, columns, inside = cells_in_axes(self.axes[1], pixels["min2d"], pixels["excess"])
            counts = cell_counts(rows[inside], columns[inside], CELLS[::-1])
            self._bar.mappable.set_norm(LogNorm(1, max(10, counts.max())))
            self._cells[1].set_data(self._bar.mappable.to_rgba(np.ma.masked_equal(counts, 0), bytes=True))


def _set_symbols(lines, pixels, x, y, size):
    """Move the symbols of each code to the pixels that have it."""
    for code, line in lines.items():
        wanted = pixels["code"] == code
        line.set_data(pixels[x][wanted], pixels[y][wanted])
        line.set(markersize=size, markeredgewidth=min(1.3, size / 3))
