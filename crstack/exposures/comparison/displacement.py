"""The shift between two exposures, by the correlation of their structures."""

from dataclasses import dataclass

import numpy as np

from crstack.exposures.cube import ALIGNED
from crstack.utils.medians import reflected_median
from crstack.utils.pixels import middle_of

__all__ = ["Correlations", "correlations", "displacement", "highest_correlation"]

#: largest side (pixels) of the central part of an image in which a shift is searched
MIDDLE = 2048

#: least correlation of two shifted exposures, relative to that of each with itself
ALIKE = 0.3
#: share of the highest correlation from which a shift is as good
AS_GOOD = 0.9


def displacement(one, other):
    """Shift between two images of the same field.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        Images (ny, nx); bad values are 0.

    Returns
    -------
    shift : tuple of int or None
        (dx, dy) in pixels, by which ``other`` must be moved to coincide with ``one``; None if no shift makes them
        alike.
    """
    correlation, alike = _correlation(one, other)
    if not correlation.max() > ALIKE * alike > 0:
        return None
    return _best_shift(correlation)


@dataclass(frozen=True)
class Correlations:
    """Correlations of two images.

    Attributes
    ----------
    given, highest : float
        After a given shift, allowing for a pixel, and the highest one.
    shift : tuple of int
        (dx, dy) in pixels of the highest one.
    """

    given: float
    highest: float
    shift: tuple[int, int]


def correlations(one, other, shift):
    """Correlation of two images after a given shift, and the highest one.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        Images (ny, nx); bad values are 0.
    shift : (float, float)
        (dx, dy) in pixels, by which ``other`` is moved to coincide with ``one``.

    Returns
    -------
    found : Correlations or None
        None if no shift makes the images alike.
    """
    correlation, alike = _correlation(one, other)
    highest = correlation.max()
    if not highest > ALIKE * alike > 0:
        return None
    return Correlations(float(_near(correlation, shift)), float(highest), _best_shift(correlation))


def highest_correlation(one, other, reach=None):
    """Highest correlation of the structures of two images after shifts along x and y, relative to equal images.

    Parameters
    ----------
    one, other : `~numpy.ndarray`
        Images (ny, nx); bad values are 0.
    reach : int, optional
        Largest shift in pixels; any by default.

    Returns
    -------
    correlation : float
        0 if an image has no structure.
    """
    correlation, alike = _correlation(one, other)
    if reach is not None:
        rows, columns = (np.arange(-reach, reach + 1) % side for side in correlation.shape)
        correlation = correlation[np.ix_(rows, columns)]
    return float(correlation.max() / alike) if alike > 0 else 0.0


def _correlation(one, other):
    """Correlation of the structures of two images for each shift, and that of each with itself (geometric mean)."""
    first, second = _structure(one), _structure(other)
    alike = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return np.fft.irfft2(np.fft.rfft2(first) * np.fft.rfft2(second).conj(), first.shape), alike


def _best_shift(correlation):
    """Shift (dx, dy) of the highest correlation; 0 along x or y where it is large and makes no difference.

    Along a trace or a sky line, all shifts are equally good, and noise decides which is the best.
    """
    dx, dy = _shift_at(np.unravel_index(np.argmax(correlation), correlation.shape), correlation.shape)
    if max(abs(dx), abs(dy)) > ALIGNED:
        for less in ((0, 0), (dx, 0), (0, dy)):
            if (
                max(abs(less[0] - dx), abs(less[1] - dy)) > ALIGNED
                and _near(correlation, less) > AS_GOOD * correlation.max()
            ):
                return less
    return dx, dy


def _near(correlation, shift):
    """Highest correlation after a shift (dx, dy), allowing for a pixel."""
    near = [round(one) + np.arange(-1, 2) for one in shift[::-1]]
    return correlation[np.ix_(*(index % side for index, side in zip(near, correlation.shape, strict=True)))].max()


def _shift_at(place, shape):
    dy, dx = (int(p) - side if p > side // 2 else int(p) for p, side in zip(place, shape, strict=True))
    return dx, dy


def _structure(image):
    """Square root of the light over the median and its noise, without hits and hot pixels."""
    image = reflected_median(image[middle_of(image.shape, MIDDLE)])
    low, middle = np.percentile(image[::4, ::4], [16, 50])
    return np.sqrt(np.maximum(image - middle - 3 * (middle - low), 0)).astype(np.float64)
