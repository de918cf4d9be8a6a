"""Variance beyond photons and read noise, fitted to the stack itself."""

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

__all__ = ["ExcessFit", "ExcessVariance", "fit_excess_variance", "squared_gradient"]

#: pixels that suffice for the fit, and fewest of a bin of signal and gradient
PIXELS_TO_FIT, PIXELS_PER_BIN = 1_000_000, 50
SIGNAL_BINS = 40
#: pixels that measure an excess of the read noise, and the least ratio of variances of an excess
PIXELS_OF_CONSTANT, LEAST_CONSTANT = 200_000, 1.06
#: least excess in standard errors
SIGNIFICANCE = 4.0
#: median of the absolute value of a standard normal number
MEDIAN_ABSOLUTE = 0.67449
#: largest difference that is used, in standard deviations, and the remaining variance of normal differences
CLIP, CLIPPED = 3.0, 0.97334


@dataclass(frozen=True)
class ExcessVariance:
    """Excess variance ``(relative * s)**2 + (shift * gradient)**2 + constant`` in electrons squared.

    Attributes
    ----------
    relative : float
        Scatter of the response from one exposure to the next, as a fraction.
    shift : float
        Scatter of the position, in pixels.
    constant : float
        Variance of read noise that is not in the noise model, electrons squared.
    """

    relative: float = 0.0
    shift: float = 0.0
    constant: float = 0.0

    def __str__(self):
        parts = (
            (self.relative, f"{100 * self.relative:.2g} % of the signal"),
            (self.shift, f"shift of {self.shift:.2g} pixel"),
            (self.constant, f"{np.sqrt(self.constant):.2g} electron"),
        )
        return ", ".join(words for value, words in parts if value) or "none"

    @property
    def of_scene(self):
        """Whether any part depends on the signal or its gradient."""
        return bool(self.relative or self.shift)

    def of(self, signal: np.ndarray, gradient2: np.ndarray) -> np.ndarray:
        """Excess variance at a signal and squared gradient, electrons squared.

        Parameters
        ----------
        signal : `~numpy.ndarray`
            In electrons.
        gradient2 : `~numpy.ndarray`
            Square of its gradient, electrons squared per pixel squared.
        """
        return (self.relative * np.maximum(signal, 0)) ** 2 + self.shift**2 * gradient2 + self.constant


@dataclass(frozen=True, eq=False)
class ExcessFit:
    """Excess variance, and the pixels that it was fitted to.

    Attributes
    ----------
    excess : ExcessVariance
        The fit.
    bins : list of `~numpy.ndarray`
        Indices of pixels of like signal and gradient.
    expected, errors : `~numpy.ndarray`
        Excess variance that ``excess`` gives each bin, and the standard error of its measurement.
    """

    excess: ExcessVariance
    bins: list
    expected: np.ndarray
    errors: np.ndarray


def squared_gradient(image, variance):
    """Squared gradient of an image, minus that of its noise.

    Parameters
    ----------
    image, variance : `~numpy.ndarray`
        (ny, nx) image and the variance of its noise.

    Returns
    -------
    gradient2 : `~numpy.ndarray`
        Per pixel squared, not below 0.
    """
    kernel = np.array([-0.5, 0.0, 0.5], dtype=np.float32)
    total = sum(ndimage.correlate1d(image, kernel, axis=axis, mode="nearest") ** 2 for axis in (0, 1))
    return np.maximum(total - variance, 0)


def fit_excess_variance(cube, signal, variance, gradient2, bad=None, left_out=None):
    """Fit the excess variance to the differences of exposures.

    The median of the absolute difference of two exposures does not depend on hits. It is compared with that of the
    known noise in bins of signal and of gradient.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx) exposures in electrons, on one level.
    signal, gradient2 : `~numpy.ndarray`
        (ny, nx) expected signal and squared gradient.
    variance : list of `~numpy.ndarray`
        (ny, nx) variance of each exposure, or of all.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) values that take no part.
    left_out : `~numpy.ndarray` of bool, optional
        (ny, nx) excluded pixels.

    Returns
    -------
    fit : ExcessFit
    """
    usable = np.ones(signal.shape, bool) if bad is None else ~bad.any(axis=0)
    if left_out is not None:
        usable &= ~left_out
    # by the signal of the neighbours, because that of the pixel itself selects fluctuations
    nearby = (9 * ndimage.uniform_filter(signal, 3) - signal) / 8
    bins = _bins(nearby, gradient2, usable)
    constant = _constant(cube, nearby, variance, usable)
    if not bins:
        return ExcessFit(ExcessVariance(constant=constant), [], np.empty(0), np.empty(0))
    targets, errors = _excess_of_bins(cube, variance, bins, constant)
    squares = np.maximum(signal.ravel(), 0) ** 2
    rows = np.array([[squares[one].mean(), gradient2.ravel()[one].mean()] for one in bins])
    terms = _solve(rows, targets, errors)
    return ExcessFit(ExcessVariance(*terms, constant), bins, rows @ np.square(terms), errors)


