"""Whether what was found can be: an outcome that no stack of exposures gives is said to be one."""

import warnings

import numpy as np

from crstack._validation import check_number
from crstack.exceptions import ImplausibleResultError, ImplausibleResultWarning
from crstack.exposures.sanity import noise_ratio

__all__ = ["MAX_FRACTION", "check_plausible", "implausibilities"]

#: part of the values of an exposure above which flags are no hits
MAX_FRACTION = 0.2

#: measured over stated scatter of the values that are left, beyond which the noise is wrong
SCATTER = (0.5, 2.0)


def implausibilities(masks, exposures, max_fraction=MAX_FRACTION, *, noise=True):
    """What speaks against a set of masks.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        What was found.
    exposures : `~crstack.exposures.Exposures`
        In what.
    max_fraction : float, optional
        Part of the valid values of an exposure that may be flagged.
    noise : bool, optional
        Whether the scatter of the values that are not flagged is compared with the noise. Left out where the
        method has measured it.

    Returns
    -------
    sentences : list of str
        Each names exposures, numbers and a remedy; empty where all is well.
    """
    sentences = []
    valid = np.full(len(exposures), exposures.data[0].size)
    if exposures.bad is not None:
        valid = valid - np.count_nonzero(exposures.bad, axis=(1, 2))
    over = {}
    for i, plane in enumerate(masks.crmasks):
        bad = exposures.bad_of(i)
        flagged = np.count_nonzero(plane if bad is None else plane & ~bad) / max(valid[i], 1)
        if flagged > max_fraction:
            over[exposures.names[i]] = flagged
    if over:
        found = ", ".join(f"{flagged:.1%} of the values of {name}" for name, flagged in over.items())
        sentences.append(
            f"{found} are flagged, more than {max_fraction:.0%}: that many are no hits. "
            "Check gain, read noise and bias, and whether sky, seeing and pointing are alike"
        )
    if noise:
        sentences += _of_noise(masks, exposures)
    return sentences


def _of_noise(masks, exposures):
    """A sentence where the values that are left scatter by another noise than the stated one."""
    left_out = masks.crmasks if exposures.bad is None else masks.crmasks | exposures.bad

    def variance(i, expected, box):
        return exposures.noise_of(i).cutout(box).variance(expected)

    ratios, level, sigma = noise_ratio(exposures.data, left_out, variance)
    if not ratios or SCATTER[0] <= np.median(ratios) <= SCATTER[1]:
        return []
    return [
        f"the values that are not flagged scatter by {np.median(ratios) * sigma:.3g} {exposures.unit} at a level of "
        f"{level:.3g} where the noise as stated is {sigma:.3g}: the masks rest on a wrong noise. "
        "Check gain, read noise, bias and unit, and leave the sky in the exposures"
    ]


def check_plausible(masks, exposures, max_fraction=None, *, noise=True):
    """Warn of masks that cannot be, or raise where a limit was given.

    Parameters
    ----------
    masks, exposures, noise
        As of `implausibilities`.
    max_fraction : float, optional
        As of `implausibilities`; where it is given, more is an error.

    Raises
    ------
    ImplausibleResultError
        If ``max_fraction`` was given and anything speaks against the masks.

    Warns
    -----
    ImplausibleResultWarning
        If anything does, and it was not given.
    """
    limit = MAX_FRACTION
    if max_fraction is not None:
        limit = check_number("max_fraction", max_fraction, minimum=0, maximum=1)
    sentences = implausibilities(masks, exposures, limit, noise=noise)
    if sentences and max_fraction is not None:
        raise ImplausibleResultError("; ".join(sentences))
    if sentences:
        warnings.warn("; ".join(sentences), ImplausibleResultWarning, stacklevel=3)
