"""A sentence about hot and cold pixels, which stay on the detector where the scene moves."""

import numpy as np

from crstack.equalize.fit.cold import cold_pixels
from crstack.equalize.fit.hot import hot_pixels_at_rest
from crstack.utils.pixels import middle_of

__all__ = ["sentence_of_fixed_pixels"]

#: largest side (pixels) of the central part of the image that is examined
SIDE = 1024
#: fewest such pixels, and least share of all, for a sentence
FEWEST, LEAST = 20, 5e-4


def sentence_of_fixed_pixels(exposures):
    """A sentence if exposures of a moving scene have many hot or cold pixels.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        Exposures that are shifted against each other.

    Returns
    -------
    sentence : str or None
        With the numbers and a remedy.
    """
    part = exposures.cutout(middle_of(exposures.shape, SIDE))

    def variance_of(signal, box=None):
        return (part if box is None else part.cutout(box)).mean_variance(signal)

    rows, columns, _ = hot_pixels_at_rest(part.data, variance_of)
    n_hot, cold = _unknown(part, rows, columns), cold_pixels(part.data, variance_of)
    n_cold = 0 if cold is None else _unknown(part, cold.rows, cold.columns)
    size = part.shape[0] * part.shape[1]
    if n_hot + n_cold < max(FEWEST, LEAST * size):
        return None
    where = "" if part.shape == exposures.shape else f" of the central {part.shape[1]} x {part.shape[0]} pixels"
    return (
        f"{n_hot} hot and {n_cold} cold pixels{where} ({(n_hot + n_cold) / size:.2%}) stay where they are while the "
        "stars move. They are in the combined images, and look like hits once the exposures are aligned: subtract a "
        "dark, or mark them in the masks of the exposures"
    )


def _unknown(part, rows, columns):
    """Number of some pixels that are not marked as bad."""
    return len(rows) if part.bad is None else int(np.count_nonzero(~part.bad[:, rows, columns].any(axis=0)))
