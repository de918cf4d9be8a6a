"""The levels of the exposures that are combined."""

from collections.abc import Mapping, Sequence

import numpy as np

from crstack.equalize.fit.differences import Differences
from crstack.equalize.settings import open_settings
from crstack.exposures import Exposures
from crstack.masks import Code, MaskSet
from crstack.masks.codes import exposure_name
from crstack.methods import Decision, measured_of
from crstack.prepared import PreparedStack
from crstack.utils.medians import median_of_values
from crstack.utils.pixels import by_rows
from crstack.utils.warn import warn_user

__all__ = [
    "ON_MEAN_LEVEL",
    "differences_of",
    "exposures_to_combine",
    "on_mean_level",
    "warn_of_levels",
    "without_trails",
    "words_on_levels",
]

#: number of exposures on their mean level that a stack stores, one for each set of masks
KEPT = 2

#: combinations that take medians of clean values
OF_MEDIANS = ("mediancr", "meancrt")
#: combinations of ordered values without changes
BY_ORDER = ("median", "min")
#: pixels of the sample that measures their levels
SAMPLE = 50_000
#: line of HISTORY
ON_MEAN_LEVEL = "the exposures were brought to their mean level before values were left out"
#: an exposure with this fraction of masked pixels counts as left out
MOSTLY = 0.5


def words_on_levels(name: str, prepared: PreparedStack) -> str:
    """Words on the faults of a median or minimum of exposures whose sky differs; "" if there are none.

    Parameters
    ----------
    name : str
        The combination.
    prepared : `~crstack.prepared.PreparedStack`
        The exposures.
    """
    exposures = prepared.exposures
    if name not in BY_ORDER or len(prepared) < 3:
        return ""

    def compute() -> tuple[float, float]:
        step = max(int(np.sqrt(exposures.data[0].size / SAMPLE)), 1)
        box = (slice(None, None, step), slice(None, None, step))
        some = exposures.cutout(box)
        middle = prepared.statistics.median2d[box]
        valid = some.usable
        if not valid.any():
            return 0.0, 1.0
        levels = [float(median_of_values((plane - middle)[valid])) for plane in some.data]
        return max(levels) - min(levels), float(np.sqrt(median_of_values(some.mean_variance(middle)[valid])))

    spread, sigma = prepared.once("levels of the exposures", exposures, compute)
    if spread <= sigma:
        return ""
    times = f"{spread / sigma:.2g} times the noise of one"
    return (
        f"levels of the exposures differ by {spread:.3g} {exposures.unit}, {times}: "
        "median and minimum are those of the values as they are, and their variances, of equal exposures, are wrong"
    )


def warn_of_levels(name: str, prepared: PreparedStack, *, silent: bool = False) -> None:
    """Warn, once for each stack, that its median and minimum are taken over exposures of different levels.

    Parameters
    ----------
    name : str
        The combination.
    prepared : `~crstack.prepared.PreparedStack`
        The exposures. There is no warning where the user switched their differences off.
    silent : bool, optional
        Give no warning later either, where only HISTORY is to state this.
    """
    words = "" if silent or prepared.equalization.differences is None else words_on_levels(name, prepared)
    if words or silent:
        remedy = "combine meancr2, mediancr or meanjoint, in which the exposures have one level"
        prepared.once("warning of levels", None, lambda: None if silent else warn_user(f"{words}: {remedy}"))


def exposures_to_combine(name: str, prepared: PreparedStack, masks: MaskSet, *, weighted: bool = False) -> Exposures:
    """The exposures of a combination in which masked values are left out.

    Parameters
    ----------
    name : str
        The combination.
    prepared : `~crstack.prepared.PreparedStack`
        The exposures.
    masks : `~crstack.masks.MaskSet`
        Masks to apply.
    weighted : bool, optional
        Whether the exposures have unequal weights.

    Returns
    -------
    exposures : `~crstack.exposures.Exposures`
        On their mean level, where their differences are measured, or levels are given. For means with equal weights and
        the probabilities of the joint decision the exposures as they are, because the signal shift of the masks has
        their differences.
    """
    decision, corrected = masks.decision, masks.signal_shift is not None
    if corrected and name not in OF_MEDIANS and not weighted:
        return prepared.exposures
    if decision is not None and not corrected:
        return decision.to_combine(prepared)

    def compute() -> Exposures:
        if decision is None:
            measures = open_settings(prepared.equalization) or prepared.known.added is not None
            # an exposure that is left out completely must not change the mean level of the others
            masked = max(np.count_nonzero(masks.codes[exposure_name(i)]) for i in range(len(prepared)))
            few = masked < MOSTLY * prepared.exposures.data[0].size
            return prepared.at_mean_level if measures and few else prepared.exposures
        if not decision.measured and prepared.known.added is None:
            return prepared.exposures
        differences = differences_of(decision, prepared)
        if differences is None:
            return prepared.exposures
        return prepared.exposures.at_mean_level(without_trails(differences, masks.codes))

    return prepared.once("exposures to combine", masks, compute, keep=KEPT)


def on_mean_level(prepared: PreparedStack, masks: MaskSet) -> Exposures:
    """The exposures on their mean level, also where means of them take the signal shift of the masks instead.

    Parameters
    ----------
    prepared, masks
        As for `exposures_to_combine`.
    """
    return exposures_to_combine(OF_MEDIANS[0], prepared, masks)


def differences_of(decision: Decision, prepared: PreparedStack) -> Sequence[np.ndarray] | None:
    """The expected image of each exposure minus the common image that was measured; None if all are equal."""
    return decision.differences(prepared, _common_image(prepared, measured_of(decision)))


def _common_image(prepared: PreparedStack, measured: Differences | None) -> np.ndarray:
    """The measured common image, in the unit of the exposures; their median, if none was measured."""
    if measured is None or measured.common is None:
        return prepared.statistics.median2d
    return by_rows(np.divide, measured.common, np.float32(prepared.exposures.noise.electrons_per_unit))


def without_trails(differences: Sequence[np.ndarray], codes: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Differences in which a median replaces the values at a trail, because the fit took its light for a level."""
    trail = np.logical_or.reduce([plane == Code.TRAIL for plane in codes.values()])
    if not trail.any():
        return list(differences)
    return [np.where(trail, median_of_values(one[~trail]), one) if np.ndim(one) else one for one in differences]
