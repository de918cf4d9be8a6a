"""Combined and cleaned exposures of a stack, with given masks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from astropy.nddata import CCDData

from crstack.combine import Combination, Combiner, best_combination
from crstack.combine.clean_exposures import clean_exposures
from crstack.combine.clean_values import expected_signal
from crstack.combine.effective import effective_noise
from crstack.combine.product import as_product
from crstack.combine.result import WITHOUT_MASKS
from crstack.exposures import Exposures
from crstack.masks import MaskSet
from crstack.masks.codes import exposure_name
from crstack.prepared import PreparedStack
from crstack.stages.levels import ON_MEAN_LEVEL, exposures_to_combine, on_mean_level, words_on_levels

__all__ = ["KEPT", "cleaned", "combined", "expected_once"]


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
    exposures, levelled = prepared.exposures, None
    if masks is not None and name not in WITHOUT_MASKS:
        exposures = exposures_to_combine(name, prepared, masks, weighted=options.get("weights") is not None)
        levelled = partial(on_mean_level, prepared, masks)

    def compute() -> Combiner:
        expected = expected_once(prepared, exposures, masks)
        statistics = prepared.statistics_of(exposures)
        return Combiner(exposures, statistics, masks, expected=expected, levelled=levelled, **options)

    # combined again at each call, so that changes by the user do not affect the next result
    key = (exposures, masks, *options.values())
    combiner = prepared.once("combiner", key, compute, keep=KEPT)
    notes = (ON_MEAN_LEVEL,) if exposures.levels else tuple(filter(None, [words_on_levels(name, prepared)]))
    effective = effective_noise(prepared.exposures, name, prepared.cr_coincidences, combiner.weights)
    return as_product(combiner.combine(name), prepared.exposures, masks, notes, effective)


def expected_once(prepared: PreparedStack, exposures: Exposures, masks: MaskSet | None) -> Callable[[], np.ndarray]:
    """Function that gives the expected signal for the variances; computed once for the same masks of the exposures."""
    codes = () if masks is None else tuple(masks.codes[exposure_name(i)] for i in range(masks.n_exposures))

    def expected() -> np.ndarray:
        statistics = prepared.statistics_of(exposures)
        return prepared.once(
            "expected signal", (exposures, *codes), lambda: expected_signal(exposures, statistics, masks), keep=1
        )

    return expected


def cleaned(prepared: PreparedStack, masks: MaskSet) -> Iterator[CCDData]:
    """Each exposure with its hits and bad values replaced by the expected values, one after the other.

    Parameters
    ----------
    prepared : `~crstack.prepared.PreparedStack`
        The exposures.
    masks : `~crstack.masks.MaskSet`
        Masks to apply.
    """
    expected = expected_once(prepared, prepared.exposures, masks)
    combiner = Combiner(prepared.exposures, prepared.statistics, masks, expected=expected)
    combination = combiner.combine(best_combination(masks))
    if masks.decision is None:
        differences: Sequence[np.ndarray] | None = prepared.equalized.differences
    else:
        differences = masks.decision.differences(prepared, combination.ccd.data)
    return clean_exposures(prepared.exposures, masks, combination, differences)
