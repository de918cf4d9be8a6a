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
#: side (pixels) of the squares whose highest value counts in exposures that are shifted
SHIFTED = 3
#: size of the sample for the levels
SAMPLE = 20_000


def find_blooming(exposures, shift_between):
    """Values beside saturated ones, along the column, that are far above the other exposures.

    Parameters
    ----------
    exposures : Exposures
        With ``saturated``.
    shift_between : callable
        Gives the shift (dx, dy) by which a second image must be moved to coincide with the first, or None.

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

    Other exposures that are shifted by a pixel or more are moved back. Their highest value of 3 x 3 pixels then counts,
    because the rest of the shift changes the flanks of a star.
    """
    if exposures.saturated is None:
        return None
    step = max(int(np.sqrt(exposures.data[0].size / SAMPLE)), 1)
    levels = np.array([median_of_values(plane[::step, ::step]) for plane in exposures.data], np.float32)
    bloomed = np.zeros(exposures.data.shape, dtype=bool)
    for i, saturated in enumerate(exposures.saturated):
        columns = np.flatnonzero(ndimage.maximum_filter1d(saturated.any(axis=0), 2 * BESIDE + 1))
        if len(columns):
            bloomed[i][:, columns] = _bled_in_columns(exposures, i, columns, levels - levels[i], shift_between)
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


def _bled_in_columns(exposures, i, columns, levels, shift_between):
    """Values (ny, k) of some columns of an exposure that are saturated or hold bled charge.

    ``levels`` are those of all exposures relative to this one, and ``shift_between`` is that of `find_blooming`.
    """
    saturated = exposures.saturated[i]
    beside = ndimage.maximum_filter1d(saturated.view(np.uint8), 2 * BESIDE + 1, axis=1).view(bool)[:, columns]
    above, surely = _above_others(exposures, i, columns, levels, shift_between)
    likely = beside | above
    joined = likely | ndimage.binary_closing(likely, np.ones((GAP + 1, 1)))
    labels, n = ndimage.label(joined, [[0, 1, 0], [0, 1, 0], [0, 1, 0]])
    holding = np.zeros(n + 1, dtype=bool)
    holding[labels[beside]] = True
    holding[0] = False
    # high values that touch a saturated value only from the side are not bled charge
    found = surely | (joined & ~beside & ndimage.binary_closing(surely | beside, np.ones((GAP + 1, 1))))
    return holding[labels] & (found | saturated[:, columns])


def _above_others(exposures, i, columns, levels, shift_between):
    """Values (ny, k) of some columns that are far above the other exposures, and those that are so beside a shift."""
    others = [k for k in range(len(exposures)) if k != i]
    shifts = [shift_between(exposures.data[i], exposures.data[k]) or (0, 0) for k in others]
    found = []
    for side in (1, SHIFTED) if any(map(any, shifts)) else (1,):
        values = [
            _as_placed(exposures, k, columns, shift, side) - levels[k] for k, shift in zip(others, shifts, strict=True)
        ]
        values = np.sort(values, axis=0)
        number = np.count_nonzero(np.isfinite(values), axis=0)
        level = np.take_along_axis(values, np.maximum((number - 1) // 2, 0)[None], axis=0)[0]
        signal = np.maximum(np.nan_to_num(level), 0)
        noise = exposures.noise_of(i).cutout((slice(None), columns))
        least = (MULTIPLE - 1) * signal + ABOVE * np.sqrt(2 * noise.variance(signal))
        found.append(exposures.data[i][:, columns] - level > least)
    return found[0], found[-1]


def _as_placed(exposures, k, columns, shift, side):
    """Values (ny, m) of an exposure in some columns, after a shift (dx, dy); NaN where they are bad or not known.

    After a shift, they are the highest in squares of a side.
    """
    values, bad = exposures.data[k], exposures.bad[k]
    dx, dy = shift
    if dx == dy == 0:
        return np.where(bad[:, columns], np.nan, values[:, columns])
    values = ndimage.maximum_filter(np.where(bad, -np.inf, values), side)
    (ny, nx), rows, columns = values.shape, np.arange(len(values)) - dy, columns - dx
    inside = ((rows >= 0) & (rows < ny))[:, None] & ((columns >= 0) & (columns < nx))
    found = values[np.clip(rows, 0, ny - 1)[:, None], np.clip(columns, 0, nx - 1)]
    return np.where(inside & np.isfinite(found), found, np.nan)
