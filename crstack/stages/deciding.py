"""The decision of a method, checked: plug-ins may return anything."""

from dataclasses import replace

import numpy as np

from crstack.detections import Detections
from crstack.exceptions import CRStackError, PluginError
from crstack.masks.codes import Code, exposure_name
from crstack.masks.rules import MaskRules
from crstack.methods import Decision, Method
from crstack.prepared import PreparedStack, Progress, ReadOnlyStack
from crstack.utils.plugins import is_own, plugin_errors
from crstack.utils.threads import map_threads

__all__ = ["checked_decision"]

#: bits of the number 1 in half precision
ONE = np.float16(1).view(np.uint16)


def checked_decision(
    method: Method,
    prepared: PreparedStack,
    detected: Detections | None,
    rules: MaskRules,
    progress: Progress | None = None,
) -> Decision:
    """Call `Method.decide` and check the result.

    Parameters
    ----------
    method : Method
        Of crstack or of a plug-in.
    prepared : `~crstack.prepared.PreparedStack`
        The stack.
    detected : `~crstack.detections.Detections` or None
        Detections of the auxiliary detector; None without a detector.
    rules : `~crstack.masks.MaskRules`
        Dilation, regions and pixels.
    progress : callable, optional
        Called as ``progress(stage, fraction)``.

    Returns
    -------
    decision : Decision
        The decision of the method.

    Raises
    ------
    PluginError
        If the method raises an error or exits, or returns anything but a `Decision` with the codes of every mask, and
        probabilities, if any, from 0 to 1.
    CRStackError
        The same of a method of crstack itself.
    """
    given, found = prepared, detected
    if not is_own(method):
        given = ReadOnlyStack(prepared)
        found = detected and replace(detected, prepared=given)
    with plugin_errors(method, "decide"):
        decision = method.decide(given, found, rules, progress)
    name = type(method).__name__
    if not isinstance(decision, Decision):
        raise PluginError(f"decide of {name} must return a Decision; got {type(decision).__name__}")
    _check_codes(decision.codes, name, prepared.exposures)
    if decision.probability is not None:
        _check_probability(decision.probability, method, prepared.exposures)
    return decision


def _check_codes(codes, name, exposures):
    """Raise `PluginError` unless the codes are those of every mask, with valid values."""
    wanted = ("MEDIANCR", "MEANCRT", *(exposure_name(i) for i in range(len(exposures))))
    if set(codes) != set(wanted):
        raise PluginError(f"codes of {name} must be of {', '.join(wanted)}; got {', '.join(codes) or 'none'}")
    for mask, plane in codes.items():
        right = isinstance(plane, np.ndarray) and plane.shape == exposures.shape and plane.dtype == np.uint8
        if not right or plane.max(initial=0) > max(Code):
            raise PluginError(
                f"codes of {mask} of {name} must be uint8 of the shape {exposures.shape}, 0 to {max(Code):d}"
            )


def _check_probability(probability, method, exposures):
    """Raise an error unless the probabilities have the shape of the exposures and are from 0 to 1."""
    name = type(method).__name__
    if not isinstance(probability, np.ndarray) or probability.shape != exposures.data.shape:
        got = getattr(probability, "shape", type(probability).__name__)
        raise PluginError(f"probability of {name} must be an array of the shape of the exposures; got {got}")
    if all(map_threads(lambda i: _from_0_to_1(probability[i]), range(len(probability)))):
        return
    if not is_own(method):
        raise PluginError(f"probability of {name} must be 0 to 1 everywhere")
    raise CRStackError(
        f"the probabilities of {name} are not 0 to 1 everywhere. This is a fault of crstack: please report it, "
        "with the exposures"
    )


def _from_0_to_1(plane):
    """Whether all values of an image are from 0 to 1."""
    if plane.dtype == np.float16 and plane.view(np.uint16).max(initial=0) <= ONE:
        return True  # numbers of half precision are compared slowly, and the bits of those from 0 to 1 have their order
    return plane.min() >= 0 and plane.max() <= 1
