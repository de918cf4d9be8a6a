"""Charge that has bled from saturated pixels along their columns."""

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values

__all__ = ["find_blooming"]

#: a value is far above the others if it exceeds theirs by this factor and by this number of standard deviations
MULTIPLE, ABOVE = 1.05, 5.0
#: largest gap (pixels) in a column of charge
GAP = 2
#: columns on each side of a saturated one that may hold bled charge
BESIDE = 1
#: size of the sample for the levels
SAMPLE = 20_000


def find_blooming(exposures):
    """Values beside saturated ones, along the column, that are far above the other exposures.

    Parameters
    ----------
    exposures : Exposures
        With ``saturated``.

    Returns
    -------
    bloomed : `~numpy.ndarray` of bool or None
        (N, ny, nx), without the saturated values themselves; None if there is none.

    Notes
    -----
    A value is added if a column of high values connects it with a saturated value in the same or the next column. A
    value is high if it exceeds the median of the other exposures (the lower of two middle values) by 5 per cent and by
    5 standard deviations. Gaps of two values are closed. If charge has bled in all exposures alike, this comparison
    shows nothing. Therefore the pixels at both ends of each column of a saturated feature that is longer than wide are
    always added, because they may be partly filled.
    """
    if exposures.saturated is None:
        return None
    step = max(int(np.sqrt(exposures.data[0].size / SAMPLE)), 1)
    levels = np.array([median_of_values(plane[::step, ::step]) for plane in exposures.data], np.float32)
    bloomed = np.zeros(exposures.data.shape, dtype=bool)
    for i, saturated in enumerate(exposures.saturated):
        columns = np.flatnonzero(ndimage.maximum_filter1d(saturated.any(axis=0), 2 * BESIDE + 1))
        if len(columns):
            bloomed[i][:, columns] = _bled_in_columns(exposures, i, columns, levels - levels[i])
            _add_ends(bloomed[i], saturated)
    bloomed &= ~exposures.bad
    return bloomed if bloomed.any() else None


def _add_ends(bloomed, saturated):
    """Add the pixels at both ends of the columns of long saturated features, in place."""
    labels, _ = ndimage.label(saturated, np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if rows.stop - rows.start <= columns.stop - columns.start:
            continue
        wide = slice(max(rows.start - 1, 0), rows.stop + 1), columns
        bloomed[wide] |= ndimage.maximum_filter1d((labels[wide] == number).view(np.uint8), 3, axis=0).view(bool)


def _bled_in_columns(exposures, i, columns, levels):
    """Values (ny, k) of some columns of an exposure that are saturated or hold bled charge."""
    saturated = exposures.saturated[i]
    beside = ndimage.maximum_filter1d(saturated.view(np.uint8), 2 * BESIDE + 1, axis=1).view(bool)[:, columns]
    others = [k for k in range(len(exposures)) if k != i]
    values = exposures.data[others][:, :, columns] - levels[others][:, None, None]
    values = np.sort(np.where(exposures.bad[others][:, :, columns], np.nan, values), axis=0)
    number = np.count_nonzero(np.isfinite(values), axis=0)
    level = np.take_along_axis(values, np.maximum((number - 1) // 2, 0)[None], axis=0)[0]
    signal = np.maximum(np.nan_to_num(level), 0)
    noise = exposures.noise_of(i).cutout((slice(None), columns))
    above = exposures.data[i][:, columns] - level > (MULTIPLE - 1) * signal + ABOVE * np.sqrt(
        2 * noise.variance(signal)
    )
    likely = beside | above
    joined = likely | ndimage.binary_closing(likely, np.ones((GAP + 1, 1)))
    labels, n = ndimage.label(joined, [[0, 1, 0], [0, 1, 0], [0, 1, 0]])
    holding = np.zeros(n + 1, dtype=bool)
    holding[labels[beside]] = True
    holding[0] = False
    # high values that touch a saturated value only from the side are not bled charge
    return holding[labels] & (above | joined & ~beside | saturated[:, columns])
