"""Shifts that change linearly over the image, because the field turns or its scale changes."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.kernel_terms import DERIVATIVE

__all__ = ["drift_of", "positions_of"]


def positions_of(shape, rows, columns):
    """Positions (x, y), from -1 to 1 over an image of some shape (ny, nx), of rows and columns of pixels."""
    return tuple(2 * one / max(side - 1, 1) - 1 for one, side in zip((columns, rows), shape[::-1], strict=True))


def drift_of(scene, noise, drift):
    """What a shift that changes over the image changes in it.

    Parameters
    ----------
    scene, noise : `~numpy.ndarray`
        (ny, nx) image, and its variance.
    drift : `~numpy.ndarray`
        (2, 2) change of the shift (dx, dy), in pixels for a step of 1 of the position (x, y).

    Returns
    -------
    change, variance : `~numpy.ndarray`
        float32 (ny, nx), to first order in the shift, and its variance by the noise of the image.
    """
    rows, columns = (np.arange(side, dtype=np.float32) for side in scene.shape)
    x, y = positions_of(scene.shape, rows[:, None], columns)
    weights = np.array([*DERIVATIVE[::-1], 0, *(-one for one in DERIVATIVE)])
    change, variance = np.zeros_like(scene), np.zeros_like(scene)
    for axis, (along_x, along_y) in zip((1, 0), np.float32(drift), strict=True):
        shift = along_x * x + along_y * y
        change += shift * ndimage.correlate1d(scene, weights, axis=axis, mode="nearest")
        variance += np.square(shift) * noise * np.float32(np.square(weights).sum())
    return change, variance
