"""Correction of the level in pixels with bad values, and with values that were masked after the decision."""

import numpy as np

from crstack.masks.codes import ADDED, exposure_name
from crstack.utils.memory import relax
from crstack.utils.pixels import at_pixels
from crstack.utils.threads import row_bands

__all__ = ["shift_with_left_out"]


def shift_with_left_out(shift, codes, exposures, differences):
    """The signal shift of a decision, extended to bad values and to pixels that were masked after the decision.

    If the levels of the exposures differ, the mean of those that remain makes a hole or a bump without a correction.

    Parameters
    ----------
    shift : `~numpy.ndarray`
        float32 (ny, nx) electrons: what the decision adds to the mean of the clean values of a pixel, so that it
        estimates the mean of the valid exposures.
    codes : dict of `~numpy.ndarray`
        Codes (ny, nx) of the masks of the exposures, by name.
    exposures : Exposures
        The exposures.
    differences : sequence of `~numpy.ndarray` or float
        Expected difference of each exposure from the common image, in the unit of the exposures.

    Returns
    -------
    shift : `~numpy.ndarray`
        float32 (ny, nx) electrons. Where values are bad, the mean of all exposures is estimated, bad ones included.
        Where pixels were masked after the decision, the shift is that of the values that are left.
    """
    names = [exposure_name(i) for i in range(len(exposures))]
    shift, n = shift.copy(), len(names)
    for rows in row_bands(*shift.shape):
        code = np.stack([codes[name][rows] for name in names])
        bad = np.zeros(code.shape, bool) if exposures.bad is None else exposures.bad[:, rows]
        added = (np.isin(code, ADDED) & ~bad).any(axis=0)
        y, x = np.nonzero(added | bad.any(axis=0))
        if not len(y):
            continue
        place = y + rows.start, x
        levels = np.array([np.broadcast_to(at_pixels(one, place), y.shape) for one in differences])
        added, bad = added[y, x], bad[:, y, x]
        left = np.where(added, (code[:, y, x] == 0) & ~bad, ~bad)
        number = left.sum(axis=0)
        change = levels.sum(axis=0) / n - (levels * left).sum(axis=0) / np.maximum(number, 1)
        change *= at_pixels(exposures.noise.electrons_per_unit, place)
        shift[place] = np.where(number > 0, np.where(added, 0, shift[place]) + change, 0)
        relax()
    return shift
