"""Combined and cleaned exposures of a stack, with given masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from crstack.combine import Combination, Combiner
from crstack.combine.clean_exposures import clean_exposures
from crstack.combine.combiner import WITHOUT_MASKS
from crstack.combine.product import as_product
from crstack.masks import MaskSet
from crstack.prepared import PreparedStack

__all__ = ["cleaned", "combined"]

#: number of combiners that a stack stores; each holds several images
KEPT = 2


def combined(name: str, prepared: PreparedStack, masks: MaskSet | None, options: Mapping[str, Any]) -> Combination:
    """A combination of the exposures.

    Parameters
    ----------
    name : str
        The combination.
    prepared : `~crstack.prepared.PreparedStack`
        The exposures; it stores the combiner.
    masks : `~crstack.masks.MaskSet` or None
        Masks to apply.
    options : mapping
        Parameters of `~crstack.combine.Combiner`.
    """
    exposures = prepared.exposures
    if masks is not None and masks.decision is not None and name not in WITHOUT_MASKS:
        exposures = masks.decision.to_combine(prepared)

    def compute() -> Combiner:
        return Combiner(exposures, prepared.statistics_of(exposures), masks, **options)

    # combined anew each time, so that changes by the user do not affect the next result
    key = (exposures, masks, *options.values())
    result = prepared.once("combiner", key, compute, keep=KEPT).combine(name)
    return as_product(result, prepared.exposures, masks)


def cleaned(prepared: PreparedStack, masks: MaskSet) -> list[CCDData]:
    """Each exposure with its hits and bad values replaced by the expected values.

    Parameters
    ----------
    prepared : `~crstack.prepared.PreparedStack`
        The exposures.
    masks : `~crstack.masks.MaskSet`
        Masks to apply.
    """
    name = "meancr2" if masks.probability is None else "meanjoint"
    combination = Combiner(prepared.exposures, prepared.statistics, masks).combine(name)
    if masks.decision is None:
        differences: Sequence[np.ndarray] | None = prepared.equalized.differences
    else:
        differences = masks.decision.differences(prepared, combination.ccd.data)
    return clean_exposures(prepared.exposures, masks, combination, differences)
