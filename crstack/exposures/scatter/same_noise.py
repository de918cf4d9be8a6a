"""Pairs of exposures that share their noise: one exposure that was reduced in two ways."""

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import first_few

__all__ = ["warn_of_same_noise"]

#: number of values in which pairs are compared first
VALUES = 8000
#: scatter of the difference of a pair over the stated noise, and over the same of the other pairs, below which the two
#: share their noise
SHARED, OF_OTHERS = 0.3, 0.4


def warn_of_same_noise(exposures, sample):
    """Warn of exposures whose noise is that of another one; return the indices of both, and of the later ones.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    sample : NoiseSample
        Their noise.

    Returns
    -------
    both, later : set of int
        All exposures of such pairs, and those that come after the other one.

    Warns
    -----
    CRStackWarning
        With the names of the pairs.

    Notes
    -----
    The difference of two independent exposures scatters by the noise of both. If one exposure is reduced in two ways,
    such as with two flat fields, the difference scatters much less. The other pairs show that the noise is not stated
    too large, so three exposures or more are needed.
    """
    pairs = _pairs_of_same_noise(sample) if len(exposures) > 2 else []
    if pairs:
        names = [f"{exposures.names[i]} and {exposures.names[j]}" for i, j in pairs]
        warn_user(
            f"the same noise is in {first_few(names)}: they differ by less than {SHARED:.0%} of their noise. Is this "
            "one exposure, reduced in two ways? Exposures must be independent: a hit in both is taken for two hits, "
            "and the noise of combined images is understated. Leave out one of each pair"
        )
    return {one for pair in pairs for one in pair}, {j for _, j in pairs}


def _pairs_of_same_noise(sample):
    """Pairs (i, j) of exposures whose noise is the same."""
    n, rows, nx = sample.values.shape
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    thin = sample.of_part(np.s_[:: max(rows * nx // VALUES, 1)], np.s_[:])
    same = _much_less_than_others(every, thin.ratios(every))
    if not same:
        return []
    # with all values, and a few other pairs
    others = [pair for pair in every if pair not in same][: 2 * n]
    return [pair for pair in _much_less_than_others([*same, *others], sample.ratios([*same, *others])) if pair in same]


def _much_less_than_others(pairs, ratios):
    """Pairs whose ratio is far below 1, and below those of most other pairs."""
    known = {pair: ratio for pair, ratio in zip(pairs, ratios, strict=True) if ratio is not None}
    low = {pair: ratio for pair, ratio in known.items() if ratio < SHARED}
    rest = [ratio for pair, ratio in known.items() if pair not in low]
    if not low or not rest:
        return []
    usual = float(median_of_values(np.array(rest)))
    return [pair for pair, ratio in low.items() if ratio < OF_OTHERS * usual]
