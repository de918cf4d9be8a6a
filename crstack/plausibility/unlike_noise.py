"""Sentence about exposures whose noise differs by more than the joint decision was tested with."""

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.words import plain

__all__ = ["of_unlike_noise"]

#: largest tested ratio of the noise of two exposures
UNLIKE = 5.0
#: rows and columns from which the noise is measured, at most
SIDE = 100


def of_unlike_noise(masks, exposures):
    """A sentence if an exposure has so much noise that the joint decision flags noise of the others.

    Exposures with known times have a limit of their own.

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
    least, most = min(known, key=noises.__getitem__), max(known, key=noises.__getitem__)
    if not noises[most] > UNLIKE * noises[least] > 0:
        return []
    low, high = exposures.names[least], exposures.names[most]
    remedy = f"Leave out {high}: a mean with it has more noise than one without it"
    if len(known) == 2:
        remedy = f"Use {low} alone, and search it with a detector for single images: a mean of both has more noise"
    return [
        f"the noise of {high} is {noises[most] / noises[least]:.1f} times that of {low} ({plain(noises[most])} and "
        f"{plain(noises[least])} {exposures.unit} at the level of each): the joint decision was tested with factors of "
        f"up to {UNLIKE:g}, and may flag clean values of {low}. {remedy}"
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
