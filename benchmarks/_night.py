"""Exposures of a night and their truth."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData

from crstack.datasets.hits import make_hits

READNOISE = 4.0  # electrons
RATE = 0.008  # of hit values


@dataclass(frozen=True)
class Night:
    """Exposures in electrons and what they hold.

    Attributes
    ----------
    name : str
        Of the scene.
    expected, hits : `~numpy.ndarray`
        (N, ny, nx) electrons.
    cube : `~numpy.ndarray`
        float32 (N, ny, nx), what the detector gives.
    sky : `~numpy.ndarray`
        (ny, nx) mean of the exposures without stars, traces and lines.
    stars : tuple
        Columns and rows of isolated stars, where there are any.
    """

    name: str
    expected: np.ndarray
    hits: np.ndarray
    cube: np.ndarray
    sky: np.ndarray
    stars: tuple = ()

    @property
    def exposures(self):
        """For `~crstack.CRStack`."""
        return [CCDData(plane, unit="electron") for plane in self.cube]

    @property
    def readnoise(self):
        """As a quantity."""
        return READNOISE * u.electron

    @property
    def sigma(self):
        """(N, ny, nx) noise of each value."""
        return np.sqrt(self.expected + READNOISE**2)

    @property
    def bright(self):
        """(ny, nx) more than ten sigma above the sky."""
        sky = self.sky + READNOISE**2
        return self.expected.mean(axis=0) - self.sky > 10 * np.sqrt(sky)


def per_exposure(values, n):
    """List of ``n`` values, one for each exposure; the values repeat if they are fewer."""
    values = tuple(values)
    return [values[i % len(values)] for i in range(n)]


def each_exposure(n, *settings):
    """Tuples of all settings, one tuple for each of ``n`` exposures."""
    return zip(*(per_exposure(values, n) for values in settings), strict=True)


def observe(name, expected, sky, rng, *, population=None, stars=()):
    """Add hits and noise to expected exposures, and return a `Night`; without a population there are no hits."""
    expected = np.asarray(expected, np.float32)
    if population is None:
        hits = np.zeros(expected.shape, np.float32)
    else:
        hits = np.stack([make_hits(expected.shape[1:], RATE, rng, population) for _ in expected])
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape) + hits
    return Night(name, expected, hits, cube.astype(np.float32), np.asarray(sky, np.float32), stars)
