"""Scatter of the exposures beyond Poisson noise: the shape of a negative binomial distribution."""

from dataclasses import dataclass

import numpy as np

from crstack.equalize.terms.clean import neighbour_mean
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.utils.pixels import dilate

__all__ = ["NbinomShape", "fit_nbinom_shape"]

#: rounds of rejecting hits and fitting
ROUNDS = 5
#: a pixel whose exposures spread over this many standard deviations holds a hit
CLIP_SIGMA = 6.0
#: signal over noise of the pixels of the first estimate
BRIGHT = 5.0
#: fewest pixels to fit
FEWEST = 100
#: median over mean of the sample variance of three normal values
MEDIAN_OF_VARIANCE = 0.69
#: blocks of the jack-knife on each side of the image
BLOCKS = 8
#: least 1 / kappa, in standard errors, that differs from Poisson
SIGNIFICANCE = 2.0
#: seed and number of the normal samples from which the effect of the clipping is computed
SAMPLES_SEED, N_SAMPLES = 20240312, 200_000


@dataclass(frozen=True)
class NbinomShape:
    """Shape of the distribution of the photons.

    Attributes
    ----------
    inverse : float
        1 / kappa: the variance of s electrons is s + s**2 / kappa; below 0
        where the exposures scatter less than Poisson.
    inverse_error : float
        Its standard error.
    n_pixels : int
        Clean pixels it comes from.
    """

    inverse: float
    inverse_error: float
    n_pixels: int

    @property
    def is_poisson(self):
        """Whether 1 / kappa is less than two standard errors above 0."""
        return not self.inverse > SIGNIFICANCE * self.inverse_error

    @property
    def value(self):
        """The shape kappa, in electrons; infinite for Poisson."""
        return np.inf if self.is_poisson else 1 / self.inverse

    @property
    def error(self):
        """Standard error of kappa; NaN for Poisson."""
        return np.nan if self.is_poisson else self.inverse_error / self.inverse**2

    def __str__(self):
        if self.is_poisson:
            return f"Poisson (1 / kappa = {self.inverse:.2g} +/- {self.inverse_error:.2g})"
        return f"kappa = {self.value:.4g} +/- {self.error:.2g}"


def fit_nbinom_shape(exposures: Exposures, used: np.ndarray | None = None) -> NbinomShape:
    """Fit the shape kappa of the photons' distribution to the exposures.

    Parameters
    ----------
    exposures : Exposures
        Three or more, bias subtracted, that differ by noise only: flux factors, response and offsets are corrected.
    used : `~numpy.ndarray` of bool, optional
        (ny, nx), pixels to use; those valid in every exposure by default. Hits
        among them are rejected.

    Returns
    -------
    shape : NbinomShape
        Shape kappa in electrons, and its error.

    Raises
    ------
    InputError
        If an exposure has its own variances, or there is too little signal.

    Notes
    -----
    The sample variance of the N exposures of a pixel, in electrons, is expected to be s + r**2 + s**2 / kappa, where r
    is the read noise. If an exposure was divided by c, s / c and r**2 / c**2 replace s and r**2. 1 / kappa is the ratio
    of two weighted sums: that of the excess over s + r**2, and that of s**2. The weights s**2 / variance**2 give the
    most precise estimate. The signal s in the weights comes from the eight neighbours, so that it does not depend on
    the noise of the pixel. Pixels whose exposures differ by more than 6 standard deviations, and their neighbours,
    count as hit. This cut lowers the variance of clean pixels by a factor that is known for normal noise, and is
    corrected. The error is a jack-knife over blocks of the image.
    """
    if any(variance is not None for variance in exposures.variances):
        raise InputError('exposures must have no uncertainties for nbinom_shape="auto"; got some: give a number')
    usable = exposures.usable if used is None else exposures.usable & used
    pixels = _electrons(exposures)
    inverse = _first_guess(pixels, usable)
    kept_variance = _variance_kept(len(exposures))
    for _ in range(ROUNDS):
        ok = _unhit(pixels, usable, max(inverse, 0.0))
        if np.count_nonzero(ok) < FEWEST:
            raise InputError(f"exposures must share {FEWEST} or more clean pixels; got {np.count_nonzero(ok)}")
        excess, signal = _sums(pixels, ok, max(inverse, 0.0), kept_variance)
        if not signal.sum() > 0:
            raise InputError("exposures must hold signal to fit nbinom_shape; got none")
        inverse = excess.sum() / signal.sum()
    return NbinomShape(float(inverse), _jackknife_error(excess, signal), int(np.count_nonzero(ok)))


