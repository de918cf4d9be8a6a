"""Local variance beyond the noise, from values that are too low."""

import numpy as np

from crstack.equalize.variance.block_residuals import raise_to_block_residuals
from crstack.equalize.variance.model_error import MARGIN, features_of, fit_model_error, places_to_fit
from crstack.equalize.variance.places import HOT, SPREAD, WINDOW, Places, highest_of_noise, in_both, ordered
from crstack.utils.filters import mean_around
from crstack.utils.memory import empty_image, zero_image
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["place_variance"]

#: weight of the estimate from the whole image, in pixels of the same kind
STEADY = 12.0
#: the excess variance of a neighbourhood counts if it exceeds the excess of its kind by this number of standard errors,
#: and by the second number where the kind has no excess
LOCAL_SIGNIFICANCE, ALONE = 3.0, 8.0
#: window (pixels) of a wide neighbourhood, whose excess counts if it exceeds that of its kind by this number of
#: standard errors
WIDE, WIDE_SIGNIFICANCE = 11, 6.0


def place_variance(levels, variance_of, measured=None):
    """Variance of each pixel beyond the noise, where the image has structure.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures on a common level, electrons.
    variance_of : callable
        ``variance_of(signal, box)``: mean variance of the exposures at a signal, in a box of the image (slices).
    measured : Differences, optional
        What was measured of the exposures. Expected changes by shift and seeing count as structure too.

    Returns
    -------
    variance : `~numpy.ndarray`
        float32 (ny, nx); 0 everywhere where the exposures differ by no more than noise.
    share : float
        Largest variance of a kind of place over the square of its contrast.

    Notes
    -----
    Hits only raise values. The difference of the median and the lowest value therefore measures the differences of the
    exposures, also where values are hit. Its square is expressed as a share of the square of the local contrast,
    because shift, seeing and throughput change the signal in proportion to the contrast. All places of similar contrast
    have one share. In a window of five or eleven pixels with a significantly larger share, the share is a weighted mean
    of that of the window and that of the kind. The wide window finds parts of the image that the measured differences
    do not describe, such as an emission line in a few slices of a spectrograph.

    If differences were measured, the variance is at least the squared residual in blocks of pixels, see
    `~crstack.equalize.variance.block_residuals.raise_to_block_residuals`.

    With two exposures, a hit looks like an error of the model. The contribution of hits to the squared deviations is
    measured in flat places and subtracted, see `~crstack.equalize.variance.hits_of_two.HitsOfTwo`. A squared deviation
    then counts up to four times its expected variance. In a window, the excess is computed twice: in the pixels where
    the first exposure is higher, and in the others. Twice the smaller one is used.
    """
    change = None if measured is None else measured.change
    places = Places.of(levels, variance_of, change)
    shares = places.shares_of_kinds()
    if not shares.any() and not measured:
        return zero_image(places.kind.shape), 0.0
    shares *= places.tails(shares, highest_of_noise(len(levels)))
    variance = empty_image(places.kind.shape)
    highest = map_threads(
        lambda band: _fill_band(variance, places, shares, band), wide_bands(*variance.shape, WIDE // 2)
    )
    _raise_to_model_error(variance, places, levels, variance_of, change)
    if measured:
        raise_to_block_residuals(variance, levels, variance_of)
    return variance, max(highest)


def _raise_to_model_error(variance, places, levels, variance_of, change):
    """Raise variances to those by which the exposures differ on structures, in place."""
    shape, n = variance.shape, len(levels)
    bands = list(wide_bands(*shape, margin=MARGIN))
    left_out = dilate(places.kind == HOT, 1)
    if places.of_two is not None:
        left_out |= places.of_two.crossings
    structure, flat = places_to_fit(np.where(left_out, 0, places.contrast2), places.variance)

    def planes_of(band):
        box = band[1], np.s_[:]
        low, median, high, noise, image, _ = ordered(np.array(levels[:, band[1]]), lambda one: variance_of(one, box))
        part = None if change is None else change[band[1]]
        features = in_both(n, lambda one: features_of(one, noise * np.float32(3 / n), part), image, low)
        return low, median, high, noise, features

    def some(band):
        first, last = band[0].start * shape[1], band[0].stop * shape[1]
        planes = [one[..., band[2], :] for one in planes_of(band)]
        here = [one[(one >= first) & (one < last)] - first for one in (structure, flat)]
        return [[one.reshape(*one.shape[:-2], -1)[..., which] for one in planes] for which in here]

    def fill(band):
        rows, _, inner = band
        found = error.of(planes_of(band)[-1])[inner]
        found[left_out[rows]] = 0
        np.maximum(variance[rows], found, out=variance[rows])

    pieces = map_threads(some, bands)
    error = fit_model_error(
        n, *([np.concatenate(one, axis=-1) for one in zip(*side, strict=True)] for side in zip(*pieces, strict=True))
    )
    if any(error.parts) or any(error.least):
        map_threads(fill, bands)


def _fill_band(variance, places, shares, band):
    """Variance of the rows of a band, in place; return the largest share in it."""
    rows, wide, inner = band
    weighted = places.weighted(wide)
    of_kind = shares[places.kind[wide]]
    narrow = WINDOW, np.where(of_kind > 0, LOCAL_SIGNIFICANCE, ALONE)
    found = [
        _share_around(places, wide, of_kind, weighted, window, significance)
        for window, significance in (narrow, (WIDE, WIDE_SIGNIFICANCE))
    ]
    share = np.maximum(*found)
    variance[rows] = (share * weighted[0])[inner]
    return float(share[inner].max())


def _share_around(places, rows, of_kind, weighted, window, significance):
    """Share of each pixel of some rows: that ``of_kind``, or a larger one where a window around it has more excess."""
    contrast2, weight, weighted_excess, known = weighted
    around = [mean_around(one, window) for one in (weight * contrast2, weight, weight**2, known**2)]
    excess = places.excess_around(weighted_excess, rows, window)
    # only where the excess of the window is significantly larger than that of its kind
    expected = of_kind * around[0]
    error = np.sqrt(SPREAD * np.maximum(around[3], 0)) / window
    worse = excess - expected > significance * error + expected
    worse &= around[0] > 0
    # effective number of pixels in the window
    number = window**2 * around[1][worse] ** 2 / np.maximum(around[2][worse], 1e-30)
    share = of_kind.copy()
    share[worse] = (STEADY * share[worse] + number * excess[worse] / around[0][worse]) / (STEADY + number)
    return share
