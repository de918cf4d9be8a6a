"""Arithmetic of L.A.Cosmic, with the results of ``astroscrappy.detect_cosmics`` (McCully et al., BSD) to the last bit.

The image of significance and the fine structure are computed for bands of rows.
"""

import numpy as np

from crstack.detectors._astroscrappy import convolve, laplaceconvolve, rebin, subsample
from crstack.utils.medians import box_median, separable_median

__all__ = [
    "LEAST_STRUCTURE",
    "REACH_OF_MEDIAN",
    "MatchedFilter",
    "MedianSmoother",
    "edge_laplacian",
    "fine_structure",
    "significance",
    "smoothed",
]

#: smallest variance and smallest fine structure, against division by zero
LEAST_VARIANCE, LEAST_STRUCTURE = np.float32(1e-5), np.float32(0.01)
#: relative error of one float32 operation, and the absolute error by underflow
ROUNDING, SMALLEST = 2.0**-24, 1e-40
#: reach (pixels) of the median of the fine structure
REACH_OF_MEDIAN = 4


def edge_laplacian(values):
    """`clipped_laplacian` of the outer pixels of an image: the first and last row, the first and last column."""

    def along(strip):
        laplacian = laplaceconvolve(subsample(np.ascontiguousarray(strip)))
        return rebin(np.maximum(laplacian, 0))

    return along(values[:2])[0], along(values[-2:])[-1], along(values[:, :2])[:, 0], along(values[:, -2:])[:, -1]


def clipped_laplacian(values):
    """L+ of the inner pixels (ny - 2, nx - 2): Laplacian of the image repeated 2 x 2, negatives 0, mean of each 2 x 2.

    A quarter of a pixel has two neighbours within its own pixel, one beside and one above or below it. The sums are
    taken in the order in which astroscrappy takes them.
    """
    centre, upper, lower = values[1:-1, 1:-1], values[:-2, 1:-1], values[2:, 1:-1]
    four = 4 * centre
    left = four - centre
    left -= values[1:-1, :-2]
    right = np.subtract(four, values[1:-1, 2:], out=four)
    right -= centre
    above, below = centre + upper, centre + lower

    def quarter(beside, vertical):
        difference = beside - vertical
        return np.maximum(difference, 0, out=difference)

    total = quarter(left, above)
    total += quarter(right, below)
    rest = quarter(left, below)
    rest += quarter(right, above)
    total += rest
    total *= np.float32(0.25)
    return total


def smoothed(image, separable):
    """Median of 7 x 7 pixels, separable, or of 5 x 5 pixels."""
    return separable_median(image, 7) if separable else box_median(image, 5)


def significance(values, variance, floor, edges, separable):
    """Noise, and the significance S' of the Laplacian, of a band of rows or of a whole image.

    Parameters
    ----------
    values, variance : `~numpy.ndarray`
        float32 (ny, nx): the image, and the part of its variance that is smoothed.
    floor : `~numpy.ndarray` or None
        The part of the variance that is not smoothed.
    edges : tuple
        Of `edge_laplacian`, for these rows.
    separable : bool
        Whether medians are separable.

    Returns
    -------
    noise, significance : `~numpy.ndarray`
        float32 (ny, nx). If the band was cut from an image, its outer 3 rows of noise and its outer 6 rows of
        significance differ from those of the image.
    """
    noise = smoothed(variance, separable)
    if floor is not None:
        noise += floor
    np.maximum(noise, LEAST_VARIANCE, out=noise)
    np.sqrt(noise, out=noise)
    ratio = np.empty_like(values)
    ratio[0], ratio[-1], ratio[:, 0], ratio[:, -1] = edges
    if min(values.shape) > 2:
        ratio[1:-1, 1:-1] = clipped_laplacian(values)
    ratio /= 2 * noise
    return noise, ratio - smoothed(ratio, separable)


