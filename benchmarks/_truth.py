"""Counts on simulated exposures with known hits, shared by the benchmarks."""

import astropy.units as u
import numpy as np
from scipy import ndimage

from crstack.datasets import make_stack

#: read noise (electrons) of all stacks made here
GAIN, READNOISE = 1.0 * u.electron / u.adu, 3.4 * u.electron


def make(scene, n, shape, seed, **case):
    """A simulated stack in ADU, with a gain of 1 electron/ADU."""
    return make_stack(scene, shape=shape, n_exposures=n, gain=GAIN, readnoise=READNOISE, seed=seed, **case)


def widened(touched):
    """A mask (N, ny, nx) grown by one pixel in each plane; a flag inside it does not count as false."""
    return ndimage.maximum_filter(touched, size=(*(1,) * (touched.ndim - 2), 3, 3))


def precision(simulated, masks):
    """Percentage of the flagged values that lie on a hit or within one pixel of one."""
    return 100 * (masks & widened(simulated.hits > 1)).sum() / masks.sum() if masks.any() else np.nan


def completeness(simulated, masks, n_sigma):
    """Percentage of flagged values among those with a charge over ``n_sigma`` standard deviations."""
    return 100 * masks[simulated.hit_mask(n_sigma)].mean()


def perfect(simulated):
    """Masks of the true hits."""
    return simulated.hits > 0.5


def errors_of(simulated, image):
    """(image - truth) / sigma, where sigma is that of the mean of all exposures without hits."""
    truth = simulated.expected.mean(axis=0)
    return (image - truth) / np.sqrt(simulated.noise.variance(truth) / len(simulated))


def too_high(simulated, image):
    """Pixels per Mpx that are more than 5 standard deviations too high; NaN does not count."""
    return 1e6 * (errors_of(simulated, image) > 5).mean()


def too_high_in_mean(simulated, masks):
    """Pixels per Mpx of the mean of unmasked values that are 5 standard deviations too high.

    Each value is compared with the expected value of its own exposure, because the exposures may differ.
    """
    cube = np.array([ccd.data for ccd in simulated.exposures]) - simulated.expected
    count = (~masks).sum(axis=0)
    error = np.where(masks, 0, cube).sum(axis=0) / np.maximum(count, 1)
    sigma = np.sqrt(simulated.noise.variance(simulated.expected.mean(axis=0)) / len(simulated))
    return 1e6 * ((count > 0) & (error > 5 * sigma)).mean()
