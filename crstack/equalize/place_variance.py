"""Variance of a place: how unlike the exposures are there, from values that lie too low."""

import numpy as np
from scipy import ndimage

from crstack.statistics import normal_order_moments, sort_exposures

__all__ = ["contrast_of", "contrast_squared", "place_variance"]

#: window (pixels) of a neighbourhood
WINDOW = 5
#: pixels of its kind that what is known of the whole image counts for
STEADY = 12.0
#: a squared deviation counts up to so many variances, and this share of the squared contrast
MOST, MOST_OF_CONTRAST = 9.0, 0.25
#: squared contrast of noise, in variances: 9 pixels span 3 standard deviations
NOISE_CONTRAST = 7.6
#: the excess of the whole image counts where it is so many standard errors above none
SIGNIFICANCE = 4.0


def contrast_of(image):
    """Largest minus smallest value of the 3 x 3 pixels around each."""
    return ndimage.maximum_filter(image, 3) - ndimage.minimum_filter(image, 3)


def contrast_squared(image, variance):
    """Square of the contrast of an image, that of its noise taken off: 0 where the image is flat."""
    return np.maximum(contrast_of(image) ** 2 - np.float32(NOISE_CONTRAST) * variance, 0)


def _expected_square(n):
    """Mean square of what the lowest of n standard normal values lies below their median."""
    mean, covariance = normal_order_moments(n)
    weight = np.zeros(n)
    weight[[(n - 1) // 2, n // 2]] += 0.5
    weight[0] -= 1
    return float(weight @ (covariance + np.outer(mean, mean)) @ weight)


def place_variance(levels, variance_of):
    """Variance of each pixel beyond the noise, where the image has structure.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures on a common level, electrons.
    variance_of : callable
        Mean variance (ny, nx) of the exposures at a signal (ny, nx).

    Returns
    -------
    variance : `~numpy.ndarray`
        float32 (ny, nx); 0 everywhere where the exposures differ by no more than noise.
    share : float
        Variance of a typical place over the square of its contrast.

    Notes
    -----
    Hits only raise values: by how much the lowest lies below the median says how unlike the exposures are, whatever
    is hit. It is taken as a share of the square of the local contrast of the lowest values, which is what
    a shift, another seeing or another throughput change. The share is measured in windows of five pixels, and drawn towards that
    of the whole image where the window holds little.
    """
    cube = levels.copy()
    sort_exposures(cube)
    n = len(cube)
    low = cube[0]
    square = ((cube[(n - 1) // 2] + cube[n // 2]) / 2 - low) ** 2 / np.float32(_expected_square(n))
    del cube
    variance = variance_of(low)
    contrast2 = contrast_squared(low, variance)
    # where most exposures are hit the lowest alone is right: what it lies below must not count
    np.minimum(square, MOST * variance + MOST_OF_CONTRAST * contrast2, out=square)
    excess = square - variance
    weight = contrast2 / (variance + np.float32(0.01) * contrast2) ** 2
    total, information = float((weight * excess).sum(dtype=np.float64)), float((weight * contrast2).sum(dtype=np.float64))
    error = np.sqrt(2 * float((weight**2 * variance**2).sum(dtype=np.float64)))
    if not total > SIGNIFICANCE * error:
        return np.zeros_like(low), 0.0
    overall = np.float32(total / information)
    around = [ndimage.uniform_filter(one, WINDOW) for one in (weight * excess, weight * contrast2, weight, weight**2)]
    local = np.maximum(around[0] / np.maximum(around[1], 1e-30), 0)
    # of so many pixels like this one
    number = WINDOW**2 * around[2] ** 2 / np.maximum(around[3], 1e-30)
    share = (STEADY * overall + number * local) / (STEADY + number)
    return share * contrast2, float(overall)
