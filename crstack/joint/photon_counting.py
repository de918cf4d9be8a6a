"""Warning of exposures that count photons, which the likelihood of the joint decision does not describe."""

from crstack.exposures import Exposures
from crstack.exposures.scatter.photons import counted_photons
from crstack.utils.warn import warn_user

__all__ = ["warn_of_photon_counting"]


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
    found = counted_photons(exposures)
    if found is None:
        return
    readnoise, signal = found
    warn_user(
        f"the read noise is {readnoise:.2g} electron and the signal {max(signal, 0):.2g} electrons, so values form "
        "peaks at whole photons. The joint decision does not describe such noise: clean values may be flagged, "
        "and meanjoint may be too low by several per cent. Check gain and read noise; if they are right, detect with "
        'method="mmcosmic" and combine with meancr2, and compare with the mean: below about 2 electrons, this is not '
        "reliable either"
    )
