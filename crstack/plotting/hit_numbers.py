"""Numbers of the hits in a panel."""

import numpy as np

from crstack.plotting.style import free_spots, white_edges
from crstack.plotting.symbols import SYMBOLS

__all__ = ["HitNumbers", "in_sight"]

#: largest number of labels in a panel
MOST_NUMBERS = 150
TEXT = {"ha": "center", "va": "center", "fontsize": 7.5, "annotation_clip": True}


class HitNumbers:
    """Numbers of the hits in a panel, as far as they do not overlap.

    Parameters
    ----------
    axes : `~matplotlib.axes.Axes`
        The panel.
    x, y : str
        Columns of the pixels with their place in the panel.
    beside : (float, float), optional
        Distance of a number from its place, in points.

    Attributes
    ----------
    texts : list of `~matplotlib.text.Annotation`
        The numbers that are drawn.
    """

    def __init__(self, axes, x, y, *, beside=(0, 0)):
        self.axes, self.x, self.y, self.beside = axes, x, y, beside
        self.texts = []

    def draw(self, tops, *, least=0.0):
        """Replace the numbers by those of other hits.

        Parameters
        ----------
        tops : `~numpy.ndarray`
            Highest pixel of each hit, highest first.
        least : float, optional
            No number is drawn if a smaller share of those in sight fits.

        Returns
        -------
        n_placed, n_in_sight : int
            How many numbers are drawn, and how many hits are in sight.
        """
        for text in self.texts:
            text.remove()
        self.texts = []
        if not len(tops):
            return 0, 0
        words = [str(number) for number in tops["number"]]
        placed = free_spots(self.axes, tops[self.x], tops[self.y], words, MOST_NUMBERS)
        n_in_sight = int(np.count_nonzero(in_sight(self.axes, tops[self.x], tops[self.y])))
        if len(placed) < least * n_in_sight:
            return 0, n_in_sight
        self.texts = [
            self.axes.annotate(
                words[i],
                (tops[self.x][i], tops[self.y][i]),
                self.beside,
                textcoords="offset points",
                color=SYMBOLS[tops["code"][i]][1],
                path_effects=white_edges(),
                **TEXT,
            )
            for i in placed
        ]
        return len(placed), n_in_sight


def in_sight(axes, x, y):
    """Which points are within the limits of the axes.

    Parameters
    ----------
    axes : `~matplotlib.axes.Axes`
        The panel.
    x, y : `~numpy.ndarray`
        (M,) places.

    Returns
    -------
    inside : `~numpy.ndarray` of bool
        (M,).
    """
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    return (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
