"""Frames and scales of panels as a few lines and words, for files, in which nobody zooms.

The axes of matplotlib make five objects for each tick, and compute their places again on every page: half of its time.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FixedScales", "broken_line", "round_values", "words_of_values"]

#: length of a tick, and distance of its label from the axes, in inches
TICK, LABEL = 3.5 / 72, 7.0 / 72
LINE_WIDTH = 0.8
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
    """Texts of the values of a scale, of like precision."""
    step = np.diff(values).min() if len(values) > 1 else 0.0
    digits = max(-int(np.floor(np.log10(step) + 1e-6)), 0) if 0 < step < 1 else 0
    large = np.abs(values).max(initial=0) >= 1e6
    return [f"{value:.6g}" if large else f"{value:.{digits}f}" for value in values]


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
        self._boxes = {axes: axes.get_position() for axes in panels}
        self._lines: dict = {}
        self._texts: dict = {}

    def __enter__(self) -> "FixedScales":
        from matplotlib.lines import Line2D

        look = {"color": "black", "linewidth": LINE_WIDTH, "solid_capstyle": "projecting"}
        self._drawn = self.figure.add_artist(Line2D([], [], transform=self.figure.transFigure, **look))
        for axes, box in self._boxes.items():
            axes.set_axis_off()
            corners = np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])
            self._lines[axes] = [np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)]
            self._label(axes)
        return self

    def __exit__(self, *exception: object) -> None:
        self._drawn.remove()
        for texts in self._texts.values():
            for text in texts:
                text.remove()
        for axes in self._panels:
            axes.set_axis_on()

    def _label(self, axes):
        """The labels of the axes, at the places of those of matplotlib."""
        for axis in (axes.xaxis, axes.yaxis):
            label = axis.label
            if not axis.get_visible() or not label.get_text():
                continue
            x, y = self.figure.transFigure.inverted().transform(axes.transAxes.transform(label.get_position()))
            upright = axis is axes.yaxis
            look = {"rotation": label.get_rotation(), "rotation_mode": "anchor"} if upright else {}
            below = "top" if axis.get_label_position() == "right" or not upright else "bottom"
            text = self.figure.text(x, y, label.get_text(), size=label.get_size(), ha="center", va=below, **look)
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
        width, height = self._size
        across, up, right, above = SIDES[side]
        box = self._boxes[axes]
        start = np.empty((len(places), 2))
        if side == "bottom":
            start[:, 0], start[:, 1] = box.x0 + np.asarray(places) * box.width, box.y0
        else:
            start[:, 1], start[:, 0] = box.y0 + np.asarray(places) * box.height, box.x1 if right > 0 else box.x0
        away = np.array([right / width, above / height])
        self._lines[axes, side] = [np.stack([start, start + TICK * away], axis=1)]
        texts = self._texts.setdefault((axes, side), [])
        while len(texts) < len(words):
            texts.append(self.figure.text(0, 0, "", ha=across, va=up, size=size))
        for i, text in enumerate(texts):
            text.set_visible(i < len(words))
            if i < len(words):
                text.set(position=start[i] + LABEL * away, text=words[i])

    def update(self) -> None:
        """Draw the ticks that were set."""
        self._drawn.set_data(*broken_line(np.concatenate([part for parts in self._lines.values() for part in parts])))
