"""Base classes of methods that find cosmic rays, and of their decisions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from crstack.boundaries.base import FittedBoundary
from crstack.detections import Detections
from crstack.diagram import MMDiagram
from crstack.equalize.fit.differences import Differences
from crstack.exceptions import PluginError
from crstack.exposures import Exposures
from crstack.masks.rules import MaskRules, codes_of_hits
from crstack.masks.votes import bits_of_exposures
from crstack.prepared import PreparedStack, Progress
from crstack.utils.registry import METHODS

__all__ = ["Decision", "DiagramView", "Method", "as_method", "measured_of"]


@dataclass(frozen=True)
class Method(ABC):
    """Base class of the methods: subclass it as a frozen dataclass.

    The fields of the dataclass are the parameters of the method. A subclass defines only `decide`.
    `crstack.testing.check_method` checks it.
    """

    #: name in legends, tables and logs
    label: ClassVar[str] = "method"
    #: name of the auxiliary detector of ``aux="auto"``; None for none
    usual_aux: ClassVar[str | None] = None

    @abstractmethod
    def decide(
        self,
        prepared: PreparedStack,
        detected: Detections | None,
        rules: MaskRules,
        progress: Progress | None = None,
    ) -> "Decision":
        """Decide which pixels of which images are hit.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            ``prepared.exposures``, ``prepared.statistics`` and so on. It must not be modified.
        detected : `~crstack.detections.Detections` or None
            Detections of the auxiliary detector in each image; None without a detector.
        rules : `~crstack.masks.MaskRules`
            Dilation, regions and pixels, which `Decision.of_hits` applies.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        decision : Decision
            Codes of each mask, with all results of the method.
        """

    def bytes_per_pixel(self, n: int) -> float | None:
        """Memory for each pixel of work on whole images, where ``mem_limit`` keeps the exposures in files.

        Parameters
        ----------
        n : int
            Number of exposures.

        Returns
        -------
        n_bytes : float or None
            0 for a method that works by bands of rows. None if it is not known, which is the default: the method is
            then refused.
        """
        return None

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Names and defaults of the parameters, as a dict."""
        return {
            one.name: one.default if one.default_factory is MISSING else one.default_factory()
            for one in fields(cls)
            if one.init
        }


