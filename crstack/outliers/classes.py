"""Codes of flagged values that are no hits."""

from functools import reduce

import numpy as np

from crstack.masks.codes import Code, exposure_name, is_hit, recoded, with_code
from crstack.outliers.sources import find_sources

__all__ = ["classified"]


def classified(codes, exposures, rules):
    """Codes with those of values that are too low, and of sources that only some exposures show.

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
    """
    codes = {**codes, **_of_low_values(codes, exposures, rules)}
    sources, planes = find_sources(lambda i: is_hit(codes[exposure_name(i)]), exposures)
    for i, where in planes.items():
        codes[exposure_name(i)] = recoded(codes[exposure_name(i)], where, Code.SOURCE)
    if planes:
        some = reduce(np.logical_or, planes.values())
        for i in range(len(exposures)):
            some &= ~is_hit(codes[exposure_name(i)])
        codes |= {name: recoded(codes[name], some, Code.SOURCE) for name in ("MEDIANCR", "MEANCRT")}
    return codes, sources


def _of_low_values(codes, exposures, rules):
    """Codes of the exposures with values that are too low, by name of the mask."""
    found = {}
    for i in range(len(exposures) if exposures.low is not None else 0):
        name = exposure_name(i)
        found[name] = with_code(codes[name], exposures.low[i], Code.LOW)
        if found[name] is not codes[name]:
            rules.apply_to(found[name])
    return found
