"""Sums of an image along all straight lines that cross it."""

import numpy as np

__all__ = ["lengths_of_lines", "sums_of_lines"]


def sums_of_lines(image):
    """Sums along the lines that cross an image from left to right, rising by 0 to 45 degrees.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx) of small integers.

    Returns
    -------
    sums : `~numpy.ndarray`
        int32 (n, ny + n), where n is the power of two that is not below nx. ``sums[s, h]`` is that of the line from row
        h - n at the first column to row h - n + s at column n - 1. Pixels outside count as 0.

    Notes
    -----
    Approximate discrete Radon transform (Brady 1998, SIAM J. Comput. 27, 107): sums over two columns are joined to
    those over four, and so on, in n ny log n steps.

    scikit-image has two functions for this. `skimage.transform.radon` rotates the image for each angle, which takes
    far longer. `skimage.transform.hough_line` takes longer if more than about one per cent of the pixels count. It also
    assigns each pixel to only one line of an angle.
    """
    ny, nx = image.shape
    n = 1 << max(nx - 1, 1).bit_length()
    sums = np.zeros((n, 1, ny + n), dtype=np.int32)
    sums[:nx, 0, n:] = image.T
    while len(sums) > 1:
        left, right = sums[::2], sums[1::2]
        steps = left.shape[1]
        joined = np.repeat(left, 2, axis=1)
        for step in range(steps):
            for k in (2 * step, 2 * step + 1):
                shift = step + k % 2
                joined[:, k, : ny + n - shift] += right[:, step, shift:]
        sums = joined
    return sums[0]


def lengths_of_lines(shape):
    """Number of columns that each of these lines crosses inside an image.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    lengths : `~numpy.ndarray`
        float32, as of `sums_of_lines`.
    """
    ny, nx = shape
    n = 1 << max(nx - 1, 1).bit_length()
    start = np.arange(ny + n, dtype=np.float32) - n
    slope = (np.arange(n, dtype=np.float32) / (n - 1))[:, None]
    steep = np.maximum(slope, 1e-6)
    first, last = np.clip((-0.5 - start) / steep, 0, nx), np.clip((ny - 0.5 - start) / steep, 0, nx)
    lengths = np.maximum(last - first, 0)
    lengths[0] = np.where((start >= 0) & (start < ny), nx, 0)
    return lengths
