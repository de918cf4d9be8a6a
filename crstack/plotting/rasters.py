"""Images of many flagged pixels, because thousands of symbols would hide each other and take seconds to draw."""

import numpy as np

from crstack.plotting.style import places_in_axes
from crstack.plotting.symbols import SYMBOLS

__all__ = ["CELLS", "cell_codes", "cell_counts", "cells_in_axes", "code_image"]

#: cells along the axes of a panel
CELLS = (130, 100)
#: opacity of a cell
OPAQUE = 0.85


def cells_in_axes(axes, x, y):
    """Cells of the axes that contain the points.

    Parameters
    ----------
    axes : `~matplotlib.axes.Axes`
        Axes with their current limits and scales.
    x, y : `~numpy.ndarray`
        (n,) data coordinates.

    Returns
    -------
    rows, columns : `~numpy.ndarray`
        (n,) integers, from the lower left.
    inside : `~numpy.ndarray` of bool
        Points that are visible.
    """
    part, inside = places_in_axes(axes, x, y)
    column, row = (np.minimum((part[:, i] * CELLS[i]), CELLS[i] - 1) for i in (0, 1))
    rows, columns = (np.where(inside, place, 0).astype(int) for place in (row, column))
    return rows, columns, inside


def cell_counts(rows, columns, shape):
    """Number of points in each cell, as an image of a shape."""
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def cell_codes(rows, columns, codes, shape):
    """Code that most points of each cell have, as an image of a shape; 0 where there is none."""
    numbers = np.stack([cell_counts(rows[codes == code], columns[codes == code], shape) for code in SYMBOLS])
    return np.where(numbers.any(axis=0), np.array(list(SYMBOLS), np.uint8)[numbers.argmax(axis=0)], 0).astype(np.uint8)


def code_image(codes):
    """Colours of an image of codes, RGBA; transparent where there is none."""
    colours = np.zeros((max(SYMBOLS) + 1, 4), dtype=np.uint8)
    for code, (_, colour, _) in SYMBOLS.items():
        colours[code] = [*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), round(255 * OPAQUE)]
    return colours[codes]
