"""Exposures whose values form peaks at whole photons, so that they are not distributed normally."""

import numpy as np

__all__ = ["counted_photons"]

#: read noise (electrons) below which values form peaks at whole photons, and signal (electrons) below which this
#: matters
READNOISE, SIGNAL = 0.5, 20.0
#: largest sample of the values of an exposure
SAMPLE = 100_000


def counted_photons(exposures):
    """Read noise and median signal, electrons, of exposures that count photons; None for others.

    Parameters
    ----------
    exposures : Exposures
        None is returned if they have uncertainties of their own.

    Returns
    -------
    found : tuple of float or None
        Read noise below 0.5 electron, and signal below 20 electrons.
    """
    noise = exposures.noise
    readnoise = float(np.median(noise.readnoise_electrons))
    if readnoise >= READNOISE or any(one is not None for one in exposures.variances):
        return None
    step = max(exposures.data[0].size // SAMPLE, 1)
    level = float(np.median([np.median(plane.ravel()[::step]) for plane in exposures.data]))
    signal = level * float(np.median(noise.electrons_per_unit))
    return None if signal >= SIGNAL else (readnoise, signal)
