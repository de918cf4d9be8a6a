"""Choice of the detector by instance, by name or as a list."""

from collections.abc import Sequence

from crstack.detectors.base import Detector
from crstack.detectors.voting import VotingDetector
from crstack.exceptions import InputError
from crstack.utils.registry import DETECTORS

__all__ = ["as_detector"]


def as_detector(aux: Detector | str | Sequence[Detector | str] | None, vote: int | str = "any") -> Detector | None:
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
    if aux is None:
        return None
    return DETECTORS.instance(aux, "aux must be a Detector, the name of one, a list of these or None")
