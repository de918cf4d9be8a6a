"""Variance beyond photons and read noise, fitted to the stack itself."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from crstack.joint.cubes import taken
from crstack.joint.pair_variance import ratio_without_hits, variance_ratio
from crstack.utils.filters import mean_of_neighbours
from crstack.utils.medians import median_of_values
from crstack.utils.memory import empty_image
from crstack.utils.pixels import some_true
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["ExcessFit", "ExcessVariance", "fit_excess_variance", "squared_gradient"]

#: most pixels of the fit, and fewest of a bin of signal and gradient
PIXELS_TO_FIT, PIXELS_PER_BIN = 1_000_000, 50
#: edges of the bins of the signal, which are evenly spaced in its logarithm
SIGNAL_BINS = 40
#: most pixels that measure an excess of the read noise
PIXELS_OF_CONSTANT = 200_000
#: least excess over the known variance: this number over the root of the number of pixels, within these limits. The
#: measured ratio scatters by 1.2 over that root. An excess that is left out looks like many faint hits
OVER_ROOT, LEAST_EXCESS, CERTAIN_EXCESS = 6.0, 0.02, 0.06
#: least signal of the fainter pixels, in standard deviations, for which their excess may be proportional to the signal
FEW_SIGMAS = 3.0
#: relative standard error of the variance of the fainter pixels
ERROR_OF_FAINT = 0.01
#: least significant excess, in standard errors
SIGNIFICANCE = 4.0


@dataclass(frozen=True)
class ExcessVariance:
    """Excess variance ``(relative * s)**2 + (shift * gradient)**2 + constant + photons * s`` in electrons squared.

    Attributes
    ----------
    relative : float
        Scatter of the throughput between the exposures, as a fraction.
    shift : float
        Scatter of the position, in pixels.
    constant : float
        Variance of read noise that is not in the noise model, electrons squared.
    photons : float
        Variance of the photons that is not in the noise model, for each electron of signal, as with a wrong gain.
    """

    relative: float = 0.0
    shift: float = 0.0
    constant: float = 0.0
    photons: float = 0.0

    def __str__(self):
        parts = (
            (self.relative, f"{100 * self.relative:.2g} % of the signal"),
            (self.shift, f"shift of {self.shift:.2g} pixel"),
            (self.constant, f"{np.sqrt(self.constant):.2g} electron"),
            (self.photons, f"{1 + self.photons:.3g} times the variance of the photons"),
        )
        return ", ".join(words for value, words in parts if value) or "none"

    def of(self, signal: np.ndarray, gradient2: np.ndarray) -> np.ndarray:
        """Excess variance at a signal and squared gradient, electrons squared.

        Parameters
        ----------
        signal : `~numpy.ndarray`
            In electrons.
        gradient2 : `~numpy.ndarray`
            Square of its gradient, electrons squared per pixel squared.

        Returns
        -------
        variance : `~numpy.ndarray`
            Of the shape of ``signal``.
        """
        found = (self.relative * np.maximum(signal, 0)) ** 2 + self.shift**2 * gradient2 + self.constant
        return found + np.float32(self.photons) * np.maximum(signal, 0) if self.photons else found


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


def fit_excess_variance(cube, signal, variance, gradient2, bad=None, left_out=None, low=None):
    """Fit the excess variance to the differences of exposures.

    The median of the absolute difference of two exposures does not depend on hits. It is compared with that of the
    known noise in bins of signal and of gradient.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx) exposures in electrons, on one level.
    signal, gradient2 : `~numpy.ndarray`
        (ny, nx) expected signal and squared gradient.
    variance : list of `~numpy.ndarray`, or callable
        (ny, nx) variance of each exposure, or of all. Or a function of rows and columns of pixels that gives these
        variances there.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.
    left_out : `~numpy.ndarray` of bool, optional
        (ny, nx) excluded pixels.
    low : `~numpy.ndarray`, optional
        (ny, nx) image without hits, in whose order pixels are put into bins; ``signal`` by default. In the order of an
        image with coincident hits, most pixels of the brightest bins may be hit.

    Returns
    -------
    fit : ExcessFit
    """
    usable, positive, nearby = _usable_pixels(signal if low is None else low, bad, left_out)

    def of_bright():
        sample = _Sample.of(cube, variance, (nearby, gradient2, signal), positive, PIXELS_TO_FIT)
        return sample, _bins(sample.nearby, sample.gradient2)

    parts = (lambda: _measured_faint(cube, nearby, variance, usable), of_bright)
    (faint, constant), (sample, bins) = map_threads(lambda part: part(), parts)
    if not bins:
        return ExcessFit(ExcessVariance(constant=constant), [], np.empty(0), np.empty(0))
    return _fit_to_bins(sample, bins, faint, constant)


def _usable_pixels(signal, bad, left_out):
    """Pixels that are not excluded, those of them with a positive signal, and the signal of the neighbours of each.

    Pixels are ordered by the signal of their neighbours, because a selection by the pixel itself would prefer
    fluctuations.
    """
    usable = np.ones(signal.shape, bool)
    positive, nearby = empty_image(signal.shape, bool), empty_image(signal.shape)

    def work(band):
        rows, wide, inner = band
        if bad is not None:
            usable[rows] = ~bad[:, rows].any(axis=0)
        if left_out is not None:
            usable[rows] &= ~left_out[rows]
        part = signal[wide]
        nearby[rows] = mean_of_neighbours(part)[inner]
        positive[rows] = usable[rows] & (nearby[rows] > 0)

    map_threads(work, wide_bands(*signal.shape, margin=1))
    return usable, positive, nearby


def _fit_to_bins(sample, bins, faint, constant):
    """The `ExcessFit` to bins of brighter pixels, beside a constant; ``faint`` are the measured fainter pixels."""
    targets, errors = _excess_of_bins(sample.cube, sample.variance, bins, constant)
    squares = np.maximum(sample.signal, 0) ** 2
    rows = np.array([[squares[one].mean(), sample.gradient2[one].mean()] for one in bins])
    photons = 0.0
    if not constant and faint.excess > CERTAIN_EXCESS * faint.known:
        signals = np.array([np.maximum(sample.nearby[one], 0).mean() for one in bins])
        photons = faint.photons_beside(rows, signals, targets, errors)
        targets = targets - photons * signals
    terms = _solve(rows, targets, errors)
    places = [sample.places[one] for one in bins]
    return ExcessFit(ExcessVariance(*terms, constant, photons), places, rows @ np.square(terms), errors)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Values of some pixels: places in the flattened image, and what is known there."""

    places: np.ndarray
    cube: np.ndarray
    variance: np.ndarray
    nearby: np.ndarray
    gradient2: np.ndarray
    signal: np.ndarray

    @classmethod
    def of(cls, cube, variance, planes, chosen, number):
        """At most about ``number`` of the ``chosen`` pixels, in every row and column.

        ``planes`` are the images of ``nearby``, ``gradient2`` and ``signal``.
        """
        n_chosen = np.count_nonzero(chosen)
        which = np.arange(n_chosen) if n_chosen <= number else np.linspace(0, n_chosen - 1, number).astype(int)
        places, shape = some_true(chosen, which), chosen.shape

        def known(where):
            return np.stack(variance(where) if callable(variance) else [plane[where] for plane in variance])

        return cls(
            places,
            # contiguous in memory for each exposure: otherwise each access to one would copy it
            np.ascontiguousarray(taken(lambda where: cube[:, *where], places, shape)),
            np.ascontiguousarray(taken(known, places, shape)),
            *(taken(lambda where, plane=plane: plane[where], places, shape) for plane in planes),
        )


