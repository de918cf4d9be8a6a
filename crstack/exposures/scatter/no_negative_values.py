"""Exposures without a value below 0, where their read noise gives many: counted photons, or values set to 0."""

import numpy as np
from scipy.special import ndtr

from crstack.exposures.digits import digit_of
from crstack.exposures.scatter.photons import counted_photons
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["share_of_zeros", "warn_of_no_negative_values"]

#: step of the rows and columns of a sample, and fewest values of it
STEP, FEWEST = 5, 500
#: least share of values below 0 that the read noise gives, and least share of zeros, where this is reported
EXPECTED = 0.05
#: quantile of the values above 0 that lies near 0
LOW = 0.05
#: least median of the values above 0 in units of the read noise: those of fluxes in physical units are tiny
NO_COUNTS = 0.01


def share_of_zeros(exposures):
    """Share of values that are exactly 0, where no exposure has a value below 0 and the read noise gives many.

    Parameters
    ----------
    exposures : Exposures
        The exposures, bias subtracted.

    Returns
    -------
    share, expected : float
        The smallest share of the exposures, and the share of values below 0 that the read noise gives. Both are 0 if
        some values are below 0, if the read noise gives few of them, or is that of a detector that counts photons, or
        if there are uncertainties.
    """
    if any(variance is not None for variance in exposures.variances) or counted_photons(exposures):
        return 0.0, 0.0
    sigma = float(np.median(exposures.noise.readnoise_in_unit))
    found = []
    for plane, values in zip(exposures.data, _samples(exposures), strict=True):
        if len(values) < FEWEST or values.min() < 0:
            return 0.0, 0.0
        above, digit = values[values > 0], digit_of(plane) or 0.0
        # half of the pixels have the median level or less; lower values than half a step are rounded to 0
        middle = median_of_values(values) + digit / 2
        expected = float(ndtr(-middle / sigma)) / 2
        share = 1 - len(above) / len(values)
        if min(expected, share) < EXPECTED or not len(above):
            return 0.0, 0.0
        # beside borders without data, all values may be high
        if np.quantile(above, LOW) > max(sigma / 2, digit) or median_of_values(above) < NO_COUNTS * sigma:
            return 0.0, 0.0
        found.append((share, expected))
    return min(share for share, _ in found), min(expected for _, expected in found)


def _samples(exposures):
    """Valid values of a sample of each exposure."""
    sample = np.s_[::STEP, ::STEP]
    for i, plane in enumerate(exposures.data):
        bad = exposures.bad_of(i)
        yield plane[sample].ravel() if bad is None else plane[sample][~bad[sample]]


def warn_of_no_negative_values(exposures, share, expected):
    """Warn if no exposure has a value below 0, where the read noise gives many; return whether there was a warning.

    ``share`` and ``expected`` are those of `share_of_zeros`.
    """
    if not share:
        return False
    readnoise = f"{plain(float(np.median(exposures.noise.readnoise_in_unit)))} {exposures.unit}"
    warn_user(
        f"no value of the exposures is below 0, and {share:.0%} of the values are exactly 0. A read noise of "
        f"{readnoise} gives at least {expected:.0%} of values below 0. Does the detector count photons? Then give a "
        "small read noise, such as 0.1 electron. Were values below 0 set to 0? Then combined images are too high where "
        "the light is faint: use exposures that keep these values"
    )
    return True
