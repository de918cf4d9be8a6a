"""Hot pixels: peaks that are sharper than the point spread function."""

import numpy as np

from crstack.equalize.terms.clean import CLIP_SIGMA
from crstack.utils.medians import median_of_values
from crstack.utils.pixels import highest_around

__all__ = ["hot_pixels", "medians_around"]

#: window (pixels) around a pixel whose median is the level around it
WINDOW = 5
#: least share of a peak that its neighbours have, if the peak comes through the optics
LEAST_SPREAD = 0.2
#: least mean of the pixels around the peak of a star, as a share of the peak; and least light in standard deviations
LEAST_LIGHT, NOISE_OF_LIGHT = 0.05, 1.2


def hot_pixels(image, sigma, shared=False):
    """Rows and columns of peaks that are sharper than the point spread function.

    Parameters
    ----------
    image, sigma : `~numpy.ndarray`
        (ny, nx) image and its noise.
    shared : bool, optional
        Whether one of the pixels beside may share the charge; it is hot as well. In an image of exposures that are not
        aligned, two images of a star may look like that.

    Returns
    -------
    rows, columns : `~numpy.ndarray` of int
    """
    rows, columns = np.nonzero((image == highest_around(image)) & (image > CLIP_SIGMA * sigma))
    padded = np.pad(image, 1, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[rows, columns].reshape(-1, 9)
    around = np.sort(np.delete(windows, 4, axis=1), axis=1)
    level = (around[:, 3] + around[:, 4]) / 2
    # stars are spread over four pixels or more
    peak, highest = image[rows, columns] - level, around[:, -2 if shared else -1] - level
    clear = CLIP_SIGMA * sigma[rows, columns]
    sharp = (peak > clear) & (highest < LEAST_SPREAD * peak)
    sharp = np.flatnonzero(sharp)
    sharp = sharp[_alone(image, (rows[sharp], columns[sharp]), around[sharp, : 7 if shared else 8], sigma)]
    places = rows[sharp], columns[sharp]
    if not shared:
        return places
    second = (around[:, -1] - level > np.maximum(clear, LEAST_SPREAD * peak))[sharp]
    return _with_second(places, windows[sharp], second)


def _alone(image, places, others, sigma):
    """Whether the pixels ``others`` (M, 7 or 8) around some peaks contain no light of these: bool (M,).

    Beside an undersampled star, and a star on the edge between two pixels, half of the pixels are equally bright, so
    that their median does not show the light.
    """
    level = medians_around(image, *places)
    light = others.mean(axis=1) - level
    return light < LEAST_LIGHT * (image[places] - level) + NOISE_OF_LIGHT * sigma[places]


def _with_second(places, windows, second):
    """Some hot pixels, and those of the highest pixels beside them, in windows (M, 9), that are hot too.

    At an edge there are none: the mirrored pixel is as high.
    """
    beside = np.delete(windows[second], 4, axis=1).argmax(axis=1)
    steps = np.divmod(beside + (beside >= 4), 3)
    return tuple(np.concatenate([one, one[second] + step - 1]) for one, step in zip(places, steps, strict=True))


def medians_around(image, rows, columns):
    """Medians of the windows around some pixels; beyond the edges the image is mirrored.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx) image.
    rows, columns : `~numpy.ndarray` of int
        The pixels.

    Returns
    -------
    medians : `~numpy.ndarray`
        One for each pixel.
    """
    padded = np.pad(image, WINDOW // 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW))[rows, columns]
    return median_of_values(windows.reshape(len(rows), WINDOW**2), axis=1)