def _excess_of_bins(cube, variance, bins, constant):
    """Excess variance over the known one and a constant, and its standard error, of each bin."""
    targets, errors = [], []
    for one in bins:
        found, known = _ratio(cube, variance, one)
        found -= constant / known.mean()
        targets.append((found - 1) * known.mean())
        # a median of n absolute values, squared, is known to 2.3 / sqrt(n)
        errors.append((2.3 * found / np.sqrt(len(one)) + 0.02) * known.mean())
    return np.array(targets), np.array(errors)


def _ratio(cube, variance, pixels):
    """Variance of the differences of exposures over the known one, and the known variance of the pixels."""
    values = [plane.ravel()[pixels] for plane in cube]
    known = [plane.ravel()[pixels] for plane in variance]
    known = known * (len(cube) // len(known))
    pairs = combinations(range(len(cube)), 2)
    # all pairs, because a subset would depend on the order of the exposures
    found = np.mean([_robust_ratio(values[i] - values[j], (known[i] + known[j]) / 2) for i, j in pairs])
    return found, np.mean(known, axis=0)


def _some_of(pixels, number):
    """At most about ``number`` of the pixels, in every row and column."""
    if len(pixels) <= number:
        return pixels
    return pixels[np.linspace(0, len(pixels) - 1, number).astype(int)]


def _constant(cube, signal, variance, usable):
    """Excess variance of the fainter pixels, if it is significant."""
    pixels = _some_of(np.flatnonzero(usable), PIXELS_OF_CONSTANT)
    if len(pixels) < PIXELS_PER_BIN:
        return 0.0
    faint = pixels[signal.ravel()[pixels] <= np.median(signal.ravel()[pixels])]
    found, known = _ratio(cube, variance, faint)
    # where photon noise dominates, the excess may be relative to the signal
    dark = signal.ravel()[faint].mean() < known.mean() / 2
    return float((found - 1) * known.mean()) if dark and found > LEAST_CONSTANT else 0.0


def _bins(signal, gradient2, usable):
    """Index arrays of pixels of similar signal, separate for the halves of low and of high gradient."""
    pixels = _some_of(np.flatnonzero(usable & (signal > 0)), PIXELS_TO_FIT)
    order = pixels[np.argsort(signal.ravel()[pixels])]
    if len(order) < 2 * PIXELS_PER_BIN:
        return []
    low, high = np.maximum(signal.ravel()[order[[len(order) // 2, -1]]], 1e-3)
    edges = np.searchsorted(signal.ravel()[order], np.geomspace(low, high * 1.001, SIGNAL_BINS))
    bins = []
    for start, stop in _wide_enough(edges):
        one = order[start:stop]
        one = one[np.argsort(gradient2.ravel()[one], kind="stable")]
        bins += [one[: len(one) // 2], one[len(one) // 2 :]]
    return bins


def _wide_enough(edges):
    """Starts and stops of intervals with enough pixels each; the few brightest pixels join the last interval."""
    starts = [int(edges[0])]
    for stop in edges[1:-1]:
        if min(stop - starts[-1], edges[-1] - stop) >= 2 * PIXELS_PER_BIN:
            starts.append(int(stop))
    return pairwise([*starts, int(edges[-1])])


def _robust_ratio(difference, variance):
    """Variance of a difference of exposures over that of their known noise."""
    square = difference**2 / (2 * variance)
    # the limit by the median excludes hits; the mean is more precise, especially for integers
    return square[square <= CLIP**2 * np.median(square) / MEDIAN_ABSOLUTE**2].mean() / CLIPPED


def _solve(rows, targets, errors):
    """Non-negative weighted least squares; insignificant terms are dropped."""
    keep = [0, 1]
    while keep:
        weighted = rows[:, keep] / errors[:, None]
        scale = np.linalg.norm(weighted, axis=0)
        if not scale.all():
            keep = [k for k, one in zip(keep, scale, strict=True) if one]
            continue
        values = nnls(weighted / scale, targets / errors)[0]
        covariance = np.linalg.pinv((weighted / scale).T @ (weighted / scale))
        weak = values < SIGNIFICANCE * np.sqrt(np.diag(covariance))
        if not weak.any():
            found = dict(zip(keep, values / scale, strict=True))
            return float(np.sqrt(found.get(0, 0.0))), float(np.sqrt(found.get(1, 0.0)))
        keep.pop(int(np.argmin(values / np.sqrt(np.diag(covariance)))))
    return 0.0, 0.0