@dataclass(frozen=True, eq=False, repr=False)
class DiagramView:
    """An image in the coordinates of the median-minimum diagram, with the limits used for it.

    Attributes
    ----------
    x, y : `~numpy.ndarray`
        (ny, nx) min2d and T - min2d, as compared.
    boundary : `~crstack.boundaries.FittedBoundary` or None
        The boundary of this image; None if none was used.
    threshold : float or None
        Least y of a hit; None if none was used.
    diagram : `~crstack.diagram.MMDiagram` or None
        The diagram of the boundary.
    """

    x: np.ndarray
    y: np.ndarray
    boundary: FittedBoundary | None = None
    threshold: float | None = None
    diagram: MMDiagram | None = None


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Decision:
    """The decision of a method, with all its results.

    Attributes
    ----------
    method : Method
        The method and its parameters.
    codes : dict
        uint8 (ny, nx) by name of the mask, without MEANCR: see `~crstack.masks.Code`.
    steps : dict
        By mask, the number of pixels after each rule.
    found_by : dict
        By mask, the auxiliary detectors that found each pixel; empty without a vote.
    probability : `~numpy.ndarray` or None
        float16 (N, ny, nx): probability that each value is hit.
    signal_shift, signal_variance, excess_variance : `~numpy.ndarray` or None
        float32 (ny, nx): see `~crstack.MaskSet`.
    """

    method: Method
    codes: Mapping[str, np.ndarray]
    steps: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    found_by: Mapping[str, np.ndarray] = field(default_factory=dict)
    probability: np.ndarray | None = None
    signal_shift: np.ndarray | None = None
    signal_variance: np.ndarray | None = None
    excess_variance: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.method!r}>"

    @property
    def unexplained_shift(self) -> float:
        """Shift (pixels) that would make structures differ as they do beyond the measured differences; 0 if unknown."""
        return 0.0

    def in_diagram(self, name: str) -> DiagramView | None:
        """The image of a mask in the median-minimum diagram; None if the method uses no diagram.

        Parameters
        ----------
        name : str
            Name of the mask.
        """
        return None

    def differences(self, prepared: PreparedStack, common: np.ndarray) -> Sequence[np.ndarray] | None:
        """The expected image of each exposure minus the common image; None if the exposures are equivalent.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.
        common : `~numpy.ndarray`
            (ny, nx) the common image, in the unit of the exposures.

        Returns
        -------
        differences : sequence of `~numpy.ndarray` or None
            N images (ny, nx), in the unit of the exposures.
        """
        return prepared.equalized.differences

    def to_combine(self, prepared: PreparedStack) -> Exposures:
        """The exposures to combine where values are left out; without changes for most methods.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.

        Returns
        -------
        exposures : `~crstack.exposures.Exposures`
            In the unit of the input.
        """
        return prepared.exposures

    @property
    def measured(self) -> Differences | None:
        """The differences between the exposures that this decision measured; None if it measured none."""
        return None

    def describe(self) -> tuple[str, ...]:
        """The decision and its fits, as lines for the history of the masks.

        Returns
        -------
        lines : tuple of str
            For HISTORY.
        """
        return (f"method: {self.method!r}",)

    @classmethod
    def of_hits(
        cls,
        method: Method,
        hit: np.ndarray,
        prepared: PreparedStack,
        detected: Detections | None,
        rules: MaskRules,
        **attributes: Any,
    ) -> Self:
        """The decision that follows from the hits of each exposure.

        CRMASKi holds the pixels hit in exposure i, MEANCRT those hit in any exposure, and MEDIANCR those hit in at
        least half of the exposures.

        Parameters
        ----------
        method : Method
            The method that decided.
        hit : `~numpy.ndarray` of bool
            (N, ny, nx).
        prepared : `~crstack.prepared.PreparedStack`
            The stack.
        detected : `~crstack.detections.Detections` or None
            Detections of the auxiliary detector; None without a detector.
        rules : `~crstack.masks.MaskRules`
            Dilation, regions and pixels.
        **attributes
            Other attributes of the decision, such as ``probability``.
        """
        expected = prepared.exposures.data.shape
        if not isinstance(hit, np.ndarray) or hit.shape != expected or hit.dtype != bool:
            got = f"{hit.dtype} of {hit.shape}" if isinstance(hit, np.ndarray) else type(hit).__name__
            raise PluginError(f"hits of {type(method).__name__} must be bool of the shape {expected}; got {got}")
        found = None if detected is None else detected.in_exposures()
        codes, steps = codes_of_hits(hit, rules, found, prepared.exposures.bad, method.label)
        found_by = {}
        if detected is not None and found is not None and detected.names:
            found_by = bits_of_exposures(detected.votes_in_exposures(), hit & found)
        return cls(method=method, codes=codes, steps=steps, found_by=found_by, **attributes)


def measured_of(decision: Decision | None) -> Differences | None:
    """The differences that a decision measured.

    Parameters
    ----------
    decision : Decision or None
        None for masks that were read from a file.

    Returns
    -------
    measured : `~crstack.equalize.Differences` or None
        None if nothing was measured to differ.
    """
    return (decision and decision.measured) or None


def as_method(method: Method | str) -> Method:
    """Return the method that is given or named.

    Parameters
    ----------
    method : Method or str
        A method, or the name of a registered one.

    Returns
    -------
    method : Method
        The method.

    Raises
    ------
    InputError
        If it is neither a method nor a name.
    PluginError
        If no method is registered by that name.
    """
    return METHODS.instance(method, 'method must be a Method, the name of one or "auto"')
