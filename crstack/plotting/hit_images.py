"""The first page of a hit: its images in all exposures."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

from crstack.masks import MaskSet
from crstack.masks.codes import exposure_name
from crstack.masks.features import codes_of
from crstack.plotting.fixed_scales import FixedScales, broken_line, round_values, words_of_values
from crstack.plotting.mask_view import MaskView
from crstack.plotting.style import COLOR_SCALES, IMAGE_COLOURS, NONE, draw_image, image_limits, new_figure
from crstack.plotting.symbols import SYMBOLS, draw_key, key_of_codes
from crstack.utils.validation import check_choice, check_integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HitImages"]

#: pixels between a hit that is larger than its window, and the edge
MARGIN = 2
PANEL = 2.7  # side of a panel, inches
TOP = 0.9  # height of the title of the page and those of the panels, inches
ABOVE = 0.128  # from the upper edge to the title of the page, inches
OUTLINE = "#e69f00"
WHO = "flagged by"
#: most ticks of a panel, and of the colour bar
TICKS, TICKS_OF_BAR = 4, 9


class HitImages:
    """Images around a hit: the exposures, the image of the mask, its codes, and the corrected image.

    Parameters
    ----------
    view, masks, semiwindow, color_scale, replacement, corrected
        As for `~crstack.plotting.plot_hits`.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in; a new one by default.

    Attributes
    ----------
    figure : `~matplotlib.figure.Figure`
        The page. Each hit is drawn into the same one.
    """

    def __init__(
        self,
        view: MaskView,
        masks: MaskSet | None,
        *,
        semiwindow: int,
        color_scale: Literal["zscale", "minmax"],
        replacement: np.ndarray | None,
        corrected: tuple[str, np.ndarray] | None,
        fig: "Figure | str | None" = None,
    ) -> None:
        check_integer("semiwindow", semiwindow, minimum=0)
        check_choice("color_scale", color_scale, COLOR_SCALES)
        self.view, self.masks = view, masks
        self.semiwindow, self.color_scale = semiwindow, color_scale
        self.replacement = view.min2d if replacement is None else replacement
        self.corrected = corrected
        self.figure = self._make(fig)

    def _make(self, figure):
        """Make the figure with its panels, once for all hits."""
        view = self.view
        exposures = view.others[1:]
        columns = 4 if len(exposures) == 4 or len(exposures) > 6 else 3
        rows = -(-len(exposures) // columns) + 1
        # a larger page is shown or printed smaller
        self._label_size = "x-small" if rows < 4 else "small"
        figure = new_figure((PANEL * columns + 1.0, PANEL * rows + 1.0), figure, layout="none")
        figure.set_layout_engine(None)  # the same positions for every hit, which is fast
        width, height = figure.get_size_inches()
        figure.subplots_adjust(0.5 / width, 0.75 / height, 1 - 0.9 / width, 1 - TOP / height, 0.22, 0.25)
        grid = figure.add_gridspec(rows, columns)
        spots = [grid[i // columns, i % columns] for i in range(len(exposures))]
        spots += [grid[rows - 1, i] for i in range(3)]
        titles = [label for label, _ in exposures]
        last = f"{self.view.label}, corrected" if self.corrected is None else f"{self.corrected[0]}, corrected"
        titles += [self.view.label, WHO, last]
        self._panels = [figure.add_subplot(spot) for spot in spots]
        _label_outer(self._panels)
        self._drawn, self._outlines = [], []
        self._scales: FixedScales | None = None
        for axes, title in zip(self._panels, titles, strict=True):
            self._fill_panel(axes, title)
        middle = [image for i, image in enumerate(self._drawn) if i != len(exposures) + 1]
        self._shared = middle
        spot = (1 - 0.75 / width, 0.75 / height, 0.16 / width, 1 - (0.75 + TOP) / height)
        self._bar_axes = figure.add_axes(spot)
        self._bar = _add_bar(self._bar_axes, f"signal ({self.view.unit})")
        draw_key(figure, key_of_codes(view.pixels["code"], view.finder, "s"), 0.5, 0.18 / height)
        return figure

    def _fill_panel(self, axes, title):
        """Draw an empty image into a panel."""
        nothing = np.zeros((1, 1))
        if title == WHO:
            self._drawn.append(draw_image(axes, nothing, (-0.5, max(SYMBOLS) + 0.5), colours=_code_colours(), **NONE))
        else:
            self._drawn.append(draw_image(axes, nothing, (0, 1), **NONE))
        self._outlines += axes.plot([], [], color=OUTLINE, linewidth=1.2, solid_capstyle="projecting")
        axes.set_title(title, fontsize="medium", y=1.0)  # a fixed position need not be computed on every page
        axes.tick_params(labelsize=self._label_size)
        axes.locator_params(nbins=TICKS, integer=True)

    def show(self, feature, pixels, title):
        """Draw the images around one hit in place of those of the last one."""
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
                flagged = codes_of(self.masks, exposure_name(i))[rows, columns] > 0
                own = _outline(flagged & hit, columns.start + 1, rows.start + 1)
            self._outlines[i].set_data(*broken_line(own))
        # in a tall figure, the usual place would be among the panels
        self.figure.suptitle(title, fontsize="medium", y=1 - ABOVE / self.figure.get_figheight())
        if self._scales is not None:
            self._set_scales(self._scales, extent, limits)

    @contextmanager
    def fixed(self):
        """Context in which the scales are drawn faster, and do not follow a zoom: for files."""
        with FixedScales(self.figure, [*self._panels, self._bar_axes]) as self._scales:
            for axes in (*self._panels, self._bar_axes):
                self._scales.label(axes)
            yield
        self._scales = None

    def _set_scales(self, scales, extent, limits):
        left, right, bottom, top = extent
        x, y = (round_values(*ends, TICKS, integer=True) for ends in (extent[:2], extent[2:]))
        for axes in self._panels:
            if axes.xaxis.get_visible():
                scales.set(axes, "bottom", (x - left) / (right - left), words_of_values(x), self._label_size)
            if axes.yaxis.get_visible():
                scales.set(axes, "left", (y - bottom) / (top - bottom), words_of_values(y), self._label_size)
        values = round_values(*limits, TICKS_OF_BAR)
        scales.set(self._bar_axes, "right", (values - limits[0]) / (limits[1] - limits[0]), words_of_values(values))
        scales.update()

    def _window(self, feature):
        """Rows and columns that show a hit, inside the image."""

        def along(low, high, size):
            half = max(self.semiwindow, (high - low) // 2 + 1 + MARGIN)
            middle = (int(low) + int(high)) // 2 - 1
            start = min(max(middle - half, 0), max(size - (2 * half + 1), 0))
            return slice(start, min(start + 2 * half + 1, size))

        ny, nx = self.view.codes.shape
        return along(feature["ymin"], feature["ymax"], ny), along(feature["xmin"], feature["xmax"], nx)


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


def _outline(mask, first_x, first_y):
    """Segments around the pixels of a mask, on FITS coordinates."""
    padded = np.pad(mask, 1).astype(np.int8)
    y, x = np.nonzero(np.diff(padded, axis=0)[:, 1:-1])
    across = np.stack([np.stack([x, y], 1), np.stack([x + 1, y], 1)], 1)
    y, x = np.nonzero(np.diff(padded, axis=1)[1:-1])
    along = np.stack([np.stack([x, y], 1), np.stack([x, y + 1], 1)], 1)
    segments = np.concatenate([across, along])
    return segments + np.array([first_x - 0.5, first_y - 0.5])
