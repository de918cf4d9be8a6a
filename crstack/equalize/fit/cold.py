"""Cold pixels, such as dead ones, which belong to the detector and do not move with the scene."""

from dataclasses import dataclass, replace

import numpy as np

from crstack.equalize.fit.expected_exposures import copied_levels
from crstack.utils.medians import median_of_values
from crstack.utils.memory import filled_image
from crstack.utils.pixels import at_pixels
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["ColdPixels", "cold_pixels"]

#: side (pixels) of the window around a cold pixel
SIDE = 5
#: distance (pixels) of the pixels that show first which pixels may be cold, and rows beside a band that count
BESIDE, MARGIN = 2, 2
#: a cold pixel is below the pixels around by this number of standard deviations or more in every exposure
CLEAR = 6.0
#: pixels of the window that are low by this share of the depth or more are cold too; largest number of cold pixels in
#: a window, because lines and gaps between fibres are no cold pixels
LOW, MOST = 0.3, 2


@dataclass(frozen=True, eq=False)
class ColdPixels:
    """Pixels with less signal than those around, in every exposure.

    Attributes
    ----------
    rows, columns : `~numpy.ndarray` of int
        (M,) places.
    around : `~numpy.ndarray`
        (N, M) level around them in each exposure, electrons.
    shares : `~numpy.ndarray`
        (M,) their signal as a share of that of the pixels around.
    depths : `~numpy.ndarray`
        (M,) electrons that they are below these.
    """

    rows: np.ndarray
    columns: np.ndarray
    around: np.ndarray
    shares: np.ndarray
    depths: np.ndarray

    def filled(self, levels):
        """The exposures (N, ny, nx) with the level around in these pixels; a copy."""
        levels = copied_levels(levels)
        levels[:, self.rows, self.columns] = self.around
        return levels

    def added_to(self, found):
        """The measured `Differences`, with these pixels in addition.

        A dead pixel shows a share of the light, and the dark charge that was subtracted from a hot pixel is the same in
        all exposures. The higher of the two values is expected, so that no light looks like a hit.
        """
        if not found or found.common is None:
            return found
        place = self.rows, self.columns
        common = filled_image(found.common.shape, found.common)
        common[place] = self._expected(common[place])
        added = []
        for scale, one in zip(found.scales, found.added, strict=True):
            factor, one = (np.asarray(value) for value in (scale, one))
            expected = at_pixels(factor, place) * found.common[place] + at_pixels(one, place)
            image = filled_image(common.shape, one)
            image[place] = self._expected(expected) - at_pixels(factor, place) * common[place]
            added.append(image)
        return replace(found, added=tuple(added), common=common)

    def _expected(self, full):
        """Values (M,) of the pixels where the scene has the values ``full``."""
        return np.maximum(self.shares * full, full - self.depths).astype(np.float32)


def cold_pixels(levels, variance_of):
    """Find the cold pixels of some exposures.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons; a cube that is read by rows suffices.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).

    Returns
    -------
    cold : ColdPixels or None
        None if there are none.
    """
    parts = map_threads(
        lambda band: _cold_of_band(levels, variance_of, band), list(wide_bands(*levels.shape[1:], margin=MARGIN))
    )
    rows, columns, values, around = (np.concatenate(one, axis=-1) for one in zip(*parts, strict=True))
    if not len(rows):
        return None
    middle, value = median_of_values(around, axis=0), median_of_values(values, axis=0)
    shares = np.clip(value / np.where(middle > 0, middle, np.inf), 0, 1)
    return ColdPixels(rows, columns, around, shares, middle - value)


def _cold_of_band(levels, variance_of, band):
    """Rows, columns, values (N, M) and levels around (N, M) of the cold pixels of a band."""
    _, wide, inner = band
    cube = np.asarray(levels[:, wide])
    beside = _second_lowest_beside(cube[0])
    sigma = np.sqrt(variance_of(beside, (wide, np.s_[:])))
    low = beside - cube[0] > CLEAR * sigma
    low[: inner.start] = low[inner.stop :] = False
    rows, columns = np.nonzero(low)
    windows = _windows(cube, rows, columns)
    values, around = windows[:, :, SIDE**2 // 2], median_of_values(windows, axis=2)
    usual = median_of_values(windows, axis=0)
    level = median_of_values(usual, axis=1)[:, None]
    limit = level - LOW * (level - usual[:, SIDE**2 // 2, None])
    cold = (around - values > CLEAR * sigma[rows, columns]).all(axis=0) & ((usual < limit).sum(axis=1) <= MOST)
    return rows[cold] + wide.start, columns[cold], values[:, cold], around[:, cold]


def _windows(cube, rows, columns):
    """Values (N, M, SIDE * SIDE) around some pixels; beyond the edges the image is mirrored."""
    reach = np.arange(-(SIDE // 2), SIDE // 2 + 1)
    last = np.array(cube.shape[1:]) - 1
    down, across = np.abs(rows[:, None, None] + reach[:, None]), np.abs(columns[:, None, None] + reach)
    down, across = (top - np.abs(top - one) for top, one in zip(last, (down, across), strict=True))
    return cube[:, down, across].reshape(len(cube), len(rows), SIDE**2)


def _second_lowest_beside(image):
    """Second lowest (ny, nx) of four values around each pixel, because one of them may be cold too."""
    pairs = [[np.roll(image, step, axis) for step in (-BESIDE, BESIDE)] for axis in (0, 1)]
    lower, higher = ([compare(*pair) for pair in pairs] for compare in (np.minimum, np.maximum))
    return np.minimum(np.maximum(*lower), np.minimum(*higher))
