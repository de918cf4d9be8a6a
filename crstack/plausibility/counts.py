"""Sentences about numbers of flagged values that hits do not give."""

import numpy as np

from crstack.masks.codes import Code, exposure_name

__all__ = ["of_coincidences", "of_mean"]

#: the fraction of pixels in MEDIANCR is not plausible if it exceeds the second number, and the fraction by chance by
#: this factor
COINCIDENCES, MEDIAN_FRACTION = 4, 0.025
#: fewest exposures whose median differs from a mean of them
FEWEST_FOR_MEDIAN = 3


def of_mean(masks, max_fraction):
    """A sentence if the auxiliary detector flags more of the mean of the clean values than it may."""
    flagged = np.count_nonzero(masks["MEANCR"]) / masks["MEANCR"].size
    if flagged <= max_fraction:
        return []
    return [
        f"{flagged:.1%} of the pixels are in MEANCR, more than {100 * max_fraction:g} %: the auxiliary detector flags "
        "them in the mean of the clean values, and meancr2 replaces them by the minimum. Check the settings of the "
        "detector, or leave it out (aux=None)"
    ]


def of_coincidences(masks, valid):
    """A sentence if many more pixels are hit twice than hits at random places give."""
    n = masks.n_exposures
    if n < FEWEST_FOR_MEDIAN:
        return []

    def number(name):
        # traces of a nod have a warning of their own
        return np.count_nonzero(masks.codes[name]) - np.count_nonzero(masks.codes[name] == Code.MOVED)

    flagged = [number(exposure_name(i)) / max(valid[i], 1) for i in range(n)]
    twice = number("MEDIANCR") / masks["MEDIANCR"].size
    by_chance = n * (n - 1) / 2 * np.mean(flagged) ** 2
    if twice <= MEDIAN_FRACTION or twice <= COINCIDENCES * by_chance:
        return []
    return [
        f"{twice:.2%} of the pixels are in MEDIANCR, where hits at random places give about {by_chance:.2%}: "
        "the exposures differ. Check that all show the same field. Check that sky, seeing and pointing are alike"
    ]
