"""Unsigned integers of 16 bits that were read as signed ones."""

import numpy as np

from crstack.exposures.digits import digit_of
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads
from crstack.utils.warn import warn_user

__all__ = ["warn_of_signed_integers"]

#: BZERO, which FITS adds to signed integers to store unsigned ones, and the number of values of 16 bits
ZERO, NUMBER = 32768, 65536
#: light is above this value, also after a sky or a bias was subtracted
FAR_BELOW = -8192
#: BZERO was lost if more than this share of the valid values is far below 0
MOST = 0.9
#: least step of a jump between neighbours, fewest jumps, and share of the edges of low values that jump
OF_JUMP, FEWEST_JUMPS, JUMPING = 49152, 20, 0.5
#: largest ratio of the measured variance to that of a level, or of that to the measured one, for which they agree
AGREES = 1.15
#: least ratio of the measured variance to that of the level itself
CLEAR = 4.0
#: number of rows that are examined
ROWS = 400


def warn_of_signed_integers(exposures, first):
    """Warn of exposures that hold unsigned integers of 16 bits which were read as signed ones.

    Parameters
    ----------
    exposures : Exposures
        The exposures, bias subtracted.
    first : `~numpy.ndarray`
        First exposure (ny, nx) as it was read.

    Returns
    -------
    found : bool
        Whether there are any.

    Warns
    -----
    CRStackWarning
        If there are any.

    Notes
    -----
    FITS stores unsigned integers as signed integers with BZERO = 32768. If BZERO is lost, all values are too low by
    32768. If the bits are read as signed integers, values of 32768 and more are too low by 65536. Neighbours then jump
    from 32767 to -32768. A level near 0 may be right, or too low by 32768. The scatter shows which: photons of a higher
    level scatter more.
    """
    if exposures.rate_seconds:
        return False
    step = max(len(first) // ROWS, 1)
    subtracted = (first[::step] - exposures.data[0][::step])[np.isfinite(first[::step])]
    bias = float(median_of_values(subtracted)) if subtracted.size else np.nan
    digit = digit_of(first)
    if digit is None or not np.isfinite(bias):
        return False

    def fault_of(i):
        bad = exposures.bad_of(i)
        values = exposures.data[i][::step].astype(np.float64)
        values[~np.isfinite(values) if bad is None else bad[::step]] = np.nan
        by_scatter = digit == 1 and exposures.variances[i] is None
        lost = _has_lost_zero(values, bias, exposures.noise_of(i) if by_scatter else None)
        return lost, not lost and _jumps(values + bias)

    faults = map_threads(fault_of, range(len(exposures)))
    shifted, jumping = ([name for name, one in zip(exposures.names, faults, strict=True) if one[k]] for k in (0, 1))
    if shifted:
        level = np.nanmedian(exposures.data[exposures.names.index(shifted[0])][::step])
        warn_user(
            f"values are unsigned integers without their zero, with a level of {level:.4g} {exposures.unit} in "
            f"{', '.join(shifted)}: was BZERO = {ZERO} lost from the header? Write BZERO = {ZERO} into it, or lower "
            f"bias= (command --bias) by {ZERO}. Until then noise and hits are wrong"
        )
    if jumping:
        warn_user(
            f"values jump from {ZERO - 1} to {-ZERO} between neighbouring pixels of {', '.join(jumping)}: unsigned "
            f"integers were read as signed ones. Add {NUMBER} to the negative values of the files, or write them again "
            f"as unsigned integers (uint16). Until then noise and hits are wrong"
        )
    return bool(shifted or jumping)


def _has_lost_zero(values, bias, noise):
    """Whether all values (rows, nx), bias subtracted, lie too low by 32768; with ``noise``, also by their scatter."""
    valid = values[np.isfinite(values)]
    if not valid.size or valid.min() + bias < -ZERO or valid.max() + bias >= ZERO:
        return False
    level = float(median_of_values(valid))
    if np.mean(valid + bias < FAR_BELOW) > MOST:
        return level < FAR_BELOW
    # a level near 0 with the scatter of a high one
    if noise is None or level > np.sqrt(ZERO):
        return False
    steps = np.abs(np.diff(values, axis=1))
    steps = steps[np.isfinite(steps)]
    if not steps.size:
        return False
    variance = (SIGMA_PER_MAD * float(median_of_values(steps))) ** 2 / 2
    own, expected = (float(median_of_values(noise.variance(np.float32(one)))) for one in (level, level + ZERO))
    return own * CLEAR < variance and expected / AGREES < variance < expected * AGREES


def _jumps(raw):
    """Whether neighbours in a row jump between the ends of the signed integers, where others are far below 0."""
    low = raw < FAR_BELOW
    if np.count_nonzero(low) < FEWEST_JUMPS:
        return False
    steps = np.abs(np.diff(raw, axis=1))
    edges = (low[:, 1:] != low[:, :-1]) & np.isfinite(steps)
    jumps = edges & (steps > OF_JUMP)
    n_jumps = np.count_nonzero(jumps)
    return n_jumps >= FEWEST_JUMPS and n_jumps >= JUMPING * np.count_nonzero(edges)
