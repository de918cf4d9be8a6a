"""Operations on the pixels of images, shared by several modules."""

from typing import Any

import numpy as np
from scipy import ndimage

from crstack.utils.memory import empty_image
from crstack.utils.threads import PIXELS_IN_CACHE, map_threads, row_bands, wide_bands

__all__ = [
    "EIGHT_CONNECTED",
    "at_pixels",
    "by_rows",
    "central_shift",
    "contrast_of",
    "dilate",
    "extreme_along",
    "features_holding",
    "highest_around",
    "informative_box",
    "middle_of",
    "some_true",
]

#: pixels that touch at a side or a corner are connected
EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)

#: largest radius for which it is fastest to compare with each pixel around
FEW = 4
#: largest number of pixels in the box of `informative_box`
BOX_PIXELS = 350_000
#: sides and positions of the box are multiples of this
BOX_STEP = 16
#: the largest weight of a pixel, so that no single star dominates
LARGEST_WEIGHT = 1.0


def at_pixels(value: float | np.ndarray, where: Any) -> Any:
    """A number as it is, or the values of an image at some pixels."""
    return value[where] if isinstance(value, np.ndarray) and value.ndim else value


def middle_of(shape: tuple[int, ...], most: int) -> tuple[slice, ...]:
    """Rows and columns of the middle of an image, with at most this number of pixels along each axis."""
    return tuple(slice(max((side - most) // 2, 0), min((side + most) // 2, side)) for side in shape)


def by_rows(function: Any, *values: Any) -> Any:
    """A function of numbers and images (ny, nx), computed by bands of rows; a number if all are numbers.

    Parameters
    ----------
    function : callable
        Of the values, pixel by pixel.
    *values : float or `~numpy.ndarray`
        Numbers and images of one shape.
    """
    shape = next((np.shape(one) for one in values if np.ndim(one)), None)
    if shape is None:
        return function(*values)
    kind = function(*(at_pixels(one, np.s_[:1, :1]) for one in values)).dtype
    image = empty_image(shape, kind)

    def work(rows: slice) -> None:
        image[rows] = function(*(at_pixels(one, rows) for one in values))

    map_threads(work, row_bands(*shape))
    return image


def _extreme(wide: np.ndarray, inner: slice, radius: int, extreme: np.ufunc) -> np.ndarray:
    """Extreme of the square around each pixel of some rows (``inner``) of a band with its margin."""
    down = wide.copy()
    for step in range(1, min(radius, len(wide) - 1) + 1):
        extreme(down[step:], wide[:-step], out=down[step:])
        extreme(down[:-step], wide[step:], out=down[:-step])
    down = down[inner]
    across = down.copy()
    for step in range(1, min(radius, down.shape[1] - 1) + 1):
        extreme(across[:, step:], down[:, :-step], out=across[:, step:])
        extreme(across[:, :-step], down[:, step:], out=across[:, :-step])
    return across


def extreme_along(image: np.ndarray, size: int, axis: int, extreme: np.ufunc = np.maximum) -> np.ndarray:
    """Highest of the ``size`` values around each pixel along an axis, or another extreme of them.

    Equal to `scipy.ndimage.maximum_filter1d`, and ten times faster: each comparison doubles the number of pixels that
    were compared. Pixels beyond the edges do not count. The size is odd. Where a value is NaN, the result is NaN.
    """
    edges = [(0, 0)] * image.ndim
    edges[axis] = (size // 2, size // 2)
    found, done = np.pad(image, edges, mode="edge").swapaxes(0, axis), 1
    while done < size:
        step = min(done, size - done)
        found = extreme(found[:-step], found[step:])
        done += step
    return found.swapaxes(0, axis)


def highest_around(image: np.ndarray, radius: int = 1) -> np.ndarray:
    """Highest value of the square of ``2 radius + 1`` pixels around each pixel; pixels beyond the edges do not count.

    Equal to `scipy.ndimage.maximum_filter` and several times faster for such small squares. No value may be NaN.
    """
    highest = np.empty_like(image)

    def work(band: tuple[slice, slice, slice]) -> None:
        rows, wide, inner = band
        highest[rows] = _extreme(image[wide], inner, radius, np.maximum)

    map_threads(work, wide_bands(image.shape[0], image.shape[1], margin=radius))
    return highest


def central_shift(shifts: Any) -> tuple[int, float]:
    """The one of some shifts (N, 2) whose largest distance along an axis to the others is smallest, and this distance.

    Parameters
    ----------
    shifts : `~numpy.ndarray`
        (N, 2) pixels.

    Returns
    -------
    index : int
        Of the first such shift.
    reach : float
        The distance, pixels.
    """
    shifts = np.asarray(shifts, dtype=float)
    reach = np.abs(shifts[:, None] - shifts).max(axis=(1, 2))
    return int(np.argmin(reach)), float(reach.min())


def contrast_of(image: np.ndarray) -> np.ndarray:
    """Largest minus smallest value of the 3 x 3 pixels around each."""
    contrast = np.empty_like(image)

    def work(band: tuple[slice, slice, slice]) -> None:
        rows, wide, inner = band
        highest, lowest = (_extreme(image[wide], inner, 1, one) for one in (np.maximum, np.minimum))
        np.subtract(highest, lowest, out=contrast[rows])

    map_threads(work, wide_bands(image.shape[0], image.shape[1], margin=1))
    return contrast


def some_true(mask: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Places of some of the True values of an image, without the places of all of them.

    Parameters
    ----------
    mask : `~numpy.ndarray` of bool
        (ny, nx).
    which : `~numpy.ndarray` of int
        (n,) ascending: 0 for the first True value, and so on.

    Returns
    -------
    places : `~numpy.ndarray` of int
        (n,) places in the flattened image: ``np.flatnonzero(mask)[which]``.
    """
    bands = row_bands(mask.shape[0], mask.shape[1], PIXELS_IN_CACHE)
    until = np.cumsum([np.count_nonzero(mask[rows]) for rows in bands])
    cuts = [0, *which.searchsorted(until)]
    places = np.empty(len(which), dtype=np.intp)

    def work(k: int) -> None:
        some, start = slice(cuts[k], cuts[k + 1]), 0 if k == 0 else until[k - 1]
        here = np.flatnonzero(mask[bands[k]])
        places[some] = bands[k].start * mask.shape[1] + here[which[some] - start]

    map_threads(work, [k for k in range(len(bands)) if cuts[k] < cuts[k + 1]])
    return places


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Grow a mask by ``radius`` pixels in every direction, corners included."""
    if radius == 0 or not mask.any():
        return mask
    if radius > FEW:
        size = 2 * radius + 1
        return extreme_along(extreme_along(mask.view(np.uint8), size, 0), size, 1).view(bool)
    return highest_around(mask.view(np.uint8), radius).view(bool)


def features_holding(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Connected features of ``mask`` that hold at least one pixel of ``seeds``.

    Parameters
    ----------
    mask, seeds : `~numpy.ndarray` of bool
        Same shape (ny, nx). Connectivity is 8.

    Returns
    -------
    kept : `~numpy.ndarray` of bool
    """
    labels, n_features = ndimage.label(mask, structure=EIGHT_CONNECTED)
    keep = np.zeros(n_features + 1, dtype=bool)
    keep[labels[seeds]] = True
    keep[0] = False
    return keep[labels]


def informative_box(weight: np.ndarray, pixels: int = BOX_PIXELS) -> tuple[slice, slice]:
    """The box, of the shape of the image, that holds the largest sum of weights.

    Parameters
    ----------
    weight : `~numpy.ndarray`
        (ny, nx), the information in each pixel; values over 1 count as 1.
    pixels : int, optional
        Approximate number of pixels of the box. A smaller image is used completely.

    Returns
    -------
    box : tuple of slice
        Rows and columns.
    """
    if weight.size <= pixels:
        return slice(0, weight.shape[0]), slice(0, weight.shape[1])
    total, size = weight if weight.dtype == bool else np.minimum(weight, LARGEST_WEIGHT), []
    for axis, side in enumerate(weight.shape):
        n = max(round(side * np.sqrt(pixels / weight.size) / BOX_STEP), 1)
        starts = np.arange(0, side - side % BOX_STEP or side, BOX_STEP)
        n = min(n, len(starts))
        whole = range(side - side % BOX_STEP or side)
        cells = np.add.reduceat(total.take(whole, axis), starts, axis, dtype=float)
        total = np.lib.stride_tricks.sliding_window_view(cells, n, axis).sum(axis=-1)
        size.append(n * BOX_STEP)
    first = np.unravel_index(np.argmax(total), total.shape)
    rows, columns = (slice(int(at) * BOX_STEP, int(at) * BOX_STEP + n) for at, n in zip(first, size, strict=True))
    return rows, columns
