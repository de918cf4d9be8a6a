"""Warnings on a stated noise that the remaining values contradict."""

from functools import cache

import numpy as np

from crstack.exposures.scatter.noise_sample import NoiseSample
from crstack.masks.codes import exposure_name
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["of_noise", "unflagged", "warn_of_understated_noise"]

#: ratio of measured to stated noise above which there is a warning after the joint decision
UNDERSTATED = 1.15
#: number of values that give the usual level
LEVELS = 100_000
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


def warn_of_understated_noise(masks, exposures):
    """Warn if the joint decision has measured more noise at the usual level than is stated, and nothing warned before.

    Scatter proportional to the signal or to its gradient does not count, because it also occurs if the noise is right.
    Levels that differ and are not measured scatter too, and have a warning of their own.
    """
    result = getattr(masks.decision, "result", None)
    excess = getattr(result, "excess", None)
    if exposures.doubted or excess is None or not (excess.constant or excess.photons):
        return
    step = max(exposures.data[0].size // LEVELS, 1)
    levels = [np.median(plane.ravel()[::step]) for plane in exposures.data]
    level = float(np.median(levels))
    unit = float(np.median(exposures.noise.electrons_per_unit))
    own = [np.median(one.ravel()[::step]) for one in exposures.variances if one is not None]
    stated = float(np.median(own if own else exposures.noise.variance(np.float32(level))))
    found = stated + (excess.constant + excess.photons * max(level, 0) * unit) / unit**2
    measured = getattr(result, "differences", None) is not None
    if found <= UNDERSTATED**2 * stated or (not measured and np.ptp(levels) > np.sqrt(stated)):
        return
    name = exposures.unit
    warn_user(
        f"the exposures scatter by {plain(np.sqrt(found))} {name} at a level of {plain(level)} {name}, where "
        f"{'their uncertainties' if own else 'gain and read noise'} give {plain(np.sqrt(stated))} {name}: the noise is "
        f"understated by a factor of {np.sqrt(found / stated):.2f}. The masks allow for the missing noise. Check "
        f"{'them' if own else 'gain, read noise and bias'}: the uncertainties of combined images depend on them"
    )
