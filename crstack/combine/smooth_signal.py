"""The expected signal at which the variances are computed."""

import numpy as np
from scipy import ndimage

from crstack._threads import map_threads, row_bands

__all__ = ["smoothed_signal"]

#: sides of the windows of the filter: a spectrum is smooth along one axis only
WINDOWS = ((5, 5), (1, 9), (9, 1))
#: weight of noise against structure: a variance that depends on its value biases (value - truth) / sigma in the first
#: order, a variance at a smoothed value only widens it in the second order
NOISE_WEIGHT = 8
#: limited by the caches
PIXELS_PER_BAND = 1 << 16


def smoothed_signal(image, variance, known):
    """Signal that has less noise where the image is smooth.

    A variance at the value itself is too small where the value is low, and too large where it is high. Then (value -
    truth) / sigma is negative in the mean. Here the mean of the neighbours replaces the value, as far as they do not
    differ by more than noise.

    Parameters
    ----------
    image : `~numpy.ndarray`
        float32 (ny, nx), any value where it is not known.
    variance : `~numpy.ndarray`
        (ny, nx) of the image.
    known : `~numpy.ndarray` of bool
        (ny, nx), pixels with a clean value. The others get the mean of their known neighbours, or keep their value if
        there are none.

    Returns
    -------
    signal : `~numpy.ndarray`
        float32 (ny, nx).

    Notes
    -----
    The local linear minimum mean square error filter (Lee 1980, IEEE Trans. Pattern Anal. Mach. Intell. 2, 165), in a
    square and in two long windows. The window with the smallest weight of the value itself is used. The weight of
    noise is larger than for the least mean square error of the signal.
    """
    signal = np.empty(image.shape, dtype=np.float32)
    reach = max(window[0] for window in WINDOWS) // 2

    def work(rows):
        wide = slice(max(rows.start - reach, 0), rows.stop + reach)
        inner = slice(rows.start - wide.start, rows.stop - wide.start)
        signal[rows] = _smoothed_band(image[wide], variance[wide], known[wide])[inner]

    map_threads(work, row_bands(*image.shape, PIXELS_PER_BAND))
    return signal


def _smoothed_band(image, variance, known):
    """The filtered rows of an image; windows are cut at its ends."""
    weight = known.astype(np.float32)
    values, noise = (np.where(known, one, 0).astype(np.float64) for one in (image, variance))
    signal, least = np.full(image.shape, np.nan), np.full(image.shape, np.inf)
    for window in WINDOWS:
        other, own = _filtered(values, noise, weight, window)
        better = (own < least) & np.isfinite(other)  # not an empty window
        signal[better], least[better] = other[better], own[better]
    return np.where(np.isfinite(signal), signal, image)


def _filtered(values, noise, weight, window):
    """The filtered image, NaN where the window is empty, and the weight of the value itself in it."""

    def local_mean(image):
        return ndimage.uniform_filter(image, window, mode="nearest")

    size = window[0] * window[1]
    share = local_mean(weight)
    share = np.where(share > 0.5 / size, share, np.float32(np.nan))
    mean = local_mean(values) / share
    scatter = local_mean(np.square(values)) / share - mean**2
    # the scatter about a mean of n values is (n - 1) / n of that about the truth
    n_values = np.maximum(share * size, 2)
    structure = np.maximum(scatter * n_values / (n_values - 1) - local_mean(noise) / share, 0)
    total = structure + NOISE_WEIGHT * noise
    own = np.divide(structure, total, out=np.ones_like(total), where=total > 0) * weight
    return mean + own * (values - mean), own
