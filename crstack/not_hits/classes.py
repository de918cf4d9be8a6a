"""Codes of flagged values that are not hits."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from astropy.table import QTable

from crstack.masks.codes import Code, exposure_name, is_hit, recoded, with_code
from crstack.not_hits.fainter import fainter_exposures, words_of_fainter
from crstack.not_hits.nods import is_part_of, moved_traces, nodded, sentence_of_moved, sentence_of_nods, traces_of_nod
from crstack.not_hits.smooth import find_smooth, sentence_of_smooth
from crstack.not_hits.sources import find_sources, sentence_of_sources
from crstack.not_hits.spikes import along_spikes, find_spikes, sentence_of_spikes
from crstack.not_hits.streaks import find_streaks, sentence_of_streaks
from crstack.not_hits.trails import planes_of, sentence_of_trails, straight_features

__all__ = ["classified"]

#: largest flagged fraction of an exposure in which trails and sources are searched
MOST_FLAGGED = 0.2
#: largest difference (pixels) between the move of a trace and the measured shift, for which the shift explains the move
MEASURED = 0.5


def classified(codes, exposures, rules, differences=lambda: None, *, shifts=None, unmeasured=""):
    """Codes with those of values that are too low, of trails, and of sources that only some exposures show.

    Parameters
    ----------
    codes : dict
        uint8 (ny, nx) by name of the mask, as decided. Not modified.
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    rules : `~crstack.masks.MaskRules`
        Regions and pixels without codes.
    differences : callable, optional
        As for `~crstack.not_hits.smooth.find_smooth`.
    shifts : sequence of (dx, dy), optional
        Measured shift of each exposure, pixels. Traces that moved otherwise are reported; None if shifts are known.
    unmeasured : str, optional
        As for `~crstack.not_hits.smooth.sentence_of_smooth`.

    Returns
    -------
    codes : dict
        MEDIANCR and MEANCRT have the code of a source, a trail or a moved target where no exposure is hit.
    sources : `~astropy.table.QTable`
        See `~crstack.not_hits.sources.find_sources`. With the groups of `~crstack.not_hits.smooth.find_smooth`,
        and the streaks of `~crstack.not_hits.streaks.find_streaks`.
    trails : tuple of Trail
        See `~crstack.not_hits.trails.straight_features`. Without the traces of a nod.
    of_sources, sentences : list of str
        Warnings of sources, and others.
    """
    codes = {**codes, **_codes_with_low_values(codes, exposures, rules)}

    def flagged(i):
        plane = is_hit(codes[exposure_name(i)])
        # if a large part is flagged, features have no meaning
        return plane if np.count_nonzero(plane) <= MOST_FLAGGED * plane.size else np.zeros_like(plane)

    spikes = find_spikes(flagged, exposures)
    straight = [one for one in straight_features(flagged, exposures) if not along_spikes(one[0], spikes)]
    moved, crossing = _moved_and_crossing(straight, flagged, exposures)
    for lines, code in ((crossing, Code.TRAIL), (moved, Code.MOVED)):
        planes = planes_of(lines)
        codes |= _codes_with_lines(codes, planes, exposures, rules, code)
        codes |= _codes_of_averages(codes, list(planes.values()), code, len(exposures))
    streaks, planes = find_streaks(flagged, exposures, spikes)
    some = _recode_sources(codes, planes)
    sources, planes = find_sources(flagged, exposures)
    some += _recode_sources(codes, planes)
    smooth, planes = find_smooth(flagged, exposures, differences)
    some += _recode_sources(codes, planes)
    codes |= _codes_of_averages(codes, some, Code.SOURCE, len(exposures))
    trails, nods = (tuple(trail for trail, _ in found) for found in (crossing, moved))
    found = _Found(sources, smooth, streaks, trails, nods, spikes)
    of_sources, sentences = found.sentences(exposures, shifts, unmeasured)
    for one in [*smooth, *streaks]:
        sources.add_row(one.row(exposures.unit))
    return codes, sources, trails, of_sources, sentences


@dataclass(frozen=True, eq=False)
class _Found:
    """Structures that were found, and are no hits.

    Attributes
    ----------
    sources : `~astropy.table.QTable`
        Sources that only some exposures show.
    smooth : list
        Groups of flagged pixels that are smooth: `~crstack.not_hits.smooth.find_smooth`.
    streaks : list
        Short straight streaks: `~crstack.not_hits.streaks.find_streaks`.
    trails, nods : tuple of Trail
        Trails, and traces of a nod.
    spikes : list
        Diffraction spikes: `~crstack.not_hits.spikes.find_spikes`.
    """

    sources: QTable
    smooth: list
    streaks: list
    trails: tuple
    nods: tuple
    spikes: list

    def sentences(self, exposures, shifts, unmeasured):
        """Warnings of sources, and others; see `classified`."""
        names = exposures.names
        of_trails = sentence_of_trails(self.trails, names)
        # stars that are out of focus, far apart or of another field look like sources of one exposure, and have a
        # warning of their own
        if not exposures.comparable:
            return [], [of_trails] if of_trails else []
        fainter = fainter_exposures(self.sources, exposures)
        of_sources = (
            sentence_of_sources(self.sources, names, words_of_fainter(fainter, names) if fainter else ""),
            sentence_of_smooth(self.smooth, names, exposures.unit, unmeasured),
            sentence_of_streaks(self.streaks, names, exposures.unit),
        )
        of_nods = sentence_of_nods(self.nods, names) or _sentence_of_moved(exposures, shifts)
        others = of_nods, of_trails, sentence_of_spikes(self.spikes, names)
        return [one for one in of_sources if one], [one for one in others if one]


def _moved_and_crossing(straight, flagged, exposures):
    """Straight features that are traces of a nod, of all exposures that show them, and the other features."""
    of_nod = nodded([trail for trail, _ in straight])
    moved, crossing = (
        [one for one, is_moved in zip(straight, of_nod, strict=True) if is_moved is k] for k in (True, False)
    )
    # of two exposures, each trace is flagged in one
    more = [] if len(exposures) == 2 else traces_of_nod(straight, flagged, exposures)
    if not more:
        return moved, crossing
    trails = [trail for trail, _ in more]
    return more, [one for one in straight if not any(is_part_of(one[0], trail) for trail in trails)]


def _sentence_of_moved(exposures, shifts):
    """A warning about traces that moved by another shift than the measured one; None if there are none."""
    if shifts is None:
        return None
    moved = [
        (i, axis, shift)
        for i, axis, shift in moved_traces(exposures)
        if abs(shifts[i]["xy".index(axis)] - shifts[0]["xy".index(axis)] - shift) > MEASURED
    ]
    return sentence_of_moved(moved, exposures.names)


def _codes_of_averages(codes, planes, code, n_exposures):
    """MEDIANCR and MEANCRT with a code at the pixels of some planes (list of bool) where no exposure is hit."""
    if not planes:
        return {}
    alone = reduce(np.logical_or, planes)
    for i in range(n_exposures):
        alone &= ~is_hit(codes[exposure_name(i)])
    return {name: recoded(codes[name], alone, code) for name in ("MEDIANCR", "MEANCRT")}


def _recode_sources(codes, planes):
    """Recode the pixels of sources, bool by exposure, in the masks of the exposures; return the planes as a list."""
    for i, where in planes.items():
        codes[exposure_name(i)] = recoded(codes[exposure_name(i)], where, Code.SOURCE)
    return list(planes.values())


def _codes_with_lines(codes, planes, exposures, rules, code):
    """Codes of the masks with the pixels of trails or moved traces (bool, by exposure), by name of the mask."""
    if not planes:
        return {}
    found = {}
    for i, where in planes.items():
        name, bad = exposure_name(i), exposures.bad_of(i)
        where = where if bad is None else where & ~bad
        found[name] = with_code(recoded(codes[name], where, code), where, code)
    on_line = reduce(np.logical_or, planes.values())
    number = sum(
        (found.get(name, codes[name]) > 0).astype(np.int16) for name in map(exposure_name, range(len(exposures)))
    )
    for name, least in (("MEANCRT", 1), ("MEDIANCR", (len(exposures) + 1) // 2)):
        found[name] = with_code(codes[name], on_line & (number >= least), code)
    for plane in found.values():
        rules.apply_to(plane)
    return found


def _codes_with_low_values(codes, exposures, rules):
    """Codes of the exposures with values that are too low, by name of the mask."""
    found = {}
    for i in range(len(exposures) if exposures.low is not None else 0):
        name = exposure_name(i)
        found[name] = with_code(codes[name], exposures.low[i], Code.LOW)
        if found[name] is not codes[name]:
            rules.apply_to(found[name])
    return found
