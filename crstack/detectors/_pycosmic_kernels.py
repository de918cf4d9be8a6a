"""Arithmetic of `PyCosmicDetector`: for all pixels in the first iteration, for lists of pixels afterwards.

Every quantity is computed by the same operations in the same order for a band of rows and for a list of pixels. The
fast and the simple search therefore agree bit for bit.
"""

import numpy as np
from scipy import ndimage

from crstack.detectors._pycosmic_frame import CHUNK, REACH_OF_VALUE, at, copy_edges, in_chunks, median_of_usable
from crstack.utils.medians import median_of

__all__ = ["WorkingImage"]

#: half width of the boxes of the noise and of the median of S
HALF_BOX = 2
#: smallest noise in electrons, against division by zero
LEAST_NOISE = 1e-6
#: largest ratio to the Gaussian mean, against infinities where the mean comes close to 0
MOST_RATIO = np.float32(1e30)


def clipped_laplacian(centre, up, down, left, right):
    """2x2 block sum of the Laplacian of the image repeated 2x2, negatives set to 0.

    A quarter of a pixel has two neighbours inside its own pixel and two outside,
    one vertical and one horizontal: its Laplacian is (2 c - v - h) / 4.
    """
    twice = 2 * centre
    total = np.zeros_like(centre)
    for vertical in (up, down):
        rest = twice - vertical
        for horizontal in (left, right):
            total += np.maximum(rest - horizontal, 0)
    total *= np.float32(0.25)
    return total


def plain_laplacian(centre, up, down, left, right):
    """2x2 block sum of the Laplacian of the image repeated 2x2, negatives kept."""
    return 2 * centre - np.float32(0.5) * ((up + down) + (left + right))


def cross(padded):
    """Centre, up, down, left and right views of an image with a border of one pixel."""
    return (
        padded[1:-1, 1:-1],
        padded[:-2, 1:-1],
        padded[2:, 1:-1],
        padded[1:-1, :-2],
        padded[1:-1, 2:],
    )


def ratio_to_smooth(values, smooth, weight=None):
    """``values`` over their Gaussian mean, negatives 0; 1 where no neighbour has weight.

    ``smooth`` is the Gaussian mean of the weighted values, ``weight`` that of the
    weights (1 if not given).
    """
    ratio = np.zeros_like(values)
    with np.errstate(over="ignore"):
        np.divide(values if weight is None else values * weight, smooth, out=ratio, where=smooth != 0)
    np.clip(ratio, 0, MOST_RATIO, out=ratio)
    if weight is not None:
        ratio[weight == 0] = 1
    return ratio


def correlate_first_axis(patches, kernel):
    """Central value of ``patches`` correlated along axis 0, summed as `scipy.ndimage.correlate1d` does."""
    radius = len(kernel) // 2
    total = patches[radius] * kernel[radius]
    for i in range(radius):
        total += (patches[i].astype(np.float64) + patches[-1 - i]) * kernel[i]
    return total.astype(np.float32)


