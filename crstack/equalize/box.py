"""The part of an image in which something is measured."""

import numpy as np

__all__ = ["telling_box"]

#: pixels of the box, where the image has more
PIXELS = 350_000
#: its sides and places are multiples of this
STEP = 16
#: a pixel counts as this much at most, so that no single star outweighs the rest
MOST = 1.0


def telling_box(weight, pixels=PIXELS):
    """The box that holds most weight, of the shape of the image.

    Parameters
    ----------
    weight : `~numpy.ndarray`
        (ny, nx), how much each pixel tells; over 1 counts as 1.
    pixels : int, optional
        Its size, roughly. An image that is no larger is taken whole.

    Returns
    -------
    box : tuple of slice
        Rows and columns.
    """
    if weight.size <= pixels:
        return slice(0, weight.shape[0]), slice(0, weight.shape[1])
    total, size = np.minimum(weight, MOST), []
    for axis, side in enumerate(weight.shape):
        n = max(round(side * np.sqrt(pixels / weight.size) / STEP), 1)
        starts = np.arange(0, side - side % STEP or side, STEP)
        n = min(n, len(starts))
        cells = np.add.reduceat(total.take(range(side - side % STEP or side), axis), starts, axis, dtype=float)
        total = np.lib.stride_tricks.sliding_window_view(cells, n, axis).sum(axis=-1)
        size.append(n * STEP)
    first = np.unravel_index(np.argmax(total), total.shape)
    return tuple(slice(int(at) * STEP, int(at) * STEP + n) for at, n in zip(first, size, strict=True))
