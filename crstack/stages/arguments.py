"""The arguments of the calls of a stack: names and defaults become a method, detections, rules and limits."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from crstack.boundaries.base import FittedBoundary
from crstack.combine import COMBINATIONS, FILLS
from crstack.detections import AUX_NOISE, AuxNoise, Detections
from crstack.detectors.base import Detector
from crstack.detectors.choice import as_detector
from crstack.diagram import MMDiagram
from crstack.equalize.settings import Equalization
from crstack.exceptions import InputError
from crstack.masks import MaskRules
from crstack.methods import Method, as_method
from crstack.mmcosmic import MMCosmic
from crstack.mmcosmic.sampling import nbinom_shape_of_stack
from crstack.prepared import PreparedStack, Progress
from crstack.stages.argument_types import Auxiliary, Boundary, Vote
from crstack.utils.memory import Workspace
from crstack.utils.process_memory import MemoryLimit, check_mem_limit
from crstack.utils.registry import DETECTORS, METHODS
from crstack.utils.validation import check_choice

__all__ = [
    "AUTO",
    "allow_work",
    "check_combination",
    "chosen_method",
    "definite_shape",
    "definite_weights",
    "detections_for",
    "made_by",
    "rules_for",
    "with_diagram",
    "workspace_for",
]

AUTO = "auto"

P = ParamSpec("P")
T = TypeVar("T")


def made_by(init: Callable[Concatenate[T, P], None], name: str, doc: str) -> "classmethod[T, P, T]":
    """Class method with the arguments of ``__init__``; editors and Python show its signature."""

    @wraps(init)
    def make(cls: type[T], *args: P.args, **kwargs: P.kwargs) -> T:
        return cls(*args, **kwargs)

    make.__name__, make.__doc__ = name, doc
    make.__qualname__ = init.__qualname__.replace("__init__", name)
    return classmethod(make)


def chosen_method(
    method: Method | str,
    aux: Auxiliary,
    boundary: Boundary,
    n_exposures: int,
    latest_boundary: FittedBoundary | None,
    latest_diagram: MMDiagram | None,
) -> Method:
    """The method, with the boundary and the diagram to use.

    Parameters
    ----------
    method, aux, boundary
        As given to `~crstack.CRStack.detect`.
    n_exposures : int
        Number of exposures.
    latest_boundary, latest_diagram
        Those of the latest `~crstack.CRStack.fit_boundary` and `~crstack.CRStack.mm_diagram`; None if there was none.

    Raises
    ------
    InputError
        If the method is a detector, or the boundary is given twice or to a method that has none.
    """
    automatic = isinstance(boundary, str) and boundary == AUTO
    if isinstance(method, str) and method == AUTO:
        has_diagram = not automatic or latest_boundary is not None or latest_diagram is not None
        has_detector = aux is not None and not (isinstance(aux, str) and aux == AUTO)
        method = "mmcosmic" if n_exposures > 2 and (has_diagram or has_detector) else "joint"
    _refuse_detectors(method)
    chosen = as_method(method)
    if not isinstance(chosen, MMCosmic):
        if not automatic:
            raise InputError(f"boundary must be left out for {type(chosen).__name__}; got {boundary!r}")
        return chosen
    open_boundary = isinstance(chosen.boundary, str)
    if not automatic:
        if not open_boundary:
            raise InputError(f"boundary must be given once; got {chosen.boundary!r} and {boundary!r}")
        chosen = replace(chosen, boundary=boundary)
    elif open_boundary and latest_boundary is not None:
        chosen = replace(chosen, boundary=latest_boundary)
    return with_diagram(chosen, latest_diagram)


def _refuse_detectors(method: Method | str) -> None:
    """Raise `InputError` for a detector in place of a method, and for a method joined with one, as in "mm_pycosmic"."""
    if isinstance(method, Detector) or (isinstance(method, str) and method in DETECTORS.names()):
        name = repr(method) if isinstance(method, str) else type(method).__name__
        raise InputError(f"method must be that of a whole stack; got the detector {name}: pass it as aux")
    if isinstance(method, str):
        _refuse_names_of_the_command(method)


def _refuse_names_of_the_command(method: str) -> None:
    """Raise `InputError` for names such as "mm_pycosmic", which the command has for a method with a detector."""
    short, _, detector = method.partition("_")
    name = {"mm": "mmcosmic"}.get(short, short)
    if name in METHODS.names() and detector in DETECTORS.names():
        kind = DETECTORS.get(detector).__name__
        raise InputError(
            f"method must be that of a whole stack, with the detector as aux; got {method!r}: "
            f"write detect({name!r}, aux={detector!r}), or aux={kind}() with parameters of its own"
        )


def with_diagram(method: MMCosmic, diagram: MMDiagram | None) -> MMCosmic:
    """The method with this diagram, if there is one."""
    return method if diagram is None else replace(method, diagram=diagram)


def detections_for(
    prepared: PreparedStack, aux: Auxiliary, vote: Vote, aux_noise: AuxNoise, method: Method | None = None
) -> Detections | None:
    """Detections of the detector; "auto" is the default detector of the method."""
    if method is not None and isinstance(aux, str) and aux == AUTO:
        aux = method.usual_aux
    check_choice("aux_noise", aux_noise, AUX_NOISE)
    detector = as_detector(aux, vote)
    return None if detector is None else Detections(prepared, detector, aux_noise)


def workspace_for(mem_limit: MemoryLimit, equalization: Equalization) -> Workspace:
    """Place of the large arrays of a stack, where some differences need whole images."""
    return Workspace(
        check_mem_limit(mem_limit),
        equalization.of_whole_images,
        equalization.bytes_per_pixel,
        equalization.bytes_in_regions,
    )


def allow_work(workspace: Workspace, n: int, method: Method | None = None, detector: Detector | None = None) -> None:
    """Check that a method and a detector, which may work on whole images, fit into ``mem_limit``.

    Parameters
    ----------
    workspace : `~crstack.utils.memory.Workspace`
        Place of the exposures; nothing is checked where they are in memory.
    n : int
        Number of exposures.
    method : Method, optional
        The method.
    detector : Detector, optional
        The auxiliary detector.

    Raises
    ------
    InputError
        If the limit is too small, or the memory of the work is not known.
    """
    if method is not None:
        _allow(workspace, f"the method {method.label}", method.bytes_per_pixel(n))
    if detector is not None:
        _allow(workspace, "an auxiliary detector", detector.bytes_per_pixel)


def _allow(workspace, what, bytes_per_pixel):
    """Raise `InputError` if work needs more memory than the limit, or an amount that is not known."""
    if bytes_per_pixel is None:
        workspace.refuse(what)
    elif bytes_per_pixel:
        workspace.allow(what, bytes_per_pixel)


def rules_for(rules: MaskRules | None, shape: tuple[int, ...]) -> MaskRules:
    """The rules, checked to lie inside the image; for None, rules without effect."""
    if rules is None:
        return MaskRules()
    if not isinstance(rules, MaskRules):
        raise InputError(f"rules must be MaskRules; got {rules!r}")
    rules.check_inside(shape)
    return rules


def definite_shape(
    shape: float | str | None, prepared: PreparedStack, detected: Detections | None, progress: Progress | None
) -> float | None:
    """The shape of the distribution of photons; "auto" measures it, and None is Poisson."""
    if not isinstance(shape, str):
        return shape
    check_choice("nbinom_shape", shape, (AUTO,), "None, or a number")
    found = nbinom_shape_of_stack(prepared, detected, progress)
    return None if found.is_poisson else found.value


def definite_weights(weights: Any) -> Any:
    """A copy of the weights, so that later changes of a list have no effect."""
    return tuple(weights) if isinstance(weights, list | np.ndarray) else weights


def check_combination(name: str, variance: str, fill: str | None) -> None:
    """Raise `InputError` for an unknown combination, or an unknown option of it."""
    if name != AUTO:
        check_choice("combination", name, COMBINATIONS)
    check_choice("variance", variance, ("model", "sample"))
    if fill is not None:
        check_choice("fill", fill, FILLS)
