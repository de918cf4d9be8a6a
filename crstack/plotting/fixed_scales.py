"""Frames and scales of panels as a few lines and words, for files, where no zoom is needed.

The axes of matplotlib make five objects for each tick, and compute their places again on every page, which is slow.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FixedScales", "broken_line", "round_values", "words_of_values"]

#: length of a tick, and distance of its label from the axes, in inches
TICK, MINOR, LABEL = 3.5 / 72, 2.0 / 72, 7.0 / 72
#: width of the lines of the axes, in points
LINE_WIDTH = 0.8
#: values that are written with a power of ten, and most digits after the point
LARGE, MOST_DIGITS = 1e6, 8
#: width of a digit and height of a line of 10 points, and the distance of the label of an axis from its numbers
LETTER, PAD = (0.088, 0.14), 4.0 / 72
#: places of the labels by the side of a scale: alignment, and direction away from the axes
SIDES = {
    "bottom": ("center", "top", 0, -1),
    "left": ("right", "center_baseline", -1, 0),
    "right": ("left", "center_baseline", 1, 0),
}


def round_values(low, high, most, *, integer=False):
    """At most about ``most`` round numbers within limits, evenly spaced."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(most, integer=integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return values[(values >= min(low, high)) & (values <= max(low, high))]


def words_of_values(values):
    """Texts of the values of a scale, with as many digits as all of them need."""
    values = np.asarray(values, float)
    if np.abs(values).max(initial=0) >= LARGE:
        return [f"{value:.6g}" for value in values]
    near = 1e-3 * (np.diff(values).min() if len(values) > 1 else 1.0)
    digits = next((n for n in range(MOST_DIGITS) if (np.abs(values - values.round(n)) < near).all()), MOST_DIGITS)
    return [f"{value:.{digits}f}" for value in values]


def _place_of(axes):
    """Box of a panel in parts of the figure, also of one whose place or aspect follows from others."""
    locator = axes.get_axes_locator()
    axes.apply_aspect(None if locator is None else locator(axes, None))
    return axes.get_position()


def broken_line(segments):
    """Coordinates x and y of segments (M, 2, 2) as one line with gaps: one path in a file, not M."""
    with_gaps = np.full((len(segments), 3, 2), np.nan)
    with_gaps[:, :2] = segments
    return with_gaps.reshape(-1, 2).T


