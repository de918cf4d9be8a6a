"""Listed pixels, such as hot ones, replaced by the median of a box around them."""

import numpy as np

from crstack.exceptions import InputError
from crstack.utils.validation import check_integer, check_pixel

__all__ = ["box_values", "check_local_median", "check_local_medians", "listed_pixels", "median_of_boxes"]


def check_local_median(name, item, shape=None):
    """Return ``(x, y, x_width, y_width)`` as ints, or raise `InputError`.

    Parameters
    ----------
    name : str
        Name of the item in messages.
    item : sequence of int
        Pixel (FITS: the first is 1, 1) and odd widths of the box around it.
    shape : tuple of int, optional
        (ny, nx) of the image that must hold the pixel.
    """
    try:
        x, y, *widths = (check_integer(name, value) for value in item)
    except (TypeError, ValueError):
        widths = ()
    if len(widths) != 2:
        raise InputError(f"{name} must be four integers [X, Y, X_width, Y_width]; got {item!r}")
    check_pixel(name, (x, y), shape)
    if any(width < 1 or width % 2 == 0 for width in widths) or max(widths) == 1:
        raise InputError(f"{name} must have odd widths, one of them at least 3; got {list(item)}")
    return x, y, *widths


def check_local_medians(items, shape, name="local_medians {}"):
    """Raise `InputError` unless each box of checked ``items`` holds a pixel of the image that is not listed.

    ``name`` is the name of an item in messages, with a placeholder for its number.
    """
    for number, item in enumerate(items, start=1):
        check_local_median(name.format(number), item, shape)
    if len({item[:2] for item in items}) < len(items):
        raise InputError(f"{name.format('...')} must list each pixel once; got one twice")
    values = box_values(np.zeros(shape, np.float32), items, listed_pixels(items, shape))
    empty = np.flatnonzero(np.isnan(values).all(axis=1))
    if empty.size:
        name, item = name.format(empty[0] + 1), list(items[empty[0]])
        raise InputError(f"{name} must have a pixel in its box that is not listed; got {item}")


def listed_pixels(items, shape):
    """True at the pixels of ``items``: bool (ny, nx)."""
    listed = np.zeros(shape, dtype=bool)
    x, y, _, _ = np.array(items, dtype=int).reshape(-1, 4).T
    listed[y - 1, x - 1] = True
    return listed


def box_values(image, items, leave_out):
    """Values in the box around each pixel.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx).
    items : sequence of (x, y, x_width, y_width)
        From `check_local_median`.
    leave_out : `~numpy.ndarray` of bool
        (ny, nx), pixels whose values are excluded.

    Returns
    -------
    values : `~numpy.ndarray`
        (n, largest box), NaN where there is no value.
    """
    if not items:
        return np.empty((0, 0), dtype=image.dtype)
    ny, nx = image.shape
    x, y, x_width, y_width = np.array(items, dtype=int).reshape(-1, 4).T
    along, across = (np.arange(width.max()) - width.max() // 2 for width in (x_width, y_width))
    columns = (x - 1)[:, None, None] + along
    rows = (y - 1)[:, None, None] + across[:, None]
    inside = (np.abs(along) <= x_width[:, None, None] // 2) & (np.abs(across)[:, None] <= y_width[:, None, None] // 2)
    inside = inside & (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    rows, columns = np.broadcast_arrays(rows.clip(0, ny - 1), columns.clip(0, nx - 1))
    usable = inside & ~leave_out[rows, columns]
    return np.where(usable, image[rows, columns], np.nan).reshape(len(x), -1)


def median_of_boxes(image, variance, items, leave_out):
    """Medians of boxes around pixels, and their variances.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx).
    variance : `~numpy.ndarray`
        (ny, nx) variance of the values of the image.
    items : sequence of (x, y, x_width, y_width)
        From `check_local_median`; the values of listed pixels are excluded.
    leave_out : `~numpy.ndarray` of bool
        (ny, nx), more pixels whose values are excluded.

    Returns
    -------
    value, error : `~numpy.ndarray`
        (n,) medians and their variances, NaN where the box holds no value.

    Notes
    -----
    The median estimates the signal of the pixel. The neighbours differ from
    this signal by the structure of the image. The structure is estimated by
    the mean square about their median, minus the noise. The
    noise of the median, pi/2 times that of a mean, is added.
    """
    leave_out = leave_out | listed_pixels(items, image.shape)
    values = box_values(image, items, leave_out)
    some = ~np.isnan(values).all(axis=1)
    value, error = np.full((2, len(items)), np.nan)
    value[some] = np.nanmedian(values[some], axis=1)
    scatter = np.nanmean((values[some] - value[some, None]) ** 2, axis=1)
    noise = np.nanmean(box_values(variance, items, leave_out)[some], axis=1)
    n_values = np.count_nonzero(~np.isnan(values[some]), axis=1)
    error[some] = np.maximum(scatter - noise, 0) + np.pi / 2 * noise / n_values
    return value, error
