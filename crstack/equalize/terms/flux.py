"""Flux factors: one number by which each exposure is brighter than the median."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crstack.equalize.terms.clean import neighbour_mean, reject_hits
from crstack.equalize.terms.common import common_image, moved_images
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.exposures.comparison.unused import check_values
from crstack.statistics import OrderStatistics
from crstack.utils.threads import map_threads
from crstack.utils.validation import check_choice, check_numbers, check_region
from crstack.utils.warn import warn_user

__all__ = [
    "FIRST_GUESS",
    "METHODS",
    "FluxFactors",
    "check_flux_factors",
    "estimate_flux_factors",
    "margin_around_regions",
    "pixels_of_regions",
]

METHODS = ("ratio", "slope")
#: rounds of rejecting hits and measuring
ROUNDS = 4
#: blocks of the jack-knife on each side of the region
BLOCKS = 8
#: pixels around the regions that are used with them
MARGIN = 4
#: the same for exposures that are shifted: the weights of a cubic spline decrease by 0.268 from pixel to pixel
MARGIN_OF_SHIFTS = 2 * 24
#: fewest clean pixels that give a factor
FEWEST = 25
#: least signal-to-noise ratio of the pixels of the first estimate
FIRST_GUESS = 5.0
#: least error of the level that gives a warning, in standard deviations of a pixel; it comes from the error of a factor
MOVED = 0.1
#: largest factor between exposures that can be given
LARGEST = 1e3
#: relative error above which a factor carries no information
LARGEST_ERROR = 0.3


@dataclass(frozen=True)
class FluxFactors:
    """Flux factors of the exposures.

    Attributes
    ----------
    values : tuple of float
        One for each exposure: its signal over that of the median image.
        The median of measured factors is 1.
    errors : tuple of float
        Standard errors; 0 for factors that were not measured.
    method : str
        "ratio", "slope", "exposure times" or "given".
    n_pixels : int
        Clean pixels they come from; 0 for factors that were not measured.
    """

    values: tuple
    errors: tuple
    method: str = "given"
    n_pixels: int = 0

    @property
    def is_measured(self):
        """Whether they were measured on the exposures."""
        return self.n_pixels > 0

    def __str__(self):
        pairs = zip(self.values, self.errors, strict=True)
        return ", ".join(f"{value:.5f} +/- {error:.5f}" if error else f"{value:g}" for value, error in pairs)


def check_flux_factors(factors, n):
    """Return given flux factors as a tuple of ``n``; a single number is used for all exposures.

    Raises
    ------
    InputError
        If they are not positive, or not ``n``.
    """
    if not isinstance(factors, Sequence) and np.ndim(factors) == 0:
        factors = [factors] * n
    what = "one number without a unit, or a list of them"
    found = check_numbers("flux_factors", factors, what, minimum=1 / LARGEST, maximum=LARGEST)
    if len(found) != n:
        raise InputError(f"flux_factors must be one number or {n}, one for each exposure; got {len(found)}")
    return found


def pixels_of_regions(usable, regions):
    """Usable pixels inside at least one of the regions (FITS convention), all for None."""
    if not regions:
        return usable.copy()
    inside = np.zeros(usable.shape, dtype=bool)
    for number, region in enumerate(regions, start=1):
        xmin, xmax, ymin, ymax = check_region(f"flux_regions {number}", region, usable.shape)
        inside[ymin - 1 : ymax, xmin - 1 : xmax] = True
    return usable & inside


def estimate_flux_factors(
    exposures: Exposures,
    statistics: OrderStatistics,
    regions: Sequence[Sequence[int]] | None = None,
    method: Literal["ratio", "slope"] = "slope",
    *,
    offsets: Sequence[Sequence[float]] | None = None,
) -> FluxFactors:
    """Measure the flux factors of the exposures.

    Parameters
    ----------
    exposures : Exposures
        Three or more, bias subtracted.
    statistics : OrderStatistics
        Of these exposures.
    regions : sequence of (xmin, xmax, ymin, ymax), optional
        Where to measure; FITS convention, both ends included. Everywhere by
        default.
    method : {"ratio", "slope"}, optional
        Ratio of weighted sums of the signal, or slope of a line with a free intercept. The slope does not depend
        on a wrong bias or on a background without the factor, but its error is larger.
    offsets : sequence of (dx, dy), optional
        Shifts (pixels) from the median image to each exposure: each is then
        compared with the common image so shifted.

    Returns
    -------
    factors : FluxFactors
        Factors with a median of 1, and their standard errors.

    Raises
    ------
    InputError
        If a region is outside, or holds too little signal.

    Warns
    -----
    CRStackWarning
        If the errors of slopes change the level of an exposure by more than a tenth of the noise of a pixel.

    Notes
    -----
    With weights w = z / var(z), where z is the mean of the eight neighbours in the common image, exposure i has the
    total T_i = sum(w x_i) over the clean pixels ("slope": w is z / var(z) minus its mean over the pixels, weighted by
    1 / var(z)). The weight of x_i does not depend on its own noise. So the ratio of totals is not biased at low
    signal, unlike a mean of ratios or a fit to the median. The factor is T_i over the median of the totals. Pixels
    where an exposure, over its factor, differs by 5 standard deviations from the median are excluded with their
    neighbours. This is repeated with the new factors. Errors come from a jack-knife over blocks of the region, and so
    include differences that one factor does not describe.
    """
    check_choice("method", method, METHODS)
    check_values(exposures, "flux factors")
    inside = pixels_of_regions(exposures.usable, regions)
    if inside.any():
        box = _box_around(inside, margin_around_regions(offsets))
        exposures, statistics, inside = exposures.cutout(box), statistics.cutout(box), inside[box]
    median = statistics.median2d
    factors, models = _first_guess(exposures, median, inside), None
    nearby = None
    for number in range(ROUNDS):
        if offsets is not None and number % 2 == 0:
            common = common_image(exposures, statistics, factors, offsets)
            models = moved_images(exposures, common, offsets)
            nearby = [neighbour_mean(model) for model in models]
        clean = reject_hits(exposures, inside, factors, models, nearby=nearby)
        if np.count_nonzero(clean.ok) < FEWEST:
            raise InputError(f"flux_regions must hold {FEWEST} or more clean pixels; got {np.count_nonzero(clean.ok)}")
        totals = _block_totals(exposures, clean, method, models)
        factors = _over_median(totals.sum(axis=1))
    errors = _jackknife(totals, _block_levels(exposures, clean) if method == "slope" else None)
    if not (errors < LARGEST_ERROR * factors).all():
        raise InputError(
            f"flux_regions must hold enough signal; got factors with errors up to {errors.max():.2g}: give brighter "
            "regions, or the factors"
        )
    if method == "slope":
        _warn_of_level(exposures, median, factors, errors)
    return FluxFactors(tuple(map(float, factors)), tuple(map(float, errors)), method, int(np.count_nonzero(clean.ok)))


def _warn_of_level(exposures, median, factors, errors):
    """Warn if the error of a factor changes the level of an exposure by a part of its noise."""
    level = float(np.median(median[np.isfinite(median)]))
    sigma = float(np.sqrt(np.median(exposures.mean_variance(np.full(exposures.shape, level, np.float32)))))
    worst = int(np.argmax(errors))
    moved = errors[worst] * level
    if not moved > MOVED * sigma:
        return
    numbers = ", ".join(f"{value:.4f} +/- {error:.4f}" for value, error in zip(factors, errors, strict=True))
    warn_user(
        f"flux factors are badly determined: {numbers}. At a level of {level:.4g} {exposures.unit} the error of "
        f"exposure {worst + 1} is {moved:.2g} {exposures.unit}, and the noise of a pixel {sigma:.3g}. Give "
        "flux_factors, or flux_regions with brighter structures. Or leave out flux_method, flux_regions and "
        "apply_flux_factors_to, so that differences='auto' measures all differences together"
    )


def margin_around_regions(offsets=None):
    """Pixels around the regions that are used with them.

    Parameters
    ----------
    offsets : sequence of (dx, dy), optional
        Shifts (pixels) of the exposures.

    Returns
    -------
    margin : int
        With offsets, values beyond it change an image that was shifted there and back by less than 1e-12 of their own
        size.
    """
    if offsets is None:
        return MARGIN
    return MARGIN + MARGIN_OF_SHIFTS + 2 * math.ceil(max(abs(one) for pair in offsets for one in pair))


def _box_around(inside, margin):
    """Slices of the rows and columns that count, with a margin."""
    places = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(max(found[0] - margin, 0), found[-1] + margin + 1) for found in places)


def _first_guess(exposures, median, inside):
    """Median ratio to the median image, in pixels with enough signal; 1 if there are none."""
    median = np.nan_to_num(median)
    sure = inside & (median > FIRST_GUESS * np.sqrt(exposures.mean_variance(median)))
    if np.count_nonzero(sure) < FEWEST:
        return np.ones(len(exposures))
    factors = np.array([np.median(plane[sure] / median[sure]) for plane in exposures.data])
    return factors / np.median(factors) if (factors > 0).all() else np.ones(len(exposures))


def _block_totals(exposures, clean, method, models=None):
    """Weighted sums (N, n_blocks) of the exposures, in blocks of the jack-knife.

    With ``models`` they are those of one common image times the factors.
    """
    place, nearby, inverse = _clean_signal(exposures, clean)
    if method == "slope":
        nearby = nearby - (nearby * inverse).sum() / inverse.sum()
    weights = nearby * inverse
    totals = _sums(exposures.data, place, weights)
    if models is not None:
        expected = _sums(models, place, weights).sum(axis=1, keepdims=True)
        totals *= expected.mean() / expected
    return totals


def _block_levels(exposures, clean):
    """Sums in blocks that the fit of a free level in each subsample of the jack-knife needs.

    They are the sums (N, n_blocks) of the exposures over the variance, and the sums (n_blocks,) of the weights of a
    slope and of the inverse variances.
    """
    place, nearby, inverse = _clean_signal(exposures, clean)
    weights = (nearby - (nearby * inverse).sum() / inverse.sum()) * inverse
    blocks = _blocks_of(place)
    ends = (np.bincount(blocks, one, minlength=BLOCKS**2) for one in (weights, inverse))
    return _sums(exposures.data, place, inverse), *ends


def _clean_signal(exposures, clean):
    """Rows and columns of the clean pixels, mean of their neighbours, and inverse variance there."""
    place = np.nonzero(clean.ok)
    nearby = np.maximum(neighbour_mean(clean.common, clean.ok), 0)
    variance = exposures.mean_variance(nearby) + np.float32(clean.excess**2) * nearby**2
    return place, nearby[place].astype(np.float64), 1 / variance[place].astype(np.float64)


def _blocks_of(place):
    """Number of the block of each place."""
    rows, columns = place
    return _block_numbers(rows) * BLOCKS + _block_numbers(columns)


def _sums(planes, place, weights):
    """Weighted sums (N, n_blocks) of images."""
    blocks = _blocks_of(place)

    def of(plane):
        return np.bincount(blocks, weights * plane[place], minlength=BLOCKS**2)

    return np.array(map_threads(of, planes))


def _block_numbers(places):
    """Number of the block, 0 to BLOCKS - 1, of each place along one axis."""
    edges = np.linspace(places.min(), places.max() + 1, BLOCKS + 1)[1:-1]
    return np.searchsorted(edges, places, side="right")


def _over_median(sums):
    """Sums of the exposures over their median; `InputError` if one is not positive."""
    if not (sums > 0).all():
        raise InputError(f"flux_regions must hold signal in every exposure; got none in {np.count_nonzero(sums <= 0)}")
    return sums / np.median(sums)


def _jackknife(totals, levels=None):
    """Errors of the factors, leaving out one block at a time.

    With ``levels`` (see `_block_levels`) the level is fitted again in each subsample. The sums of a slope are free of
    the level in all blocks together only. In a subsample without this fit, the level would count as an error.
    """
    used = np.any(totals != 0, axis=0)
    filled = totals[:, used]
    n = filled.shape[1]
    left = filled.sum(axis=1, keepdims=True) - filled
    if levels is not None:
        sums, weights, inverse = (one[..., used] for one in levels)
        others = sums.sum(axis=1, keepdims=True) - sums
        left = left + weights / np.maximum(inverse.sum() - inverse, 1e-30) * others
    factors = left / np.median(left, axis=0)
    return np.sqrt((n - 1) / n * np.sum((factors - factors.mean(axis=1, keepdims=True)) ** 2, axis=1))
