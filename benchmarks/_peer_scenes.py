"""The stacks on which crstack and other programs are compared: equal exposures, and those of a changing night."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from _night_scenes import READNOISE as NIGHT_READNOISE
from _night_scenes import night_of
from _truth import READNOISE, make

#: name in the table -> scene of `crstack.datasets.make_stack`
EQUAL = {"ifu": "ifu", "imaging": "imaging", "slit": "slit"}
#: name in the table -> scene of _night_scenes
UNEQUAL = {"sky changes": "imaging sky", "night": "imaging both", "slit night": "slit all"}


@dataclass(frozen=True)
class PeerStack:
    """Exposures in electrons and their truth.

    Attributes
    ----------
    cube, expected, hits : `~numpy.ndarray`
        (N, ny, nx) electrons: the exposures, what they hold without hits, and the charges of the hits.
    readnoise : float
        Electrons.
    equal : bool
        Whether all exposures hold the same.
    """

    cube: np.ndarray
    expected: np.ndarray
    hits: np.ndarray
    readnoise: float
    equal: bool

    def __len__(self):
        return len(self.cube)

    @property
    def truth(self):
        """(N, ny, nx) values with any charge of a hit."""
        return self.hits > 0

    @cached_property
    def sigma(self):
        """(N, ny, nx) noise of each value without hits."""
        return np.sqrt(self.expected + self.readnoise**2)

    @cached_property
    def mean_expected(self):
        """(ny, nx) what the mean of the exposures holds without hits."""
        return self.expected.mean(axis=0)

    def hit_mask(self, n_sigma):
        """(N, ny, nx) values with a charge over ``n_sigma`` of their noise."""
        return self.hits > n_sigma * self.sigma

    def mean_of_unmasked(self, masks):
        """Mean of the values that are not masked; NaN where all are.

        The true difference of each exposure from the mean is taken off first. A mask then has no merit and no fault
        that comes from leaving out an exposure of another level.
        """
        cube = self.cube.astype(np.float64) - self.expected + self.mean_expected
        count = (~masks).sum(axis=0)
        return np.where(count > 0, np.where(masks, 0, cube).sum(axis=0) / np.maximum(count, 1), np.nan)

    def errors_of(self, image):
        """(image - truth) / sigma, with sigma that of the mean of all exposures without hits."""
        return (image - self.mean_expected) * len(self) / np.sqrt((self.sigma**2).sum(axis=0))

    def too_high(self, image):
        """Pixels per Mpx that are over 5 standard deviations too high; NaN are not."""
        return 1e6 * (self.errors_of(image) > 5).mean()

    def rms(self, image, where):
        """Root mean square of `errors_of` at some pixels; NaN are left out."""
        return np.sqrt(np.nanmean(self.errors_of(image)[where] ** 2))


def make_peer_stack(name, n, shape, seed):
    """One stack by its name in the table."""
    if name in UNEQUAL:
        night = night_of(UNEQUAL[name], shape, n, seed)
        return PeerStack(night.cube, night.expected, night.hits, NIGHT_READNOISE, False)
    simulated = make(EQUAL[name], n, shape, seed)
    cube = np.array([ccd.data for ccd in simulated.exposures], dtype=np.float32)
    return PeerStack(cube, simulated.expected, simulated.hits, READNOISE.value, True)
