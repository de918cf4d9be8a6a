"""The second page of a hit: its pixels in the median-minimum diagram."""

from contextlib import contextmanager

import numpy as np

from crstack.plotting.diagram import draw_boundary
from crstack.plotting.fixed_scales import FixedScales
from crstack.plotting.hit_scale import mark_scale, set_hit_limits
from crstack.plotting.mask_view import MaskView
from crstack.plotting.style import NONE, free_spots, new_figure
from crstack.plotting.symbols import SYMBOLS, draw_key, draw_symbols, key_of_codes

__all__ = ["HitDiagram"]

#: largest number of coordinates written next to the pixels of a hit
MOST_COORDINATES = 40


class HitDiagram:
    """The diagram around the hits of a table, with the pixels of one of them.

    Parameters
    ----------
    view : `~crstack.plotting.MaskView`
        The mask and its images.
    numbers : `~numpy.ndarray`
        Numbers of the hits of the table: the axes contain all of them.

    Attributes
    ----------
    figure : `~matplotlib.figure.Figure`
        The page. Each hit is drawn into the same one.
    """

    def __init__(self, view: MaskView, numbers: np.ndarray) -> None:
        self.view = view
        self.figure = self._make(numbers)

    def _make(self, numbers):
        """Make the figure with its symbols, once for all hits."""
        view, pixels = self.view, self.view.pixels
        figure = new_figure((9.1, 7), layout="none")
        figure.subplots_adjust(0.1, 0.09, 0.97, 0.88)
        axes = figure.add_subplot()
        shown = np.isin(pixels["number"], numbers)
        x, y = pixels["min2d"][shown], pixels["excess"][shown]
        above = set_hit_limits(axes, x, y, view.diagram, view.boundary)
        if above:
            mark_scale(axes, above)
        lines = draw_boundary(axes, view.boundary, points=False, extensions=False)
        if view.threshold is not None:
            lines.append(axes.axhline(view.threshold, color="black", linestyle=":", linewidth=1.2, label="threshold"))
        nothing = np.array([])
        self._symbols = draw_symbols(axes, nothing, nothing, nothing, finder=self.view.finder, size=8, rasterized=False)
        # Helvetica has no minus sign
        axes.set_xlabel(f"min2d ({view.unit})")
        axes.set_ylabel(f"{view.label} \N{EN DASH} min2d ({view.unit})")
        axes.xaxis.set_label_coords(0.5, -0.06)
        axes.yaxis.set_label_coords(-0.075, 0.5)
        looks = [(line.get_label(), {"color": line.get_color(), "linestyle": line.get_linestyle()}) for line in lines]
        draw_key(figure, [*key_of_codes(pixels["code"], view.finder), *looks], 0.53, 0.9)
        if view.diagram is not None:
            _draw_shadow(axes, view.diagram)
        self._axes = axes
        self._coordinates = [
            axes.text(0, 0, "", fontsize=6.5, ha="left", va="center", visible=False) for _ in range(MOST_COORDINATES)
        ]
        return figure

    def show(self, pixels, title):
        """Draw the pixels of one hit in place of those of the last one."""
        pixels = pixels[np.argsort(-pixels["excess"])]
        for code, line in self._symbols.items():
            wanted = pixels["code"] == code
            line.set_data(pixels["min2d"][wanted], pixels["excess"][wanted])
        words = [f"   {x}, {y}" for x, y in zip(pixels["x"], pixels["y"], strict=True)]
        placed = free_spots(self._axes, pixels["min2d"], pixels["excess"], words, MOST_COORDINATES, (0.009, 0.02))
        for text in self._coordinates:
            text.set_visible(False)
        right = self._axes.transAxes.transform((0.9, 0))[0]
        for text, i in zip(self._coordinates, placed, strict=False):
            spot = pixels["min2d"][i], pixels["excess"][i]
            far = self._axes.transData.transform(spot)[0] > right
            text.set(position=spot, text=words[i] if not far else f"{words[i].strip()}   ", visible=True)
            text.set(ha="right" if far else "left", color=SYMBOLS[pixels["code"][i]][1])
        self.figure.suptitle(title, fontsize="medium")

    @contextmanager
    def fixed(self):
        """Context in which the scales, which all hits share, are drawn faster: for files."""
        with FixedScales(self.figure, [self._axes]) as scales:
            scales.set_as(self._axes, "bottom")
            scales.set_as(self._axes, "left")
            scales.label(self._axes)
            scales.update()
            yield


def _draw_shadow(axes, diagram):
    """The observed diagram in light grey, behind everything.

    It lies in the linear part of the axes, so that an image is sufficient, which a file stores as its bins. It is
    placed in axes fractions with fixed limits, because the scale of an image must be linear.
    """
    from matplotlib.colors import LogNorm

    counts = diagram.observed.T
    corners = [(diagram.x_edges[0], diagram.y_edges[0]), (diagram.x_edges[-1], diagram.y_edges[-1])]
    (left, bottom), (right, top) = (axes.transData - axes.transAxes).transform(corners)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(
        np.maximum(counts, 0.1),  # white below the limits: files store transparency separately
        cmap="Greys",
        norm=LogNorm(1, max(10, int(counts.max())) ** 2),  # the square makes it light
        extent=(left, right, bottom, top),
        transform=axes.transAxes,
        origin="lower",
        aspect="auto",
        zorder=0,
        **NONE,
    )
    axes.set(xlim=limits[0], ylim=limits[1])
