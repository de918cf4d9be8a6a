"""Warning of exposures that count photons, for which the likelihood of the joint decision is not made."""

import numpy as np

from crstack.exposures import Exposures
from crstack.utils.warn import warn_user

__all__ = ["warn_of_photon_counting"]

#: read noise (electrons) below which values form peaks at whole photons, and signal (electrons) below which this
#: matters
READNOISE, SIGNAL = 0.5, 20.0
#: largest sample of the values of an exposure
SAMPLE = 100_000


def warn_of_photon_counting(exposures: Exposures) -> None:
    """Warn if the read noise is far below one electron, and the sky has few electrons.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures. Nothing is reported if they have uncertainties of their own.

    Warns
    -----
    CRStackWarning
        If the read noise is below 0.5 electron and the median signal below 20 electrons.

    Notes
    -----
    The values of such a chip form peaks at whole photons. The likelihood has no such peaks: see the page on the joint
    decision. ``meanjoint`` is then lower than the mean, and the difference grows as the signal decreases.
    """
    noise = exposures.noise
    readnoise = float(np.median(noise.readnoise_electrons))
    if readnoise >= READNOISE or any(one is not None for one in exposures.variances):
        return
    step = max(exposures.data[0].size // SAMPLE, 1)
    level = float(np.median([np.median(plane.ravel()[::step]) for plane in exposures.data]))
    signal = level * float(np.median(noise.electrons_per_unit))
    if signal >= SIGNAL:
        return
    warn_user(
        f"the read noise is {readnoise:.2g} electron and the signal {max(signal, 0):.2g} electrons, so values form "
        "peaks at whole photons. The joint decision is not made for this: clean values may be flagged, and meanjoint "
        "may be too low by several per cent. Check gain and read noise; if they are right, detect with "
        'method="mmcosmic" and combine with meancr2, and compare with the mean: below about 2 electrons, this is not '
        "reliable either"
    )
