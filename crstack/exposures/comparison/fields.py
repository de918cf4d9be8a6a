"""Exposures of another field, without light, shifted or turned: warnings with their cause."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from crstack.exposures.blank import unlit
from crstack.exposures.comparison.correlated import uncorrelated
from crstack.exposures.comparison.displacement import displacement
from crstack.exposures.comparison.focus import out_of_focus
from crstack.exposures.comparison.rotation import rotation
from crstack.exposures.comparison.shifted_exposures import (
    agree_moved,
    is_among,
    least_shift,
    report_apart,
    shifted_apart,
)
from crstack.exposures.comparison.structures import compared, lacking_of, light_of, significances
from crstack.exposures.comparison.times import factors_of_times
from crstack.exposures.comparison.unused import UNUSED, majority, without
from crstack.exposures.cube import ALIGNED
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads
from crstack.utils.warn import warn_user

__all__ = ["ALIGNED", "of_one_field"]

log = logging.getLogger("crstack.exposures")

#: the light of an exposure counts as equal to that of the others within this fraction, as few structures measure it
FULL_LIGHT = 0.2
#: least light of an exposure that shows a trace in its place, over that of the others; with less, the shutter may have
#: been closed
LEAST_LIGHT = 0.03
#: words of the warning on what is done about a shift
HOW_TO_ALIGN = "this is measured; M.M.Cosmic of a parameter file needs mm_xy_offsets, or differences: auto"
#: what else can be done about an exposure that is shifted too far, and what is done; the second where it is dropped
SHIFTED = (f", or leave it out if it is of another target. {UNUSED.format('its')}", ". It is left out")
#: number of rows from which the scatter is measured
ROWS = 100
#: causes of missing structures
OTHER_FIELD, NO_LIGHT = "it is of another field, or rotated", "it is of another field, or the shutter was closed"
#: condition with two exposures, where no third one shows whether a structure is a hit
UNLESS_HIT = ", unless the structures are hits that cover several pixels"

#: turned images, by their description
TURNED = {
    "rotated by 180 degrees": np.s_[::-1, ::-1],
    "mirrored along x": np.s_[:, ::-1],
    "mirrored along y": np.s_[::-1],
}


def of_one_field(exposures, drop=False):
    """Find exposures that do not show the field of the others.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    drop : bool, optional
        Whether to leave out exposures of another field, without light or shifted too far, if two or more remain.

    Returns
    -------
    exposures : Exposures
        Those to use, with ``displaced``, ``unfocused`` and ``strange``.
    alike : bool
        Whether the exposures that are returned are alike.
    unused : Unused or None
        Exposures that are not among them, although they keep their place in the list; None if there are none.

    Warns
    -----
    CRStackWarning
        If there are such exposures, exposures that are shifted too far to be measured, or exposures out of focus.
    """
    factors = factors_of_times(exposures)
    planes = significances(exposures.data, exposures.bad)
    works = (
        lambda: out_of_focus(exposures.data, exposures.bad, [plane for plane, _ in planes]),
        lambda: compared(planes, factors),
        lambda: _without_light(exposures, factors),
        lambda: uncorrelated(exposures.data, planes, factors),
    )
    unfocused, structures, dark, unlike = map_threads(lambda work: work(), works)
    found = {one.exposure: one for one in lacking_of(structures, planes[0][0].size)}
    reasons = {i: _unlike_words(exposures, i, *numbers) for i, numbers in unlike.items()}
    reasons |= {i: _unlit_words(exposures, i, own, others) for i, own, others in dark}
    turned = _rotated(exposures, unfocused)
    exposures = _with_unfocused(exposures, {i: one for i, one in unfocused.items() if i not in turned})
    reasons |= {i: _lacking_words(exposures, one) for i, one in found.items()}
    # a ring of light has other structures
    reasons = {i: words for i, words in reasons.items() if exposures.names[i] not in exposures.unfocused}
    reasons = turned | reasons
    apart, centre = shifted_apart(exposures, structures, len(found))
    if apart:
        exposures = replace(exposures, displaced=apart)
        report_apart(exposures)
        reasons = {i: words for i, words in reasons.items() if i and not is_among(exposures, i, apart)}
    unused = None
    if reasons:
        lights = {i: own / others for i, own, others in dark}
        exposures, unused = _explained(exposures, reasons, found, drop, centre, lights)
    return exposures, not (exposures.displaced or exposures.unfocused or exposures.strange), unused


def _explained(exposures, reasons, found, drop, centre, lights):
    """The exposures that can be used, and those that are not; ``reasons`` are words by index.

    ``centre`` is the exposure (index) with which the others are compared, or None for any. ``lights`` are, by index,
    the light of exposures that seem to have none, over that of the others.
    """
    shifts, strange, faint, timed = {}, {}, [], factors_of_times(exposures) is not None
    for i, words in sorted(reasons.items(), reverse=True):
        other = next((k for k in range(len(exposures)) if k not in {*reasons, i}), 1 if i == 0 else 0)
        if centre not in (None, i):
            other = centre
        cause = _cause_of(exposures, i, other, found.get(i), lights.get(i, 0.0))
        if cause.shift is not None:
            shifts[i] = (exposures.names[other], *cause.shift)
            if len(exposures) == 2:
                break  # the shift of one against the other
        elif cause.light is None:
            strange[i] = f"{words}: {cause.words}" + (
                f", or its exposure time of {exposures.exptimes[i]:g} s is wrong" if timed else ""
            )
        elif abs(cause.light - 1) > FULL_LIGHT:
            faint.append(_faint_words(exposures, i, cause.light))
        else:
            log.info("%s shows the light of the other exposures at another level", exposures.names[i])
    for words_of_light in reversed(faint):
        warn_user(words_of_light)
    strange, shifts = dict(sorted(strange.items())), dict(sorted(shifts.items()))
    far = {i for i, (_, dx, dy) in shifts.items() if max(abs(dx), abs(dy)) > ALIGNED}
    named = {exposures.names.index(name) for name in (*exposures.too_far, *exposures.unfocused)}
    outvoted = majority(exposures, {*strange, *far, *named})
    for i, shift in shifts.items():
        _report_shift(exposures.names[i], *shift, SHIFTED[drop] if i in far and outvoted else "")
    displaced = tuple((exposures.names[i], *shift[1:]) for i, shift in shifts.items())
    exposures = replace(exposures, displaced=exposures.displaced + displaced)
    return without(exposures, strange, far if outvoted else set(), drop, outvoted)


@dataclass(frozen=True)
class _Cause:
    """Why an exposure lacks structures of the others: its shift (dx, dy), the part of their light, or words."""

    shift: tuple | None = None
    light: float | None = None
    words: str = ""


def _cause_of(exposures, i, other, lacking, bright):
    """Why exposure ``i`` lacks structures of ``other``; ``lacking`` are those as from `lacking_of`, or None.

    ``bright`` is the light of the pixels that are bright in the others, over that of the others; 0 if it is not known.
    """
    image, reference = exposures.data[i], exposures.data[other]
    angle = rotation(image, reference)
    if angle is not None:
        return _Cause(words=f"it is rotated by {angle:+.3g} degrees against {exposures.names[other]}")
    shift = least_shift(image, reference)
    if shift not in (None, (0, 0)) and (lacking is None or agree_moved(image, reference, shift)):
        return _Cause(shift=shift)
    has_own = lacking is not None and lacking.own
    # a source in the centre, such as a cluster of galaxies, hardly changes if the exposure is turned
    turned = _turned(exposures, i, other, well=True) if has_own else None
    light = light_of(exposures.data, i, exposures.bad) if turned is None else None
    if light is None and shift == (0, 0) and not has_own and bright > LEAST_LIGHT:
        light = bright  # a single trace, in its place
    if light is not None:
        return _Cause(light=light)
    if not has_own:
        return _Cause(words=NO_LIGHT)
    words = turned or _turned(exposures, i, other)
    return _Cause(words=words or OTHER_FIELD + (UNLESS_HIT if len(exposures) == 2 else ""))


def _rotated(exposures, unfocused):
    """Reasons, by index, why exposures that seem to be out of focus are strange: at the places of stars there are none.

    Where they are rotated by a large angle, the light around the places of the others' stars is that of the field.
    """
    other = next((i for i in range(len(exposures)) if i not in unfocused), 0)
    angles = {i: rotation(exposures.data[i], exposures.data[other]) for i in unfocused if i != other}
    names = exposures.names
    return {
        i: f"{names[i]} has no stars at the places of those of {names[other]}"
        for i, angle in angles.items()
        if angle is not None
    }


def _with_unfocused(exposures, found):
    """The exposures with the names of those that are out of focus, as from `out_of_focus`; warns of these."""
    if not found:
        return exposures
    words = []
    for i, (own, others, hollow) in found.items():
        what = "is out of focus" if hollow else "is out of focus, or its seeing was far worse"
        words.append(
            f"{exposures.names[i]} {what} (its stars are {own:.1f} pixels wide where those of the "
            f"{'other' if len(exposures) == 2 else 'others'} are {others:.1f}, by half of their light)"
        )
    warn_user(
        f"{'; '.join(words)}: leave {'it' if len(words) == 1 else 'them'} out. Such profiles are not measured: "
        "throughputs, shifts and combined images are wrong, and stars are taken for hits"
    )
    return replace(exposures, unfocused=tuple(exposures.names[i] for i in found))


def _without_light(exposures, factors):
    """Which exposures have no structure that stands out of the noise: see `unlit`."""
    noise = exposures.noise.readnoise_in_unit
    first, bad = exposures.data[0, ::7, ::7], exposures.bad_of(0)
    valid = first if bad is None else first[~bad[::7, ::7]]
    level = median_of_values(valid) if valid.size else 0.0
    sigma = float(np.sqrt(max(level, 0) / np.median(exposures.noise.electrons_per_unit) + median_of_values(noise) ** 2))
    # if the noise is understated, it must not count as structure
    scatter = float(
        np.median(map_threads(lambda i: _scatter(exposures.data[i], exposures.bad_of(i)), range(len(exposures))))
    )
    return unlit(exposures.data, exposures.bad, max(sigma, scatter), factors)


def _scatter(plane, bad):
    """Scatter of an image, from the differences of valid neighbours along its rows."""
    rows = np.s_[:: max(len(plane) // ROWS, 1)]
    differences = np.diff(plane[rows], axis=1)
    if bad is not None:
        differences = differences[~(bad[rows][:, 1:] | bad[rows][:, :-1])]
    return SIGMA_PER_MAD * float(median_of_values(np.abs(differences))) / np.sqrt(2) if differences.size else 0.0


def _unlit_words(exposures, i, own, others):
    return f"{exposures.names[i]} shows {own:.3g} {exposures.unit} where the other exposures show {others:.3g}"


def _unlike_words(exposures, i, own, others):
    return (
        f"the structures of {exposures.names[i]} correlate with those of the other exposures by {own:.2f}, where these "
        f"correlate by {others:.2f} with one another"
    )


def _lacking_words(exposures, one):
    whose = "of the other exposure" if len(exposures) == 2 else "that the other exposures share"
    return f"{exposures.names[one.exposure]} shows {one.seen} of the {one.number} structures {whose}"


def _faint_words(exposures, i, light):
    """Words on an exposure of the same field with much more or less light than the others."""
    whose = "the other exposure" if len(exposures) == 2 else "the other exposures"
    words = (
        f"{exposures.names[i]} shows the structures of {whose} with {light:#.2g} of their light: it is of the same "
        "field, and is used"
    )
    seconds = exposures.exptimes[i] if exposures.exptimes else None
    if seconds is not None:
        clouds = "; if there were clouds, it adds little: leave it out" if light < 1 else ""
        return f"{words}. Check its exposure time, which is stated as {seconds:g} s{clouds}"
    if light > 1:
        return f"{words}. If its exposure time was longer, write EXPTIME into the headers"
    return (
        f"{words}. If its exposure time was shorter, write EXPTIME into the headers; if there were clouds, it adds "
        "little: leave it out"
    )


def _report_shift(name, other, dx, dy, remedy):
    """Report the shift of one exposure: a warning if it is too large to be measured. ``remedy`` is a second one."""
    words = f"{name} is shifted by ({dx:+d}, {dy:+d}) pixels against {other}"
    if max(abs(dx), abs(dy)) > ALIGNED:
        warn_user(f"{words}, which is more than the {ALIGNED} that are measured: align the exposures first{remedy}")
    else:
        log.info("%s: %s", words, HOW_TO_ALIGN)


def _turned(exposures, i, other, well=False):
    """Words for how an exposure must be turned to show the structures of another one; None if it does not."""
    for words, turn in TURNED.items():
        turned = exposures.data[i][turn]
        shift = displacement(turned, exposures.data[other])
        if shift is not None and agree_moved(turned, exposures.data[other], shift, well):
            return f"it is {words} against {exposures.names[other]}"
    return None
