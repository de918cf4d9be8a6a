"""Single exposures whose scatter is that of another level, or of smoothed values."""

from dataclasses import dataclass

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["CORRELATED", "OddOne", "levels_of", "of_another_level", "own_variances", "warn_of_smoothed"]

#: ratios of measured to stated variance of one exposure, at its own level, beyond which it may be odd
TOO_MUCH_OF_ONE, TOO_LITTLE_OF_ONE = 1.25, 0.7
#: relative error of the variance of a difference, and least significant change of the variance of one exposure
ERROR, SIGNIFICANCE = 0.02, 5.0
#: quantile of the brightest pixels, and largest difference of their signal between exposures of equal light
BRIGHT, SAME_LIGHT = 0.98, 0.15
#: limits of the change of variance that the level of another exposure would make, over the measured change
AGREES = (0.6, 1.6)
#: ratio of measured to stated variance of one exposure, and the same over the least ratio of the others, below which it
#: counts as smoothed
SMOOTHED, SMOOTHER = 0.72, 0.72
#: least correlation of neighbours that is named as a cause; that of noise is 0
CORRELATED = 0.1


@dataclass(frozen=True)
class OddOne:
    """An exposure whose scatter is that of the level of another one.

    Attributes
    ----------
    exposure : int
        Its number, from 0.
    level, other : float
        Its level, and that of the other exposure.
    found, stated : float
        Its measured variance, and that of its level.
    """

    exposure: int
    level: float
    other: float
    found: float
    stated: float

    def words(self, exposures):
        """The warning."""
        unit, name = exposures.unit, exposures.names[self.exposure]
        whose = "the other exposure lies" if len(exposures) == 2 else "another exposure lies"
        numbers = (
            f"by {plain(np.sqrt(self.found))} {unit}, where a level of {plain(self.level)} {unit} gives "
            f"{plain(np.sqrt(self.stated))} {unit} ({whose} at {plain(self.other)} {unit})"
        )
        if self.found > self.stated:
            return (
                f"{name} scatters more than its level allows, {numbers}: was a bias or a sky subtracted that the other "
                "exposures still have? Give the bias of each exposure (bias=[...]), or leave the sky in. The missing "
                "variance is added to the noise of this exposure"
            )
        return (
            f"{name} scatters less than its level allows, {numbers}: part of its level is not light. Is its bias "
            "higher than that of the other exposures? Give the bias of each exposure (bias=[...])"
        )


def of_another_level(exposures, sample):
    """Exposures whose variance is that of the level of another exposure, as a list of `OddOne`.

    The variances of the differences of three exposures give the variance of each. For the first it is half of V12 + V13
    - V23. With two exposures, the one at the higher level is assumed to have the variance of its level.
    """
    n = len(exposures)
    if any(one is not None for one in exposures.variances) or not sample.valid.any(axis=(1, 2)).all():
        return []
    levels = levels_of(sample)
    contrasts = _contrasts(sample, levels)
    stated = [float(median_of_values(one[valid])) for one, valid in zip(sample.stated, sample.valid, strict=True)]
    odd = []
    measured = list(own_variances(sample, stated, levels))
    ratios = {i: found / stated[i] for i, found, _ in measured}
    for i, found, error in measured:
        if abs(found - stated[i]) < SIGNIFICANCE * error:
            continue
        lower = found < stated[i]
        if (n == 2 and lower) or not _is_odd(i, ratios):
            continue
        changes = [
            (_at_level(exposures, sample, i, level - levels[i]) - stated[i]) / (found - stated[i]) for level in levels
        ]
        k = int(np.argmin(np.abs(np.array(changes) - 1)))
        if AGREES[0] < changes[k] < AGREES[1] and _have_equal_light(contrasts[i], contrasts[k], max(found, stated[i])):
            odd.append(OddOne(i, levels[i], levels[k], found, stated[i]))
    return odd


def _is_odd(i, ratios):
    """Whether the ratio of measured to stated variance of an exposure differs from 1, and from those of all others.

    Where all exposures scatter by more than is stated, the noise model is wrong, and not the level of one of them.
    """
    others = [one for k, one in ratios.items() if k != i] or [1.0]
    lowest, highest = min(1.0, max(others)), max(1.0, min(others))
    return not TOO_LITTLE_OF_ONE * lowest < ratios[i] < TOO_MUCH_OF_ONE * highest


