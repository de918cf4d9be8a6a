"""The pixels that are examined, and the values of these pixels."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from crstack.joint.charges import HitDensity, sigma_index
from crstack.joint.chosen import Chosen
from crstack.joint.cubes import by_parts, joined
from crstack.joint.likelihood import NODE_REACH, NODE_STEP, log_clean, nodes_of_groups, signal_nodes, widths_of
from crstack.joint.local_prior import MOST_PIXELS, LocalPrior, local_prior
from crstack.joint.measured_signals import MeasuredSignals
from crstack.joint.unlike_places import noise_has_places, widen_spans
from crstack.normal_samples import normal_range_exceeded
from crstack.utils.cached import cached_property
from crstack.utils.memory import empty_image, kept, relax
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_threads, row_bands, slices, wide_bands

__all__ = [
    "NODES_AT_ONCE",
    "VALUES_AT_ONCE",
    "Candidates",
    "clean_means",
    "clean_signal",
    "even_slices",
    "examined_share",
    "fewest_known",
    "find_candidates",
    "pieces_of",
]

#: share of clean pixels that is examined: those with the largest span of values. It is at least this number of times
#: a requested rate of false alarms
EXAMINED, OF_FALSE_ALARMS = 0.03, 10
#: the neighbours of pixels that span this number of standard deviations are examined too
SURE_SPAN = 5.0
#: number of examined pixels of a part
CANDIDATES_AT_ONCE = 1 << 15
#: largest noise for which the nodes of the signal are placed, as a multiple of the least noise of a value of the pixel.
#: They do not resolve all of the posterior (see `~crstack.joint.unresolved`), but find the hits of the first sweeps.
MOST_NOISE = 2.0
#: number of values at nodes, and of values, that are computed together: the arrays of one exposure at all nodes fit
#: into the caches. Smaller pieces are slower, see `~crstack.utils.threads`.
NODES_AT_ONCE, VALUES_AT_ONCE = 1 << 18, 1 << 15


@dataclass(frozen=True, eq=False)
class Candidates:
    """Values of the examined pixels; exposures along the first axis.

    Attributes
    ----------
    where : tuple
        Rows and columns, (M,) each.
    values, scales, shifts, variance, poisson : `~numpy.ndarray`
        (N or 1, M or 1), see `Counts`; the variance with its excess.
    unknown, detected : `~numpy.ndarray` of bool or None
        (N, M) bad values, and those found by an auxiliary detector.
    prior : LocalPrior or None
        Frequency of signals, for what the pixels around predict; uniform if None.
    around : `~numpy.ndarray` or None
        float32 (M,) what the pixels around each one predict, see `~crstack.joint.local_prior.local_prior`.
    chosen : Chosen or None
        Selection of the pixels.
    groups : tuple of tuple of int
        Exposures of like noise, see `~crstack.joint.unlike_noise.groups_of_noise`; none if all are alike.
    fewest : int or None
        Smallest number of known values of a pixel that has any; None if no value is bad.
    reach : tuple of float
        Standard deviations below and above the lowest value over which the signal is integrated.
    step : float
        Distance of the nodes of this integral, in standard deviations of the mean of the values.
    """

    where: tuple
    values: np.ndarray
    scales: np.ndarray
    shifts: np.ndarray
    variance: np.ndarray
    poisson: np.ndarray
    unknown: np.ndarray | None = None
    detected: np.ndarray | None = None
    prior: LocalPrior | None = None
    around: np.ndarray | None = None
    chosen: Chosen | None = None
    groups: tuple = ()
    fewest: int | None = None
    reach: tuple = (NODE_REACH, NODE_REACH)
    step: float = NODE_STEP

    def __len__(self):
        return self.values.shape[1]

    def some(self, chosen):
        """Those of the candidates that are ``chosen``: bool (M,), indices or a slice."""

        def cut(value):
            return value if value is None or value.shape[1] == 1 else value[:, chosen]

        names = ("scales", "shifts", "variance", "poisson", "unknown", "detected")
        return replace(
            self,
            where=tuple(index[chosen] for index in self.where),
            values=self.values[:, chosen],
            around=None if self.around is None else self.around[chosen],
            **{name: cut(getattr(self, name)) for name in names},
        )

    @cached_property
    def levels(self):
        """(N, M) the common signal of each value."""
        parts = self.parts()
        if len(parts) < 2:
            return (self.values - self.shifts) / self.scales
        return by_parts(lambda part: (self.some(part).levels,), parts, len(self))[0]

    def sigma(self, signal):
        """Noise (N, M) of the values at a common signal (M,) or (N, M), electrons."""
        photons = np.maximum(self.scales * signal + self.shifts, 0) * self.poisson
        return np.sqrt(photons + self.variance)

    def of_exposure(self, i):
        """Scale, shift, variance and photons of exposure ``i``: (M,) or (1,) each."""
        return tuple(_row(one, i) for one in (self.scales, self.shifts, self.variance, self.poisson))

    def scale_of(self, i):
        """Scale of exposure ``i``: (M,) or (1,)."""
        return _row(self.scales, i)

    def sigma_of(self, i, signal):
        """Noise (J, M) of the values of exposure ``i`` at common signals (J, M), electrons."""
        scale, shift, variance, poisson = self.of_exposure(i)
        return np.sqrt(np.maximum(scale * signal + shift, 0) * poisson + variance)

    @cached_property
    def lowest(self):
        """(M,) lowest known level."""
        levels = self.levels if self.unknown is None else np.where(self.unknown, np.inf, self.levels)
        lowest = levels.min(axis=0)
        return np.where(np.isfinite(lowest), lowest, 0)

    @property
    def alike(self):
        """Whether all exposures have the same expected values and noise."""
        return all(len(one) == 1 for one in (self.scales, self.shifts, self.variance, self.poisson))

    def at_nodes(self):
        """Quantities that do not depend on the population of hits.

        Returns
        -------
        nodes : `~numpy.ndarray`
            (J, M) of the common signal, electrons.
        clean : `~numpy.ndarray`
            (N, J, M) log densities of clean values there, per standard deviation of the value.
        index : `~numpy.ndarray`
            (N, J, M) places of hit values, see `~crstack.joint.charges.HitDensity.index`.
        prior : `~numpy.ndarray`
            (J, M) log density of the signal, times the widths of nodes that are not evenly spaced, over the product of
            the standard deviations of the values.
        """
        nodes, widths = self._nodes()
        nodes, prior = (nodes, np.zeros_like(nodes)) if self.prior is None else self.prior(nodes, self.around)
        if widths is not None:
            prior = prior + np.log(widths)
        shape = (len(self.values), *nodes.shape)
        clean, index = np.empty(shape, np.float32), np.empty(shape, np.uint16)
        for i, value in enumerate(self.values):
            scale, shift, variance, poisson = self.of_exposure(i)
            if not (i and self.alike):
                signal = scale * nodes + shift
                sigma = np.sqrt(np.maximum(signal, 0) * poisson + variance)
                log_sigma = np.log(sigma)
            index[i] = HitDensity.index(value - signal, sigma, log_sigma)
            np.add(log_clean(value, signal, variance, poisson), log_sigma, out=clean[i])
            of_value = log_sigma
            if self.unknown is not None:
                # a bad value has no information
                clean[i][:, self.unknown[i]] = 0
                of_value = np.where(self.unknown[i], 0, log_sigma)
            prior = prior - of_value
        return nodes, clean, index, prior

    def noises(self):
        """Places in ``LOG_SIGMA``, from the lowest to the highest noise of the values at the nodes: (first, last)."""
        nodes = self._nodes()[0]
        # the noise does not decrease with the signal, and the nodes ascend
        ends = [self.sigma_of(i, nodes[[0, -1]]) for i in range(len(self.values))]
        return int(sigma_index(min(one.min() for one in ends))), int(sigma_index(max(one.max() for one in ends)))

    def _nodes(self):
        """Nodes (J, M), and their widths (J, M); None where they are evenly spaced."""
        noise = np.broadcast_to(self.sigma(self.lowest), self.values.shape)
        noise = np.broadcast_to(noise / self.scales, self.values.shape)
        slopes = self.poisson / self.scales
        if len(self.groups) < 2:
            lowest = self._lowest_of_all(noise, slopes)
            nodes = signal_nodes(*lowest, len(self.values), self.fewest, self.reach, self.step, slopes.mean(axis=0))
            return nodes, widths_of(nodes) if slopes.any() else None
        levels, numbers = self.levels, tuple(map(len, self.groups))
        if self.unknown is not None:
            levels = np.where(self.unknown, np.inf, levels)
        lowest = np.stack([levels[list(group)].min(axis=0) for group in self.groups])
        lowest = np.where(np.isfinite(lowest), lowest, self.lowest)
        noises = np.stack([noise[list(group)].mean(axis=0) for group in self.groups])
        slopes = np.broadcast_to(slopes, (len(self.values), slopes.shape[1]))
        slopes = np.stack([slopes[list(group)].mean(axis=0) for group in self.groups])
        return nodes_of_groups(lowest, noises, numbers, self.fewest, self.reach, self.step, slopes)

    def _lowest_of_all(self, noises, slopes):
        """The lowest level and its noise (M,), for levels with the ``noises`` (N, M) and ``slopes`` (N or 1, M or 1).

        No value lies far below the signal. The signal is therefore at most the lowest sum of a level and a multiple of
        its noise. The noises of one pixel differ if the throughputs differ, or the variances.
        """
        noise = noises.mean(axis=0)
        if self.alike:
            return self.lowest, noise
        # nodes for an exposure whose error is much larger here would be too far apart for the others
        known = noises if self.unknown is None else np.where(self.unknown, np.inf, noises)
        noise = np.minimum(noise, np.float32(MOST_NOISE) * known.min(axis=0))
        highest = self.levels + np.float32(NODE_REACH) * (noises - noise)
        highest = highest + np.float32(NODE_REACH**2 / 2) * (slopes - slopes.mean(axis=0))
        if self.unknown is not None:
            highest = np.where(self.unknown, np.inf, highest)
        highest = highest.min(axis=0)
        return np.where(np.isfinite(highest), highest, self.lowest), noise

    def parts(self):
        """Slices of a size that fits into fast memory."""
        return slices(len(self), CANDIDATES_AT_ONCE)

    def tables(self):
        """`at_nodes` of each of the `parts`."""
        return map_threads(self._table, self.parts())

    def _table(self, part):
        """`at_nodes` of a part, by pieces whose temporary arrays are small."""
        some, table = self.some(part), None
        for here in even_slices(len(some), VALUES_AT_ONCE // len(self.values)):
            found = some.some(here).at_nodes()
            if table is None:
                table = tuple(empty_image((*one.shape[:-1], len(some)), one.dtype) for one in found)
            for whole, one in zip(table, found, strict=True):
                whole[..., here] = one
        return table


def _row(values, i):
    """Row of exposure ``i`` of values (N or 1, ...), which have one row if all exposures share it."""
    return values[min(i, len(values) - 1)]


def pieces_of(part, table):
    """A part of the candidates in pieces whose temporary arrays are small.

    Parameters
    ----------
    part : slice
        One of `Candidates.parts`.
    table : tuple of `~numpy.ndarray`
        Its `Candidates.at_nodes`.

    Yields
    ------
    piece : tuple
        The candidates of a piece (a slice), and their nodes, clean densities, places and prior.
    """
    n, n_nodes, number = table[1].shape
    for here in even_slices(number, NODES_AT_ONCE // (n * n_nodes)):
        yield slice(part.start + here.start, part.start + here.stop), *(one[..., here] for one in table)


def even_slices(number, most):
    """Slices of nearly the same length, about ``most``, that cover a ``number``.

    A slice of a single pixel is avoided, because NumPy sums that one in another order.
    """
    count = max(number // max(most, 2), 1)
    edges = [i * number // count for i in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def clean_signal(counts, candidates, chance):
    """Mean of the clean values of each pixel (ny, nx), electrons on the common scale.

    If none is clean, it is the lowest value. ``chance`` is the probability (N, M) of the candidates to be hit.
    """
    signal, levels = empty_image(counts.data.shape[1:]), counts.level_cube

    def work(rows):
        signal[rows] = levels[:, rows].mean(axis=0)

    map_threads(work, row_bands(*signal.shape))
    signal[candidates.where] = clean_means(candidates, chance)
    return signal


def clean_means(candidates, chance):
    """Mean (M,) of the clean values of each candidate, electrons on the common scale; the lowest if none is clean."""
    means = empty_image(len(candidates))
    for part in candidates.parts():
        some, clean = candidates.some(part), 1 - chance[:, part]
        known = (some.levels * clean).sum(axis=0) / np.maximum(clean.sum(axis=0), 1e-6)
        means[part] = np.where(clean.sum(axis=0) > 0.5, known, some.lowest)
        relax()
    return means


def examined_share(false_alarm):
    """Share of clean pixels that is examined for a rate of false alarms, which may be None."""
    return EXAMINED if false_alarm is None else max(EXAMINED, OF_FALSE_ALARMS * false_alarm)


def find_candidates(counts, excess, sigma, detected=None, examined=EXAMINED, unlike=None, signal=None):
    """The pixels whose values have a larger span than those of clean ones, and their neighbours.

    Parameters
    ----------
    counts : Counts
        The exposures.
    excess : `~numpy.ndarray`
        (ny, nx) variance of the common signal beyond photons and read noise.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    detected : `~numpy.ndarray` of bool, optional
        (N, ny, nx), pixels found by an auxiliary detector, which are always examined.
    examined : float, optional
        Share of clean pixels that is examined.
    unlike : UnlikeNoise, optional
        The noise of groups of exposures, if it is not alike.
    signal : `~numpy.ndarray`, optional
        (ny, nx) expected common signal. With it, pixels are examined whose values have unlike noise.

    Returns
    -------
    candidates : Candidates
    """
    levels = counts.level_cube
    widest = normal_range_exceeded(examined, len(levels))
    anyway = empty_image(sigma.shape, bool)

    def work(band):
        rows, wide, inner = band
        part = levels[:, wide]
        if unlike is None:
            span = (part.max(axis=0) - part.min(axis=0)) / sigma[wide]
        else:
            span = unlike.span(part, unlike.levels[:, wide])
        if signal is not None and noise_has_places(counts):
            widen_spans(span, part, counts.rows(wide), signal[wide], excess[wide], unlike)
        anyway[rows] = dilate(span > SURE_SPAN, 1)[inner]
        if detected is not None:
            anyway[rows] |= detected[:, rows].any(axis=0)
        where = np.nonzero(anyway[rows] | (span[inner] > widest))
        picked = counts.rows(rows).at(where, excess[rows])
        marks = [None if one is None else one[:, rows][:, *where] for one in (counts.bad, detected)]
        return (where[0] + rows.start, where[1]), kept(picked), kept(marks)

    found = map_threads(work, wide_bands(*sigma.shape, margin=1))
    where = tuple(np.concatenate([one[0][axis] for one in found]) for axis in (0, 1))
    nowhere = np.zeros(0, int)
    # a quantity that is the same everywhere has one column, also if there are no pixels
    columns = [one.shape[1] for one in counts.rows(slice(0, 1)).at((nowhere, nowhere), excess[:1])]
    picked = [
        parts[0] if n_columns else joined(parts)
        for n_columns, *parts in zip(columns, *(one[1] for one in found), strict=True)
    ]
    unknown, seen = (
        None if parts[0] is None else joined(parts) for parts in zip(*(one[2] for one in found), strict=True)
    )
    groups = () if unlike is None else unlike.groups
    # it finds the neighbours, and the population from which the last fit starts: `~crstack.joint.sweeps.probabilities`
    prior = local_prior(MeasuredSignals.of(counts, sigma, widest, unlike), where, MOST_PIXELS // 4)
    how = Chosen(anyway, widest, len(levels))
    return Candidates(where, *picked, unknown, seen, *prior, how, groups, fewest_known(unknown))


def fewest_known(unknown):
    """Smallest number of known values of a pixel that has any, from the bad values (N, M); None without bad values."""
    if unknown is None:
        return None
    known = len(unknown) - np.count_nonzero(unknown, axis=0)
    return int(known[known > 0].min(initial=len(unknown)))
