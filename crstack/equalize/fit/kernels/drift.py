"""Shifts that change linearly over the image, because the field turns or its scale changes."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.kernels.kernel_terms import DERIVATIVE

__all__ = ["drift_of", "positions_of"]


def positions_of(shape, rows=None):
    """Positions of the columns and rows of an image (ny, nx), from -1 to 1 over it.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the whole image.
    rows : slice, optional
        Of the image; all by default.

    Returns
    -------
    x, y : `~numpy.ndarray`
        float32 (nx,) and (rows, 1).
    """
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) if side > 1 else np.float32([-1]) for side in shape)
    return x, y[rows if rows is not None else slice(None), None]


def drift_of(scene, noise, drift, positions):
    """What a shift that changes over the image changes in it.

    Parameters
    ----------
    scene, noise : `~numpy.ndarray`
        (ny, nx) image, and its variance.
    drift : `~numpy.ndarray`
        (2, 2) change of the shift (dx, dy), in pixels for a step of 1 of the position (x, y).
    positions : tuple of `~numpy.ndarray`
        (nx,) x and (ny, 1) y of the pixels, from -1 to 1 over the whole image.

    Returns
    -------
    change, variance : `~numpy.ndarray`
        float32 (ny, nx), to first order in the shift, and its variance by the noise of the image.
    """
    x, y = positions
    weights = np.array([*DERIVATIVE[::-1], 0, *(-one for one in DERIVATIVE)])
    change, variance = np.zeros_like(scene), np.zeros_like(scene)
    for axis, (along_x, along_y) in zip((1, 0), np.float32(drift), strict=True):
        shift = along_x * x + along_y * y
        change += shift * ndimage.correlate1d(scene, weights, axis=axis, mode="nearest")
        variance += np.square(shift) * noise * np.float32(np.square(weights).sum())
    return change, variance
