"""Sentence about an exposure whose hits the noise of the others hides."""

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.words import plain

__all__ = ["of_unlike_noise"]

#: least ratio of the noise of all other exposures to that of one, at which hits of this one are hidden
UNLIKE = 5.0
#: rows and columns from which the noise is measured, at most
SIDE = 100


def of_unlike_noise(masks, exposures):
    """A sentence if an exposure has so little noise that all others have several times more.

    Nothing can be compared with it, and most of its hits remain. Exposures with known times have a limit of their own.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.

    Returns
    -------
    sentences : list of str
        One, or none.
    """
    if masks.probability is None or exposures.scales:
        return []
    noises = [_noise_of(exposures, i) for i in range(len(exposures))]
    known = [i for i, one in enumerate(noises) if np.isfinite(one)]
    if len(known) < 2:
        return []
    least, second = sorted(known, key=noises.__getitem__)[:2]
    if not noises[second] > UNLIKE * noises[least] > 0:
        return []
    low, high = exposures.names[least], exposures.names[second]
    others, more = (high, "") if len(known) == 2 else (f"{high} or any other exposure", " or more")
    return [
        f"the noise of {low} is {plain(noises[least])} {exposures.unit} at its level, and that of {others} "
        f"{noises[second] / noises[least]:.1f} times as much{more}: hits of {low} that are fainter than the "
        f"noise of the others cannot be found. Use {low} alone, and search it with a detector for single images: a "
        "mean with the others has more noise"
    ]


def _noise_of(exposures, i):
    """Typical noise of an exposure at its level; NaN where no value is valid."""
    part = tuple(slice(None, None, max(length // SIDE, 1)) for length in exposures.shape)
    values, bad = exposures.data[i][part], exposures.bad_of(i)
    valid = values[np.isfinite(values)] if bad is None else values[~bad[part]]
    if not valid.size:
        return np.nan
    level = np.full(values.shape, max(float(median_of_values(valid)), 0), np.float32)
    return float(np.sqrt(median_of_values(exposures.noise_of(i).cutout(part).variance(level))))
