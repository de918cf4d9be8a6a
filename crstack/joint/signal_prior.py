"""How frequent signals are among the pixels of a stack."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values

__all__ = ["FEWEST_PIXELS", "SignalPrior", "constant_variance", "even_noise", "middles", "signal_of", "signal_prior"]

#: fewest pixels between two knots
FEWEST = 150
#: intervals between knots, of the same number of pixels each: most of them, and fewest
INTERVALS, LEAST_INTERVALS = 200, 4
#: fewest pixels of a prior
FEWEST_PIXELS = FEWEST * LEAST_INTERVALS
#: share of the pixels that is assumed to have signals that do not occur
LEAST = 1e-6
#: log density of the first of two equal nodes, whose interval is empty
NO_WIDTH = -1e4
#: expectation of the lower of two normal deviates below their mean
LOWER_OF_TWO = 0.5642
#: standard deviation of a median of N normal deviates; for more of them, `OF_MANY` over the root of N
OF_MANY = 1.2533
OF_MEDIAN = {1: 1.0, 2: 0.826, 3: 0.670, 4: 0.546, 5: 0.536, 6: 0.465, 7: 0.459}
#: least variance (electrons squared) that does not come from photons
LEAST_CONSTANT = 0.1
#: steps of the deconvolution, and of its grid in standard deviations of the noise
STEPS, GRID = 100, 0.1
MOST_BINS = 20_000


@dataclass(frozen=True, eq=False)
class SignalPrior:
    """Distribution of the signal among some pixels of a stack.

    Attributes
    ----------
    signal, below : `~numpy.ndarray`
        (K,) signals in electrons, ascending, and the share of these pixels that have less.
    """

    signal: np.ndarray
    below: np.ndarray

    def __call__(self, nodes):
        """Mean signal in the intervals around nodes, and the log of the mean density there.

        Parameters
        ----------
        nodes : `~numpy.ndarray`
            (J, M) electrons, ascending along the first axis.

        Returns
        -------
        signal : `~numpy.ndarray`
            float32 (J, M), electrons.
        log_density : `~numpy.ndarray`
            float32 (J, M), per electron.

        Notes
        -----
        Where most pixels have nearly the same signal, the density is much narrower than an interval. A sum over the
        nodes themselves would spread it over the interval. With the mean signal :math:`\\int s\\, \\mathrm{d}F / \\int
        \\mathrm{d}F` of each interval, the sum is exact for such a density, too. F is the cumulative distribution.
        """
        middle = (nodes[1:] + nodes[:-1]) / 2
        edges = np.concatenate([2 * nodes[:1] - middle[:1], middle, 2 * nodes[-1:] - middle[-1:]])
        # one pixel after the other: the search for an edge starts where the one before was found
        edges = np.ascontiguousarray(edges.T, dtype=np.float64)
        below, moment = self._integrals(edges)
        low, high = edges[:, :-1], edges[:, 1:]
        share = below[:, 1:] - below[:, :-1]
        share += LEAST
        signal = (low + high) * (LEAST / 2)
        signal += moment[:, 1:] - moment[:, :-1]
        signal /= share
        np.clip(signal, low, high, out=signal)
        widths = high - low
        some = widths > 0
        density = np.full(widths.shape, NO_WIDTH)
        np.log(np.divide(share, widths, out=share, where=some), out=density, where=some)
        return tuple(np.ascontiguousarray(one.T, dtype=np.float32) for one in (signal, density))

    def _integrals(self, edges):
        """Share of the distribution below some signals, and the integral of the signal over it."""
        steps, shares = np.diff(self.signal), np.diff(self.below)
        start = np.concatenate([[0], np.cumsum(shares * (self.signal[1:] + self.signal[:-1]) / 2)])
        density = np.divide(shares, steps, out=np.zeros_like(shares), where=steps > 0)
        inside = np.clip(edges, self.signal[0], self.signal[-1])
        number = np.searchsorted(self.signal, inside, side="right")
        number -= 1
        np.minimum(number, len(steps) - 1, out=number)
        first = self.signal.take(number)
        # share of the interval between two knots
        part = inside - first
        part *= density.take(number)
        # times its mean signal
        inside += first
        inside /= 2
        inside *= part
        inside += start.take(number)
        part += self.below.take(number)
        return part, inside


def middles(values, noise):
    """Typical value (M,) of each pixel, of its ``values`` (N, M) with a ``noise`` (M,), electrons.

    It is the median. With two values it is the lower one, raised by its expected deviation, because a mean would
    contain the hits of both.
    """
    return values.min(axis=0) + np.float32(LOWER_OF_TWO) * noise if len(values) == 2 else median_of_values(values, 0)


def signal_prior(values, noise):
    """Density of the signal among some pixels.

    Parameters
    ----------
    values : `~numpy.ndarray`
        (N, M) the signal that each value represents, electrons.
    noise : `~numpy.ndarray`
        (M,) noise of one value, electrons.

    Returns
    -------
    prior : SignalPrior or None
        None if there are too few pixels.

    Notes
    -----
    The density is that of the `middles`. Their noise is removed by the deconvolution of Richardson (1972, J. Opt. Soc.
    Am. 62, 55) and Lucy (1974, AJ 79, 745), in a coordinate in which the noise is constant.
    """
    middle, n = middles(values, noise), len(values)
    intervals = min(INTERVALS, middle.size // FEWEST)
    if intervals < LEAST_INTERVALS:
        return None
    signal, share = _deconvolved(middle, constant_variance(middle, noise), OF_MEDIAN.get(n, OF_MANY / np.sqrt(n)))
    below = np.concatenate([[0], np.cumsum(share)])
    # where pixels are few, the distribution is even between knots
    knots = np.interp(np.linspace(0, 1, intervals + 1), below, signal)
    return SignalPrior(knots, np.linspace(0, 1, intervals + 1))


def constant_variance(signal, noise):
    """Variance of a value that does not come from photons, of pixels of a ``signal`` and a ``noise`` (M,)."""
    return max(float(median_of_values(noise**2 - np.maximum(signal, 0))), LEAST_CONSTANT)


def even_noise(signal, constant):
    """A coordinate in which photon noise and a constant variance have a standard deviation of 1; below 0 as at 0."""
    root = np.sqrt(constant)
    return np.where(signal > 0, 2 * np.sqrt(np.maximum(signal, 0) + constant) - 2 * root, signal / root)


def signal_of(place, constant):
    """The signal at some places of `even_noise`."""
    root = np.sqrt(constant)
    return np.where(place > 0, (place / 2 + root) ** 2 - constant, place * root)


def _deconvolved(values, constant, deviation):
    """Edges of bins of the signal, and the share of the pixels in each."""
    place = even_noise(values, constant)
    low, high = place.min(), place.max()
    bins = int(np.clip((high - low) / GRID, 10, MOST_BINS))
    found, edges = np.histogram(place, bins, (low, high))
    width = deviation / (edges[1] - edges[0])
    found = found / found.sum()
    share = ndimage.gaussian_filter1d(found, width) + 1e-12
    for _ in range(STEPS):
        model = np.maximum(ndimage.gaussian_filter1d(share, width), 1e-12)
        share *= ndimage.gaussian_filter1d(found / model, width)
    return signal_of(edges, constant), share / share.sum()
