"""What is counted on exposures whose every hit is known; shared by the benchmarks."""

import astropy.units as u
import numpy as np
from scipy import ndimage

from crstack.datasets import make_stack

#: of all the stacks made here
GAIN, READNOISE = 1.0 * u.electron / u.adu, 3.4 * u.electron


def make(scene, n, shape, seed, **case):
    """A simulated stack in ADU of one electron each."""
    return make_stack(scene, shape=shape, n_exposures=n, gain=GAIN, readnoise=READNOISE, seed=seed, **case)


def widened(touched):
    """Planes of a mask with the pixels beside them: where a flag is not called false."""
    return ndimage.maximum_filter(touched, size=(*(1,) * (touched.ndim - 2), 3, 3))


def precision(simulated, masks):
    """Percentage of the flagged values that are hit, or within one pixel of a hit."""
    return 100 * (masks & widened(simulated.hits > 1)).sum() / masks.sum() if masks.any() else np.nan


def completeness(simulated, masks, n_sigma):
    """Percentage of the values with a charge over ``n_sigma`` of the noise that are flagged."""
    return 100 * masks[simulated.hit_mask(n_sigma)].mean()


def perfect(simulated):
    """Masks of all that is hit."""
    return simulated.hits > 0.5


def mean_of_unmasked(simulated, masks):
    """Mean of the values that are not masked; NaN where all are."""
    cube = np.array([ccd.data for ccd in simulated.exposures], dtype=np.float64)
    count = (~masks).sum(axis=0)
    return np.where(count > 0, np.where(masks, 0, cube).sum(axis=0) / np.maximum(count, 1), np.nan)


def errors_of(simulated, image):
    """(image - truth) / sigma, with sigma that of the mean of all the exposures without hits."""
    truth = simulated.expected.mean(axis=0)
    return (image - truth) / np.sqrt(simulated.noise.variance(truth) / len(simulated))


def too_high(simulated, image):
    """Pixels per Mpx that are over 5 standard deviations too high; NaN are not."""
    return 1e6 * (errors_of(simulated, image) > 5).mean()


def rms(simulated, image, where):
    """Root mean square of `errors_of` at some pixels; NaN are left out."""
    return np.sqrt(np.nanmean(errors_of(simulated, image)[where] ** 2))


def too_high_in_mean(simulated, masks):
    """Pixels per Mpx of the mean of unmasked values that are 5 standard deviations too high.

    Each value is compared with what its own exposure should hold, as exposures here need not be equivalent.
    """
    cube = np.array([ccd.data for ccd in simulated.exposures]) - simulated.expected
    count = (~masks).sum(axis=0)
    error = np.where(masks, 0, cube).sum(axis=0) / np.maximum(count, 1)
    sigma = np.sqrt(simulated.noise.variance(simulated.expected.mean(axis=0)) / len(simulated))
    return 1e6 * ((count > 0) & (error > 5 * sigma)).mean()
