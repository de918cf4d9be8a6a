"""Warnings on a stated noise that the remaining values contradict."""

from functools import cache

import numpy as np

from crstack.exposures.scatter.noise_of_parts import remedy_of_flat
from crstack.exposures.scatter.noise_sample import NoiseSample
from crstack.masks.codes import exposure_name
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["of_hidden_hits", "of_noise", "unflagged", "warn_of_understated_noise"]

#: ratio of measured to stated noise above which there is a warning after the joint decision
UNDERSTATED = 1.15
#: number of values that give the usual level
LEVELS = 100_000
#: scatter beyond the noise, at the usual level and as a multiple of the stated noise, that hides hits
HIDES = 3.0
#: ratio of measured to stated scatter of the remaining values beyond which the noise is wrong
SCATTER = (0.5, 2.0)


class _LeftOut:
    """Values that are flagged or bad: bool (N, ny, nx), computed for the rows that are asked for."""

    def __init__(self, masks, exposures):
        self._masks, self._exposures = masks, exposures

    def __getitem__(self, key):
        _, rows = key
        flagged = np.stack([self._masks.codes[exposure_name(i)][rows] > 0 for i in range(len(self._exposures))])
        return flagged if self._exposures.bad is None else flagged | self._exposures.bad[:, rows]


def unflagged(masks, exposures):
    """Function that gives a sample of the values that are neither flagged nor bad, and takes it once."""
    return cache(lambda: NoiseSample.of_exposures(exposures, _LeftOut(masks, exposures)))


def of_noise(exposures, sample):
    """A sentence if the scatter of the remaining values disagrees with the stated noise."""
    some = sample()
    ratios, sigma = some.known_ratios(), some.sigma
    if not ratios or SCATTER[0] <= np.median(ratios) <= SCATTER[1]:
        return []
    unit = exposures.unit
    return [
        f"the values that are not flagged scatter by {plain(np.median(ratios) * sigma)} {unit} at a level of "
        f"{plain(some.level)} {unit}, where the noise as stated is {plain(sigma)} {unit}: the masks rest on a "
        "wrong noise. Check gain, read noise, bias and unit, and leave the sky in the exposures"
    ]


def of_hidden_hits(masks, exposures):
    """A sentence if the joint decision has measured a scatter of the light that hides hits at the usual level.

    Such a scatter describes bright stars and traces that differ. If it exceeds the noise everywhere, then the fit of
    the differences has failed.
    """
    excess = getattr(getattr(masks.decision, "result", None), "excess", None)
    if excess is None or not excess.relative:
        return []
    levels = _levels(exposures)
    level = float(np.nanmedian(levels))
    scatter, stated = excess.relative * max(level, 0), float(np.sqrt(_usual_variance(exposures, level)))
    if scatter < HIDES * stated:
        return []
    unit = exposures.unit
    factors = ", ".join(f"{one:.3g}" for one in levels / np.nanmean(levels))
    return [
        f"the exposures scatter by {100 * excess.relative:.2g} % of their light beyond the noise: by {plain(scatter)} "
        f"{unit} at a level of {plain(level)} {unit}, where the noise as stated is {plain(stated)} {unit}. Hits below "
        "this scatter are missed, and the uncertainties of the combined images are too large. The differences of the "
        f"exposures are not described. For exposures of a flat field, give flux_factors=({factors}); for others, look "
        "whether one of them differs from the rest, and leave it out"
    ]


def _levels(exposures):
    """Usual level of each exposure, from some of its values."""
    step = max(exposures.data[0].size // LEVELS, 1)
    levels = []
    for i, plane in enumerate(exposures.data):
        bad = exposures.bad_of(i)
        valid = plane.ravel()[::step] if bad is None else plane.ravel()[::step][~bad.ravel()[::step]]
        levels.append(np.median(valid) if valid.size else np.nan)
    return np.array(levels, dtype=float)


def _usual_variance(exposures, level):
    """Variance as stated: of the uncertainties, or of the noise at a level."""
    step = max(exposures.data[0].size // LEVELS, 1)
    own = [np.median(one.ravel()[::step]) for one in exposures.variances if one is not None]
    return float(np.median(own if own else exposures.noise.variance(np.float32(level))))


def warn_of_understated_noise(masks, exposures):
    """Warn if the joint decision has measured more noise at the usual level than is stated, and nothing warned before.

    Scatter proportional to the signal or to its gradient does not count, because it also occurs if the noise is right.
    Levels that differ and are not measured scatter too, and have a warning of their own.
    """
    result = getattr(masks.decision, "result", None)
    excess = getattr(result, "excess", None)
    if exposures.doubted or excess is None or not (excess.constant or excess.photons):
        return
    levels = _levels(exposures)
    level = float(np.nanmedian(levels))
    unit = float(np.median(exposures.noise.electrons_per_unit))
    own = any(one is not None for one in exposures.variances)
    stated = _usual_variance(exposures, level)
    found = stated + (excess.constant + excess.photons * max(level, 0) * unit) / unit**2
    measured = getattr(result, "differences", None) is not None
    if found <= UNDERSTATED**2 * stated or (not measured and np.nanmax(levels) - np.nanmin(levels) > np.sqrt(stated)):
        return
    name = exposures.unit
    warn_user(
        f"the exposures scatter by {plain(np.sqrt(found))} {name} at a level of {plain(level)} {name}, where "
        f"{'their uncertainties' if own else 'gain and read noise'} give {plain(np.sqrt(stated))} {name}: the noise is "
        f"understated by a factor of {np.sqrt(found / stated):.2f}. The masks allow for the missing noise. Check "
        f"{'them' if own else 'gain, read noise and bias'}: the uncertainties of combined images depend on them"
        + ("" if own else f". If the exposures are divided by a flat, {remedy_of_flat(exposures)}")
    )
