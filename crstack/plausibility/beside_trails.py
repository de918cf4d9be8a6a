"""Warning about values of the other exposures that are flagged beside a trail."""

import numpy as np

from crstack.masks.codes import ADDED, Code, exposure_name, is_hit
from crstack.utils.pixels import dilate
from crstack.utils.warn import warn_user

__all__ = ["warn_of_flags_beside_trails"]

#: distance (pixels) from a trail that counts as beside it: a cell of a fine surface
BESIDE = 16
#: least ratio of the flagged share beside the trail to that elsewhere, and fewest flagged values beyond those of hits
TIMES, FEWEST = 3.0, 100


def warn_of_flags_beside_trails(masks, exposures):
    """Warn if values of the other exposures are flagged beside a trail far more often than elsewhere.

    The light of a broad and bright trail is then a part of the level that is measured beside it, which is too high. The
    values of the other exposures lie below what is expected of the exposure with the trail, or their own level is too
    low, so that clean values look like hits.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        With codes and trails.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.

    Warns
    -----
    CRStackWarning
        With the numbers, and a remedy.
    """
    found = {}
    for k in sorted({trail.exposure - 1 for trail in masks.trails}):
        beside = dilate(masks.codes[exposure_name(k)] == Code.TRAIL, BESIDE)
        number = _too_many(masks, beside, [i for i in range(masks.n_exposures) if i != k])
        if number:
            found[exposures.names[k]] = number
    if not found:
        return
    numbers = ", ".join(f"{number} beside that of {name}" for name, number in found.items())
    warn_user(
        f"values of the other exposures are flagged beside trails far more often than elsewhere: {numbers}. The light "
        "of a trail is a part of the level that is measured there, so these values are no hits, and the combined "
        f"images are too low there. Mask the trail in {', '.join(found)} (the mask of a CCDData, NaN, or an extension "
        "MASK of the file), and run again"
    )


def _too_many(masks, beside, others):
    """Number of values of some exposures (indices) that are flagged in a region, if it exceeds that of hits; or 0."""
    inside = outside = 0
    for i in others:
        codes = masks.codes[exposure_name(i)]
        hit = is_hit(codes) & ~np.isin(codes, ADDED)  # pixels that the user forces are no hits
        number = np.count_nonzero(hit & beside)
        inside += number
        outside += np.count_nonzero(hit) - number
    area = np.count_nonzero(beside)
    by_hits = outside * area / max(beside.size - area, 1)
    return inside if inside > TIMES * by_hits + FEWEST else 0
