"""Variance of residuals with the profile of the structure that they lie on, such as an emission line that dims."""

import numpy as np
from scipy import ndimage

from crstack.equalize.variance.model_error import AROUND, SURE
from crstack.equalize.variance.places import ordered
from crstack.utils.filters import mean_around
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["raise_to_profile_residuals"]

#: window (pixels) in which the light of a structure is compared
WINDOW = 5
#: rows beside a band on which its variance depends
MARGIN = AROUND // 2 + WINDOW + 2
#: a residual counts up to this number of standard deviations
CLIP = 3.0
#: a lack of light counts from this number of standard errors on
SIGNIFICANCE = 5.0


def raise_to_profile_residuals(variance, levels, variance_of):
    """Raise variances, in place, to the square of the light that an exposure lacks on a structure.

    Parameters
    ----------
    variance : `~numpy.ndarray`
        float32 (ny, nx) variance of each pixel beyond the noise, electrons squared.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures on a common level, electrons. Of two exposures, the higher one may be hit, so that nothing
        is raised.
    variance_of : callable
        ``variance_of(signal, box)``: mean variance of the exposures at a signal, in a box of the image (slices).

    Notes
    -----
    If the model gives an exposure too much light of an emission line, each of its pixels there may be too low by less
    than two standard deviations. Ten such pixels are significant together. In a window of 5 x 5, the residual of each
    exposure is therefore fitted by the light of the structure above the level around it. The lowest factor counts if it
    is below 0 by 3.5 standard errors: hits only raise values. The standard deviation is 1.5 times this share of the
    light.
    """

    def work(band):
        rows, wide, inner = band
        found = _squares(np.array(levels[:, wide]), lambda signal: variance_of(signal, (wide, np.s_[:])))
        np.maximum(variance[rows], found[inner], out=variance[rows])

    if len(levels) > 2:
        map_threads(work, wide_bands(*variance.shape, margin=MARGIN))


def _squares(cube, variance_of):
    """Squared light (ny, nx) that the faintest exposure lacks; 0 where it is not significant."""
    *_, noise, image, _ = ordered(cube.copy(), variance_of)
    around = ndimage.minimum_filter(mean_around(image, 3), AROUND)
    light = np.maximum(image - around - np.float32(SURE) * np.sqrt(noise / np.float32(len(cube))), 0)
    weight, limit = light / noise, np.float32(CLIP) * np.sqrt(noise)
    information = mean_around(weight * light, WINDOW)
    lowest = np.zeros_like(light)
    for plane in cube:
        left = np.clip(plane - image, -limit, limit)
        np.minimum(lowest, mean_around(np.multiply(weight, left, out=left), WINDOW), out=lowest)
    # means over the window, so that a sum is this number of times larger
    least = np.float32(SIGNIFICANCE / WINDOW) * np.sqrt(np.maximum(information, 0))
    lack = np.where(-lowest > least, -lowest / np.maximum(information, np.float32(1e-30)), np.float32(0))
    return np.square(ndimage.maximum_filter(lack, WINDOW) * light)
