"""Two passes of one detector: sure peaks first, then the tails that touch them."""

import numpy as np
from scipy import ndimage

__all__ = ["EIGHT_CONNECTED", "features_holding", "is_paired", "split_pairs"]

#: pixels that touch at a side or a corner belong together
EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def is_paired(value):
    """Whether a parameter is given as a pair, one value for each pass."""
    return isinstance(value, tuple | list)


def split_pairs(**parameters):
    """Split parameters that may be pairs into those of the two passes.

    Returns
    -------
    high, low : dict
        The parameters of the first pass (peaks) and of the second (tails).
        Equal where no parameter is a pair of two different values.
    """
    high = {name: value[0] if is_paired(value) else value for name, value in parameters.items()}
    low = {name: value[1] if is_paired(value) else value for name, value in parameters.items()}
    return high, low


def features_holding(mask, seeds):
    """Connected features of ``mask`` that hold at least one pixel of ``seeds``.

    Parameters
    ----------
    mask, seeds : `~numpy.ndarray` of bool
        Same shape (ny, nx). Connectivity is 8.

    Returns
    -------
    kept : `~numpy.ndarray` of bool
    """
    labels, n_features = ndimage.label(mask, structure=EIGHT_CONNECTED)
    keep = np.zeros(n_features + 1, dtype=bool)
    keep[labels[seeds]] = True
    keep[0] = False
    return keep[labels]