class WorkingImage:
    """The current image of an iteration, and its measurements.

    ``pixels`` are always flat indices of pixels inside the image.
    """

    def __init__(self, frame):
        self.frame = frame
        self.values = frame.electrons.copy()
        self.weight = frame.weight.copy()
        self.usable = frame.usable.copy()
        self.flagged = np.zeros(frame.electrons.shape, dtype=bool)
        self.all_weighted = bool(frame.weight.all())
        self._box = frame.offsets(HALF_BOX, HALF_BOX)
        self._cross = np.array([0, -frame.stride, frame.stride, -1, 1])

    def _floor(self, pixels):
        return at(self.frame.floor, pixels) if np.ndim(self.frame.floor) else self.frame.floor

    def laplacian(self, pixels):
        """Clipped Laplacian L at ``pixels``."""
        return clipped_laplacian(*at(self.values, pixels + self._cross[:, None]))

    def noise(self, pixels):
        """Expected noise in electrons at ``pixels``."""
        variance = self._floor(pixels)
        if not self.frame.floor_is_variance:
            signal = np.maximum(median_of(at(self.values, pixels + self._box[:, None])), 0)
            if self.frame.dispersion:
                variance = variance + np.float32(self.frame.dispersion) * signal**2
            variance = variance + signal
        return np.maximum(np.sqrt(variance), np.float32(LEAST_NOISE))

    def significance(self, pixels):
        """S = L / (2 noise) at ``pixels``."""
        return in_chunks(lambda some: self.laplacian(some) / (2 * self.noise(some)), pixels)

    def median_significance(self, pixels):
        """Median of S over the 5 x 5 box around ``pixels``."""
        return median_of(self._spread(self.significance, pixels, self._box))

    def ratio(self, pixels):
        """Ratio of the image to its Gaussian mean at ``pixels``."""
        ky, kx = self.frame.kernels
        dy = np.arange(len(ky)) - len(ky) // 2
        dx = np.arange(len(kx)) - len(kx) // 2
        window = (dy[:, None] * self.frame.stride + dx)[:, :, None]

        def smooth(image):
            return correlate_first_axis(correlate_first_axis(image, ky), kx)

        def ratio_of(some):
            around = window + some
            weight = at(self.weight, around)
            weighted = at(self.values, around) * weight
            return ratio_to_smooth(at(self.values, some), smooth(weighted), smooth(weight))

        return in_chunks(ratio_of, pixels, CHUNK // 4)

    def sharpness(self, pixels):
        """Laplacian L2 of the ratio at ``pixels``."""
        return in_chunks(lambda some: plain_laplacian(*self._spread(self.ratio, some, self._cross)), pixels)

    def _spread(self, function, pixels, offsets):
        """``function`` at the pixels around ``pixels``, each computed once: (n_offsets, n_pixels)."""
        around = self.frame.nearest(pixels, offsets)
        first = around.min(initial=self.values.size)
        around -= first
        needed = np.zeros(max(around.max(initial=-1) + 1, 0), dtype=bool)
        needed[around] = True
        where = np.flatnonzero(needed)
        values = np.empty(needed.size, dtype=np.float32)
        values[where] = function(where + first)
        return at(values, around) if around.size else np.empty(around.shape, dtype=np.float32)

    def sharp_pixels(self, first, last, sigma, rlim):
        """Pixels of rows ``first`` to ``last`` (excluded) that may be hits, found by dense arithmetic."""
        frame = self.frame
        pad, nx = frame.pad, frame.shape[1]
        sharpness = plain_laplacian(*cross(self._ratio_of_rows(first, last)))
        rows = slice(first + pad - 1, last + pad + 1)
        laplacian = clipped_laplacian(*cross(self.values[rows, pad - 1 : pad + nx + 1]))
        rows, columns = slice(first + pad, last + pad), slice(pad, pad + nx)
        floor = frame.floor[rows, columns] if np.ndim(frame.floor) else frame.floor
        found = (sharpness > rlim) & (laplacian > self._least_laplacian(floor, sigma))
        y, x = np.nonzero(found)
        return (y + first + pad) * frame.stride + x + pad

    def _least_laplacian(self, floor, sigma):
        # a bound of S > sigma without a median: the noise is never below its floor (minus a margin for rounding)
        return np.float32(2 * sigma * (1 - 1e-5)) * np.sqrt(floor)

    def _ratio_of_rows(self, first, last):
        """Ratio of the image to its Gaussian mean, with a border of one pixel."""
        pad, (ny, nx) = self.frame.pad, self.frame.shape
        ky, kx = self.frame.kernels
        top, bottom = max(first - 1, 0), min(last + 1, ny)
        reach = len(ky) // 2
        rows = slice(top + pad - reach, bottom + pad + reach)

        def smooth(image):
            image = ndimage.correlate1d(image, ky, axis=0)[reach : reach + bottom - top]
            return ndimage.correlate1d(image, kx, axis=1)[:, pad : pad + nx]

        values = self.values[top + pad : bottom + pad, pad : pad + nx]
        if self.all_weighted:
            ratio = ratio_to_smooth(values, smooth(self.values[rows]))
        else:
            weight = self.weight[rows]
            ratio = ratio_to_smooth(values, smooth(self.values[rows] * weight), smooth(weight))
        return np.pad(ratio, ((int(top == first), int(bottom == last)), (1, 1)), mode="edge")

    def confirmed(self, pixels, sigma, rlim):
        """Those of ``pixels`` that are hits, with their S - median(S) and L2.

        The fastest test comes first; each test uses the pixels that passed the one before.
        """
        pixels = pixels[(at(self.weight, pixels) > 0) & ~at(self.flagged, pixels)]
        bright = in_chunks(
            lambda some: self.laplacian(some) > self._least_laplacian(self._floor(some), sigma), pixels, 8 * CHUNK
        )
        pixels = pixels[bright]
        significance = self.significance(pixels)
        keep = significance > sigma
        pixels, significance = pixels[keep], significance[keep]
        sharpness = self.sharpness(pixels)
        keep = sharpness > rlim
        pixels, significance, sharpness = pixels[keep], significance[keep], sharpness[keep]
        significance = significance - in_chunks(self.median_significance, pixels)
        keep = significance > sigma
        return pixels[keep], significance[keep], sharpness[keep]

    def flag(self, new):
        """Flag the ``new`` hits, replace them, and return the pixels that may have changed."""
        frame = self.frame
        self.flagged.ravel()[new] = True
        self.weight.ravel()[new] = 0
        self.usable.ravel()[new] = False
        copy_edges(self.weight, frame.pad)
        self.all_weighted = self.all_weighted and not len(new)
        # flagged pixels whose replacement used a pixel that is now a hit
        near_new = self._surroundings(new, *frame.half_window)
        stale = np.flatnonzero(near_new & self.flagged)
        replaced = median_of_usable(self.values, self.usable, stale, frame.offsets(*frame.half_window))
        self.values.ravel()[stale] = np.where(np.isnan(replaced), frame.level, replaced)
        copy_edges(self.values, frame.pad)
        ky, kx = frame.kernels
        touched = self._surroundings(new, len(ky) // 2 + 1, len(kx) // 2 + 1)
        touched |= self._surroundings(stale, REACH_OF_VALUE, REACH_OF_VALUE)
        return frame.pixels(frame.inside(touched))

    def _surroundings(self, pixels, half_y, half_x):
        """Mask (with border) of the windows around ``pixels``."""
        mask = np.zeros(self.values.shape, dtype=bool)
        across = np.arange(-half_x, half_x + 1)[:, None]
        for dy in range(-half_y, half_y + 1):
            mask.ravel()[pixels + dy * self.frame.stride + across] = True
        return mask
