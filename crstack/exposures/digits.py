"""Values in steps, such as whole numbers: the noise of rounding, and areas of one value that noise does not give."""

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

__all__ = ["SMALL_NOISE", "digit_of", "rounding_variance", "side_of_blocks", "with_lines"]

#: approximate number of values of a sample of rows
SAMPLE = 20_000
#: side of the smallest and of the largest square of one value that is searched
SMALLEST, LARGEST = 7, 64
#: largest number of such squares that noise may give in an image
BY_CHANCE = 1e-3
#: noise in units of one step below which the values have too few different numbers for their scatter to be known
SMALL_NOISE = 0.7


def digit_of(image):
    """Smallest step of the values of an image.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx), as it was read. A converter gives values in steps, also after a multiplication with the gain.

    Returns
    -------
    digit : float or None
        1 for whole numbers, tiny for other values; None if there are fewer than two values.
    """
    some = image[:: max(image.size // SAMPLE, 1)]
    steps = np.diff(np.unique(some[np.isfinite(some)]).astype(np.float64))
    return float(steps.min()) if len(steps) else None


def side_of_blocks(digit, sigma, n_pixels, zeros=0.0):
    """Side of the smallest square of one value that noise does not give.

    Parameters
    ----------
    digit : float or None
        As from `digit_of`.
    sigma : float
        Least standard deviation of the values, the read noise, in the same unit.
    n_pixels : int
        Size of the image.
    zeros : float, optional
        Probability that a value is 0 by counting photons, or because values below 0 were set to 0.

    Returns
    -------
    side : int or None
        7 pixels or more; None if noise may give squares of any size up to 64 pixels.

    Notes
    -----
    The probability of one value is largest where the mean lies in the middle of its step.
    """
    if not digit:
        return SMALLEST
    one_value = max(2 * ndtr(digit / (2 * sigma)) - 1, zeros) if sigma > 0 else 1.0
    if one_value == 1:
        return None
    number = np.log(BY_CHANCE / n_pixels) / np.log(max(one_value, 1e-30))
    side = max(int(np.ceil(np.sqrt(number))), SMALLEST)
    return side if side <= LARGEST else None


def rounding_variance(digit, sigma):
    """Variance of rounding to steps where the stated noise cannot include it.

    Parameters
    ----------
    digit : float or None
        As from `digit_of`.
    sigma : float
        The stated read noise.

    Returns
    -------
    variance : float
        ``digit**2 / 12`` if the read noise is smaller than its square root; else 0. A larger read noise, measured from
        exposures in steps, includes the rounding.
    """
    variance = 0.0 if digit is None else digit**2 / 12
    return variance if sigma**2 < variance else 0.0


def with_lines(plane, blank, side):
    """Blocks of one value, and the lines of the most frequent of their values that are as improbable.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        Image (ny, nx).
    blank : `~numpy.ndarray` of bool
        (ny, nx), pixels of squares of one value; at least one.
    side : int
        Least side of these squares.

    Returns
    -------
    wider : `~numpy.ndarray` of bool
        (ny, nx), with the pixels of rows and columns that have this value in ``side**2`` pixels in sequence. These are
        borders that are narrower than a block.
    """
    values, number = np.unique(plane[blank], return_counts=True)
    same, wider, length = plane == values[np.argmax(number)], blank.copy(), side**2 + 1 - side % 2
    for axis in (0, 1):
        if plane.shape[axis] < length:
            continue
        # the centres of complete lines
        inside = ndimage.minimum_filter1d(same, length, axis=axis, mode="constant", cval=0)
        wider |= ndimage.maximum_filter1d(inside, length, axis=axis, mode="constant", cval=0)
    return wider
