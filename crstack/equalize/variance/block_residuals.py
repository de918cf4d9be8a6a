"""Variance of residuals that extend over several pixels, such as those in the wings of a star."""

import numpy as np

from crstack.statistics import sort_exposures
from crstack.utils.medians import median_of_values
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_threads

__all__ = ["raise_to_block_residuals"]

#: heights and widths (pixels) of blocks: for stars, and for traces or lines along either axis
BLOCKS = ((8, 8), (1, 64), (64, 1))
#: limit of the raised variance, over the variance of the noise, in square and in long blocks. Residuals below the noise
#: make clean values next to hits look hit. Larger residuals are part of the variance of their kind of place
MOST, MOST_OF_LONG = 1.0, 0.5
#: pixels that are examined at once
PIXELS = 1 << 18
#: a value this many standard deviations above the others is hit, unless most values of the block are as high
HIT = 4.0
#: standard deviation of a median over that of a mean
OF_MEDIAN = 1.2533
#: a residual of a block counts from this number of its standard deviations on; beside such a block the second number
#: suffices
SIGNIFICANCE, BESIDE = 4.0, 2.5


def raise_to_block_residuals(variance, levels, variance_of):
    """Raise variances, in place, to the squared residuals of the exposures in blocks of pixels, up to a limit.

    In the wings of a star, the residual is smaller than the noise of a pixel, but it is the same in all pixels of a
    block. The median over a block measures it. Hits hardly change this median, because they cover few of the pixels.

    Parameters
    ----------
    variance : `~numpy.ndarray`
        float32 (ny, nx) variance of each pixel beyond the noise, electrons squared.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures on a common level, electrons.
    variance_of : callable
        ``variance_of(signal, box)``: mean variance of the exposures at a signal, in a box of the image (slices).
    """
    for size in BLOCKS:
        if all(side >= one for side, one in zip(variance.shape, size, strict=True)):
            _raise(variance, levels, variance_of, size)


def _raise(variance, levels, variance_of, size):
    """Raise the variances for blocks of one size, in place."""
    # the last block ends at the edge
    down, across = (
        np.append(np.arange(0, side - one, one), side - one) for side, one in zip(variance.shape, size, strict=True)
    )
    at_once = max(PIXELS // (variance.shape[1] * size[0]), 1)

    def work(first):
        starts = down[first : first + at_once]
        rows = slice(starts[0], starts[-1] + size[0])
        cube = np.array(levels[:, rows])
        places = [
            one[:, None] + np.arange(length) for one, length in zip((starts - starts[0], across), size, strict=True)
        ]
        return _squares(cube, lambda one: variance_of(one, (rows, np.s_[:])), places)

    parts = map_threads(work, range(0, len(down), at_once))
    squares, noise = (np.concatenate(one) for one in zip(*parts, strict=True))
    errors2 = noise * (OF_MEDIAN**2 / (size[0] * size[1]) * (1 - 1 / len(levels)))
    most = MOST if size[0] == size[1] else MOST_OF_LONG
    beside = dilate(squares > SIGNIFICANCE**2 * errors2, 1)
    for i, j in zip(*np.nonzero(beside & (squares > BESIDE**2 * errors2)), strict=True):
        block = variance[down[i] : down[i] + size[0], across[j] : across[j] + size[1]]
        np.maximum(block, min(squares[i, j], most * noise[i, j]), out=block)


def _squares(cube, variance_of, places):
    """Largest squared residual (rows, columns) of blocks, and variance of the noise of a pixel.

    ``places`` is a pair: the rows of the pixels in each row of blocks, and the columns in each column of blocks.
    """
    n, ordered = len(cube), cube.copy()
    sort_exposures(ordered)
    # for two exposures, the lower value
    middle = ordered[(n - 1) // 2]
    variance = variance_of(middle)
    limit = np.float32(HIT) * np.sqrt(variance)
    # not relative to the median, because each exposure is the median in some pixels
    base = np.where(cube > middle + limit, middle, cube).mean(axis=0)
    rows, columns = places

    def blocks(image):
        return image[rows[:, None, :, None], columns[None, :, None, :]].reshape(len(rows), len(columns), -1)

    largest = np.zeros((len(rows), len(columns)), np.float32)
    for plane in cube:
        left = blocks(plane - base)
        hit = left > blocks(limit)
        # hits do not fill most of a block
        hit &= np.count_nonzero(hit, axis=-1, keepdims=True) < hit.shape[-1] / 2
        left[hit] = 0
        np.maximum(largest, np.square(median_of_values(left, axis=-1)), out=largest)
    return largest, median_of_values(blocks(variance), axis=-1)
