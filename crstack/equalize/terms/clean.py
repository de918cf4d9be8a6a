"""Clean pixels of exposures that are not quite equivalent, and weights that are independent of their noise."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

from crstack.statistics import sort_exposures
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_threads, row_bands, wide_bands

__all__ = ["CLIP_SIGMA", "CleanPixels", "filled", "median_of_scaled", "neighbour_mean", "reject_hits"]

#: an exposure this many standard deviations from the median is hit, or not clean
CLIP_SIGMA = 5.0
#: least signal-to-noise ratio of the pixels that measure the scatter of the exposures beyond their noise
BRIGHT = 10.0
#: fewest pixels for such a measurement, and the number that is enough
FEWEST, ENOUGH = 50, 200_000


@dataclass(frozen=True, eq=False, repr=False)
class CleanPixels:
    """The common image of the exposures, and the pixels where they agree.

    Attributes
    ----------
    common : `~numpy.ndarray`
        float32 (ny, nx), median of the exposures after division by their scales.
    ok : `~numpy.ndarray` of bool
        (ny, nx), True where all exposures are valid and agree with the median.
    excess : float
        Relative scatter of the exposures beyond their noise.
    """

    common: np.ndarray
    ok: np.ndarray
    excess: float


def filled(exposures, statistics, i, factors):
    """Exposure ``i`` with bad values replaced: by the median of the others or, if all are bad, by the nearest value."""
    if exposures.bad is None or not exposures.bad[i].any():
        return exposures.data[i]
    filled = np.where(exposures.bad[i], statistics.median2d * np.float32(factors[i]), exposures.data[i])
    nothing = ~np.isfinite(filled)
    if nothing.any():
        nearest = ndimage.distance_transform_edt(nothing, return_distances=False, return_indices=True)
        filled = filled[tuple(nearest)]
    return filled


def _rows_of(scale, rows):
    return scale[rows] if np.ndim(scale) else np.float32(scale)


def median_of_scaled(cube, scales):
    """Median over the exposures of each divided by its scale (number or image)."""
    n, ny, nx = cube.shape
    median = np.empty((ny, nx), dtype=np.float32)

    def work(rows):
        band = np.stack([cube[i, rows] / _rows_of(scale, rows) for i, scale in enumerate(scales)])
        sort_exposures(band)
        median[rows] = (band[(n - 1) // 2] + band[n // 2]) / 2

    map_threads(work, row_bands(ny, nx))
    return median


def reject_hits(exposures, usable, scales, models=None, nearby=None):
    """Find the pixels where all exposures agree.

    A pixel is left out if one exposure lies more than `CLIP_SIGMA` standard deviations above or below the common
    image. (Where most exposures are hit, the others are low.) Its eight neighbours are left out too, because they
    contain the faint rim of a hit.

    Parameters
    ----------
    exposures : Exposures
        The exposures, not changed.
    usable : `~numpy.ndarray` of bool
        (ny, nx), the pixels to use.
    scales : sequence of float or `~numpy.ndarray`
        Factors from the common image to each exposure.
    models : sequence of `~numpy.ndarray`, optional
        Expected image of each exposure over its scale, if it is not the median.
    nearby : sequence of `~numpy.ndarray`, optional
        `neighbour_mean` of each model, where it is known.

    Returns
    -------
    clean : CleanPixels
    """
    common = median_of_scaled(exposures.data, scales)
    n, bands = len(scales), wide_bands(*common.shape)
    if models is None:
        models, nearby = [common] * n, [neighbour_mean(common)] * n
    elif nearby is None:
        nearby = [neighbour_mean(model) for model in models]
    squares, variances = np.empty((2, n, *common.shape), dtype=np.float32)
    noises = [exposures.noise_of(i) for i in range(n)]

    def compare(item):
        i, (rows, _, _) = item
        scale = _rows_of(scales[i], rows)
        # for a weak signal the noise is that of its neighbours
        variances[i, rows] = noises[i].cutout(rows).variance(nearby[i][rows] * scale) / scale**2
        squares[i, rows] = (exposures.data[i, rows] / scale - models[i][rows]) ** 2

    map_threads(compare, product(range(n), bands))
    excess = _excess(common, squares, variances, usable)
    ok = usable.copy()

    def agree(band):
        rows = band[0]
        beyond = np.square(np.float32(excess) * common[rows])
        ok[rows] &= (squares[:, rows] <= np.float32(CLIP_SIGMA**2) * (variances[:, rows] + beyond)).all(axis=0)

    map_threads(agree, bands)
    rejected = usable & ~ok
    ok &= ~dilate(rejected, 1)
    return CleanPixels(common, ok, excess)


def _excess(common, squares, variances, usable):
    """Relative scatter beyond the noise: a robust estimate from the squared deviations of the brightest pixels."""
    bright = np.flatnonzero(usable & (common > BRIGHT * np.sqrt(variances[0])))
    if len(bright) < FEWEST:
        return 0.0
    if len(bright) > ENOUGH:
        bright = bright[np.linspace(0, len(bright) - 1, ENOUGH).astype(int)]
    level2 = common.ravel()[bright] ** 2
    # the median exposure itself deviates by 0: use the others
    squares = np.sort(squares.reshape(len(squares), -1)[:, bright], axis=0)[1:]
    noise = variances.reshape(len(variances), -1)[:, bright].mean(axis=0)
    spread = SIGMA_PER_MAD**2 * np.median(squares / level2)
    return float(np.sqrt(max(spread - np.median(noise / level2), 0.0)))


def neighbour_mean(image, ok=None):
    """Mean of the eight neighbours of each pixel, without the pixel itself.

    Its noise is independent of that of the pixel, so that it can be used for weights. Neighbours that are not ``ok``
    are excluded.
    """
    mean = np.empty(image.shape, np.result_type(image, np.float32))

    def work(band):
        rows, wide, inner = band
        mean[rows] = _neighbour_mean(image[wide], None if ok is None else ok[wide])[inner]

    map_threads(work, wide_bands(*image.shape, margin=1))
    return mean


def _neighbour_mean(image, ok):
    """Mean of the eight neighbours of each pixel that are ``ok``; 0 where none is."""
    kept = image if ok is None else np.where(ok, image, np.float32(0))
    total = 9 * ndimage.uniform_filter(kept, 3, mode="constant") - kept
    if ok is None:
        return total / np.maximum(_number_of_neighbours(image.shape), 1)
    count = 9 * ndimage.uniform_filter(ok.astype(np.float32), 3, mode="constant") - ok
    return np.where(count > 0.5, total / np.maximum(count, np.float32(0.5)), np.float32(0))


def _number_of_neighbours(shape):
    """Of each pixel of an image, float32."""
    sides = [np.minimum(np.arange(n), 1) + 1 + np.minimum(np.arange(n)[::-1], 1) for n in shape]
    return np.outer(*sides).astype(np.float32) - 1