def _excess_of_bins(cube, variance, bins, constant):
    """Excess variance over the known one and a constant, and its standard error, of each bin."""

    def of_bin(one):
        found, known = variance_ratio(cube, variance, one)
        found -= constant / known.mean()
        # a median of n absolute values, squared, is known to 2.3 / sqrt(n)
        return (found - 1) * known.mean(), (2.3 * found / np.sqrt(len(one)) + 0.02) * known.mean()

    targets, errors = zip(*map_threads(of_bin, bins), strict=True)
    return np.array(targets), np.array(errors)


@dataclass(frozen=True)
class _Faint:
    """The fainter pixels: excess variance and known variance, mean and mean square of the signal."""

    excess: float = 0.0
    known: float = 1.0
    signal: float = 0.0
    square: float = 0.0

    def photons_beside(self, rows, signals, targets, errors):
        """Excess variance for each electron of signal, if it is most of the excess of the fainter pixels; else 0.

        The bins (M, 2), their mean signals, excess variances and errors are fitted together with the fainter pixels.
        Without this term, the other terms would absorb part of its variance, and fainter pixels would have too little.
        """
        if not self.signal > 0:
            return 0.0
        from scipy.optimize import nnls

        error = ERROR_OF_FAINT * (self.known + self.excess)
        design = np.concatenate([np.column_stack([rows, signals]), [[self.square, 0.0, self.signal]]])
        design /= np.append(errors, error)[:, None]
        scale = np.maximum(np.linalg.norm(design, axis=0), 1e-30)
        wanted = np.append(targets, self.excess) / np.append(errors, error)
        photons = float((nnls(design / scale, wanted)[0] / scale)[-1])
        return photons if photons * self.signal > max(CERTAIN_EXCESS * self.known, self.excess / 2) else 0.0


