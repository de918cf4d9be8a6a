"""Data of a stack for figures, tables and notebooks. The module computes no new results."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from astropy.table import QTable

from crstack.boundaries.base import FittedBoundary
from crstack.combine import Combiner
from crstack.diagram import MMDiagram
from crstack.exceptions import InputError
from crstack.masks import MaskSet
from crstack.masks.codes import exposure_name
from crstack.masks.features import PROBLEMATIC, find_features
from crstack.mmcosmic import MMDecision
from crstack.prepared import PreparedStack
from crstack.stages.combining import expected_once
from crstack.utils.summary import Summary
from crstack.utils.validation import one_of

__all__ = ["InDiagram", "features_of_mask", "image_of_mask", "in_diagram_of", "summary_of"]


class InDiagram(NamedTuple):
    """Data of a figure of the diagram: the diagram, the boundary and the least median2d - min2d of a hit."""

    diagram: MMDiagram | None = None
    boundary: FittedBoundary | None = None
    threshold: float | None = None


def in_diagram_of(masks: MaskSet) -> InDiagram:
    """Data of a figure of the diagram of masks; nothing for masks of another method."""
    decision = masks.decision
    if not isinstance(decision, MMDecision):
        return InDiagram()
    return InDiagram(decision.diagram, decision.boundary, decision.threshold)


def image_of_mask(name: str, prepared: PreparedStack, masks: Callable[[], MaskSet]) -> tuple[str, np.ndarray]:
    """The image of a mask.

    Parameters
    ----------
    name : str
        Name of a mask, or "problematic" for the pixels masked in every exposure.
    prepared : `~crstack.prepared.PreparedStack`
        The exposures and their statistics.
    masks : callable
        Gives the masks; called for MEANCR only.

    Returns
    -------
    label : str
        Such as "median2d" or "exposure 2".
    image : `~numpy.ndarray`
        (ny, nx), bias subtracted, in the unit of ``prepared.exposures``.

    Raises
    ------
    InputError
        If there is no such mask.
    """
    statistics = prepared.statistics
    if name == "MEDIANCR":
        return "median2d", statistics.median2d
    if name in ("MEANCRT", PROBLEMATIC):
        return "mean2d", statistics.mean2d
    if name == "MEANCR":
        found, exposures = masks(), prepared.exposures
        if found.decision is not None:
            exposures = found.decision.to_combine(prepared)
        expected = expected_once(prepared, exposures, found)
        combiner = Combiner(exposures, prepared.statistics_of(exposures), found, expected=expected)
        return "meancr", combiner.combine("meancr").ccd.data
    for i, image in enumerate(prepared.exposures.data):
        if name == exposure_name(i):
            return f"exposure {i + 1}", image
    of_exposures = map(exposure_name, range(len(prepared.exposures.data)))
    names = ["MEDIANCR", "MEANCRT", *of_exposures, "MEANCR", PROBLEMATIC]
    raise InputError(f"name must be one of {one_of(name, names)}")


def features_of_mask(name: str, prepared: PreparedStack, masks: MaskSet) -> QTable:
    """Table of the connected hits of a mask, with their signal above min2d: see `find_features`."""
    _, image = image_of_mask(name, prepared, lambda: masks)
    return find_features(masks, image - prepared.statistics.min2d, name, prepared.exposures.unit)


def summary_of(prepared: PreparedStack, masks: MaskSet | None) -> Summary:
    """Numbers of a stack and its results, by name."""
    exposures = prepared.given
    ny, nx = exposures.shape
    found = {"exposures": len(prepared), "columns": nx, "rows": ny, "unit": str(exposures.unit)}
    found["bad values"] = 0 if exposures.bad is None else int(np.count_nonzero(exposures.bad))
    if exposures.low is not None:
        found["values too low"] = int(np.count_nonzero(exposures.low))
    found["cr_coincidences"] = prepared.cr_coincidences
    if masks is not None:
        found |= {f"pixels in {name}": int(np.count_nonzero(codes)) for name, codes in masks.codes.items()}
    return Summary(found)
