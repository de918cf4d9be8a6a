"""The image that `PyCosmicDetector` works on, with its border, and the filling of pixels from their neighbours.

Images are held with a border of copies of their nearest pixels, and pixels are addressed by their flat index in that
bordered image. A neighbour is an index plus an offset, also at the edges.
"""

from dataclasses import dataclass

import numpy as np

from crstack.utils.medians import median_of_values

__all__ = [
    "CHUNK",
    "REACH_OF_VALUE",
    "Frame",
    "at",
    "copy_edges",
    "filled_inwards",
    "in_chunks",
    "make_frame",
    "median_of_usable",
]

#: FWHM of a Gaussian in units of its standard deviation
FWHM_PER_SIGMA = 2.354
#: a replaced value changes S - median(S) up to this distance: the 5 x 5 box of the noise, then that of the median
REACH_OF_VALUE = 4
#: pixels handled at a time, to limit the memory of their neighbourhoods
CHUNK = 8192
#: rounds of filling from the outside inwards before the level of the image is used
ROUNDS = 5


def gaussian_kernel(fwhm):
    """Normalised Gaussian of ``fwhm`` pixels, cut at 4 sigma: float64 (2 r + 1)."""
    sigma = fwhm / FWHM_PER_SIGMA
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def in_chunks(function, pixels, size=CHUNK):
    """``function`` of a list of pixels, computed ``size`` at a time."""
    if len(pixels) <= size:
        return function(pixels)
    return np.concatenate([function(pixels[i : i + size]) for i in range(0, len(pixels), size)])


def at(image, pixels):
    """Values of an image at flat indices inside it; several times faster than by brackets, which check each index."""
    return image.ravel().take(pixels, mode="wrap")


def copy_edges(padded, pad):
    """Write the nearest pixels of the image into its border."""
    padded[:, :pad] = padded[:, pad : pad + 1]
    padded[:, -pad:] = padded[:, -pad - 1 : -pad]
    padded[:pad] = padded[pad]
    padded[-pad:] = padded[-pad - 1]


def median_of_usable(values, usable, pixels, window):
    """Median of the usable pixels at ``pixels`` + ``window`` offsets; NaN if there is none."""
    return in_chunks(lambda some: _median_of_usable(values, usable, some[:, None] + window), pixels)


def _median_of_usable(values, usable, around):
    """Median of the usable values around each of some pixels; NaN where there are none."""
    allowed = at(usable, around)
    ordered = np.sort(np.where(allowed, at(values, around), np.float32(np.inf)), axis=1)
    count = np.count_nonzero(allowed, axis=1)
    rows, last = np.arange(len(count)), ordered.shape[1] - 1
    lower, upper = ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, np.minimum(count // 2, last)]
    median = np.float32(0.5) * (lower + upper)
    median[count == 0] = np.nan
    return median


@dataclass(frozen=True, eq=False)
class Frame:
    """One image in electrons, with all quantities that are constant during the iterations.

    Every array has the border of ``pad`` pixels.
    """

    shape: tuple
    pad: int
    #: float32, bad pixels filled
    electrons: np.ndarray
    #: float32, 1 at good pixels and 0 at bad ones
    weight: np.ndarray
    #: bool, pixels whose values may be used for replacements
    usable: np.ndarray
    #: float or float32 image: variance that does not depend on the signal
    floor: float | np.ndarray
    #: whether ``floor`` is the whole variance
    floor_is_variance: bool
    #: variance grows by this times the signal squared
    dispersion: float
    #: kernels along y and x
    kernels: tuple
    #: half sizes of the replacement window along y and x
    half_window: tuple
    #: median of all good pixels, for pixels far from any
    level: np.float32

    @property
    def stride(self):
        """Distance in flat index from one row to the next."""
        return self.electrons.shape[1]

    def offsets(self, half_y, half_x):
        """Flat offsets of the pixels of a window, (2 half_y + 1) * (2 half_x + 1) of them."""
        dy, dx = np.mgrid[-half_y : half_y + 1, -half_x : half_x + 1]
        return (dy * self.stride + dx).ravel()

    def inside(self, padded):
        """View of the image without its border."""
        ny, nx = self.shape
        return padded[self.pad : self.pad + ny, self.pad : self.pad + nx]

    def pixels(self, mask):
        """Flat indices of the True pixels of a mask (ny, nx)."""
        y, x = np.nonzero(mask)
        return (y + self.pad) * self.stride + x + self.pad

    def nearest(self, pixels, offsets):
        """Flat indices (n_offsets, n_pixels) around pixels; those in the border are moved to the nearest pixel."""
        y, x = np.divmod(pixels, self.stride)
        # offsets are much smaller than a row
        dy = (offsets + self.stride // 2) // self.stride
        dx = offsets - dy * self.stride
        rows = np.clip(y + dy[:, None], self.pad, self.pad + self.shape[0] - 1)
        rows *= self.stride
        rows += np.clip(x + dx[:, None], self.pad, self.pad + self.shape[1] - 1)
        return rows


def make_frame(electrons, bad, floor, *, floor_is_variance, dispersion, fwhm, half_window, lose_last):
    """Build the `Frame` of an image.

    Parameters
    ----------
    electrons : `~numpy.ndarray`
        float32 (ny, nx); values at bad pixels are not used.
    bad : `~numpy.ndarray` of bool
        (ny, nx)
    floor, floor_is_variance, dispersion
        See `Frame`; ``floor`` without border.
    fwhm, half_window : tuple
        Along y and x.
    lose_last : bool
        Whether the values of the last row and column are excluded from replacements.
    """
    kernels = tuple(gaussian_kernel(width) for width in fwhm)
    pad = max(REACH_OF_VALUE, *half_window, *(len(kernel) // 2 + 1 for kernel in kernels))
    level = np.float32(median_of_values(electrons[~bad])) if not bad.all() else np.float32(0)
    lendable = ~bad
    if lose_last:
        lendable[-1, :] = lendable[:, -1] = False
    frame = Frame(
        shape=electrons.shape,
        pad=pad,
        electrons=np.pad(electrons, pad, mode="edge"),
        weight=np.pad((~bad).astype(np.float32), pad, mode="edge"),
        usable=np.pad(lendable, pad),
        floor=np.pad(floor, pad, mode="edge") if np.ndim(floor) else np.float32(floor),
        floor_is_variance=floor_is_variance,
        dispersion=dispersion,
        kernels=kernels,
        half_window=half_window,
        level=level,
    )
    if bad.any():
        # the closest good neighbours, because a wider window would make steps next to spectra
        pixels = frame.pixels(bad)
        good = np.pad(~bad, pad)
        frame.electrons.ravel()[pixels] = filled_inwards(frame, frame.electrons, good, pixels, (1, 1))
        copy_edges(frame.electrons, pad)
    return frame


def filled_inwards(frame, values, usable, pixels, half_window):
    """Values for ``pixels``: medians of the usable pixels around them.

    Pixels without a usable pixel in their window are filled in a later round from those filled before. The last ones
    get the level of the image.
    """
    window = frame.offsets(*half_window)
    filled = np.full(len(pixels), np.nan, dtype=np.float32)
    empty = np.arange(len(pixels))
    for _ in range(ROUNDS):
        filled[empty] = median_of_usable(values, usable, pixels[empty], window)
        found = empty[~np.isnan(filled[empty])]
        empty = empty[np.isnan(filled[empty])]
        if not len(empty) or not len(found):
            break
        values, usable = values.copy(), usable.copy()
        values.ravel()[pixels[found]] = filled[found]
        usable.ravel()[pixels[found]] = True
    filled[empty] = frame.level
    return filled