def _measured_faint(cube, nearby, variance, usable):
    """Measured values of the fainter pixels, and their excess variance if it is significant and not from photons."""
    sample = _Sample.of(cube, variance, (nearby, nearby, nearby), usable, PIXELS_OF_CONSTANT)
    if len(sample.places) < PIXELS_PER_BIN:
        return _Faint(), 0.0
    faint = np.flatnonzero(sample.nearby <= median_of_values(sample.nearby))
    found, known = variance_ratio(sample.cube, sample.variance, faint, ratio_without_hits)
    # if photon noise dominates, the excess may be proportional to the signal, and is no constant
    signal = np.maximum(sample.nearby[faint], 0).astype(np.float64)
    excess = float((found - 1) * known.mean())
    mean = sample.nearby[faint].mean()
    # a signal of few standard deviations is mostly noise, so that no variance can be proportional to it
    dark = mean < max(known.mean() / 2, FEW_SIGMAS * np.sqrt(max(known.mean() + excess, 0)))
    measured = _Faint(excess, float(known.mean()), float(signal.mean()), float((signal**2).mean()))
    least = np.clip(OVER_ROOT / np.sqrt(len(faint)), LEAST_EXCESS, CERTAIN_EXCESS)
    return measured, excess if dark and found > 1 + least else 0.0


def _bins(nearby, gradient2):
    """Index arrays of pixels of similar signal, separate for the halves of low and of high gradient."""
    order = np.argsort(nearby)
    if len(order) < 2 * PIXELS_PER_BIN:
        return []
    ordered = nearby[order]
    low, high = np.maximum(ordered[[len(order) // 2, -1]], 1e-3)
    edges = np.searchsorted(ordered, np.geomspace(low, high * 1.001, SIGNAL_BINS))

    def halves(interval):
        one = order[slice(*interval)]
        one = one[np.argsort(gradient2[one], kind="stable")]
        return one[: len(one) // 2], one[len(one) // 2 :]

    return [half for pair in map_threads(halves, _wide_enough(edges)) for half in pair]


def _wide_enough(edges):
    """Starts and stops of intervals with enough pixels each; the few brightest pixels join the last interval."""
    starts = [int(edges[0])]
    for stop in edges[1:-1]:
        if min(stop - starts[-1], edges[-1] - stop) >= 2 * PIXELS_PER_BIN:
            starts.append(int(stop))
    return pairwise([*starts, int(edges[-1])])


def _solve(rows, targets, errors):
    """Non-negative weighted least squares; insignificant terms are dropped."""
    from scipy.optimize import nnls

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
