"""Sub-pixel offsets between the exposures, by cross-correlation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import ndimage

from crstack.equalize.terms.clean import CLIP_SIGMA, filled, median_of_scaled
from crstack.equalize.terms.hot_pixels import hot_pixels, medians_around
from crstack.equalize.terms.steps import LARGEST as LARGEST_STEP
from crstack.equalize.terms.steps import moved, whole_steps
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.exposures.comparison.unused import check_values
from crstack.statistics import OrderStatistics, order_statistics
from crstack.utils.pixels import contrast_of, highest_around
from crstack.utils.threads import map_threads
from crstack.utils.validation import check_number, check_region

__all__ = [
    "CONTRAST",
    "LARGEST_MEASURED",
    "Offsets",
    "check_offsets",
    "check_region_size",
    "estimate_offsets",
    "plausible_maxima",
    "shifted",
    "shifted_each",
]

#: inverse of the precision (pixels) of the peak of the cross-correlation
UPSAMPLING = 100
#: number of rounds: shift by the measured offset, and measure the residual
ROUNDS = 3
#: smallest side (pixels) of a region that can be correlated
SMALLEST = 16
#: share of each side that fades to 0 at the edges
TAPER = 0.2
#: least excess of the products of slopes over those of noise, in standard deviations
SIGNIFICANCE = 5.0
#: pixels around the region that are used with it: for shifts by whole pixels, and for the highest values around
MARGIN = 2 * LARGEST_STEP + 8
#: variance of a sum of products of slopes over that of independent products: each slope is that over two pixels
NEIGHBOURS = 1.5
#: largest offset (pixels) after the shift by whole pixels
LARGEST = 3.0
#: largest offset (pixels) that is measured
LARGEST_MEASURED = LARGEST_STEP + LARGEST
#: window (pixels) in which the lowest exposure limits the signal
REACH = 5
#: the highest pixel of a star may differ by this factor between exposures, because of its place within the pixel
SHARPEST = 2.0
#: part of the local contrast that a small misalignment may change
CONTRAST = 0.2


@dataclass(frozen=True)
class Offsets:
    """Offsets of the exposures.

    Attributes
    ----------
    values : tuple of (float, float)
        For each exposure (dx, dy) in pixels: the shift to apply to the median
        image so that it coincides with the exposure. Along each axis the median of
        measured offsets is 0.
    errors : tuple of (float, float)
        Standard errors from the noise; 0 for offsets that were given.
    region : tuple of int or None
        Region of the measurement: (xmin, xmax, ymin, ymax); None for the whole image, or given offsets.
    """

    values: tuple
    errors: tuple
    region: tuple | None = None

    def __str__(self):
        return ", ".join(f"({dx:+.3f}, {dy:+.3f})" for dx, dy in self.values)


def check_offsets(offsets, n=None):
    """Return given offsets as a tuple of pairs of floats, ``n`` of them if that is known.

    Raises
    ------
    InputError
        If they are not pairs of finite numbers, or not ``n``.
    """
    try:
        pairs = [tuple(pair) for pair in offsets]
    except TypeError:
        raise InputError(f"offsets must be pairs (dx, dy), one for each exposure; got {offsets!r}") from None
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"offsets must be pairs (dx, dy), one for each exposure; got {pairs}")
    if n is not None and len(pairs) != n:
        raise InputError(f"offsets must be {n} pairs (dx, dy), one for each exposure; got {len(pairs)}")
    return tuple(tuple(check_number("offsets", value) for value in pair) for pair in pairs)


def shifted(image, offset):
    """Shift an image by (dx, dy) pixels, by cubic splines; edge pixels are repeated."""
    dx, dy = offset
    if dx == 0 and dy == 0:
        return image
    return ndimage.shift(image, (dy, dx), order=3, mode="nearest", output=np.float32)


def shifted_each(images, offsets):
    """`shifted` of each image by its own offset; a single image is used for all offsets."""
    if isinstance(images, np.ndarray) and images.ndim == 2:
        images = [images] * len(offsets)
    return map_threads(lambda pair: shifted(*pair), list(zip(images, offsets, strict=True)))


def estimate_offsets(
    exposures: Exposures,
    statistics: OrderStatistics,
    region: Sequence[int] | None = None,
    factors: Sequence[float] | None = None,
) -> Offsets:
    """Measure the offsets of the exposures.

    Parameters
    ----------
    exposures : Exposures
        Three or more, bias subtracted.
    statistics : OrderStatistics
        Of these exposures.
    region : (xmin, xmax, ymin, ymax), optional
        Where to measure; FITS convention, both ends included. Everywhere by default.
    factors : sequence of float, optional
        Flux factors of the exposures.

    Returns
    -------
    offsets : Offsets
        Their errors do not include variations of the scene in time.

    Raises
    ------
    InputError
        If the region is outside the image or too small, has no structure, or an offset
        exceeds three pixels.

    Notes
    -----
    Shifts of whole pixels are removed first (``crstack.equalize.terms.steps.whole_steps``). Hits are then replaced:
    values above twice the largest min2d within two pixels, by 5 standard deviations, become the median of their
    surroundings.
    Each value is divided by its noise through a square root (Anscombe 1948, Biometrika 35, 246), so that bright lines
    do not dominate. Every pair of exposures is cross-correlated with `skimage.registration.phase_cross_correlation`
    (Guizar-Sicairos et al. 2008, Opt. Lett. 33, 156) without whitening. In each round the exposures are shifted back
    by the previous result, which removes the bias by the frame. Values that differ by 5 standard deviations (more on
    steep slopes) from the median of the aligned exposures are replaced by it. The offsets are the least-squares
    solution of the pairs, minus their median along each axis. A correlation with the median image would be biased to
    0, because the median contains the noise of the exposure.
    """
    check_values(exposures, "offsets")
    factors = np.ones(len(exposures)) if factors is None else factors
    exposures, statistics, box = _around(exposures, statistics, _slices(region, exposures.shape))
    steps = whole_steps(exposures.data[:, *box])
    if any(map(any, steps)):
        exposures = _moved_back(exposures, steps)
        statistics = order_statistics(exposures.data, statistics.cr_coincidences, exposures.bad)
    planes = _prepared(exposures, statistics, box, factors)
    offsets, window = np.zeros((len(planes), 2)), _window(planes[0].shape)
    for number in range(ROUNDS):
        aligned = shifted_each(planes, -offsets)
        if number:
            _replace_outliers(aligned)
        offsets = offsets + _from_pairs(aligned, window)
        offsets -= np.median(offsets, axis=0)
        if np.abs(offsets).max() > LARGEST:
            raise InputError(
                f"exposures must lie within {LARGEST:g} pixels of each other, in a region with structure; "
                f"got an offset of {np.abs(offsets).max():.1f}"
            )
    error = _error(aligned)
    offsets = offsets + np.array(steps)
    offsets -= np.median(offsets, axis=0)
    values = tuple(tuple(map(float, offset)) for offset in offsets)
    return Offsets(values, (error,) * len(planes), None if region is None else tuple(region))


def _around(exposures, statistics, box):
    """Exposures and statistics in a box (slices) with its margin, and the box in these."""
    wide = tuple(slice(max(one.start - MARGIN, 0), one.stop + MARGIN) for one in box)
    inner = tuple(slice(one.start - out.start, one.stop - out.start) for one, out in zip(box, wide, strict=True))
    return exposures.cutout(wide), statistics.cutout(wide), inner


def _moved_back(exposures, steps):
    """The exposures shifted back by whole pixels, with their noise; edge pixels are repeated."""

    def back(values):
        return np.stack([moved(one, (-dx, -dy)) for one, (dx, dy) in zip(values, steps, strict=True)])

    variances = tuple(
        None if one is None else moved(one, (-dx, -dy))
        for one, (dx, dy) in zip(exposures.variances, steps, strict=True)
    )
    bad = None if exposures.bad is None else back(exposures.bad)
    return replace(exposures, data=back(exposures.data), bad=bad, variances=variances, saturated=None)


def check_region_size(region, shape):
    """Return a region that lies inside an image of ``shape`` and is large enough to be correlated."""
    xmin, xmax, ymin, ymax = check_region("crosscorr_region", region, shape)
    if min(xmax - xmin, ymax - ymin) < SMALLEST - 1:
        raise InputError(f"crosscorr_region must be {SMALLEST} pixels or more on each side; got {list(region)}")
    return xmin, xmax, ymin, ymax


def _slices(region, shape):
    xmin, xmax, ymin, ymax = check_region_size(region or (1, shape[1], 1, shape[0]), shape)
    return slice(ymin - 1, ymax), slice(xmin - 1, xmax)


def plausible_maxima(exposures, statistics, factors):
    """Function of i: the highest value (ny, nx) that exposure i can have without a hit.

    It is twice the largest min2d within two pixels, to include the effect of a shift on a star, plus 5 standard
    deviations.
    """
    highest = np.maximum(highest_around(np.nan_to_num(statistics.min2d), REACH // 2), 0)

    def of(i):
        # min2d comes from the exposure of the lowest factor
        one = highest * np.float32(SHARPEST * factors[i] / min(factors))
        return one + CLIP_SIGMA * np.sqrt(exposures.noise_of(i).variance(one))

    return of


def _prepared(exposures, statistics, box, factors):
    """Each exposure without hits, over its flux factor, with noise of about 1 everywhere."""
    lowest = np.nan_to_num(statistics.min2d[box])
    plausible_maximum = plausible_maxima(exposures, statistics, factors)
    # they do not shift with the scene
    hot = hot_pixels(lowest, np.sqrt(exposures.mean_variance(np.nan_to_num(statistics.min2d)))[box])

    def prepare(i):
        noise = exposures.noise_of(i)
        plane = filled(exposures, statistics, i, factors)[box]
        ceiling = plausible_maximum(i)[box]
        hit = plane > ceiling
        hit[hot] = True
        cleaned = np.where(hit, ceiling, plane)
        cleaned[hit] = medians_around(cleaned, *np.nonzero(hit))
        electrons = np.broadcast_to(noise.electrons_per_unit, exposures.shape)[box]
        readnoise = np.broadcast_to(noise.readnoise_electrons, exposures.shape)[box]
        # the transform of Anscombe (1948), with 3/8, gives Poisson numbers the variance 1
        transformed = 2 * np.sqrt(np.maximum(cleaned * electrons + 0.375 + readnoise**2, 0))
        return transformed.astype(np.float32) / np.sqrt(np.float32(factors[i]))

    return map_threads(prepare, range(len(factors)))


def _window(shape):
    """Weights (ny, nx) that fade to 0 at the edges."""
    from scipy.signal.windows import tukey

    return np.outer(*(tukey(size, TAPER) for size in shape)).astype(np.float32)


def _tapered(plane, window):
    """Plane minus its mean, fading to 0 at the edges."""
    return (plane - np.sum(plane * window) / window.sum()) * window


def _from_pairs(planes, window):
    """Least-squares offsets (n, 2) as (dx, dy) from the shifts between all pairs."""
    from skimage.registration import phase_cross_correlation

    spectra = map_threads(lambda plane: np.fft.fft2(_tapered(plane, window)), planes)
    n = len(planes)
    offsets = np.zeros((n, 2))

    def correlate(pair):
        one, other = (spectra[i] for i in pair)
        options = {"upsample_factor": UPSAMPLING, "space": "fourier", "normalization": None}
        return phase_cross_correlation(one, other, **options)[0]

    pairs = list(combinations(range(n), 2))
    for (i, j), shift in zip(pairs, map_threads(correlate, pairs), strict=True):
        # the solution of all differences o_i - o_j with mean 0 is their mean over j
        offsets[i] += shift[::-1] / n
        offsets[j] -= shift[::-1] / n
    return offsets


def _replace_outliers(aligned):
    """Replace remaining hits by the median of the aligned exposures, in place."""
    median = median_of_scaled(np.stack(aligned), np.ones(len(aligned)))
    limit = CLIP_SIGMA + CONTRAST * contrast_of(median)
    for plane in aligned:
        outlier = np.abs(plane - median) > limit
        plane[outlier] = median[outlier]


def _error(aligned):
    """Error (dx, dy) of an offset.

    Let A be the sum of the squared slopes of the scene in n pixels, and v the variance of the noise of each of two
    images. Their shift has two errors. The noise on the slopes gives the variance 2 v / A. The correlation of noise
    with noise gives the variance pi**2 / 3 n v**2 / A**2, which is the larger one if the scene is weak.
    """
    n, errors = len(aligned), []
    window = _window(aligned[0].shape)
    mean = np.mean(aligned, axis=0)
    scatter = np.sum((aligned - mean) ** 2) / ((n - 1) * mean.size)
    for axis in (1, 0):
        slopes = np.array([np.gradient(plane, axis=axis) * window for plane in aligned])
        # slopes of different exposures have the scene in common, but not the noise
        squares = slopes**2
        sum_of_squares = squares.sum(axis=0)
        total = np.sum(slopes.sum(axis=0) ** 2 - sum_of_squares)
        # adjacent slopes share pixels
        chance = np.sqrt(2 * NEIGHBOURS * np.sum(sum_of_squares**2 - (squares**2).sum(axis=0)))
        if not total > SIGNIFICANCE * chance:
            raise InputError("crosscorr_region must hold structure along x and y; got none above the noise")
        power = total / (n * (n - 1))
        alone = np.pi**2 / 3 * np.sum(window**4) * (scatter / power) ** 2
        variance = scatter / power + (n - 1) / n**2 * alone + 1 / (12 * UPSAMPLING**2)
        errors.append(float(np.sqrt(variance)))
    return tuple(errors)
