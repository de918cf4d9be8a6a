"""Courses of tilted or curved lines, such as those of the sky along a slit."""

import numpy as np
from scipy import ndimage

from crstack.utils.cached import cached_property
from crstack.utils.threads import map_threads, row_bands

__all__ = ["Course"]


class Course:
    """The course of lines along y, which need not be straight.

    Parameters
    ----------
    shifts : `~numpy.ndarray`
        (ny, nx) distance, in pixels along x, of the line through each pixel from its own place in the middle row.

    Notes
    -----
    A straightened image has these lines in its columns. It is wider than the image, so that it holds all lines.
    """

    def __init__(self, shifts):
        self.shape = shifts.shape
        nx = shifts.shape[1]
        self._first = -int(np.ceil(shifts.max()))
        #: columns of a straightened image
        self.width = nx - int(np.floor(shifts.min())) - self._first
        own, rows = np.arange(nx, dtype=float), range(len(shifts))
        places = np.arange(self.width) + self._first
        # columns (ny, width) in the image of the pixels of the straightened image
        columns = np.stack([_inverse(places, own - shifts[row], own) for row in rows])
        self._to_straight = _Sampling(columns, nx)
        # the pixels of the image have columns (ny, nx) in the straightened image
        self._to_image = _Sampling(own - shifts - self._first, self.width)
        nearest = np.floor(columns + 0.5).astype(int)
        self._inside = (nearest >= 0) & (nearest < nx)
        self._nearest = nearest.clip(0, nx - 1)
        #: number of pixels (width,) of each line that are in the image
        self.lengths = np.count_nonzero(self._inside, axis=0)

    @cached_property
    def _rows(self):
        """Rows (ny, width) of the nearest pixel of each line that is in the image."""
        outside = ~self._inside
        outside[:, outside.all(axis=0)] = False
        far = float(sum(outside.shape))
        return ndimage.distance_transform_edt(outside, sampling=(1, far), return_distances=False, return_indices=True)

    def straightened(self, image):
        """Image (ny, width) whose columns are lines; beyond the edges of the image, a line goes on as within it."""
        return self._to_straight.of(image)[tuple(self._rows)]

    def bent(self, straight):
        """Image (ny, nx) from a straightened one (ny, width), or from the values (width,) of lines."""
        return self._to_image.of(np.broadcast_to(straight, (self.shape[0], self.width)))

    def taken(self, image, beyond=0):
        """Values (..., ny, width) of the nearest pixels of the straightened image, with their own noise.

        Parameters
        ----------
        image : `~numpy.ndarray`
            (..., ny, nx).
        beyond : float, optional
            Value of lines beyond the edges of the image.
        """
        some = np.take_along_axis(image, np.broadcast_to(self._nearest, (*image.shape[:-1], self.width)), axis=-1)
        return np.where(self._inside, some, np.asarray(beyond, image.dtype))


def _inverse(values, rising, places):
    """Places at which a rising function of places has some values; beyond both ends it goes on with slope 1."""
    found = np.interp(values, rising, places)
    return found + np.minimum(values - rising[0], 0) + np.maximum(values - rising[-1], 0)


class _Sampling:
    """Cubic splines along x at some columns (ny, n) of an image (ny, nx); those beyond its edges are at the edge."""

    def __init__(self, columns, nx):
        columns = columns.clip(0, nx - 1)
        first = np.minimum(columns.astype(np.int32), max(nx - 2, 0))
        self._part = (columns - first).astype(np.float32)
        # numbers of the first of four coefficients in an image with one more column before, and two after
        self._width = nx + 3
        self._first = first + (np.arange(len(columns), dtype=np.int32) * self._width)[:, None]

    def of(self, image):
        """Values (ny, n) of an image (ny, nx)."""
        found = np.empty_like(self._part)

        def work(rows):
            found[rows] = self._of_rows(np.asarray(image[rows], np.float32), rows)

        map_threads(work, row_bands(*found.shape))
        return found

    def _of_rows(self, image, rows):
        """Values (k, n) of some rows (k, nx) of an image."""
        splines = ndimage.spline_filter1d(image, 3, axis=1, output=np.float32, mode="mirror")
        splines = np.pad(splines, ((0, 0), (1, 2)), mode="reflect").ravel()
        first = self._first[rows] - np.int32(rows.start * self._width)
        total = np.zeros(first.shape, np.float32)
        for number, weight in enumerate(_spline_weights(self._part[rows])):
            total += np.multiply(weight, splines[number:].take(first), out=weight)
        total /= 6
        return total


def _spline_weights(part):
    """Six times the weights of the four coefficients of cubic splines, at a part of the way between two of them."""
    left = 1 - part
    # powers of single precision are slower than products
    squares = part * part, left * left
    cubes = squares[0] * part, squares[1] * left
    return cubes[1], 4 - 6 * squares[0] + 3 * cubes[0], 4 - 6 * squares[1] + 3 * cubes[1], cubes[0]
