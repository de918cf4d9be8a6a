"""The expected signal at which the variances are computed."""

import numpy as np
from scipy import ndimage

from crstack.utils.memory import empty_image
from crstack.utils.threads import map_threads, row_bands

__all__ = ["smoothed_signal"]

#: sides of the windows of the filter: a spectrum is smooth along one axis only
WINDOWS = ((5, 5), (1, 9), (9, 1))
#: weight of noise against structure; 1 for the least mean square error of the signal. A larger weight smooths more. It
#: makes the variances too small in the cores of faint stars, with a weight of 8 by 25 to 40 %
NOISE_WEIGHT = 1
#: pixels of a band, so that its arrays fit into the caches
PIXELS_PER_BAND = 1 << 16
#: bands that share one rim
BANDS_AT_ONCE = 4


def smoothed_signal(estimate, shape):
    """Signal that has less noise where the image is smooth, computed by bands of rows.

    A variance at the value itself is too small if the value is low by chance, and too large if it is high. The mean of
    (value - truth) / sigma is then negative. Here the mean of the neighbours replaces the value, to the extent that
    they differ by no more than noise.

    Parameters
    ----------
    estimate : callable
        ``estimate(rows)`` gives three arrays (k, nx) for some rows (a slice): image, its variance, and the pixels with
        a clean value. The others get the mean of their clean neighbours, or keep their value if there are none.
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    signal : `~numpy.ndarray`
        float32 (ny, nx).

    Notes
    -----
    The local linear minimum mean square error filter (Lee 1980, IEEE Trans. Pattern Anal. Mach. Intell. 2, 165), in a
    square and in two long windows. The window with the smallest weight of the value itself is used.
    """
    signal = empty_image(shape)
    reach = max(window[0] for window in WINDOWS) // 2

    def work(bands):
        first, last = max(bands[0].start - reach, 0), bands[-1].stop + reach
        planes = estimate(slice(first, last))
        for rows in bands:
            # the bands do not depend on how many are computed at once, so that the rounding of sums does not change
            wide = slice(max(rows.start - reach, 0) - first, rows.stop + reach - first)
            inner = slice(rows.start - first - wide.start, rows.stop - first - wide.start)
            signal[rows] = _smoothed_band(*(plane[wide] for plane in planes))[inner]

    bands = row_bands(*shape, PIXELS_PER_BAND)
    map_threads(work, [bands[i : i + BANDS_AT_ONCE] for i in range(0, len(bands), BANDS_AT_ONCE)])
    return signal


def _smoothed_band(image, variance, clean):
    """The filtered rows of an image; windows are cut at its ends."""
    if clean.all():
        # without gaps, each window has the same number of values
        weight = None
        values, noise = image.astype(np.float64), variance.astype(np.float64)
    else:
        weight = clean.astype(np.float32)
        values, noise = (np.where(clean, one, 0).astype(np.float64) for one in (image, variance))
    squares = np.square(values)
    signal, least = np.full(image.shape, np.nan), np.full(image.shape, np.inf)
    for window in WINDOWS:
        other, own = _filtered(values, squares, noise, weight, window)
        better = own < least
        better &= np.isfinite(other)  # not an empty window
        np.copyto(signal, other, where=better)
        np.copyto(least, own, where=better)
    return np.where(np.isfinite(signal), signal, image)


def _filtered(values, squares, noise, weight, window):
    """The filtered image, NaN where the window is empty, and the weight of the value itself in it.

    ``weight`` is 1 for clean values and 0 for others, or None if all are clean.
    """

    def local_mean(image):
        return ndimage.uniform_filter(image, window, mode="nearest")

    mean, scatter, level = (local_mean(one) for one in (values, squares, noise))
    size = window[0] * window[1]
    n_values = size
    if weight is not None:
        share = local_mean(weight)
        share = np.where(share > 0.5 / size, share, np.float32(np.nan))
        mean /= share
        scatter /= share
        level /= share
        n_values = np.maximum(share * size, 2)
    # the scatter about a mean of n values is (n - 1) / n of that about the truth
    structure = scatter
    structure -= mean**2
    structure *= n_values
    structure /= n_values - 1
    structure -= level
    np.maximum(structure, 0, out=structure)
    total = noise * NOISE_WEIGHT
    total += structure
    own = np.divide(structure, total, out=np.ones_like(total), where=total > 0)
    if weight is not None:
        own *= weight
    smoothed = values - mean
    smoothed *= own
    smoothed += mean
    return smoothed, own
