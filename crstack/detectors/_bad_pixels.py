"""Pixels without a value, and plausible values for them."""

import numpy as np
from scipy import ndimage

from crstack.exceptions import InputError
from crstack.utils.validation import check_image_shape

__all__ = ["bad_pixels", "fill"]

#: bad pixels within this distance of good ones get a local median; the values of others are not used
FILL_ROUNDS = 3


def bad_pixels(image, noise, mask):
    """Bad pixels of an image (ny, nx), after a check of image and mask."""
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"image must be a 2-D array with pixels in it; got shape {image.shape}")
    bad = ~np.isfinite(image)
    if mask is not None:
        check_image_shape("mask", np.shape(mask), image.shape)
        bad |= np.asarray(mask, dtype=bool)
    if noise.known_variance is not None:
        bad |= ~np.isfinite(noise.known_variance)
    return bad


def fill(image, bad):
    """Return a float32 copy with plausible values at the bad pixels.

    Pixels are filled from the rim of a bad region inwards, with the median of the valid 3 x 3 neighbours. This window
    is small enough to follow the core of a star.
    """
    filled = image.astype(np.float32)
    filled[bad] = np.nan
    framed = np.pad(filled, 1, constant_values=np.nan)
    for _ in range(FILL_ROUNDS):
        y, x = np.nonzero(np.isnan(framed[1:-1, 1:-1]))
        if not y.size:
            break
        around = np.stack([framed[y + dy, x + dx] for dy in range(3) for dx in range(3)])
        # NaN are sorted to the end
        around.sort(axis=0)
        n_values = np.count_nonzero(~np.isnan(around), axis=0)
        column = np.arange(y.size)
        framed[y + 1, x + 1] = (around[(n_values - 1) // 2, column] + around[n_values // 2, column]) / 2
    filled = framed[1:-1, 1:-1]
    deep = np.isnan(filled)
    if deep.any():
        nearest = ndimage.distance_transform_edt(deep, return_distances=False, return_indices=True)
        filled = filled[tuple(nearest)]
    return filled
