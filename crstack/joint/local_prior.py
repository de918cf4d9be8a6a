"""The prior of the signal of a pixel, which depends on the signal of the pixels around it."""

from dataclasses import dataclass

import numpy as np

from crstack.joint.even_noise import EvenNoise, even_noise
from crstack.joint.predicted_signal import prediction_weights
from crstack.joint.signal_prior import FEWEST_PIXELS, SignalPrior, middles, signal_prior
from crstack.utils.cached import cached_property
from crstack.utils.medians import median_of_values
from crstack.utils.threads import map_threads

__all__ = ["MOST_PIXELS", "LocalPrior", "local_prior"]

#: most pixels from which the priors are measured
MOST_PIXELS = 200_000
#: width of a group of pixels, in standard deviations of a value
WIDTH = 0.5
#: largest change of the signal in a group by that of the pixels around
LARGEST_SLOPE = 2.0
#: standard deviations of a value beyond which a pixel is not fitted further, and rounds of this fit
FAR, ROUNDS = 2.0, 3
#: share of the pixels that is assumed to have signals that do not occur
LEAST = 1e-6
#: log density of the first of two equal nodes, whose interval is empty
NO_WIDTH = -1e4


@dataclass(frozen=True, eq=False)
class LocalPrior:
    """Distributions of the signal among pixels with like surroundings.

    All places are in a coordinate of the signal in which the noise is even.

    Attributes
    ----------
    edges : `~numpy.ndarray`
        (G - 1,) predicted places that separate the groups, ascending.
    priors : tuple of SignalPrior
        G distributions of the place minus slope times predicted place; that of the faintest surroundings first.
    slopes : `~numpy.ndarray`
        (G,) change of the place with the predicted place.
    coordinate : EvenNoise
        The coordinate.
    """

    edges: np.ndarray
    priors: tuple[SignalPrior, ...]
    slopes: np.ndarray
    coordinate: EvenNoise

    def __call__(self, nodes, predicted):
        """Mean signal in the intervals around nodes, and the log of the mean density there.

        Parameters
        ----------
        nodes : `~numpy.ndarray`
            (J, M) electrons, ascending along the first axis.
        predicted : `~numpy.ndarray`
            (M,) places that the pixels around predict.

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
        ends = np.concatenate([2 * nodes[:1] - middle[:1], middle, 2 * nodes[-1:] - middle[-1:]])
        # one pixel after the other: the search for an end starts where the one before was found
        ends = np.ascontiguousarray(ends.T, dtype=np.float64)
        group = self.edges.searchsorted(predicted, side="right")[:, np.newaxis]
        shift = self.slopes[group] * predicted[:, np.newaxis]
        below, moment = self._integrals(self.coordinate.place_of(ends) - shift, group)
        low, high = ends[:, :-1], ends[:, 1:]
        share, place = below[:, 1:] - below[:, :-1], moment[:, 1:] - moment[:, :-1]
        place /= np.where(share > 0, share, 1)
        place += shift
        signal = self.coordinate.signal_of(place)
        signal *= share
        signal += (low + high) * (LEAST / 2)
        share += LEAST
        signal /= share
        np.clip(signal, low, high, out=signal)
        widths = high - low
        empty = widths <= 0
        widths[empty] = 1
        share /= widths
        density = np.log(share, out=share)
        density[empty] = NO_WIDTH
        return tuple(np.ascontiguousarray(one.T, dtype=np.float32) for one in (signal, density))

    def _integrals(self, places, group):
        """Share of the distribution of the ``group`` (M, 1) below ``places`` (M, J), and the integral of the place."""
        first, last, offset, end, *knots = self._table
        place, row, below, moment, density = knots
        inside = np.clip(places, first[group], last[group])
        number = row.searchsorted(inside + offset[group], side="right") - 1
        np.minimum(number, end[group], out=number)
        start = place.take(number)
        # share of the interval between two knots
        part = inside - start
        part *= density.take(number)
        # times its mean place
        inside += start
        inside /= 2
        inside *= part
        inside += moment.take(number)
        part += below.take(number)
        return part, inside

    @cached_property
    def _table(self):
        """The knots of all groups, one after the other.

        For each group: its first and last place, what is added to a place to find it in the row of all knots, and the
        number of its last interval. For each knot: place, place in the row, share below, integral below, and density
        above.
        """
        first, last = (np.array([one.place[end] for one in self.priors]) for end in (0, -1))
        offset = np.concatenate([[0], np.cumsum(last - first + 1)[:-1]]) - first
        ends = np.cumsum([len(one.place) for one in self.priors]) - 2
        knots = []
        for prior, by in zip(self.priors, offset, strict=True):
            steps, shares = np.diff(prior.place), np.diff(prior.below)
            moment = np.cumsum(shares * (prior.place[1:] + prior.place[:-1]) / 2)
            density = np.divide(shares, steps, out=np.zeros_like(shares), where=steps > 0)
            knots.append((prior.place, prior.place + by, prior.below, [0, *moment], [*density, 0]))
        return first, last, offset, ends, *(np.concatenate(one) for one in zip(*knots, strict=True))


def local_prior(signals, where, most=MOST_PIXELS):
    """Density of the signal of a pixel, for what the pixels around it have.

    Parameters
    ----------
    signals : MeasuredSignals
        The signals that the stack measures.
    where : tuple of `~numpy.ndarray`
        Rows and columns (M,) of the pixels whose prior is needed, ascending in the image.
    most : int, optional
        Most pixels from which the prior is measured.

    Returns
    -------
    prior : LocalPrior or None
        None where the stack has too few pixels.
    predicted : `~numpy.ndarray` or None
        float32 (M,) what the pixels around each of the pixels ``where`` predict, in the coordinate of the prior.

    Notes
    -----
    Signals are not equally frequent: most pixels are faint, and in an image most have the level of the sky. Three
    values of 12, 16 and 40 electrons may have a common signal of 22 and no hit. If signals of 22 electrons are five
    times rarer than those of 14, this is five times less probable than with an even prior.

    Around a pixel of the sky nearly all have that level, and beside a star signals of 22 are as frequent as those of
    14. The signal of a pixel is therefore predicted from the 24 pixels around it, by a linear regression. Along the
    trace of a spectrum it gives most weight to the pixels on the trace. The pixels are divided into groups by the
    prediction. In each group, the density of the signal is measured along a line: where all pixels have the level of
    the sky, the signal does not depend on the prediction, and on a trace it follows it.

    The pixels around do not depend on the noise of the pixel itself. Their hits would make the prediction too bright,
    and a hit beside them too improbable: values far above the others are left out.
    """
    values, noise, pixels = signals.agreeing(most)
    if len(pixels) < FEWEST_PIXELS:
        return None, None
    typical = middles(values, noise)
    coordinate = even_noise(typical, noise, signals.slope)
    target = coordinate.place_of(typical).astype(np.float32)
    places = signals.places(coordinate)
    around = signals.around(pixels, places)
    weights = prediction_weights(target, around)
    predicted = weights @ around
    edges = _edges(predicted)
    numbers = edges.searchsorted(predicted, side="right")
    groups = [np.flatnonzero(numbers == number) for number in range(len(edges) + 1)]
    slopes = np.array([_slope(predicted[group], target[group]) for group in groups], np.float32)

    def prior_of(one):
        group, slope = one
        return signal_prior(target[group] - slope * predicted[group], len(values))

    priors = tuple(map_threads(prior_of, zip(groups, slopes, strict=True)))
    examined = np.ravel_multi_index(where, signals.sigma.shape)
    return LocalPrior(edges, priors, slopes, coordinate), signals.around(examined, places, weights)


def _edges(predicted):
    """Places between groups of `FEWEST_PIXELS` or more; the typical place is the middle of a group."""
    middle = float(median_of_values(predicted))
    first, last = (np.floor((end - middle) / WIDTH) for end in (predicted.min(), predicted.max()))
    edges = middle + WIDTH * (np.arange(first, last + 1) + 0.5)
    numbers = np.bincount(edges.searchsorted(predicted, side="right"), minlength=len(edges) + 1)
    kept, number = [], 0
    for edge, more in zip(edges, numbers, strict=False):
        number += more
        if number >= FEWEST_PIXELS:
            kept.append(edge)
            number = 0
    if kept and number + numbers[-1] < FEWEST_PIXELS:
        kept.pop()
    return np.array(kept)


def _slope(predicted, place):
    """Change of the ``place`` (M,) with the ``predicted`` place in a group. Pixels far from the line count less."""
    predicted, place = predicted - predicted.mean(), place - median_of_values(place)
    square = predicted @ predicted
    if not square:
        return 0.0
    fitted = place
    for _ in range(ROUNDS):
        slope = predicted @ fitted / square
        fitted = slope * predicted + np.clip(place - slope * predicted, -FAR, FAR)
    return float(np.clip(slope, 0, LARGEST_SLOPE))
