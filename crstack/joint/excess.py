"""Variance beyond photons and read noise, fitted to the stack itself."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

__all__ = ["ExcessVariance", "fit_excess_variance", "squared_gradient"]

#: fewest pixels of a bin of signal and gradient
PIXELS_PER_BIN = 50
SIGNAL_BINS = 40
#: pixels that tell an excess of the read noise, and the ratio of variances that is one
PIXELS_OF_CONSTANT, LEAST_CONSTANT = 200_000, 1.06
#: an excess counts where it is so many standard errors above none
SIGNIFICANCE = 4.0
#: median of the absolute value of a standard normal number
MEDIAN_ABSOLUTE = 0.67449
#: differences up to so many standard deviations count, and what is left of the variance of normal ones
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

    def of(self, signal, gradient2):
        """Excess variance at a signal and squared gradient, electrons squared."""
        return (self.relative * np.maximum(signal, 0)) ** 2 + self.shift**2 * gradient2 + self.constant


def squared_gradient(image, variance):
    """Squared gradient of an image, that of its noise taken off.

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


def fit_excess_variance(cube, signal, variance, gradient2, bad=None):
    """Fit the excess variance to the differences of exposures.

    The median of the absolute difference of two exposures, which hits do not
    move, is compared with that of the known noise in bins of signal and of gradient.

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

    Returns
    -------
    excess : ExcessVariance
    """
    usable = np.ones(signal.shape, bool) if bad is None else ~bad.any(axis=0)
    # by the signal of the neighbours: that of a pixel itself picks fluctuations
    nearby = (9 * ndimage.uniform_filter(signal, 3) - signal) / 8
    bins = _bins(nearby, gradient2, usable)
    constant = _constant(cube, nearby, variance, usable)
    rows, targets, errors = [], [], []
    for one in bins:
        found, known = _ratio(cube, variance, one)
        found -= constant / known.mean()
        rows.append([np.mean(np.maximum(signal.ravel()[one], 0) ** 2), gradient2.ravel()[one].mean()])
        targets.append((found - 1) * known.mean())
        # a median of n absolute values, squared, is known to 2.3 / sqrt(n)
        errors.append((2.3 * found / np.sqrt(len(one)) + 0.02) * known.mean())
    if not rows:
        return ExcessVariance(constant=constant)
    return ExcessVariance(*_solve(np.array(rows), np.array(targets), np.array(errors)), constant)


def _ratio(cube, variance, pixels):
    """Variance of successive exposures over the known one, and the known variance of the pixels."""
    known = [plane.ravel()[pixels] for plane in variance] * (len(cube) // len(variance))
    pairs = [(known[i] + known[i + 1]) / 2 for i in range(len(cube) - 1)]
    found = np.mean([_robust_ratio(cube[i], cube[i + 1], pixels, pair) for i, pair in enumerate(pairs)])
    return found, np.mean(pairs, axis=0)


def _constant(cube, signal, variance, usable):
    """Excess variance of the fainter pixels, where there is a clear one."""
    every = slice(None, None, max(signal.size // PIXELS_OF_CONSTANT, 1))
    pixels = np.flatnonzero(usable.ravel()[every]) * (every.step or 1)
    if len(pixels) < PIXELS_PER_BIN:
        return 0.0
    faint = pixels[signal.ravel()[pixels] <= np.median(signal.ravel()[pixels])]
    found, known = _ratio(cube, variance, faint)
    # where photons make most of the noise, the excess may as well be relative to them
    dark = signal.ravel()[faint].mean() < known.mean() / 2
    return float((found - 1) * known.mean()) if dark and found > LEAST_CONSTANT else 0.0


def _bins(signal, gradient2, usable):
    """Index arrays of pixels of like signal, the halves of low and of high gradient apart."""
    pixels = np.flatnonzero(usable & (signal > 0))
    order = pixels[np.argsort(signal.ravel()[pixels])]
    if len(order) < 2 * PIXELS_PER_BIN:
        return []
    low, high = np.maximum(signal.ravel()[order[[len(order) // 2, -1]]], 1e-3)
    edges = np.searchsorted(signal.ravel()[order], np.geomspace(low, high * 1.001, SIGNAL_BINS))
    bins = []
    for start, stop in pairwise(edges):
        one = order[start:stop]
        if len(one) >= 2 * PIXELS_PER_BIN:
            one = one[np.argsort(gradient2.ravel()[one], kind="stable")]
            bins += [one[: len(one) // 2], one[len(one) // 2 :]]
    return bins


def _robust_ratio(one, other, pixels, variance):
    """Variance of a difference of exposures over that of their known noise."""
    square = (one.ravel()[pixels] - other.ravel()[pixels]) ** 2 / (2 * variance)
    # the median keeps hits out of the mean, which tells more, of whole numbers above all
    return square[square < CLIP**2 * np.median(square) / MEDIAN_ABSOLUTE**2].mean() / CLIPPED


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