@dataclass(frozen=True, eq=False)
class _Pixels:
    """In electrons: sample variance and range of the exposures, their signal, read-noise variance.

    ``per_signal`` is the photon variance of one electron of signal: 1 where nothing was divided.
    """

    variance: np.ndarray
    span: np.ndarray
    signal: np.ndarray
    readnoise2: np.ndarray | float
    per_signal: np.ndarray | float

    def noise(self, signal):
        """Variance by photons and read noise at a signal."""
        return signal * self.per_signal + self.readnoise2


def _electrons(exposures):
    """The `_Pixels` of exposures."""
    n = len(exposures)
    gain = np.asarray(exposures.noise.electrons_per_unit, dtype=np.float32)
    electrons = [plane * gain for plane in exposures.data]
    inverses = [1 / scale for scale in exposures.scales or (1.0,)]
    per_signal, per_square = (sum(inverse**power for inverse in inverses) / len(inverses) for power in (1, 2))
    mean = np.mean(electrons, axis=0)
    variance = sum((plane - mean) ** 2 for plane in electrons) / (n - 1)
    span = np.max(electrons, axis=0) - np.min(electrons, axis=0)
    readnoise2 = exposures.noise.readnoise_electrons**2 * per_square
    return _Pixels(variance, span, np.median(electrons, axis=0), readnoise2, per_signal)


def _variance_with_excess(pixels, signal, inverse):
    """Variance at a signal, with the overdispersion ``inverse`` = 1 / kappa."""
    return pixels.noise(signal) + inverse * signal**2


def _first_guess(pixels, usable):
    """1 / kappa from the median of the variances, on which hits have little effect."""
    signal = np.maximum(neighbour_mean(pixels.signal, usable), 0)
    noise = pixels.noise(signal)
    bright = usable & (signal > BRIGHT * np.sqrt(noise))
    if np.count_nonzero(bright) < FEWEST:
        return 0.0
    # the median is 0.7 to 0.9 of the mean, for 3 to 9 exposures
    excess = pixels.variance[bright] / MEDIAN_OF_VARIANCE - noise[bright]
    return max(float(np.median(excess / signal[bright] ** 2)), 0.0)


def _unhit(pixels, usable, inverse):
    """Pixels whose exposures agree, away from those that do not."""
    signal = np.maximum(neighbour_mean(pixels.signal, usable), 0)
    # on a steep slope the pixel itself may be far brighter than its neighbours
    signal = np.maximum(signal, np.maximum(pixels.signal, 0))
    hit = usable & (pixels.span > CLIP_SIGMA * np.sqrt(_variance_with_excess(pixels, signal, inverse)))
    return usable & ~dilate(hit, 1)


def _sums(pixels, ok, inverse, kept_variance):
    """Weighted sums of excess variance and of squared signal, in blocks of the image."""
    nearby = np.maximum(neighbour_mean(pixels.signal, ok), 0)
    weights = np.where(ok, nearby**2 / _variance_with_excess(pixels, nearby, inverse) ** 2, 0)
    excess = weights * (pixels.variance / kept_variance - pixels.noise(pixels.signal))
    return _sums_in_blocks(excess), _sums_in_blocks(weights * pixels.signal**2)


def _sums_in_blocks(image):
    """Sums of an image in `BLOCKS` x `BLOCKS` parts, as one row."""
    rows, columns = (np.unique(np.linspace(0, size, BLOCKS + 1)[:-1].astype(int)) for size in image.shape)
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float64), rows, axis=0), columns, axis=1)
    return sums.ravel()


def _jackknife_error(excess, signal):
    """Standard error of the ratio of two sums, from the ratios without one block each."""
    filled = signal > 0
    n = np.count_nonzero(filled)
    ratios = (excess.sum() - excess[filled]) / (signal.sum() - signal[filled])
    return float(np.sqrt((n - 1) / n * np.sum((ratios - ratios.mean()) ** 2)))


def _variance_kept(n):
    """Mean sample variance of n standard normal values that pass the clipping."""
    draws = np.random.default_rng(SAMPLES_SEED).standard_normal((n, N_SAMPLES))
    kept = np.ptp(draws, axis=0) <= CLIP_SIGMA
    return float(draws.var(axis=0, ddof=1)[kept].mean())
