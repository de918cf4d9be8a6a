"""Values for pixels without a clean measurement, from the pixels around them."""

import warnings

import numpy as np

__all__ = ["fill_from_neighbours"]

#: standard deviation of the kernel in pixels; twice as much where no neighbour is in reach, and so on
KERNEL = 0.7


def fill_from_neighbours(image, variance, where, unusable):
    """Interpolate pixels from those around them.

    Parameters
    ----------
    image, variance : `~numpy.ndarray`
        (ny, nx) values and their variances.
    where : `~numpy.ndarray` of bool
        (ny, nx), the pixels to fill.
    unusable : `~numpy.ndarray` of bool
        (ny, nx), other pixels that lend no value.

    Returns
    -------
    value, error : `~numpy.ndarray`
        float64 (n,), values at ``where`` and their variances; NaN if there is
        no usable pixel in the image.

    Notes
    -----
    A mean weighted by a Gaussian kernel, of `astropy.convolution`. What is asked for is the signal of the pixel
    itself. Its neighbours differ from it by the structure of the image, as much as they differ among
    themselves: their weighted scatter, less what noise explains. To that comes the noise of their mean.
    """
    from astropy.convolution import Gaussian2DKernel

    rows, columns = np.nonzero(where)
    holes = where | unusable
    value, error = np.full((2, len(rows)), np.nan)
    if holes.all():
        return value, error
    # about the median of the rest, so that squares of large signals do not cancel
    level = np.median(image[~holes])
    known = np.where(holes, np.nan, image - level)
    planes = [known, known**2, np.where(holes, np.nan, variance)]
    width, left = KERNEL, np.ones(len(rows), dtype=bool)
    while left.any():
        kernel = Gaussian2DKernel(width)
        mean, square, noise = (_means_at(plane, kernel, rows, columns) for plane in planes)
        found = left & np.isfinite(mean)
        value[found] = mean[found] + level
        squares = np.sum((kernel.array / kernel.array.sum()) ** 2)
        # about the mean of n values the scatter is (n - 1) / n of that about the truth
        structure = np.maximum((square - mean**2) / (1 - squares) - noise, 0)
        error[found] = (structure + noise * squares)[found]
        left &= ~found
        width *= 2
    return value, error


def _means_at(plane, kernel, rows, columns):
    """Weighted means of the known values around some pixels."""
    from astropy.convolution import interpolate_replace_nans
    from astropy.utils.exceptions import AstropyUserWarning

    with warnings.catch_warnings():
        # NaN are left where the kernel finds no value: a wider one follows
        warnings.simplefilter("ignore", AstropyUserWarning)
        return interpolate_replace_nans(plane, kernel, boundary="extend")[rows, columns]