def warn_of_smoothed(exposures, sample, flat, known):
    """Warn of exposures that scatter much less than stated, and than the others; return their indices.

    The differences of neighbours are compared: a filter or a resampling correlates their noise. The exposure must
    scatter less in all of the ``sample`` and in its ``flat`` part: where structures differ, the exposure between the
    others seems to scatter less. ``known`` are exposures that have a warning already.
    """
    if len(exposures) < 3 or not sample.valid.any(axis=(1, 2)).all():
        return set()
    smoothed = _smoothed(sample, known)
    if smoothed:
        of_flat = _smoothed(flat, known)
        smoothed = {i: one for i, one in smoothed.items() if i in of_flat}
    for i, (stated, variances) in smoothed.items():
        own, unit = plain(np.sqrt(variances[i])), exposures.unit
        numbers = f"by {own} {unit}, where its noise is {plain(np.sqrt(stated))} {unit}"
        warn_user(
            f"neighbouring pixels of {exposures.names[i]} scatter {numbers}; the other exposures do not"
            + _words_of_one(sample, i, variances)
        )
    return set(smoothed)


def _smoothed(sample, known):
    """Stated variance of each exposure that scatters much less than stated, and the measured ones of all, by index."""
    stated = [float(median_of_values(one[valid])) for one, valid in zip(sample.stated, sample.valid, strict=True)]
    measured = [(i, found, error) for i, found, error in own_variances(sample, stated, None) if i not in known]
    ratios = {i: found / stated[i] for i, found, _ in measured}
    variances = {i: found for i, found, _ in measured}
    smoothed = {}
    for i, found, error in measured:
        others = [one for k, one in ratios.items() if k != i]
        clear = stated[i] - found > SIGNIFICANCE * error
        if clear and others and ratios[i] < SMOOTHED and ratios[i] < SMOOTHER * min(others):
            smoothed[i] = stated[i], variances
    return smoothed


def _words_of_one(sample, i, variances):
    """Cause and remedy where one exposure scatters less than stated; ``variances`` are those measured, by index."""
    rest = [k for k in variances if k != i]
    # a difference of two exposures has the correlation of both, in proportion to their variances
    shares = [sample.correlation([(i, k)]) * (variances[i] + variances[k]) for k in rest]
    if median_of_values(shares) < CORRELATED * variances[i]:
        return (
            ", and its noise is not correlated: was it read with another gain, or is it an average? Exposures of one "
            "gain belong into one stack. Convert the exposures to electrons, and give each an uncertainty, to combine "
            "them"
        )
    return (
        ": was it resampled or smoothed? Its hits are broad and its noise is correlated, so hits may be missed. Use "
        "the exposure as it was before"
    )


def _contrasts(sample, levels):
    """Signal of the brightest pixels of each exposure above its level."""
    above = sample.own - np.array(levels, np.float32)[:, None, None]
    lowest = above.min(axis=0)
    top = lowest >= np.quantile(lowest, BRIGHT)
    return [float(median_of_values(plane[top])) for plane in above]


def _have_equal_light(one, other, variance):
    """Whether contrasts agree. If the light differs, structures remain in a difference and look like noise."""
    return abs(one - other) < SAME_LIGHT * max(one, other) + np.sqrt(variance)


def levels_of(sample):
    """Median of the values of each exposure of a sample."""
    return [float(median_of_values(own[valid])) for own, valid in zip(sample.own, sample.valid, strict=True)]


def _at_level(exposures, sample, i, step):
    """Median of the stated variance of an exposure whose level is changed by a step."""
    noise = exposures.noise_of(i).cutout(sample.box)
    return float(median_of_values(noise.variance(sample.own[i] + np.float32(step))[sample.valid[i]]))


def own_variances(sample, stated, levels):
    """Number, measured variance and error of the variance of each exposure that can be measured."""
    n = len(stated)
    if n == 2:
        (ratio,), lower = sample.ratios([(0, 1)]), int(np.argmin(levels))
        if ratio is not None:
            both = ratio**2 * sum(stated)
            yield lower, both - stated[1 - lower], ERROR * both
        return

    # each exposure with both neighbours, and these with each other
    pairs = [pair for i in range(n) for pair in ((i, (i - 1) % n), (i, (i + 1) % n), ((i - 1) % n, (i + 1) % n))]
    found = zip(pairs, sample.ratios(pairs), strict=True)
    of_pairs = [np.nan if ratio is None else ratio**2 * (stated[i] + stated[j]) for (i, j), ratio in found]
    for i in range(n):
        each = np.array(of_pairs[3 * i : 3 * i + 3]) * (1, 1, -1)
        if np.isfinite(each).all():
            yield i, max(float(each.sum()) / 2, 0.0), ERROR * float(np.linalg.norm(each)) / 2
