"""Single exposures that scatter more than stated while the others do not."""

from dataclasses import dataclass

import numpy as np

from crstack.exposures.scatter.noise_of_one import CORRELATED, levels_of, own_variances
from crstack.utils.medians import median_of_values
from crstack.utils.words import plain

__all__ = ["NoisyOne", "noisy_ones"]

#: least ratio of measured to stated variance of one exposure, relative to 1 and to those of all others, which are lower
NOISIER = 1.35
#: least significance of the missing variance
SIGNIFICANCE = 5.0


@dataclass(frozen=True)
class NoisyOne:
    """An exposure that scatters more than stated.

    Attributes
    ----------
    exposure : int
        Its number, from 0.
    level, found, stated : float
        Its level, and its variance as measured and as stated.
    """

    exposure: int
    level: float
    found: float
    stated: float

    def words(self, exposures):
        """The warning."""
        unit, own = exposures.unit, exposures.variances[self.exposure] is not None
        remedy = (
            "Clean values of it may be flagged: check its uncertainty"
            if own
            else "The missing variance is added to the noise of this exposure. Look at it; if it is sound, give each "
            "exposure its own uncertainty, or leave this one out"
        )
        return (
            f"{exposures.names[self.exposure]} scatters by {plain(np.sqrt(self.found))} {unit} at a level of "
            f"{plain(self.level)} {unit}, where {'its uncertainty is' if own else 'gain and read noise give'} "
            f"{plain(np.sqrt(self.stated))} {unit}, and the other exposures do not: was it read in another mode, "
            f"averaged from fewer frames, or not divided by the flat field? {remedy}"
        )


def noisy_ones(sample, known):
    """Exposures that scatter more than stated, and than all others.

    Structures that differ are no noise: the exposures must scatter where these are flattest, and neighbours must not
    be correlated. With two exposures, it is not known which of them it is.

    Parameters
    ----------
    sample : `~crstack.exposures.scatter.noise_sample.NoiseSample`
        Some rows of the exposures.
    known : set of int
        Exposures whose noise has a warning already.

    Returns
    -------
    noisy : list of NoisyOne
        Empty if there is none.
    """
    if len(sample.values) < 3 or not sample.valid.any(axis=(1, 2)).all():
        return []
    found = []
    for one in _noisy(sample.of_flat(), known):
        # where the mean with this exposure is flattest, its noise is low by chance
        flattest = _noisy(sample.of_flattest(without=one.exposure), known)
        both = [one, *(other for other in flattest if other.exposure == one.exposure)]
        if len(both) == 2 and not _is_correlated(sample, one):
            # the flat part that is chosen lowers both, but each in another way
            found.append(max(both, key=lambda which: which.found))
    return found


def _noisy(sample, known):
    """Exposures that scatter too much in a sample."""
    stated = [float(median_of_values(one[valid])) for one, valid in zip(sample.stated, sample.valid, strict=True)]
    levels, measured = levels_of(sample), list(own_variances(sample, stated, None))
    ratios = {i: variance / stated[i] for i, variance, _ in measured}
    noisy = []
    for i, variance, error in measured:
        others = [one for k, one in ratios.items() if k != i]
        if i in known or not others or variance - stated[i] < SIGNIFICANCE * error:
            continue
        # where others scatter more than stated too, it is the noise of all exposures that is wrong
        if ratios[i] > NOISIER * max(1.0, *others) and max(others) < NOISIER:
            noisy.append(NoisyOne(i, levels[i], variance, stated[i]))
    return noisy


def _is_correlated(sample, one):
    """Whether neighbours are correlated in the differences of an exposure from the others, as structures are."""
    i = one.exposure
    return sample.correlation([(i, k) for k in range(len(sample.values)) if k != i]) > CORRELATED
