"""Scatter of the exposures of a stack beyond their noise."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from crstack.equalize.fit.common_image import CLIP_SIGMA_OF_TWO
from crstack.equalize.terms.hot_pixels import hot_pixels
from crstack.equalize.variance.place_variance import place_variance
from crstack.joint.excess import ExcessFit, ExcessVariance, fit_excess_variance, squared_gradient
from crstack.statistics import sort_exposures
from crstack.utils.filters import mean_of_neighbours
from crstack.utils.memory import empty_image, zero_image
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_threads, row_bands, wide_bands

__all__ = ["Scatter", "scatter_of"]

#: if pixels in the order of their lowest values have less than this share of the excess, it is that of coincident hits
OF_HITS = 0.8


@dataclass(frozen=True, eq=False)
class Scatter:
    """Excess variance of a stack.

    Attributes
    ----------
    signal, of_pixels : `~numpy.ndarray`
        (ny, nx) expected common signal, and excess variance there, electrons (squared).
    fit : ExcessFit or None
        The fit of the excess to the whole image; None if no excess was fitted.
    """

    signal: np.ndarray
    of_pixels: np.ndarray
    fit: ExcessFit | None = None

    @classmethod
    def none(cls, counts):
        """No excess; none is measured."""
        median = _median_of(counts)
        return cls(median, np.zeros_like(median))

    @property
    def excess(self):
        """The `ExcessVariance`."""
        return ExcessVariance() if self.fit is None else self.fit.excess


def scatter_of(counts, of_places=False, measured=None):
    """Fit the excess variance of `Counts`, as a `Scatter`; with that of each place where it is larger.

    ``measured`` are the `~crstack.equalize.Differences` that the counts include, if any.
    """
    levels = counts.level_cube
    median = _median_of(counts)
    gradient2, hot = _gradient_and_hot(counts, median)
    of_noise = median if len(levels) > 2 else _signal_for_noise_of_two(levels, median)
    fit = _fit_of(counts, median, _variances_of(counts, of_noise), gradient2, hot)
    del of_noise
    del hot
    signal, of_pixels = _excess_of_pixels(fit.excess, median, gradient2)
    del gradient2, median
    if of_places:
        of_place = place_variance(levels, counts.mean_variance_in, measured)[0]
        np.maximum(of_pixels, of_place, out=of_pixels)
    return Scatter(signal, of_pixels, fit)


def _fit_of(counts, median, variances, gradient2, hot):
    """Fit of the excess to pixels in the order of the median; of the lowest value where coincident hits are the excess.

    Pixels that are bright because two exposures are hit are bright in no order of the lowest value.
    """
    levels = counts.level_cube

    def fit_with(low):
        return fit_excess_variance(levels, median, variances, gradient2, counts.bad, hot, low)

    def total(fit):
        return float(fit.excess.of(median, gradient2).sum(dtype=np.float64))

    fit = fit_with(median)
    if len(levels) == 2 or not (fit.excess.relative or fit.excess.shift):
        return fit
    other = fit_with(_lowest_of(counts))
    return other if total(other) < OF_HITS * total(fit) else fit


def _excess_of_pixels(excess, median, gradient2):
    """Expected signal (ny, nx), and the excess variance there."""
    # two hits raise the signal, and the variance of this signal must not hide them
    signal, of_pixels = _median_of_rows(median), empty_image(median.shape)

    def work(rows):
        np.minimum(median[rows], signal[rows], out=signal[rows])
        of_pixels[rows] = excess.of(signal[rows], gradient2[rows])

    map_threads(work, row_bands(*median.shape))
    return signal, of_pixels


def _median_of(counts):
    """Median (ny, nx) of the exposures; of two that differ by more than noise, the lower one."""
    levels = counts.level_cube
    median, n = empty_image(levels.shape[1:]), len(levels)

    def work(rows):
        band = np.array(levels[:, rows])
        sort_exposures(band)
        median[rows] = (band[(n - 1) // 2] + band[n // 2]) / 2
        if n == 2:
            # a hit in their mean would look like structure
            apart = median[rows] - band[0] > CLIP_SIGMA_OF_TWO * np.sqrt(counts.rows(rows).mean_variance(band[0]))
            median[rows][apart] = band[0][apart]

    map_threads(work, row_bands(*median.shape))
    return median


def _lowest_of(counts):
    """Signal (ny, nx) from the lowest value of the exposures, which no hits of some of them raise.

    How far it is below the signal is known from the noise.
    """
    levels = counts.level_cube
    # expected lowest value of n normal numbers (Blom 1958)
    lowest, below = empty_image(levels.shape[1:]), -special.ndtri(0.625 / (len(levels) + 0.25))

    def work(rows):
        low = np.array(levels[:, rows]).min(axis=0)
        lowest[rows] = low + np.float32(below) * np.sqrt(counts.rows(rows).mean_variance(np.maximum(low, 0)))

    map_threads(work, row_bands(*lowest.shape))
    return lowest


def _signal_for_noise_of_two(levels, signal):
    """Signal (ny, nx) of two exposures for their noise: that of the neighbours where the lower value was taken.

    The lower value is low because of its own noise. Its variance would be too small, and the difference would look like
    a hit.
    """
    found = signal.copy()

    def work(band):
        rows, wide, inner = band
        part = signal[wide]
        nearby = mean_of_neighbours(part)[inner]
        lower = np.array(levels[:, rows]).mean(axis=0) > signal[rows]
        found[rows][lower] = np.maximum(nearby, signal[rows])[lower]

    map_threads(work, wide_bands(*signal.shape, margin=1))
    return found


def _gradient_and_hot(counts, median):
    """Squared gradient of the median, and the hot pixels with those beside; None in place of these if there are none.

    A hot pixel has a steep gradient, but does not change if the exposures differ in shift or seeing.
    """
    gradient2, hot = empty_image(median.shape), zero_image(median.shape, bool)

    def work(band):
        rows, wide, inner = band
        part = median[wide]
        variance = counts.rows(wide).mean_variance(part)
        gradient2[rows] = squared_gradient(part, variance / len(counts.data))[inner]
        peaks = np.zeros(part.shape, dtype=bool)
        peaks[hot_pixels(part, np.sqrt(variance), shared=True)] = True
        if peaks.any():
            hot[rows] = dilate(peaks, 1)[inner]

    map_threads(work, wide_bands(*median.shape, margin=2))
    return gradient2, hot if hot.any() else None


def _variances_of(counts, signal):
    """Function of rows and columns of pixels: variances of the exposures there, of one where all are alike."""

    def variances(where):
        some, expected = counts.rows(where), signal[where]
        return [some.variance_of(i, expected) for i in range(1 if counts.alike else len(counts.data))]

    return variances


def _median_of_rows(image):
    """Median (ny, nx) of the five pixels around each along its row; beyond the edges the image is mirrored."""
    median, nx = empty_image(image.shape), image.shape[1]

    def work(band):
        padded = np.pad(image[band[0]], ((0, 0), (2, 2)), mode="symmetric")
        five = np.stack([padded[:, first : first + nx] for first in range(5)])
        sort_exposures(five)
        median[band[0]] = five[2]

    map_threads(work, wide_bands(*image.shape))
    return median
