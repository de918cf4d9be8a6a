"""Exposures in electrons, with their variance."""

import numpy as np

from crstack.statistics import with_bad_filled
from crstack.utils.memory import empty_image
from crstack.utils.pixels import at_pixels
from crstack.utils.threads import map_threads, row_bands

__all__ = ["in_electrons"]


def in_electrons(levelled):
    """Exposures in electrons, as the fits of the differences need them.

    Parameters
    ----------
    levelled : Exposures
        The exposures to compare.

    Returns
    -------
    electrons : `~numpy.ndarray`
        float32 (N, ny, nx) without bad values.
    variance_of : callable
        Their mean variance at a signal, optionally in a box of the image.
    unit : `~numpy.float32` or `~numpy.ndarray`
        Electrons per unit of the exposures.
    """
    unit = np.float32(levelled.noise.electrons_per_unit)

    def variance_of(signal, box=None):
        some = levelled if box is None else levelled.cutout(box)
        per_unit = unit if box is None or np.ndim(unit) == 0 else unit[box]
        return some.mean_variance(signal / per_unit) * per_unit**2

    if levelled.bad is None and np.ndim(unit) == 0 and unit == 1:
        return levelled.data, variance_of, unit
    electrons = empty_image(levelled.data.shape)

    def work(rows):
        data = levelled.data[:, rows]
        bad = None if levelled.bad is None else levelled.bad[:, rows]
        data = with_bad_filled(data, bad, levelled.cutout((rows, slice(None))).mean_variance)
        electrons[:, rows] = data * at_pixels(unit, rows)

    map_threads(work, row_bands(*levelled.shape))
    return electrons, variance_of, unit
