"""Two pages for each hit: its images, and its pixels in the diagram."""

import logging
import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from astropy.table import QTable

from crstack.exceptions import InputError
from crstack.files.whole import atomic_path
from crstack.masks import MaskSet
from crstack.masks.features import codes_of
from crstack.plotting.diagram import draw_boundary
from crstack.plotting.mask_view import MaskView
from crstack.plotting.style import (
    COLOR_SCALES,
    IMAGE_COLOURS,
    SYMBOLS,
    draw_image,
    draw_key,
    draw_symbols,
    free_spots,
    image_limits,
    mark_scale,
    new_figure,
    set_hit_limits,
    words_of,
)
from crstack.utils.validation import check_choice, check_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HitPages", "first_hits", "plot_hits"]

#: pixels between a hit that is larger than its window, and the edge
MARGIN = 2
#: largest number of coordinates written next to the pixels of a hit
MOST_COORDINATES = 40
#: largest number of exposures named in the title; for more it has only the number
MOST_LISTED = 5
PANEL = 2.7  # inches
OUTLINE = "#e69f00"
#: every PDF reader has Helvetica; measuring and embedding another font takes half the time of a page
PDF: dict[Any, Any] = {"pdf.use14corefonts": True, "axes.unicode_minus": False, "pdf.compression": 3}
NONE = {"interpolation": "none"}  # files contain the pixels without interpolation


def plot_hits(
    view: MaskView,
    features: QTable,
    *,
    masks: MaskSet | None = None,
    semiwindow: int = 15,
    color_scale: Literal["zscale", "minmax"] = "zscale",
    replacement: np.ndarray | None = None,
    corrected: tuple[str, np.ndarray] | None = None,
) -> "HitPages":
    """Prepare two pages for each hit of a mask.

    Parameters
    ----------
    view : `~crstack.plotting.MaskView`
        The mask and its images; the exposures are ``view.others[1:]``.
    features : `~astropy.table.QTable`
        Hits of that mask, from `~crstack.masks.features.find_features`.
    masks : `~crstack.MaskSet`, optional
        If given, the outline in an exposure is that of its own mask.
    semiwindow : int, optional
        Half the size of the images, in pixels; larger hits are shown whole.
    color_scale : {"zscale", "minmax"}, optional
        Contrast, the same for all images of a hit.
    replacement : `~numpy.ndarray`, optional
        (ny, nx): values that replace masked pixels; min2d by default.
    corrected : (str, `~numpy.ndarray`), optional
        Name of a combined image, and the image (ny, nx): the last panel shows it instead of the image of the mask with
        its replacement.

    Returns
    -------
    pages : HitPages
        ``pages.show(number)`` draws a hit, ``pages.write(path)`` a PDF file.

    Raises
    ------
    InputError
        If the window or the scale is wrong.
    """
    return HitPages(
        view,
        features,
        masks=masks,
        semiwindow=semiwindow,
        color_scale=color_scale,
        replacement=replacement,
        corrected=corrected,
    )


def first_hits(features, most=-1):
    """Numbers of the hits to draw, sorted by the number of exposures, then by strength.

    Parameters
    ----------
    features : `~astropy.table.QTable`
        Hits.
    most : int, optional
        Largest number; all if negative.

    Returns
    -------
    numbers : list of int
    """
    strength = features["peak"] if "peak" in features.colnames else features["n_pixels"]
    order = np.lexsort((-np.asarray(getattr(strength, "value", strength)), -np.asarray(features["n_exposures"])))
    numbers = [int(number) for number in features["number"][order]]
    return numbers if most < 0 else numbers[:most]


