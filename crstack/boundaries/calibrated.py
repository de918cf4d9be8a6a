"""Boundary at a known rate of false alarms, from the noise alone."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from crstack.boundaries.base import IMAGES, BoundaryModel, FittedBoundary
from crstack.diagram import MMDiagram
from crstack.exceptions import InputError
from crstack.simulation.photon_tables import MixedTables
from crstack.statistics import order_statistics
from crstack.utils.threads import map_threads
from crstack.utils.validation import check_integer, check_number

__all__ = ["CalibratedBoundary", "CalibratedFit"]

#: levels of signal at which sets of exposures are simulated
LEVELS = 30
#: power of the number of a level that gives its place in the logarithm of the variance
SPACING = 1.4
#: least read noise (electrons) that is simulated; with less, values are whole numbers, and many are equal
LEAST_READNOISE = 0.3
#: share of the draws from a wider distribution, which reach the tail
WIDE_SHARE = 0.7
#: least effective number of draws beyond a measured rate; lower rates are extrapolated
READ_OFF = 50.0
#: highest rate that is measured, as a multiple of ``false_alarm``
HIGHEST_MEASURED = 30.0
#: number of steps that fit the rate at each signal; penalties for the size and the roughness of a step
STEPS, RIDGE, SMOOTHNESS = 5, 0.03, 0.1
#: points of a curve
SAMPLES = 400


@dataclass(frozen=True, eq=False, repr=False)
class CalibratedFit(FittedBoundary):
    """A boundary for each kind of image. Called as a function, it gives that of the median.

    Attributes
    ----------
    by_image : dict
        `FittedBoundary` for "median", "mean" and "exposure".
    """

    by_image: dict = field(default_factory=dict)

    def for_image(self, image: str) -> FittedBoundary:
        """The boundary of T - min2d where T is the "median", the "mean" or one "exposure".

        Parameters
        ----------
        image : str
            Kind of the image: "median", "mean" or "exposure".

        Returns
        -------
        boundary : FittedBoundary
            That of the image.
        """
        super().for_image(image)
        return self.by_image[image]


@dataclass(frozen=True)
class CalibratedBoundary(BoundaryModel):
    """The boundary that clean pixels exceed at a given rate, separate for each kind of image.

    At every signal, noise lifts T - min2d over the boundary with the probability ``false_alarm``: for T = median, for
    T = mean and for T = one exposure. Because this holds at each true signal, it holds for the pixels of any scene.
    Among the pixels of one observed min2d the rate may differ. The rules of the masks can only lower the rate. Set
    ``threshold_rnoise``, ``minimum_max2d_rnoise`` and ``mm_dilation`` to 0 to get the rate itself.

    Parameters
    ----------
    false_alarm : float, optional
        Probability that a pixel without hits lies over the boundary.
    n_draws : int, optional
        Sets of exposures drawn at each of 30 signals.
    seed : int, optional
        Of the random numbers.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Sets of values of the same signal are drawn, most of them from a wider distribution and weighted by the ratio of
    the two (importance sampling). Their tail gives T - min2d at the rate ``false_alarm`` for each signal. This point
    is placed at the mean min2d of the draws beyond it. If fewer than 50 of these draws are effective, the tail is
    extrapolated as that of a normal distribution. A few Gauss-Newton steps then fit the rate, in the least squares
    sense, at all signals together. At a few electrons and with less than 2 electrons of read noise no function of
    min2d can have the same rate at each signal. If gain or read noise are images, the boundary is that of a typical
    pixel, scaled (see ``NoiseScale``), and the rate is correct within a factor of about
    two. The boundary describes noise alone, and no other differences between the exposures.
    """

    false_alarm: float = 1e-6
    n_draws: int = 200_000
    seed: int = 20260101

    def __post_init__(self):
        check_number("false_alarm", self.false_alarm, minimum=0, maximum=0.01, exclusive=True)
        check_integer("n_draws", self.n_draws, minimum=10_000)
        check_integer("seed", self.seed, minimum=0)

    def fit(self, diagram: MMDiagram) -> "CalibratedFit":
        """Compute the boundaries over the range of ``diagram``, whose counts are not used.

        Parameters
        ----------
        diagram : `~crstack.diagram.MMDiagram`
            The diagram, whose settings and noise are used.

        Returns
        -------
        boundary : CalibratedFit
            A boundary for each kind of image.

        Raises
        ------
        InputError
            If the exposures of the diagram do not share one noise model, because they have uncertainties of their own
            or have been divided by flux factors or a response.
        """
        sets = diagram.sets
        if sets is None:
            raise InputError(
                "exposures must share one gain and read noise for CalibratedBoundary; got a diagram without them"
            )
        signals = _signals(sets.noise, diagram.x_edges[-1])
        tails = map_threads(lambda item: self._tails_at(sets, *item), enumerate(signals))
        by_image = {image: self._solve([one[image] for one in tails]) for image in IMAGES}
        median = by_image["median"]
        return CalibratedFit(self, median.x, median.y, median.points, by_image=by_image)

    def _tails_at(self, sets, number, electrons):
        """Tail of T - min2d of the draws at one signal, for each kind of T."""
        rng = np.random.default_rng([self.seed, number])
        tables = MixedTables(sets.noise.photon_distribution(electrons), sets.n_exposures)
        n_wide = int(self.n_draws * WIDE_SHARE)
        parts = [tables.draw(n, wide, rng) for wide, n in ((True, n_wide), (False, self.n_draws - n_wide))]
        photons, normal, ratio = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        weight = 1 / (1 - WIDE_SHARE + WIDE_SHARE * ratio) / self.n_draws
        cube = (photons - electrons + normal * max(sets.noise.readnoise_electrons, LEAST_READNOISE)).astype(np.float32)
        unit = sets.noise.electrons_per_unit
        statistics = order_statistics(cube, sets.cr_coincidences)
        min2d = statistics.min2d[0]
        images = {"median": statistics.median2d, "mean": statistics.mean2d, "exposure": cube[:, 0]}
        return {
            name: _Tail.of(min2d, image - min2d, weight / len(image), self.false_alarm).in_unit(electrons, unit)
            for name, image in images.items()
        }

    def _solve(self, tails):
        """The curve with the wanted rate at each signal."""
        heights = np.array([tail.quantile(tail.y, self.false_alarm) for tail in tails])
        x = np.array([tail.place(height) for tail, height in zip(tails, heights, strict=True)])
        # with little read noise, min2d stays constant while the noise rises
        order = np.argsort(x, kind="stable")
        curve = _Curve(x[order], np.maximum.accumulate(heights[order]))
        one = np.eye(len(tails))
        rough = np.diff(one, axis=0)
        penalty = RIDGE * one + SMOOTHNESS * rough.T @ rough
        for _ in range(STEPS):
            found = [self._too_low(tail, curve) for tail in tails]
            factors, slopes = (np.array(one) for one in zip(*found, strict=True))
            steps = np.linalg.solve(slopes.T @ slopes + penalty, slopes.T @ np.log(factors))
            curve = _Curve(curve.x, np.maximum.accumulate(curve.y * np.exp(steps)))
        # evenly spaced in the noise
        root = np.linspace(0, 1, SAMPLES)
        fine = curve.x[0] + (curve.x[-1] - curve.x[0]) * root**2
        return FittedBoundary(self, fine, curve(fine), np.column_stack([curve.x, curve.y]))

    def _too_low(self, tail, curve):
        """Factor by which a curve is too low at one signal, and its derivative by each point of the curve."""
        ratio = tail.y / curve(tail.x)
        factor = tail.quantile(ratio, self.false_alarm)
        near = np.argsort(np.abs(ratio - factor))[: int(2 * READ_OFF)]
        return factor, np.average(curve.slopes(tail.x[near]), axis=0, weights=tail.weight[near])


@dataclass(frozen=True, eq=False)
class _Curve:
    """A boundary through a few points; its square, like a variance, is linear between them."""

    x: np.ndarray
    y: np.ndarray

    def __call__(self, min2d):
        return np.sqrt(np.interp(min2d, self.x, self.y**2))

    def slopes(self, min2d):
        """Derivatives (n, points) of the log of the curve by the log of each of its points."""
        shares = np.stack([np.interp(min2d, self.x, one) for one in np.eye(len(self.x))], axis=1)
        return shares * self.y**2 / self(min2d)[:, None] ** 2


@dataclass(frozen=True, eq=False)
class _Tail:
    """The highest draws of one signal."""

    x: np.ndarray  # min2d
    y: np.ndarray  # T - min2d
    weight: np.ndarray  # weight of each draw, as a fraction of all draws

    @classmethod
    def of(cls, min2d, excess, weight, rate):
        """Keep the draws that matter at a rate."""
        x, weight = (np.broadcast_to(one, excess.shape).ravel() for one in (min2d, weight))
        order = np.argsort(excess.ravel())[::-1]
        last = np.searchsorted(weight[order].cumsum(), max(HIGHEST_MEASURED * rate, 1e-3))
        order = order[: max(last, 1000)]
        return cls(x[order].astype(np.float64), excess.ravel()[order].astype(np.float64), weight[order])

    def in_unit(self, electrons, electrons_per_unit):
        """The same in the unit of the exposures, with the signal of the draws."""
        return _Tail((self.x + electrons) / electrons_per_unit, self.y / electrons_per_unit, self.weight)

    def place(self, height):
        """Mean min2d of the draws over a height, or of those nearest to it."""
        some = self.y >= min(height, np.sort(self.y)[-int(READ_OFF)])
        return np.average(self.x[some], weights=self.weight[some])

    def quantile(self, values, rate):
        """Quantile that ``values``, nearly proportional to ``y``, exceed at a rate."""
        order = np.argsort(values)[::-1]
        weight = self.weight[order]
        chance = weight.cumsum() - weight / 2
        effective = weight.cumsum() ** 2 / np.square(weight).cumsum()
        known = min(int(np.searchsorted(effective, READ_OFF)), len(values) // 6)
        if chance[known] <= rate:
            return float(np.interp(np.log(rate), np.log(chance), values[order]))
        # extrapolate: ``values`` are taken as proportional to the normal deviates of the lowest measured rates
        some = slice(known, 6 * known)
        slope, start = np.polyfit(values[order][some], -ndtri(chance[some]), 1)
        return float((-ndtri(rate) - start) / slope)


def _signals(noise, highest):
    """Signals in electrons, from 0 to beyond that of the ``highest`` min2d, closest at low counts."""
    least = max(noise.readnoise_electrons**2, 1.0)
    most = max(highest * noise.electrons_per_unit, 100.0)
    most += 8 * np.sqrt(noise.variance(np.float64(most / noise.electrons_per_unit))) * noise.electrons_per_unit
    return least * (1 + most / least) ** (np.linspace(0, 1, LEVELS) ** SPACING) - least