class FixedScales:
    """Draws the frames and the scales of panels in place of their axes; a context manager.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    panels : sequence of `~matplotlib.axes.Axes`
        Its panels.
    """

    def __init__(self, figure: "Figure", panels: "list[Axes]") -> None:
        self.figure, self._panels = figure, panels
        self._size = figure.get_size_inches()
        self._boxes = {axes: _place_of(axes) for axes in panels}
        self._lines: dict = {}
        self._texts: dict = {}

    def __enter__(self) -> "FixedScales":
        from matplotlib.lines import Line2D

        self._drawn = Line2D([], [], color="black", linewidth=LINE_WIDTH, solid_capstyle="projecting")
        self._drawn.set_transform(self.figure.transFigure)
        self.figure.add_artist(self._drawn)
        for axes, box in self._boxes.items():
            axes.set_axis_off()
            corners = np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])
            self._lines[axes] = [np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)]
        return self

    def __exit__(self, *exception: object) -> None:
        self._drawn.remove()
        for texts in self._texts.values():
            for text in texts:
                text.remove()
        for axes in self._panels:
            axes.set_axis_on()

    def set_as(self, axes: "Axes", side: str, *, labelled: bool = True) -> list:
        """Set the scale at one side of a panel as matplotlib would draw it.

        Parameters
        ----------
        axes, side
            As for `set`.
        labelled : bool, optional
            Whether the ticks have numbers.

        Returns
        -------
        words : list of str
            The numbers.
        """
        axis = axes.xaxis if side == "bottom" else axes.yaxis
        low, high = sorted(axis.get_view_interval())
        places = []
        for values in (axis.get_majorticklocs(), axis.get_minorticklocs()):
            values = np.array([one for one in values if low <= one <= high])
            points = np.column_stack([values, np.full(len(values), axes.get_ylim()[0])])
            if side != "bottom":
                points = np.column_stack([np.full(len(values), axes.get_xlim()[0]), values])
            along = (axes.transData - axes.transAxes).transform(points)[:, int(side != "bottom")]
            places.append((values, along))
        (values, major), (_, minor) = places
        formatter = axis.get_major_formatter()
        words = formatter.format_ticks(list(values))
        if formatter.get_offset() or any("$" in one for one in words):
            words = words_of_values(values)
        words = words if labelled else []
        self.set(axes, side, major, words)
        self._add_ticks(axes, side, minor, MINOR)
        return words

    def label_beside(self, axes: "Axes", side: str, words: list) -> None:
        """Write the label of an axis, beyond the longest of its numbers.

        Parameters
        ----------
        axes, side, words
            As for `set`.
        """
        if not (axes.xaxis if side == "bottom" else axes.yaxis).get_label_text():
            return
        box, (width, height) = self._boxes[axes], self._size
        far = LABEL + PAD + (LETTER[1] if side == "bottom" else LETTER[0] * max(map(len, words), default=0))
        if side == "bottom":
            self._write(axes, axes.xaxis.label, (box.x0 + box.x1) / 2, box.y0 - far / height, "top")
        else:
            x = box.x0 - far / width if side == "left" else box.x1 + far / width
            self._write(axes, axes.yaxis.label, x, (box.y0 + box.y1) / 2, "bottom" if side == "left" else "top")

    def _write(self, axes, label, x, y, va):
        look = {"rotation": label.get_rotation(), "rotation_mode": "anchor"}
        text = self.figure.text(x, y, label.get_text(), size=label.get_size(), ha="center", va=va, **look)
        self._texts.setdefault((axes, "label"), []).append(text)

    def set(self, axes: "Axes", side: str, places: np.ndarray, words: list, size: str | float = "medium") -> None:
        """Set the scale at one side of a panel.

        Parameters
        ----------
        axes : `~matplotlib.axes.Axes`
            The panel.
        side : {"bottom", "left", "right"}
            Where.
        places : `~numpy.ndarray`
            Places of the values, as fractions of that side.
        words : list of str
            Their labels.
        size : str or float, optional
            Of the letters.
        """
        across, up, *_ = SIDES[side]
        self._lines[axes, side] = []
        start, away = self._add_ticks(axes, side, places, TICK)
        texts = self._texts.setdefault((axes, side), [])
        while len(texts) < len(words):
            texts.append(self.figure.text(0, 0, "", ha=across, va=up, size=size))
        for i, text in enumerate(texts):
            text.set_visible(i < len(words))
            if i < len(words):
                text.set(position=start[i] + LABEL * away, text=words[i])

    def _add_ticks(self, axes, side, places, length):
        """Lines at some places of a side; their starts, and an inch away from the panel, in parts of the figure."""
        width, height = self._size
        _, _, right, above = SIDES[side]
        box, start = self._boxes[axes], np.empty((len(places), 2))
        if side == "bottom":
            start[:, 0], start[:, 1] = box.x0 + np.asarray(places) * box.width, box.y0
        else:
            start[:, 1], start[:, 0] = box.y0 + np.asarray(places) * box.height, box.x1 if right > 0 else box.x0
        away = np.array([right / width, above / height])
        self._lines[axes, side].append(np.stack([start, start + length * away], axis=1))
        return start, away

    def label(self, axes: "Axes") -> None:
        """Write the labels of a panel where their coordinates are set.

        Parameters
        ----------
        axes : `~matplotlib.axes.Axes`
            The panel.
        """
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_visible() and axis.get_label_text():
                place = axes.transAxes.transform(axis.label.get_position())
                x, y = self.figure.transFigure.inverted().transform(place)
                away = axis is axes.yaxis and axis.get_label_position() == "left"
                self._write(axes, axis.label, x, y, "bottom" if away else "top")

    def update(self) -> None:
        """Draw the ticks that were set."""
        self._drawn.set_data(*broken_line(np.concatenate([part for parts in self._lines.values() for part in parts])))
