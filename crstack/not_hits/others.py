"""Values of an exposure at some pixels, and of the other exposures there."""

import numpy as np

from crstack.utils.medians import of_rank

__all__ = ["own_and_others"]


def own_and_others(exposures, i, where, dtype=np.float32, differences=None, *, lowest=False):
    """Values of one exposure, and the typical value of the others.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    i : int
        Number of the exposure, from 0.
    where : tuple of `~numpy.ndarray`
        Rows and columns of the pixels, of one shape.
    dtype : `~numpy.dtype`, optional
        Type of the values.
    differences : sequence of `~numpy.ndarray`, optional
        Images or numbers that are subtracted from the exposures first.
    lowest : bool, optional
        Whether the value of the others is their lowest one, in place of one in the middle.

    Returns
    -------
    own, others : `~numpy.ndarray`
        Of the shape of the pixels; NaN for bad values. For an even number of valid others it is the lower of the two
        values in the middle, because a hit can be the higher one.
    """
    values = exposures.data[:, *where].astype(dtype)
    if differences is not None:
        values = np.stack(
            [one - (each[where] if np.ndim(each) else each) for one, each in zip(values, differences, strict=True)]
        )
    if exposures.bad is not None:
        values[exposures.bad[:, *where]] = np.nan
    others = np.delete(values, i, axis=0)
    if np.isfinite(others).all():
        return values[i], of_rank(others, 0 if lowest else (len(others) - 1) // 2)
    others = np.sort(others, axis=0)
    number = np.count_nonzero(np.isfinite(others), axis=0)
    rank = 0 * number if lowest else np.maximum((number - 1) // 2, 0)
    return values[i], np.take_along_axis(others, rank[None], axis=0)[0]
