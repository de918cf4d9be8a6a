"""Types of the arguments of a stack, and of the options that are passed on to it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import astropy.units as u
from astropy.nddata import NDData

from crstack.boundaries.base import BoundaryModel, FittedBoundary
from crstack.detections import AuxNoise
from crstack.detectors.base import Detector
from crstack.equalize.terms.response import ResponseSettings
from crstack.exposures import Keyword
from crstack.masks import MaskRules, MaskSet
from crstack.prepared import Progress
from crstack.utils.process_memory import MemoryLimit

__all__ = [
    "Auxiliary",
    "Boundary",
    "CombineOptions",
    "DetectOptions",
    "FromDetector",
    "Length",
    "MosaicCombineOptions",
    "StackOptions",
    "Vote",
]

Auxiliary: TypeAlias = Detector | str | Sequence[Detector | str] | None
Boundary: TypeAlias = BoundaryModel | FittedBoundary | str | None
Length: TypeAlias = float | u.Quantity
FromDetector: TypeAlias = u.Quantity | NDData | str | Keyword | None
Vote: TypeAlias = int | Literal["any", "all"]


class DetectOptions(TypedDict, total=False):
    """Types of the options of `~crstack.CRStack.detect`."""

    aux: Auxiliary
    boundary: Boundary
    vote: Vote
    aux_noise: AuxNoise
    rules: MaskRules | None
    max_fraction: float | None
    progress: Progress | bool | None


class MosaicCombineOptions(TypedDict, total=False):
    """Types of the options of `~crstack.Mosaic.combine`."""

    use_auxmedian: bool
    variance: Literal["model", "sample"]
    unbiased: bool | None
    fill: Literal["minimum", "neighbours"] | None
    weights: Literal["variance", "exptime"] | Sequence[float] | None


class CombineOptions(MosaicCombineOptions, total=False):
    """Types of the options of `~crstack.CRStack.combine`, for its two kinds of result."""

    masks: MaskSet | None


class StackOptions(TypedDict, total=False):
    """Types of the options of `~crstack.CRStack`, for `~crstack.read_mosaic`; the extension is that of the chip."""

    gain: FromDetector
    readnoise: FromDetector
    bias: FromDetector
    unit: u.UnitBase | str | None
    exptime: FromDetector
    saturation: FromDetector
    trim: str | Keyword | None
    dq_ext: int | str | None
    err_ext: int | str | None
    bits: str | int | Mapping[str, int] | None
    drop_unusable: bool
    cr_coincidences: int
    flux_factors: Literal["auto"] | float | Sequence[float] | None
    flux_regions: Sequence[Sequence[int]]
    flux_method: Literal["ratio", "slope"] | None
    apply_flux_factors_to: Literal["simulated", "original"] | None
    offsets: Literal["auto"] | Sequence[Sequence[float]] | None
    crosscorr_region: Sequence[int] | None
    response: Literal["auto"] | Sequence[Any] | ResponseSettings | None
    backgrounds: Literal["auto"] | Sequence[Any] | None
    seeing: Literal["auto"] | Sequence[float] | None
    differences: Literal["auto"] | None
    n_threads: int | None
    mem_limit: MemoryLimit
