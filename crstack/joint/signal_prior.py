"""How frequent signals are in a stack: the prior of the common signal of a pixel."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.joint.cubes import taken
from crstack.utils.medians import median_of_values

__all__ = ["SignalPrior", "signal_prior"]

#: most pixels that are used, and fewest between two knots
PIXELS, FEWEST = 200_000, 150
#: intervals between knots, of the same number of pixels each
INTERVALS = 200
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
    """Distribution of the signal among the pixels of a stack.

    Attributes
    ----------
    signal, below : `~numpy.ndarray`
        (K,) signals in electrons, ascending, and the share of the pixels that have less.
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


def signal_prior(levels, sigma, widest=np.inf, unlike=None):
    """Density of the signal among the pixels of a stack.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) the signal that each value represents, electrons.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    widest : float, optional
        Pixels whose values span more than this number of standard deviations are left out. If one value of three is
        hit, the median is the higher of the two clean values.
    unlike : UnlikeNoise, optional
        The noise of groups of exposures, if it is not alike. The signal is then that of the group of least noise.

    Returns
    -------
    prior : SignalPrior or None
        None where the stack has too few pixels.

    Notes
    -----
    Signals are not equally frequent: most pixels are faint, and in an image most have the level of the sky. Three
    values of 12, 16 and 40 electrons may have a common signal of 22 and no hit. If signals of 22 electrons are five
    times rarer than those of 14, this is five times less probable than with an even prior.

    The density is that of the medians of the values. Their noise is removed by the deconvolution of Richardson
    (1972, J. Opt. Soc. Am. 62, 55) and Lucy (1974, AJ 79, 745), in a coordinate in which the noise is constant. It is
    the same everywhere in the image, so that it has no information on the places of stars.
    """
    n, step = len(levels), max(sigma.size // PIXELS, 1)
    places = np.arange(0, sigma.size, step)
    some = taken(lambda where: levels[:, *where], places, sigma.shape)
    noise = taken(lambda where: sigma[where], places, sigma.shape)
    if unlike is None:
        agree = some.max(axis=0) - some.min(axis=0) <= widest * noise
    else:
        agree = unlike.agree(some, places, widest)
        some, noise = some[list(unlike.groups[0])], taken(lambda where: unlike.levels[0][where], places, sigma.shape)
        n = len(some)
    some, noise = some[:, agree], noise[agree]
    # a mean of two would contain the hits of both
    middle = some.min(axis=0) + np.float32(LOWER_OF_TWO) * noise if n == 2 else median_of_values(some, axis=0)
    intervals = min(INTERVALS, middle.size // FEWEST)
    if intervals < 4:
        return None
    constant = max(float(median_of_values(noise**2 - np.maximum(middle, 0))), LEAST_CONSTANT)
    signal, share = _deconvolved(middle, constant, OF_MEDIAN.get(n, OF_MANY / np.sqrt(n)))
    below = np.concatenate([[0], np.cumsum(share)])
    # where pixels are few, the distribution is even between knots
    knots = np.interp(np.linspace(0, 1, intervals + 1), below, signal)
    return SignalPrior(knots, np.linspace(0, 1, intervals + 1))


def _deconvolved(values, constant, deviation):
    """Edges of bins of the signal, and the share of the pixels in each."""
    # Poisson noise and a constant variance: in this coordinate the noise is 1, below 0 as at 0
    root = np.sqrt(constant)
    place = np.where(values > 0, 2 * np.sqrt(np.maximum(values, 0) + constant) - 2 * root, values / root)
    low, high = place.min(), place.max()
    bins = int(np.clip((high - low) / GRID, 10, MOST_BINS))
    found, edges = np.histogram(place, bins, (low, high))
    width = deviation / (edges[1] - edges[0])
    found = found / found.sum()
    share = ndimage.gaussian_filter1d(found, width) + 1e-12
    for _ in range(STEPS):
        model = np.maximum(ndimage.gaussian_filter1d(share, width), 1e-12)
        share *= ndimage.gaussian_filter1d(found / model, width)
    signal = np.where(edges > 0, (edges / 2 + root) ** 2 - constant, edges * root)
    return signal, share / share.sum()