def fine_structure(values, noise, pixels, smooth, separable):
    """Fine structure image F in units of the noise, at some pixels of a band or of a whole image.

    Parameters
    ----------
    values, noise : `~numpy.ndarray`
        float32 (ny, nx)
    pixels : tuple of `~numpy.ndarray`
        Rows and columns (n,).
    smooth : callable
        Smooths an image, given with its noise: `MatchedFilter`, its ``exact``, or `MedianSmoother`.
    separable : bool
        Whether medians are separable.

    Returns
    -------
    structure, modulus : `~numpy.ndarray`
        float32 (n,): F less its median, over the noise; and the sum of the moduli of both, over the noise.
    """
    smoothed = smooth(values, noise)
    median = separable_median(smoothed, 9)[pixels] if separable else _median_of_49(smoothed, *pixels)
    smoothed, noise = smoothed[pixels], noise[pixels]
    return (smoothed - median) / noise, (np.abs(smoothed) + np.abs(median)) / noise


def _median_of_49(image, y, x):
    """Median of 7 x 7 pixels at rows ``y`` and columns ``x``; in the outer 3 pixels, the image."""
    ny, nx = image.shape
    median = image[y, x]
    inner = np.flatnonzero((y >= 3) & (y < ny - 3) & (x >= 3) & (x < nx - 3))
    offset = np.arange(-3, 4)
    around = image[y[inner] + offset[:, None, None], x[inner] + offset[:, None]]
    median[inner] = np.partition(around.reshape(49, -1), 24, axis=0)[24]
    return median


class MedianSmoother:
    """The image smoothed by a median of 5 x 5 pixels, separable, or of 3 x 3 pixels. See `MatchedFilter`."""

    bound = 0

    def __init__(self, separable):
        self.half = 2 if separable else 1

    def __call__(self, values, noise):
        """F, float32 (ny, nx)."""
        return separable_median(values, 5) if self.half == 2 else box_median(values, 3)

    exact = __call__


class MatchedFilter:
    """The image smoothed with a PSF, weighted by the inverse variance of each pixel.

    astroscrappy sums n * n products for each pixel, for an n x n kernel. A Gaussian kernel is a product of two
    vectors. Sums along the rows and then along the columns differ from the n * n products by rounding only. A call
    returns these faster sums. ``exact`` returns the sums of astroscrappy. ``bound`` is the largest difference of the
    two. Other kernels are always summed by astroscrappy.

    Parameters
    ----------
    psf : `~numpy.ndarray`
        Kernel, float32 (n, n) with n odd.
    """

    def __init__(self, psf):
        self.psf = np.ascontiguousarray(psf)
        self.half = len(psf) // 2
        along_y, along_x = psf[:, self.half].astype(float), psf[self.half].astype(float) / psf[self.half, self.half]
        error = np.abs(np.outer(along_y, along_x) - psf)
        symmetric = np.array_equal(psf, psf[::-1]) and np.array_equal(psf, psf[:, ::-1])
        #: whether sums are made along one axis after the other
        self.by_axis = bool(symmetric and np.all(error <= 8 * ROUNDING * psf + SMALLEST))
        self._along_y, self._along_x = (along[self.half :].astype(np.float32) for along in (along_y, along_x))
        #: error of F in units of its modulus
        # two sums of n * n and of 2 n terms, and kernels that differ in their last digits
        self.bound = (2 * self.psf.size + 4 * len(psf) + 64) * ROUNDING if self.by_axis else 0

    def __call__(self, values, noise):
        """F, float32 (ny, nx). Pixels outside of the image have no weight."""
        if not self.by_axis:
            return self.exact(values, noise)
        weight = 1 / noise / noise
        return self._summed(values / noise / noise) / self._summed(weight)

    def exact(self, values, noise):
        """F with the rounding of astroscrappy."""
        return convolve(values / noise / noise, self.psf) / convolve(1 / noise / noise, self.psf)

    def _summed(self, image):
        """The image summed with the weights of the kernel, along rows and then along columns."""
        half = self.half
        (ny, nx) = image.shape
        padded = np.zeros((ny + 2 * half, nx + 2 * half), dtype=np.float32)
        padded[half:-half, half:-half] = image
        lines = _symmetric_sum([padded[:, i : i + nx] for i in range(2 * half + 1)], self._along_x)
        return _symmetric_sum([lines[i : i + ny] for i in range(2 * half + 1)], self._along_y)


def _symmetric_sum(layers, weights):
    """Weighted sum of layers; ``weights`` are those of the middle one and of its neighbours on either side."""
    half = len(layers) // 2
    total = layers[half] * weights[0]
    pair = np.empty_like(total)
    for i in range(1, half + 1):
        np.add(layers[half - i], layers[half + i], out=pair)
        pair *= weights[i]
        total += pair
    return total
