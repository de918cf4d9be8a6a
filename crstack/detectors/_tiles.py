"""Apply a function to an image in overlapping tiles that join without a step."""

import numpy as np

__all__ = ["join_tiles"]

#: tiles start at, and are, multiples of this: the networks halve an image two to four times
STEP = 16

#: pixels at the sides of a tile whose results are not used
MARGIN = 32

#: pixels over which two tiles are blended
OVERLAP = 64

#: largest side of a tile with its margins, which limits the memory of the networks
TILE = 1024


def join_tiles(predict, *images, tile=TILE):
    """Apply a function to tiles of images and join the results.

    The images are mirrored at their edges, so that every used pixel has neighbours on all sides. Where two tiles
    overlap, their results are blended linearly.

    Parameters
    ----------
    predict : callable
        ``predict(*tiles)``: from a contiguous tile of each image, with sides
        that are multiples of 16, to an array of the same shape.
    *images : `~numpy.ndarray`
        One or more of shape (ny, nx), any size.
    tile : int, optional
        Largest side of a tile.

    Returns
    -------
    joined : `~numpy.ndarray`
        float32 (ny, nx).
    """
    joined = np.zeros(images[0].shape, dtype=np.float32)
    along_y, along_x = (_spans(size, tile) for size in joined.shape)
    for y in along_y:
        for x in along_x:
            window = np.ix_(y.source, x.source)
            answer = predict(*(image[window] for image in images))
            part = answer[y.inner, x.inner] * (y.weight[:, None] * x.weight)
            joined[y.target, x.target] += part
    return joined


class _Span:
    """One tile along one axis: its input, the part that is kept, and the position of this part."""

    def __init__(self, start, side, n_pixels, weight):
        stop = min(start + side, n_pixels)
        self.source = _mirrored(np.arange(start - MARGIN, start + side + MARGIN), n_pixels)
        self.inner = slice(MARGIN, MARGIN + stop - start)
        self.target = slice(start, stop)
        self.weight = weight[: stop - start].astype(np.float32)


def _spans(n_pixels, tile):
    """The tiles along an axis; their weights add to 1 at each pixel."""
    largest = tile - 2 * MARGIN
    if n_pixels <= largest:
        side = _multiple(n_pixels)
        return [_Span(0, side, n_pixels, np.ones(side))]
    n_tiles = -(-(n_pixels - OVERLAP) // (largest - OVERLAP))
    pitch = _multiple(-(-(n_pixels - OVERLAP) // n_tiles))
    side = pitch + OVERLAP
    ramp = (np.arange(OVERLAP) + 0.5) / OVERLAP
    spans = []
    for start in range(0, n_pixels - OVERLAP, pitch):
        weight = np.ones(side)
        if start > 0:
            weight[:OVERLAP] = ramp
        if start + pitch < n_pixels - OVERLAP:
            weight[pitch:] = ramp[::-1]
        spans.append(_Span(start, side, n_pixels, weight))
    return spans


def _multiple(n_pixels):
    """``n_pixels`` or the next multiple of `STEP` above."""
    return -(-n_pixels // STEP) * STEP


def _mirrored(index, n_pixels):
    """Indices of an axis, extended by mirroring at the first and the last pixel."""
    if n_pixels == 1:
        return np.zeros_like(index)
    period = 2 * (n_pixels - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)
