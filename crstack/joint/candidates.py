"""The exposures in electrons, and the pixels that are examined."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from crstack._cached import cached_property
from crstack._memory import empty_image, kept, relax
from crstack._pixels import at_pixels, dilate
from crstack._threads import map_threads, row_bands, slices, wide_bands
from crstack.joint.charges import HitDensity
from crstack.joint.chosen import Chosen
from crstack.joint.cubes import LevelCube, by_parts, in_order, joined, with_bad_filled
from crstack.joint.likelihood import NODE_REACH, log_clean, signal_nodes
from crstack.joint.signal_prior import SignalPrior, signal_prior
from crstack.statistics import normal_range_exceeded

__all__ = ["Candidates", "Counts", "clean_signal", "even_slices", "find_candidates", "pieces_of"]

#: share of clean pixels that is examined: those with the largest span of values
LOOKED_AT = 0.03
#: the neighbours of pixels that span this number of standard deviations are examined too
SURE_SPAN = 5.0
CANDIDATES_AT_ONCE = 1 << 13
#: values at nodes, and values, whose temporary arrays fit into the caches
NODES_IN_CACHE, VALUES_AT_ONCE = 1 << 17, 1 << 14


@dataclass(frozen=True, eq=False)
class Counts:
    """Exposures in electrons and their expected values.

    The expected value of exposure i for a common signal s (electrons) is a_i s + d_i.

    Parameters
    ----------
    data : `~numpy.ndarray`
        float32 (N, ny, nx) in electrons.
    variance : float, `~numpy.ndarray` or tuple of these
        Variance without that of the photons, electrons squared: number or (ny, nx), or a tuple of these for each
        exposure.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.
    scales : tuple, optional
        The a_i: numbers or (ny, nx). All 1 if not given.
    shifts : tuple, optional
        The d_i: numbers or (ny, nx). All 0 if not given.
    poisson : tuple of bool, optional
        False where the variance of an exposure includes that of its photons.
    worth : tuple, optional
        Value of an electron of each exposure in the combined image: numbers or (ny, nx). All 1 if not given.
    """

    data: np.ndarray
    variance: object
    bad: np.ndarray | None = None
    scales: tuple | None = None
    shifts: tuple | None = None
    poisson: tuple | None = None
    worth: tuple | None = None

    @property
    def alike(self):
        """Whether all exposures have the same expected image and noise."""
        return self.scales is None and self.shifts is None and not isinstance(self.variance, tuple)

    @cached_property
    def levels(self):
        """(N, ny, nx) the common signal of each value; the median at bad values."""
        levels = self.data
        if not self.alike:
            levels = np.stack([self.level_of(i) for i in range(len(self.data))])
        return with_bad_filled(levels[:], self.bad)

    @property
    def level_cube(self):
        """The same as `levels`, computed where it is used."""
        return LevelCube(self)

    def level_of(self, i: int) -> np.ndarray:
        """The common signal (ny, nx) of each value of exposure ``i``, also of bad values.

        Parameters
        ----------
        i : int
            Number of the exposure, from 0.
        """
        if self.alike:
            return self.data[i]
        shift, scale = self._of(self.shifts, i, 0.0), self._of(self.scales, i, 1.0)
        return ((self.data[i] - shift) / scale).astype(np.float32, copy=False)

    @staticmethod
    def _of(values, i, default):
        return np.float32(default) if values is None else np.asarray(values[i], dtype=np.float32)

    def variance_of(self, i: int, signal: np.ndarray) -> np.ndarray:
        """Variance (ny, nx) of the level of exposure ``i`` at an expected common signal.

        Parameters
        ----------
        i : int
            Number of the exposure, from 0.
        signal : `~numpy.ndarray`
            (ny, nx), in electrons.
        """
        scale = self._of(self.scales, i, 1.0)
        variance = self._of(self.variance, i, 0) if isinstance(self.variance, tuple) else np.float32(self.variance)
        if self.poisson is None or self.poisson[i]:
            variance = variance + np.maximum(scale * signal + self._of(self.shifts, i, 0.0), 0)
        return variance / scale**2

    def mean_variance(self, signal: np.ndarray) -> np.ndarray:
        """Mean over the exposures of `variance_of`; that of one if all are equal.

        Parameters
        ----------
        signal : `~numpy.ndarray`
            (ny, nx) common signal, in electrons.
        """
        if self.alike:
            return self.variance_of(0, signal)
        # one at a time, because all of them would need as much memory as the exposures
        total = self.variance_of(0, signal)
        for i in range(1, len(self.data)):
            total = total + self.variance_of(i, signal)
        return total / np.float32(len(self.data))

    def mean_variance_in(self, signal: np.ndarray, box: tuple[slice, slice] | None = None) -> np.ndarray:
        """`mean_variance` of a part of the image: slices of rows and columns.

        Parameters
        ----------
        signal : `~numpy.ndarray`
            Common signal of the part, in electrons.
        box : tuple of slice, optional
            Rows and columns; the whole image by default.
        """
        return (self if box is None else self.rows(box)).mean_variance(signal)

    def expected(self, i: int, signal: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """Expected counts (ny, nx) of exposure ``i``, variance without that of its photons, and whether it has any.

        Parameters
        ----------
        i : int
            Number of the exposure, from 0.
        signal : `~numpy.ndarray`
            (ny, nx) common signal, in electrons.
        excess : `~numpy.ndarray`
            (ny, nx) excess variance, electrons squared.
        """
        scale = self._of(self.scales, i, 1.0)
        variance = self._of(self.variance, i, 0) if isinstance(self.variance, tuple) else np.float32(self.variance)
        poisson = self.poisson is None or self.poisson[i]
        return scale * signal + self._of(self.shifts, i, 0.0), variance + scale**2 * excess, poisson

    def rows(self, rows: slice | tuple[slice, slice]) -> "Counts":
        """The counts of some rows (a slice), or of a part of the image (slices of rows and columns).

        Parameters
        ----------
        rows : slice or tuple of slice
            Rows, or rows and columns.
        """
        box = rows if isinstance(rows, tuple) else (rows,)

        def cut(value):
            if isinstance(value, tuple):
                return tuple(cut(one) for one in value)
            return at_pixels(value, box)

        bad = None if self.bad is None else self.bad[:, *box]
        cuts = (None if one is None else cut(one) for one in (self.scales, self.shifts))
        worth = None if self.worth is None else cut(self.worth)
        return Counts(self.data[:, *box], cut(self.variance), bad, *cuts, self.poisson, worth)

    def combined_at(self, where: tuple[np.ndarray, np.ndarray], signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values and expected values (N, M) at pixels of some common signal (M,), as they are combined.

        Parameters
        ----------
        where : tuple of `~numpy.ndarray`
            Rows and columns (M,) of the pixels.
        signal : `~numpy.ndarray`
            (M,), in electrons.
        """
        expected = np.empty((len(self.data), len(signal)))
        values = self.data[:, *where].astype(np.float64)
        for i in range(len(values)):
            scale, shift, worth = (
                at_pixels(value, where)
                for value in (
                    self._of(self.scales, i, 1.0),
                    self._of(self.shifts, i, 0.0),
                    self._of(self.worth, i, 1.0),
                )
            )
            expected[i] = (scale * signal + shift) * worth
            values[i] *= worth
        return values, expected

    def ordered(self, order: np.ndarray) -> "Counts":
        """The counts with the exposures in another order (indices).

        Parameters
        ----------
        order : `~numpy.ndarray`
            Numbers of the exposures, from 0.
        """

        def pick(values):
            return tuple(values[i] for i in order) if isinstance(values, tuple) else values

        per_exposure = ("variance", "scales", "shifts", "poisson", "worth")
        picked = {name: pick(getattr(self, name)) for name in per_exposure}
        return replace(self, data=in_order(self.data, order), bad=in_order(self.bad, order), **picked)

    def typical(self) -> tuple[np.ndarray, ...]:
        """Typical variance, scale and kind of noise of each exposure, (N,) each."""

        def middle(values, default):
            values = [default] * n if values is None else values
            return np.array([np.median(value) for value in values], dtype=np.float32)

        n = len(self.data)
        variance = self.variance if isinstance(self.variance, tuple) else (self.variance,) * n
        return middle(variance, 0.0), middle(self.scales, 1.0), middle(self.poisson, 1.0)

    def at(self, where: tuple[np.ndarray, np.ndarray], excess: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values, scales, shifts, variances and kinds of noise, each (N or 1, M or 1), of some pixels.

        Parameters
        ----------
        where : tuple of `~numpy.ndarray`
            Rows and columns (M,) of the pixels.
        excess : `~numpy.ndarray`
            (ny, nx) excess variance, electrons squared.
        """

        def pick(values, default):
            if values is None:
                return np.full((1, 1), default, np.float32)
            picked = [np.asarray(value, np.float32)[where if np.ndim(value) else ...] for value in values]
            return np.stack([np.atleast_1d(value) for value in np.broadcast_arrays(*picked)])

        scales, shifts = pick(self.scales, 1.0), pick(self.shifts, 0.0)
        each = self.variance if isinstance(self.variance, tuple) else (self.variance,)
        variance = pick(each, 0.0) + scales**2 * excess[where]
        poisson = pick(self.poisson, 1.0)
        return self.data[:, where[0], where[1]], scales, shifts, np.broadcast_to(variance, variance.shape), poisson


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
    prior : SignalPrior or None
        Frequency of signals; uniform if None.
    chosen : Chosen or None
        Selection of the pixels.
    """

    where: tuple
    values: np.ndarray
    scales: np.ndarray
    shifts: np.ndarray
    variance: np.ndarray
    poisson: np.ndarray
    unknown: np.ndarray | None = None
    detected: np.ndarray | None = None
    prior: SignalPrior | None = None
    chosen: Chosen | None = None

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

    def _row(self, values, i):
        return values[min(i, len(values) - 1)]

    def scale_of(self, i):
        """Scale of exposure ``i``: (M,) or (1,)."""
        return self._row(self.scales, i)

    def sigma_of(self, i, signal):
        """Noise (J, M) of the values of exposure ``i`` at common signals (J, M), electrons."""
        photons = np.maximum(self.scale_of(i) * signal + self._row(self.shifts, i), 0) * self._row(self.poisson, i)
        return np.sqrt(photons + self._row(self.variance, i))

    @cached_property
    def lowest(self):
        """(M,) lowest known level."""
        levels = self.levels if self.unknown is None else np.where(self.unknown, np.inf, self.levels)
        lowest = levels.min(axis=0)
        return np.where(np.isfinite(lowest), lowest, 0)

    def _lowest_and_noise(self):
        """The lowest level and the noise of a level (M,), for `~crstack.joint.likelihood.signal_nodes`.

        No value lies far below the signal. So the signal is at most the lowest of the levels plus a multiple of their
        noises, which differ where the exposures have different scales.
        """
        noises = self.sigma(self.lowest) / self.scales
        if len(noises) == 1:
            return self.lowest, noises[0]
        noise = noises.mean(axis=0)
        highest = self.levels + np.float32(NODE_REACH) * (noises - noise)
        if self.unknown is not None:
            highest[self.unknown] = np.inf
        highest = highest.min(axis=0)
        return np.where(np.isfinite(highest), highest, self.lowest), noise

    def at_nodes(self):
        """Quantities that do not depend on the population of hits.

        Returns
        -------
        nodes : `~numpy.ndarray`
            (J, M) of the common signal, electrons; evenly spaced where there is no prior.
        clean : `~numpy.ndarray`
            (N, J, M) log densities of clean values there.
        index : `~numpy.ndarray`
            (N, J, M) places of hit values, see `~crstack.joint.charges.HitDensity.index`.
        prior : `~numpy.ndarray`
            (J, M) log density of the signal.
        """
        nodes = signal_nodes(*self._lowest_and_noise(), len(self.values))
        nodes, prior = (nodes, np.zeros_like(nodes)) if self.prior is None else self.prior(nodes)
        clean, index = [], []
        for i, value in enumerate(self.values):
            scale, shift, variance, poisson = (
                one[min(i, len(one) - 1)] for one in (self.scales, self.shifts, self.variance, self.poisson)
            )
            signal = scale * nodes + shift
            one = log_clean(value, signal, variance, poisson)
            if self.unknown is not None:
                one[:, self.unknown[i]] = 0  # a bad value has no information
            clean.append(one)
            sigma = np.sqrt(np.maximum(signal, 0) * poisson + variance)
            index.append(HitDensity.index(value - signal, sigma))
        return nodes, np.stack(clean), np.stack(index), prior

    def parts(self):
        """Slices of a size that fits into fast memory."""
        return slices(len(self), CANDIDATES_AT_ONCE)

    def tables(self):
        """`at_nodes` of each of the `parts`."""
        return map_threads(self._table, self.parts())

    def _table(self, part):
        """`at_nodes` of a part, by pieces whose temporary arrays fit into the caches."""
        some, table = self.some(part), None
        for here in even_slices(len(some), VALUES_AT_ONCE // len(self.values)):
            found = some.some(here).at_nodes()
            if table is None:
                table = tuple(empty_image((*one.shape[:-1], len(some)), one.dtype) for one in found)
            for whole, one in zip(table, found, strict=True):
                whole[..., here] = one
        return table


def pieces_of(part, table):
    """A part of the candidates in pieces whose temporary arrays fit into the caches.

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
    for here in even_slices(number, NODES_IN_CACHE // (n * n_nodes)):
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
    for part in candidates.parts():
        some, clean = candidates.some(part), 1 - chance[:, part]
        known = (some.levels * clean).sum(axis=0) / np.maximum(clean.sum(axis=0), 1e-6)
        signal[some.where] = np.where(clean.sum(axis=0) > 0.5, known, some.lowest)
        relax()
    return signal


def find_candidates(counts, excess, sigma, detected=None, looked_at=LOOKED_AT):
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
    looked_at : float, optional
        Share of clean pixels that is examined.

    Returns
    -------
    candidates : Candidates
    """
    levels = counts.level_cube
    widest = normal_range_exceeded(looked_at, len(levels))
    anyway = empty_image(sigma.shape, bool)

    def work(band):
        rows, wide, inner = band
        part = levels[:, wide]
        span = (part.max(axis=0) - part.min(axis=0)) / sigma[wide]
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
    # what is the same everywhere has one column, also where no pixel is asked for
    columns = [one.shape[1] for one in counts.rows(slice(0, 1)).at((nowhere, nowhere), excess[:1])]
    picked = [
        parts[0] if n_columns else joined(parts)
        for n_columns, *parts in zip(columns, *(one[1] for one in found), strict=True)
    ]
    unknown, seen = (
        None if parts[0] is None else joined(parts) for parts in zip(*(one[2] for one in found), strict=True)
    )
    prior, how = signal_prior(levels, sigma, widest), Chosen(anyway, widest, len(levels))
    return Candidates(where, *picked, unknown, seen, prior, how)
