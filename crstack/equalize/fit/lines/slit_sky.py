"""Lines of the sky in slits that are shorter than the image, such as those of the orders of an echelle spectrum."""

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of
from crstack.utils.pixels import extreme_along
from crstack.utils.threads import map_threads

__all__ = ["sky_in_slits", "slit_length"]

#: lengths of slits (pixels) that are tried; the cells of an added level describe longer ones
SLITS = (5, 7, 9, 13, 19, 29)
#: pixels at either end of a slit in which it becomes dark; light that is this times as long as the slit is not in slits
END, LONGER = 2, 3
#: pixels of a step across the slit, and number of steps, of the medians that are the level around lines
STEP, STEPS = 3, 9
#: least height of a line in its brightest pixel, and in those beside, in standard deviations: elsewhere, it is noise
SURE, CLEAR = 5.0, 2.0
#: standard deviations of noise up to which a residual counts
CLIP = 3.0
#: blocks of the image across the slit; every second one tests the fit to the others
BLOCKS = 16
#: least decrease of chi squared by a change of the sky in the slits
LEAST_GAIN = 100.0


def sky_in_slits(image, noise, axis, length):
    """Lines of the sky that fill slits, without the trace of an object within them.

    Parameters
    ----------
    image, noise : `~numpy.ndarray`
        (ny, nx) common image, and its standard deviation, electrons.
    axis : {"x", "y"}
        Axis along the slits.
    length : int
        Length of the slits, pixels.

    Returns
    -------
    sky : `~numpy.ndarray`
        (ny, nx) electrons; 0 beside the lines.

    Notes
    -----
    Light that is as long as a slit is the morphological opening of the image. At the ends of the slit it is the image
    itself, where this is fainter. The opening by a longer piece, and the level around the lines across the slit, are
    subtracted.
    """
    if axis == "x":
        return sky_in_slits(image.T, noise.T, "y", length).T
    light = np.minimum(image, extreme_along(_opening(image, length), 2 * END + 1, axis=0))
    light -= _opening(image, LONGER * length)
    around = _medians_across(light[:, STEP // 2 :: STEP])
    lines = light - around[:, np.minimum(np.arange(light.shape[1]) // STEP, around.shape[1] - 1)]
    line = ndimage.binary_propagation(lines > SURE * noise, np.ones((3, 3)), lines > CLEAR * noise)
    return np.where(line, lines, 0)


def _medians_across(light):
    """Median of `STEPS` pixels around each one along x; beyond the edges, those at the edge are repeated."""
    padded, nx = np.pad(light, ((0, 0), (STEPS // 2, STEPS // 2)), mode="edge"), light.shape[1]
    # several times faster than `scipy.ndimage.median_filter`
    return median_of([padded[:, first : first + nx] for first in range(STEPS)])


def _opening(image, length):
    """Highest level that all pixels of a piece of some length along y reach, in each pixel of the piece."""
    return extreme_along(extreme_along(image, length, 0, np.minimum), length, 0)


def slit_length(residuals, signal, variance, axis):
    """Length of the slits in which the sky changes by one share in each exposure.

    Parameters
    ----------
    residuals : `~numpy.ndarray`
        (N, ny, nx) exposures minus their expected images, without hits; NaN where they are not known.
    signal, variance : `~numpy.ndarray`
        (ny, nx) common image, and variance of a residual.
    axis : {"x", "y"}
        Axis along the slits.

    Returns
    -------
    length : int
        Pixels; 0 if no length describes the residuals better than no change does.
    """
    limit, noise = CLIP * np.sqrt(variance), np.sqrt(variance / len(residuals))
    scaled = [np.nan_to_num(np.clip(one, -limit, limit)) / variance for one in residuals]

    def gain_of(length):
        return _gain(scaled, sky_in_slits(signal, noise, axis, length), variance, axis)

    gains = map_threads(gain_of, SLITS)
    return SLITS[int(np.argmax(gains))] if max(gains) > LEAST_GAIN else 0


def _gain(scaled, sky, variance, axis):
    """Decrease of chi squared in each half of the image by the shares that fit the other half."""
    information, *sums = (_halves((one * sky).sum(axis=0 if axis == "y" else 1)) for one in (sky / variance, *scaled))
    shares = np.array(sums) / np.maximum(information, 1e-30)
    shares -= shares.mean(axis=0)
    other = shares[:, ::-1]
    return float((information * (2 * other * shares - other**2)).sum())


def _halves(values):
    """Sums (2,) over the blocks of each half of some values across the slits."""
    edges = np.linspace(0, len(values), min(BLOCKS, len(values)) + 1).astype(int)[:-1]
    blocks = np.add.reduceat(values, edges, dtype=np.float64)
    return np.array([blocks[::2].sum(), blocks[1::2].sum()])
