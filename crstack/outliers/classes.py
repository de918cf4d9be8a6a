"""Codes of flagged values that are not hits."""

from functools import reduce

import numpy as np

from crstack.masks.codes import Code, exposure_name, is_hit, recoded, with_code
from crstack.outliers.sources import find_sources
from crstack.outliers.trails import find_trails

__all__ = ["classified"]

#: largest flagged fraction of an exposure in which trails and sources are looked for
MOST_FLAGGED = 0.2


def classified(codes, exposures, rules):
    """Codes with those of values that are too low, of trails, and of sources that only some exposures show.

    Parameters
    ----------
    codes : dict
        uint8 (ny, nx) by name of the mask, as decided. Not modified.
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    rules : `~crstack.masks.MaskRules`
        Regions and pixels without codes.

    Returns
    -------
    codes : dict
        MEDIANCR and MEANCRT have the code of a source where no exposure is hit.
    sources : `~astropy.table.QTable`
        See `~crstack.outliers.sources.find_sources`.
    trails : tuple of Trail
        See `~crstack.outliers.trails.find_trails`.
    """
    codes = {**codes, **_of_low_values(codes, exposures, rules)}

    def flagged(i):
        plane = is_hit(codes[exposure_name(i)])
        # where so much is flagged, features have no meaning
        return plane if plane.mean() <= MOST_FLAGGED else np.zeros_like(plane)

    trails, planes = find_trails(flagged, exposures)
    codes |= _of_trails(codes, planes, exposures, rules)
    sources, planes = find_sources(flagged, exposures)
    for i, where in planes.items():
        codes[exposure_name(i)] = recoded(codes[exposure_name(i)], where, Code.SOURCE)
    if planes:
        some = reduce(np.logical_or, planes.values())
        for i in range(len(exposures)):
            some &= ~is_hit(codes[exposure_name(i)])
        codes |= {name: recoded(codes[name], some, Code.SOURCE) for name in ("MEDIANCR", "MEANCRT")}
    return codes, sources, trails


def _of_trails(codes, planes, exposures, rules):
    """Codes of the masks with the pixels of trails (bool, by exposure), by name of the mask."""
    if not planes:
        return {}
    found = {}
    for i, where in planes.items():
        name, bad = exposure_name(i), exposures.bad_of(i)
        where = where if bad is None else where & ~bad
        found[name] = with_code(recoded(codes[name], where, Code.TRAIL), where, Code.TRAIL)
    on_trail = reduce(np.logical_or, planes.values())
    number = sum(
        (found.get(name, codes[name]) > 0).astype(np.int16) for name in map(exposure_name, range(len(exposures)))
    )
    for name, least in (("MEANCRT", 1), ("MEDIANCR", (len(exposures) + 1) // 2)):
        found[name] = with_code(codes[name], on_trail & (number >= least), Code.TRAIL)
    for plane in found.values():
        rules.apply_to(plane)
    return found


def _of_low_values(codes, exposures, rules):
    """Codes of the exposures with values that are too low, by name of the mask."""
    found = {}
    for i in range(len(exposures) if exposures.low is not None else 0):
        name = exposure_name(i)
        found[name] = with_code(codes[name], exposures.low[i], Code.LOW)
        if found[name] is not codes[name]:
            rules.apply_to(found[name])
    return found
