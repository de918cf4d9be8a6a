"""Sentence about hits that the noise of exposures with little light hides."""

import numpy as np

from crstack.exposures.comparison.unlike_light import LEVELS, hidden_hits
from crstack.methods import measured_of
from crstack.utils.words import plain

__all__ = ["of_unlike_light"]

#: hits that are not found are reported if they have this many standard deviations of a mean with weights by light
SHOWN = 5.0


def of_unlike_light(masks, exposures):
    """A sentence if the others have so little light that they do not show hits of the exposure with most light.

    Such hits count if a mean with weights in proportion to the light shows them. Without exposure times the plain mean
    has these weights. With times, ``combine(weights="exptime")`` has them, and the noise of the plain mean hides hits.
    """
    n = masks.n_exposures
    measured = measured_of(masks.decision)
    left = np.array(measured.factors if measured else (1.0,) * n, dtype=float)
    if min(left) <= 0:
        return []
    # with known exposure times, the exposures are already divided by them
    light = left * [float(np.median(one)) for one in exposures.scales or (1.0,) * n]
    hidden = hidden_hits(exposures, left, light)
    if hidden.by_light < SHOWN:
        return []
    name, others = exposures.names[hidden.long], " and ".join(exposures.names[i] for i in hidden.short)
    if n > 3:
        others = f"each of the {n - 1} others"
    in_mean = f"with {hidden.as_combined:.1f} standard deviations of a mean"
    if exposures.scales:
        in_mean += f" with equal weights, and {hidden.by_light:.1f} of one with weights by exposure times"
    return [
        f"{name} has {light[hidden.long] / light[hidden.short[-1]]:.3g} times the light of {others}, whose noise hides "
        f"hits of {name} of up to {hidden.sigmas:.0f} standard deviations ({plain(hidden.charge)} {exposures.unit}), "
        f"and a few larger ones: they remain in the combined images, {in_mean}. Add an exposure as long as {name}"
        + (
            ""
            if exposures.scales
            else ". If the exposure times differ, write EXPTIME into the headers, or give exptime="
        )
        + _of_no_light(exposures)
    ]


def _of_no_light(exposures):
    """Words on exposures that may have no light at all; empty if their level exceeds the read noise.

    The fit of throughputs then sees hits only.
    """
    step = max(exposures.data[0].size // LEVELS, 1)
    level = float(np.nanmedian([np.nanmedian(plane.ravel()[::step]) for plane in exposures.data]))
    readnoise = float(np.median(exposures.noise.readnoise_in_unit))
    if not level < readnoise:
        return ""
    unit = exposures.unit
    return (
        f". But the level of the exposures is {plain(level)} {unit}, below the read noise of {plain(readnoise)} "
        f"{unit}. If they show no light, as darks do, hits were taken for light: give flux_factors=None "
        "(flux_factor: 1 in a parameter file)"
    )
