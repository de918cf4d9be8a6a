"""Clean pixels of exposures that are not quite equivalent, and weights that know nothing of their noise."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack._threads import map_threads, row_bands
from crstack.statistics import sort_exposures

__all__ = ["CleanPixels", "filled", "median_of_scaled", "neighbour_mean", "reject_hits"]

#: an exposure this many standard deviations from the median is hit, or not clean
CLIP_SIGMA = 5.0
#: signal over noise of a pixel that tells how much the exposures differ beyond their noise
BRIGHT = 10.0
#: fewest pixels for such a measurement
FEWEST = 50
#: standard deviation of a normal distribution over its median absolute deviation
SIGMA_OF_MAD = 1.4826


@dataclass(frozen=True, eq=False, repr=False)
class CleanPixels:
    """What the exposures have in common, and where they agree.

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
    """Exposure ``i`` with bad values replaced by the median of the others, and by the nearest where all are bad."""
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


def reject_hits(exposures, usable, scales, models=None, clip=CLIP_SIGMA):
    """Find the pixels where all exposures agree.

    A pixel is left out of every exposure where one of them lies more than
    ``clip`` standard deviations from the common image on either side (a hit in
    most exposures leaves the others low), and so are its eight neighbours, which
    hold the faint rim of a hit.

    Parameters
    ----------
    exposures : Exposures
        The exposures, not changed.
    usable : `~numpy.ndarray` of bool
        (ny, nx), the pixels to look at.
    scales : sequence of float or `~numpy.ndarray`
        What takes the common image to each exposure.
    models : sequence of `~numpy.ndarray`, optional
        Expected image of each exposure over its scale, where it is not the median.
    clip : float, optional
        In standard deviations.

    Returns
    -------
    clean : CleanPixels
    """
    common = median_of_scaled(exposures.data, scales)
    # a weak signal has the noise of its surroundings, whatever its own draw
    nearby = neighbour_mean(common) if models is None else None

    def compare(i):
        model, scale = common if models is None else models[i], scales[i]
        scale = np.float32(scale) if np.ndim(scale) == 0 else scale
        variance = exposures.noise_of(i).variance((neighbour_mean(model) if models else nearby) * scale)
        return exposures.data[i] / scale - model, np.sqrt(variance) / scale

    deviations, sigmas = zip(*map_threads(compare, range(len(scales))), strict=True)
    excess = _excess(common, deviations, sigmas, usable)
    limit = np.float32(clip)
    ok = usable.copy()
    for deviation, sigma in zip(deviations, sigmas, strict=True):
        ok &= np.abs(deviation) <= limit * np.hypot(sigma, np.float32(excess) * common)
    rejected = usable & ~ok
    ok &= ~ndimage.maximum_filter(rejected.view(np.uint8), size=3, mode="constant").view(bool)
    return CleanPixels(common, ok, excess)


def _excess(common, deviations, sigmas, usable):
    """Relative scatter beyond the noise, robustly, from the brightest pixels."""
    bright = usable & (common > BRIGHT * sigmas[0])
    if np.count_nonzero(bright) < FEWEST:
        return 0.0
    # of the exposures the median itself deviates by 0: the others tell
    squares = np.sort([deviation[bright] ** 2 for deviation in deviations], axis=0)[1:]
    noise = np.mean([sigma[bright] ** 2 for sigma in sigmas], axis=0)
    spread = SIGMA_OF_MAD**2 * np.median(squares / common[bright] ** 2)
    return float(np.sqrt(max(spread - np.median(noise / common[bright] ** 2), 0.0)))


def neighbour_mean(image, ok=None):
    """Mean of the eight neighbours of each pixel, without the pixel itself.

    Its noise is independent of that of the pixel, which makes it fit for
    weights. Neighbours that are not ``ok`` do not count.
    """
    if ok is None:
        ok = np.ones(image.shape, dtype=bool)
    kept = np.where(ok, image, np.float32(0))
    total = 9 * ndimage.uniform_filter(kept, 3, mode="constant") - kept
    count = 9 * ndimage.uniform_filter(ok.astype(np.float32), 3, mode="constant") - ok
    return np.where(count > 0.5, total / np.maximum(count, np.float32(0.5)), np.float32(0))
