"""Noise that all pixels of a row or column share: its variance, and a warning, because the common image keeps it."""

import numpy as np

from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.warn import warn_user

__all__ = ["shared_noise", "warn_of_shared_noise"]

#: least ratio of the variances of second and first differences: it is 3 for noise, and less for wider structure
ROUGH = 2.4
#: least variance of the levels of rows that gives a warning, over that of one value
LEAST = 0.25
#: fewest rows or columns, and one part in this number of them, where the common image changes least from row to row
FEWEST, SMOOTHEST = 30, 4


def shared_noise(profiles, level=None):
    """Standard deviation of the level of a row in one exposure, if it varies at random from row to row.

    Lines of the sky that differ between the exposures change the levels too, and narrow ones do so from row to row.
    Random levels are as large where the common image is smooth, and the levels of such lines are not.

    Parameters
    ----------
    profiles : `~numpy.ndarray`
        (N, length) level of each row of the exposures, relative to their mean.
    level : `~numpy.ndarray`, optional
        (length,) level of each row of the common image.

    Returns
    -------
    sigma : float
        0 where the levels vary smoothly, or in a few rows only.
    """
    n, length = profiles.shape
    if length < FEWEST:
        return 0.0
    steps = np.diff(profiles)
    first, second = _mean_square(steps), _mean_square(np.diff(steps))
    if second <= ROUGH * first:
        return 0.0
    if level is not None:
        smoothest = np.argsort(np.abs(np.diff(level)), kind="stable")[: max(length // SMOOTHEST, FEWEST // 2)]
        first = min(first, _mean_square(steps[:, smoothest]))
    return np.sqrt(first / 2 * n / (n - 1))


def _mean_square(values):
    """Mean square of noise (N, length), from medians, so that few lines do not change it."""
    return float(np.mean((SIGMA_PER_MAD * np.median(np.abs(values), axis=1)) ** 2))


def warn_of_shared_noise(measured, sigma):
    """Warn if rows or columns have a noise of their own, and return its variance.

    Parameters
    ----------
    measured : `~crstack.equalize.Differences`
        What was measured of the exposures.
    sigma : float
        Standard deviation of one value of an exposure, electrons.

    Returns
    -------
    variance : float
        What the rows and columns add to the variance of one exposure, electrons squared; 0 without a warning.

    Warns
    -----
    CRStackWarning
        If their variance is a quarter of that of one value or more.
    """
    variance = 0.0
    # added levels along one axis have one profile together
    added = {
        line.axis: profiles
        for line, profiles in zip(measured.lines, measured.profiles, strict=False)
        if line.setting == "backgrounds"
    }
    for axis, profiles in added.items():
        common = None if measured.common is None else np.median(measured.common, axis="yx".index(axis))
        found = shared_noise(profiles, common)
        if found**2 > LEAST * sigma**2:
            variance += float(found**2)
            n, what = len(profiles), "rows" if axis == "x" else "columns"
            warn_user(
                f"the {what} of each exposure have random levels that differ by {found:.2g} electron, where the noise "
                f"of a value is {sigma:.2g}. The search for hits takes this into account, but the mean of {n} "
                f"exposures keeps {found / np.sqrt(n):.2g} electron in whole {what}. The uncertainty of combinations "
                f"with these masks includes it. Subtract the overscan of each of the {what} first"
            )
    return variance
