"""Choice of the detector by instance, by name or as a list."""

from crstack._plugins import check_comparable
from crstack._registry import DETECTORS
from crstack.detectors.base import Detector
from crstack.detectors.voting import VotingDetector
from crstack.exceptions import InputError

__all__ = ["as_detector"]


def as_detector(aux, vote="any"):
    """Return the detector that is given, named or listed; None stays None.

    Parameters
    ----------
    aux : Detector, str, list of these, or None
        Several make a `VotingDetector`.
    vote : {'any', 'all'} or int, optional
        Number of detectors that must flag a pixel.
    """
    if isinstance(aux, tuple | list):
        detectors = [as_detector(one) for one in aux]
        return VotingDetector(detectors, vote) if len(detectors) != 1 else detectors[0]
    if vote != "any":
        raise InputError(f"vote must be left out where there is one detector; got {vote!r}")
    if isinstance(aux, str):
        aux = DETECTORS.make(aux)
    if isinstance(aux, Detector):
        check_comparable(aux)
    if aux is None or isinstance(aux, Detector):
        return aux
    raise InputError(f"aux must be a Detector, the name of one, a list of these or None; got {aux!r}")
