"""The masks of a method: its decision, completed with MEANCR, counts, votes and history."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from astropy.table import QTable

from crstack.combine import Combiner
from crstack.combine.left_out import shift_with_left_out
from crstack.detections import Detections
from crstack.equalize.settings import Equalization, known_steps, open_settings
from crstack.joint import JointPosterior
from crstack.masks import MaskRules, MaskSet
from crstack.masks.codes import ADDED, Code, exposure_name
from crstack.masks.origin import origin_of
from crstack.masks.rules import codes_of_detector
from crstack.masks.votes import bits_by_mask, counts_of_detectors
from crstack.methods import Decision, Method, measured_of
from crstack.mmcosmic import MMDecision
from crstack.not_hits.classes import classified
from crstack.plausibility import check_plausible, is_misaligned, sentence_of_traces
from crstack.prepared import PreparedStack, Progress, report_stage
from crstack.stages.combining import expected_once
from crstack.stages.deciding import checked_decision
from crstack.stages.levels import differences_of, without_trails
from crstack.utils.version import crstack_version
from crstack.utils.warn import warn_user

__all__ = ["KEPT", "check_plausibility", "masks_by", "masks_of_decision"]

#: number of masks that a stack stores; each holds several images
KEPT = 2
#: given offsets that differ by more (pixels) blur the median of all exposures clearly
BLURRED = 0.5
#: words for the settings of differences that change the light of stars
OF_STARS = {"flux_factors": "throughput", "offsets": "shift", "seeing": "seeing"}


def masks_by(
    method: Method, prepared: PreparedStack, detected: Detections | None, rules: MaskRules, progress: Progress | None
) -> MaskSet:
    """The masks of a method, computed once.

    Parameters
    ----------
    method : `~crstack.methods.Method`
        The method.
    prepared, detected, rules, progress
        As for `crstack.methods.Method.decide`.
    """

    def compute() -> MaskSet:
        decision = checked_decision(method, prepared, detected, rules, progress)
        return masks_of_decision(decision, prepared, detected, rules, progress)

    return prepared.once("masks", (method, detected, rules), compute, keep=KEPT)


def check_plausibility(masks: MaskSet, prepared: PreparedStack, max_fraction: float | None) -> None:
    """Warn about masks that are not plausible, and about shifts that the headers contradict.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        Masks of `masks_by`.
    prepared : `~crstack.prepared.PreparedStack`
        Their exposures.
    max_fraction : float or None
        As for `~crstack.CRStack.detect`.
    """
    decision = masks.decision
    # known differences are not part of the scatter
    compared = decision.levelled if isinstance(decision, MMDecision) else prepared.exposures
    offsets = prepared.equalization.offsets is not None
    check_plausible(
        masks,
        compared,
        max_fraction,
        noise=masks.excess_variance is None,
        offsets=offsets,
        differences=lambda: None if decision is None else differences_of(decision, prepared),
    )
    if decision is not None:
        prepared.compare_with_wcs(decision.measured)


def masks_of_decision(
    decision: Decision,
    prepared: PreparedStack,
    detected: Detections | None,
    rules: MaskRules,
    progress: Progress | None = None,
) -> MaskSet:
    """The masks of a decision, with MEANCR: hits that the detector still finds in the mean of the clean exposures.

    Parameters
    ----------
    decision : `~crstack.methods.Decision`
        Of a method.
    prepared, detected, rules, progress
        As for `crstack.methods.Method.decide`.

    Returns
    -------
    masks : `~crstack.masks.MaskSet`

    Warns
    -----
    CRStackWarning
        If some exposures show a source or a trail that the others do not show, if flagged groups are smooth, or if
        offsets are given that the joint decision would measure better.
    """
    exposures, flux = prepared.exposures, prepared.known.flux
    _warn_of_given_offsets(decision, prepared.equalization)
    codes, sources, trails = _codes_of_decision(decision, prepared, rules)
    masks = MaskSet(
        {**codes, "MEANCR": np.zeros(exposures.shape, dtype=np.uint8)},
        None if detected is None else detected.in_average("median").cleaned,
        _history(decision, prepared, detected, rules),
        decision.steps,
        decision.probability,
        signal_shift=_shift_of(decision, prepared, codes),
        signal_variance=decision.signal_variance,
        excess_variance=decision.excess_variance,
        local_medians=tuple(tuple(one) for one in rules.local_medians),
        flux_factors=flux.values if flux else (),
        throughputs=_throughputs(decision, prepared),
        detectors=() if detected is None else detected.names,
        sources=sources,
        trails=trails,
        decision=decision,
        wcs=exposures.wcs,
        origin=origin_of(exposures),
    )
    if detected is None:
        return masks
    report_stage(progress, "masking MEANCR")
    return _with_meancr(masks, decision, prepared, detected, rules)


def _codes_of_decision(decision: Decision, prepared: PreparedStack, rules: MaskRules) -> tuple[dict, QTable, tuple]:
    """Codes by mask, with those of flagged values that are not hits; the sources and the trails among these values.

    Warnings name them, or the cause for which they are flagged.
    """
    exposures = prepared.exposures
    codes, sources, trails, of_sources, sentences = classified(
        decision.codes,
        exposures,
        rules,
        lambda: differences_of(decision, prepared),
        shifts=_shifts_to_compare(decision, prepared),
        unmeasured=_unmeasured(prepared.equalization),
    )
    # where the exposures are not aligned, stars look like sources of some exposures: `check_plausibility` names this
    found = sentences if is_misaligned(decision, exposures, len(sources)) else [*of_sources, *sentences]
    measured, offsets = measured_of(decision), prepared.known.offsets
    shifts = measured.shifts if measured else offsets.values if offsets else None
    moved = [codes[exposure_name(i)] == Code.MOVED for i in range(len(exposures))]
    cause = sentence_of_traces(trails, len(sources), exposures, shifts=shifts, moved=moved)
    for sentence in found if cause is None else [cause]:
        warn_user(sentence)
    return codes, sources, trails


def _warn_of_given_offsets(decision: Decision, settings: Equalization) -> None:
    """Warn about given offsets, after which the expected exposures are blurred, if the decision measures shifts."""
    method = decision.method
    measures = isinstance(method, JointPosterior) and method.measure
    if not measures or settings.offsets is None or isinstance(settings.offsets, str) or known_steps(settings):
        return
    largest = float(np.ptp(settings.offsets, axis=0).max())
    if largest > BLURRED:
        warn_user(
            f"offsets that differ by {largest:.3g} pixels are given. The joint decision then expects in each exposure "
            "the median of all exposures after these offsets. This median is blurred, so clean values of sharp stars "
            "and lines may be flagged. Leave offsets= (parameter file: mm_xy_offsets) out: the joint decision measures "
            "shifts of up to 16 pixels, and describes them better"
        )


def _with_meancr(
    masks: MaskSet, decision: Decision, prepared: PreparedStack, detected: Detections, rules: MaskRules
) -> MaskSet:
    """The masks with MEANCR, and with the detectors that found each hit."""
    combined = decision.to_combine(prepared)
    expected = expected_once(prepared, combined, masks)
    meancr = Combiner(combined, prepared.statistics_of(combined), masks, expected=expected).combine("meancr").ccd.data
    found = detected.in_mean_of_clean(meancr)
    codes, counts = codes_of_detector(found.mask, replace(rules, dilation=0), prepared.nowhere_valid)
    all_codes, steps, found_by = {**masks.codes, "MEANCR": codes}, {**masks.steps, "MEANCR": counts}, {}
    if detected.names:
        found_by = bits_by_mask(all_codes, {**decision.found_by, "MEANCR": np.asarray(found.found_by)})
        steps = {name: {**steps[name], **counts_of_detectors(found_by[name], detected.names)} for name in steps}
    return replace(masks, codes=all_codes, steps=steps, found_by=found_by)


def _shifts_to_compare(decision: Decision, prepared: PreparedStack) -> Sequence[tuple[float, float]] | None:
    """Measured shifts of the exposures, 0 where none was needed; None if they are given, or were not to be measured."""
    if "offsets" not in open_settings(prepared.equalization):
        return None
    measured = measured_of(decision)
    return measured.shifts if measured else ((0.0, 0.0),) * len(prepared)


def _unmeasured(settings: Equalization) -> str:
    """Words on differences that change stars, but are neither given nor measured; "" if there are none."""
    off = {name: what for name, what in OF_STARS.items() if getattr(settings, name) is None}
    if not off:
        return ""
    remedy = ", ".join(f'{name}="auto"' for name in off)
    if settings.differences is None:
        remedy = 'differences="auto" (parameter file: differences: auto)'
    return (
        f"Neither given nor measured: {', '.join(off.values())}. Where the exposures differ in this, stars and lines "
        f"are flagged. To measure it, give {remedy}"
    )


def _shift_of(decision: Decision, prepared: PreparedStack, codes: dict[str, np.ndarray]) -> np.ndarray | None:
    """The signal shift of a decision, with that of values that are left out for other reasons."""
    shift, exposures = decision.signal_shift, prepared.exposures
    names = [exposure_name(i) for i in range(len(exposures))]
    # the differences are as large as the exposures
    if shift is None or (exposures.bad is None and not any(np.isin(codes[name], ADDED).any() for name in names)):
        return shift
    differences = differences_of(decision, prepared)
    if differences is None:
        return shift
    return shift_with_left_out(shift, codes, exposures, without_trails(differences, codes))


def _throughputs(decision: Decision, prepared: PreparedStack) -> tuple[float, ...]:
    """Throughput of each exposure over their mean, in the exposures that are combined; empty where all are equal."""
    measured = measured_of(decision)
    factors = np.array(prepared.known.factors or (1.0,) * len(prepared))
    if measured is not None:
        factors = factors * measured.factors
    factors = factors / factors.mean()
    return () if (factors == 1).all() else tuple(factors.tolist())


def _history(
    decision: Decision, prepared: PreparedStack, detected: Detections | None, rules: MaskRules
) -> tuple[str, ...]:
    """Lines on how the masks were made, for their file."""
    aux, aux_noise = (None, "exposure") if detected is None else (detected.aux, detected.aux_noise)
    return (
        f"crstack {crstack_version()}",
        *(f"exposure {i + 1}: {name}" for i, name in enumerate(prepared.exposures.names)),
        f"noise: {prepared.exposures.noise!r}",
        *prepared.known.describe(),
        f"cr_coincidences: {prepared.cr_coincidences}",
        f"auxiliary detector: {aux!r}, with the noise of the {aux_noise}",
        *decision.describe(),
        f"rules: {rules!r}",
    )
