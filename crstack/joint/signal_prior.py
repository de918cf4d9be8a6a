"""How frequent signals are among the pixels of a stack."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values

__all__ = ["FEWEST_PIXELS", "SignalPrior", "middles", "signal_prior"]

#: fewest pixels between two knots
FEWEST = 150
#: intervals between knots, of the same number of pixels each: most of them, and fewest
INTERVALS, LEAST_INTERVALS = 200, 4
#: fewest pixels of a prior
FEWEST_PIXELS = FEWEST * LEAST_INTERVALS
#: expectation of the lower of two normal deviates below their mean
LOWER_OF_TWO = 0.5642
#: standard deviation of a median of N normal deviates; for more of them, `OF_MANY` over the root of N
OF_MANY = 1.2533
OF_MEDIAN = {1: 1.0, 2: 0.826, 3: 0.670, 4: 0.546, 5: 0.536, 6: 0.465, 7: 0.459}
#: steps of the deconvolution, and of its grid in standard deviations of the noise
STEPS, GRID = 100, 0.1
#: most bins of this grid
MOST_BINS = 20_000


@dataclass(frozen=True, eq=False)
class SignalPrior:
    """Distribution of the signal among some pixels of a stack.

    Attributes
    ----------
    place, below : `~numpy.ndarray`
        (K,) signals in a coordinate of even noise, ascending, and the share of these pixels that have less.
    """

    place: np.ndarray
    below: np.ndarray


def middles(values, noise):
    """Typical value (M,) of each pixel, of its ``values`` (N, M) with a ``noise`` (M,), electrons.

    It is the median. With two values it is the lower one, raised by its expected deviation, because a mean would
    contain the hits of both.
    """
    return values.min(axis=0) + np.float32(LOWER_OF_TWO) * noise if len(values) == 2 else median_of_values(values, 0)


def signal_prior(places, n_values):
    """Density of the signal among some pixels.

    Parameters
    ----------
    places : `~numpy.ndarray`
        (M,) the `middles` of pixels, in a coordinate in which a value has a noise of 1.
    n_values : int
        Number of values of a pixel.

    Returns
    -------
    prior : SignalPrior or None
        None if there are too few pixels.

    Notes
    -----
    The noise of the middles is removed by the deconvolution of Richardson (1972, J. Opt. Soc. Am. 62, 55) and Lucy
    (1974, AJ 79, 745).
    """
    intervals = min(INTERVALS, places.size // FEWEST)
    if intervals < LEAST_INTERVALS:
        return None
    edges, share = _deconvolved(places, OF_MEDIAN.get(n_values, OF_MANY / np.sqrt(n_values)))
    # the ends are divided further: their last pixels are far apart
    tail = FEWEST / places.size * 2.0 ** np.arange(np.log2(places.size))
    tail = tail[tail < 1 / intervals]
    below = np.unique(np.concatenate([np.linspace(0, 1, intervals + 1), tail, 1 - tail]))
    # where pixels are few, the distribution is even between knots
    return SignalPrior(np.interp(below, np.concatenate([[0], np.cumsum(share)]), edges), below)


def _deconvolved(places, deviation):
    """Edges of bins, and the share of the pixels in each without a noise of a standard ``deviation``."""
    low, high = places.min(), places.max()
    bins = int(np.clip((high - low) / GRID, 10, MOST_BINS))
    found, edges = np.histogram(places, bins, (low, high))
    noise = _normal_weights(deviation / (edges[1] - edges[0]))
    found = found / found.sum()
    share = ndimage.correlate1d(found, noise) + 1e-12
    for _ in range(STEPS):
        model = np.maximum(ndimage.correlate1d(share, noise), 1e-12)
        share *= ndimage.correlate1d(found / model, noise)
    return edges, share / share.sum()


def _normal_weights(deviation):
    """Weights of a normal distribution, up to 4 standard deviations; the ``deviation`` is in steps."""
    steps = np.arange(-int(4 * deviation + 0.5), int(4 * deviation + 0.5) + 1)
    weights = np.exp(-0.5 * (steps / deviation) ** 2)
    return weights / weights.sum()