class HitPages:
    """The two figures of `plot_hits`; each hit is drawn into the same two.

    Parameters
    ----------
    view, features, masks, semiwindow, color_scale, replacement, corrected
        As for `plot_hits`.
    images_fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure of the first page; a new one by default.

    Attributes
    ----------
    features : `~astropy.table.QTable`
        The hits.
    images, diagram : `~matplotlib.figure.Figure`
        First and second page of the hit shown last.
    """

    def __init__(
        self,
        view: MaskView,
        features: QTable,
        *,
        masks: MaskSet | None = None,
        semiwindow: int = 15,
        color_scale: Literal["zscale", "minmax"] = "zscale",
        replacement: np.ndarray | None = None,
        corrected: tuple[str, np.ndarray] | None = None,
        images_fig: "Figure | str | None" = None,
    ) -> None:
        check_integer("semiwindow", semiwindow, minimum=0)
        check_choice("color_scale", color_scale, COLOR_SCALES)
        self.view, self.features, self.masks = view, features, masks
        self.semiwindow, self.color_scale = semiwindow, color_scale
        self.replacement = view.min2d if replacement is None else replacement
        self.corrected = corrected
        self._pixels = view.pixels[np.argsort(view.pixels["number"], kind="stable")]
        numbers = self._pixels["number"]
        self._first = np.searchsorted(numbers, np.arange(1, numbers.max(initial=0) + 2))
        self.images = self._make_images(images_fig)
        self.diagram = self._make_diagram()

    def __len__(self):
        return len(self.features)

    def show(self, number: int) -> "tuple[Figure, Figure]":
        """Draw the hit of a number.

        Parameters
        ----------
        number : int
            Number of the hit, as in the table.

        Returns
        -------
        images, diagram : `~matplotlib.figure.Figure`
            Redrawn by the next `show`.

        Raises
        ------
        InputError
            If the table has no such hit.
        """
        rows = np.flatnonzero(np.asarray(self.features["number"]) == number)
        if not len(rows):
            raise InputError(f"number must be that of a hit in the table; got {number}")
        feature = self.features[rows[0]]
        pixels = self._pixels[self._first[number - 1] : self._first[number]]
        title = self._title(feature)
        self._update_images(feature, pixels, title)
        self._update_diagram(pixels, title)
        return self.images, self.diagram

    def write(
        self, path: str | os.PathLike, *, maxplots: int = -1, progress: Callable[[float], None] | None = None
    ) -> int:
        """Write the pages of the hits to a PDF file, completely or not at all.

        Parameters
        ----------
        path : path-like
            Replaced if it exists. Without hits it has one page that states this.
        maxplots : int, optional
            Largest number of hits to draw; all if negative. They are sorted by the number of exposures, then by
            strength.
        progress : callable, optional
            Called with the fraction done.

        Returns
        -------
        n_drawn : int
        """
        from matplotlib import rc_context
        from matplotlib.backends.backend_pdf import PdfPages

        numbers = first_hits(self.features, maxplots)
        with rc_context(PDF), _quiet_fonts(), atomic_path(path) as temporary, PdfPages(temporary) as pdf:
            for done, number in enumerate(numbers, start=1):
                for figure in self.show(number):
                    pdf.savefig(figure)
                if progress is not None:
                    progress(done / len(numbers))
            if not numbers:
                pdf.savefig(_empty_page(self.view.name, len(self.features)))
        return len(numbers)

    def _title(self, feature):
        hit = [str(i) for i, digit in enumerate(feature["exposures"], start=1) if digit == "1"]
        words = [
            f"{self.view.name}, hit {feature['number']} ({feature['category']}): {feature['n_pixels']} pixels",
            f"at X={feature['xcentroid']:.1f}, Y={feature['ycentroid']:.1f}",
        ]
        if "peak" in self.features.colnames:
            words.append(f"peak {getattr(feature['peak'], 'value', feature['peak']):.4g} {self.view.unit}")
        listed = f"exposure{'s' if len(hit) > 1 else ''} {', '.join(hit)}" if hit else "no exposure"
        if len(hit) > MOST_LISTED:
            listed = f"{len(hit)} of {len(feature['exposures'])} exposures"
        words.append(f"masked in {listed}")
        return ", ".join(words)

    # the images

    def _make_images(self, figure):
        exposures = self.view.others[1:]
        columns = 4 if len(exposures) == 4 or len(exposures) > 6 else 3
        rows = -(-len(exposures) // columns) + 1
        figure = new_figure((PANEL * columns + 1.0, PANEL * rows + 1.0), figure, layout="none")
        figure.set_layout_engine(None)  # the same positions for every hit, which is fast
        width, height = figure.get_size_inches()
        figure.subplots_adjust(0.5 / width, 0.75 / height, 1 - 0.9 / width, 1 - 0.65 / height, 0.22, 0.25)
        grid = figure.add_gridspec(rows, columns)
        spots = [grid[i // columns, i % columns] for i in range(len(exposures))]
        spots += [grid[rows - 1, i] for i in range(3)]
        titles = [label for label, _ in exposures]
        last = f"{self.view.label}, corrected" if self.corrected is None else f"{self.corrected[0]}, corrected"
        titles += [self.view.label, "who flagged what", last]
        self._panels = [figure.add_subplot(spot) for spot in spots]
        _label_outer(self._panels)
        self._drawn, self._outlines = [], []
        for axes, title in zip(self._panels, titles, strict=True):
            self._fill_panel(axes, title)
        middle = [image for i, image in enumerate(self._drawn) if i != len(exposures) + 1]
        self._shared = middle
        spot = (1 - 0.75 / width, 0.75 / height, 0.16 / width, 1 - 1.4 / height)
        self._bar = _add_bar(figure.add_axes(spot), f"signal ({self.view.unit})")
        draw_key(figure, self._key("s", full=True), 0.5, 0.18 / height)
        return figure

    def _codes(self):
        """Codes that the mask holds."""
        return [code for code in SYMBOLS if (self._pixels["code"] == code).any()]

    def _key(self, marker=None, full=False):
        """Words and symbols of the codes; ``marker`` in place of those of the diagram."""
        key = []
        for code in self._codes():
            own, colour, _ = SYMBOLS[code]
            look = {"marker": marker or own, "color": colour, "markerfacecolor": colour if full else "none"}
            key.append((words_of(code, self.view.finder), look))
        return key

    def _fill_panel(self, axes, title):
        from matplotlib.collections import LineCollection

        nothing = np.zeros((1, 1))
        if title == "who flagged what":
            self._drawn.append(draw_image(axes, nothing, (-0.5, max(SYMBOLS) + 0.5), colours=_code_colours(), **NONE))
        else:
            self._drawn.append(draw_image(axes, nothing, (0, 1), **NONE))
        outline = LineCollection([], colors=OUTLINE, linewidths=1.2)
        axes.add_collection(outline, autolim=False)
        self._outlines.append(outline)
        axes.set_title(title, fontsize="medium", y=1.0)  # a fixed position need not be computed on every page
        axes.tick_params(labelsize="x-small")
        axes.locator_params(nbins=4, integer=True)

    def _update_images(self, feature, pixels, title):
        rows, columns = self._window(feature)
        cut = [image[rows, columns] for _, image in self.view.others[1:]]
        codes = self.view.codes[rows, columns]
        image = self.view.image[rows, columns]
        if self.corrected is None:
            corrected = np.where(codes > 0, self.replacement[rows, columns], image)
        else:
            corrected = self.corrected[1][rows, columns]
        limits = image_limits(np.stack([*cut, image, corrected]), self.color_scale)
        for drawn in self._shared:
            drawn.set_clim(*limits)
        self._bar.set_extent((0, 1, *limits))
        extent = (columns.start + 0.5, columns.stop + 0.5, rows.start + 0.5, rows.stop + 0.5)
        hit = np.zeros(codes.shape, dtype=bool)
        hit[pixels["y"] - 1 - rows.start, pixels["x"] - 1 - columns.start] = True
        whole = _outline(hit, columns.start + 1, rows.start + 1)
        for i, values in enumerate([*cut, image, codes, corrected]):
            self._drawn[i].set_data(values)
            self._drawn[i].set_extent(extent)
            self._panels[i].set_xlim(extent[:2])
            self._panels[i].set_ylim(extent[2:])
            own = whole
            if self.masks is not None and i < len(cut):
                flagged = codes_of(self.masks, f"CRMASK{i + 1}")[rows, columns] > 0
                own = _outline(flagged & hit, columns.start + 1, rows.start + 1)
            self._outlines[i].set_segments(own)
        self.images.suptitle(title, fontsize="medium")

    def _window(self, feature):
        """Rows and columns that show a hit, inside the image."""

        def along(low, high, size):
            half = max(self.semiwindow, (high - low) // 2 + 1 + MARGIN)
            middle = (int(low) + int(high)) // 2 - 1
            start = min(max(middle - half, 0), max(size - (2 * half + 1), 0))
            return slice(start, min(start + 2 * half + 1, size))

        ny, nx = self.view.codes.shape
        return along(feature["ymin"], feature["ymax"], ny), along(feature["xmin"], feature["xmax"], nx)

    # the diagram

    def _make_diagram(self):
        view = self.view
        figure = new_figure((9.1, 7), layout="none")
        figure.subplots_adjust(0.1, 0.09, 0.97, 0.91)
        axes = figure.add_subplot()
        shown = np.isin(self._pixels["number"], self.features["number"])
        x, y = self._pixels["min2d"][shown], self._pixels["excess"][shown]
        above = set_hit_limits(axes, x, y, view.diagram, view.boundary)
        if above:
            mark_scale(axes, above)
        lines = draw_boundary(axes, view.boundary, points=False, extensions=False)
        if view.threshold is not None:
            lines.append(axes.axhline(view.threshold, color="black", linestyle=":", linewidth=1.2, label="threshold"))
        nothing = np.array([])
        self._symbols = draw_symbols(axes, nothing, nothing, nothing, finder=self.view.finder, size=8, rasterized=False)
        # Helvetica has no minus sign
        axes.set_xlabel(f"min2d \N{EN DASH} bias ({view.unit})")
        axes.set_ylabel(f"{view.label} \N{EN DASH} min2d ({view.unit})")
        axes.xaxis.set_label_coords(0.5, -0.06)
        axes.yaxis.set_label_coords(-0.075, 0.5)
        looks = [(line.get_label(), {"color": line.get_color(), "linestyle": line.get_linestyle()}) for line in lines]
        draw_key(figure, [*self._key(), *looks], 0.53, 0.94)
        if view.diagram is not None:
            _draw_shadow(axes, view.diagram)
        self._axes = axes
        self._coordinates = [
            axes.text(0, 0, "", fontsize=6.5, ha="left", va="center", visible=False) for _ in range(MOST_COORDINATES)
        ]
        return figure

    def _update_diagram(self, pixels, title):
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
        self.diagram.suptitle(title, fontsize="medium")


@contextmanager
def _quiet_fonts():
    """Suppress the message of newer versions of matplotlib that Helvetica's normal weight is called medium."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _code_colours():
    from matplotlib.colors import ListedColormap

    return ListedColormap([SYMBOLS[code][1] if code in SYMBOLS else "white" for code in range(max(SYMBOLS) + 1)])


def _label_outer(panels):
    """Show pixel numbers and axis labels only in the panels at the left and the bottom."""
    lowest = {}
    for axes in panels:
        spot = axes.get_subplotspec()
        lowest[spot.colspan.start] = max(spot.rowspan.start, lowest.get(spot.colspan.start, 0))
    for axes in panels:
        spot = axes.get_subplotspec()
        axes.set_ylabel("Y (pixel)", fontsize="small")
        axes.set_xlabel("X (pixel)", fontsize="small")
        axes.yaxis.set_label_coords(-0.15, 0.5)
        axes.xaxis.set_label_coords(0.5, -0.12)
        axes.yaxis.set_visible(spot.is_first_col())
        axes.xaxis.set_visible(spot.rowspan.start == lowest[spot.colspan.start])


def _add_bar(axes, label):
    """A colour bar with its extent as limits; that of matplotlib is slow and large in a file."""
    ramp = np.linspace(0, 1, 256)[:, np.newaxis]
    bar = axes.imshow(ramp, cmap=IMAGE_COLOURS, origin="lower", aspect="auto", **NONE)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(label)
    axes.yaxis.set_label_coords(3.6, 0.5)
    return bar


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


def _outline(mask, first_x, first_y):
    """Segments around the pixels of a mask, on FITS coordinates."""
    padded = np.pad(mask, 1).astype(np.int8)
    y, x = np.nonzero(np.diff(padded, axis=0)[:, 1:-1])
    across = np.stack([np.stack([x, y], 1), np.stack([x + 1, y], 1)], 1)
    y, x = np.nonzero(np.diff(padded, axis=1)[1:-1])
    along = np.stack([np.stack([x, y], 1), np.stack([x, y + 1], 1)], 1)
    segments = np.concatenate([across, along])
    return segments + np.array([first_x - 0.5, first_y - 0.5])


def _empty_page(name, n_hits):
    figure = new_figure((9.1, 4))
    words = f"{name}: no hit of this kind" if not n_hits else f"{name}: {n_hits} hits, none drawn (maxplots: 0)"
    figure.text(0.5, 0.5, words, ha="center", va="center", fontsize="large")
    return figure
