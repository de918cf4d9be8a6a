"""Values that are marked as bad, and words for their number and place."""

from dataclasses import replace

import numpy as np

from crstack.utils.memory import empty_image, relax
from crstack.utils.words import counted

__all__ = ["place_of_pixels", "with_bad"]


def with_bad(exposures, where):
    """The exposures with more bad values, bool (N, ny, nx)."""
    data = empty_image(exposures.data.shape)
    for plane, own, one in zip(data, exposures.data, where, strict=True):
        plane[...] = np.where(one, 0, own)
        relax()
    variances = tuple(
        variance if variance is None or not one.any() else np.where(one, np.float32(1), variance)
        for variance, one in zip(exposures.variances, where, strict=True)
    )
    bad = where.copy() if exposures.bad is None else exposures.bad | where
    return replace(exposures, data=data, bad=bad, variances=variances)


def place_of_pixels(where):
    """Number and place of some pixels (FITS: the first pixel is 1, 1), as words."""
    axes = (("column", where.any(axis=0)), ("row", where.any(axis=1)))
    words = []
    for name, line in axes:
        first, last = np.flatnonzero(line)[[0, -1]] + 1
        words.append(f"{name} {first}" if first == last else f"{name}s {first} to {last}")
    return f"{counted(np.count_nonzero(where), 'pixel')}, within {' and '.join(words)}"
