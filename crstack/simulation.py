"""Simulated pixels of a stack: draws of (min2d, median2d - min2d)."""

from functools import lru_cache

import numpy as np
from scipy.special import logsumexp

from crstack._threads import map_threads, row_bands
from crstack.noise_scale import NoiseScale
from crstack.statistics import order_statistics

__all__ = ["LevelSampler", "PixelSampler", "histogram"]

#: levels of expected signal per standard deviation of one exposure
LEVELS_PER_SIGMA = 20
#: levels that share one stream of random numbers
LEVELS_PER_BLOCK = 64
#: draws that show how far the diagram reaches
RANGE_DRAWS = 10000
#: values drawn at a time in one thread
DRAWS_AT_ONCE = 1 << 19
#: draws from which a table of a level's photon distribution pays
TABLE_DRAWS = 30_000
#: steps of probability in such a table
TABLE_STEPS = 4096
#: blocks between two reports of progress
BLOCKS_AT_ONCE = 16
#: draws of a whole simulation, above which crowded levels share what there is
MOST_DRAWS = 33_000_000
#: share of the draws of a crowded level that are drawn from a wider distribution
WIDE_SHARE = 0.3


def histogram(x, y, x_edges, y_edges, weights=None):
    """Histogram of pairs on even bins, indexed [x, y]: int64, or float64 with weights.

    Values outside the edges, and NaN, do not count; the last edge belongs to
    the last bin.
    """
    nx, ny = len(x_edges) - 1, len(y_edges) - 1
    inside = (x >= x_edges[0]) & (x <= x_edges[-1]) & (y >= y_edges[0]) & (y <= y_edges[-1])
    if not inside.all():
        x, y = x[inside], y[inside]
        weights = None if weights is None else weights[inside]
    column = ((x - x_edges[0]) * (nx / (x_edges[-1] - x_edges[0]))).astype(np.int32)
    row = ((y - y_edges[0]) * (ny / (y_edges[-1] - y_edges[0]))).astype(np.int32)
    np.minimum(column, nx - 1, out=column)
    np.minimum(row, ny - 1, out=row)
    return np.bincount(column * ny + row, weights, minlength=nx * ny).reshape(nx, ny)


def _counts_of(distribution, width=1.0):
    """Photon counts that a ``distribution`` can give, with all of its tails ``width`` times wider."""
    mean, reach = distribution.mean(), (10 * distribution.std() + 30) * width
    while distribution.sf(mean + reach / width) > 1e-16:
        reach *= 2
    return np.arange(max(int(mean - reach), 0), int(mean + reach) + 1)


def _inverse(cumulative):
    """Return a function that turns uniform numbers into indices of a ``cumulative`` distribution.

    The cumulative distribution is inverted through a guide table, which costs
    a tenth of drawing counts one by one (Chen & Asau 1974, AIIE Trans. 6, 163).
    """
    below = cumulative.copy()
    below[-1] = 1.0
    guide = np.searchsorted(below, np.arange(TABLE_STEPS) / TABLE_STEPS)

    def invert(uniform):
        index = guide[(uniform * TABLE_STEPS).astype(np.int32)]
        late = np.nonzero(below[index] < uniform)
        index[late] = np.searchsorted(below, uniform[late])
        return index

    return invert


def photon_table(distribution):
    """Return a function that turns uniform numbers into counts of ``distribution``.

    Parameters
    ----------
    distribution : frozen discrete distribution of `scipy.stats`
        Of the counts.

    Returns
    -------
    invert : callable
        From an array of uniform numbers in [0, 1) to integers of that shape.
    """
    counts = _counts_of(distribution)
    invert = _inverse(distribution.cdf(counts))
    return lambda uniform: counts[invert(uniform)]


class _Sampler:
    """Histograms of draws made in independent blocks, in threads.

    A subclass gives ``blocks(n_simulations)``, pairs of a block and its number
    of pixels, and ``draws(block, n_simulations)``, an iterator of (x, y).
    Each block has its own stream of random numbers, so that the answer
    does not depend on the number of threads.
    """

    def __init__(self, unit, n_exposures, cr_coincidences, seed):
        self.unit = unit
        self.n_exposures = n_exposures
        self.cr_coincidences = cr_coincidences
        self._entropy = np.random.SeedSequence(seed).entropy

    def _rng(self, *key):
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=key))

    def coordinates(self, min2d, difference):
        """Coordinates in the diagram of min2d and median2d - min2d (ny, nx)."""
        return min2d, difference

    def _statistics(self, cube):
        statistics = order_statistics(cube, self.cr_coincidences)
        return statistics.min2d, statistics.median2d - statistics.min2d

    def histogram(self, n_simulations, x_edges, y_edges, progress=None):
        """Accumulate the histogram of ``n_simulations`` sets of exposures.

        Parameters
        ----------
        n_simulations : int
            How often each pixel is drawn.
        x_edges, y_edges : `~numpy.ndarray`
            Even bin edges in `unit`.
        progress : callable, optional
            Called with the fraction done, 0 to 1.

        Returns
        -------
        counts : `~numpy.ndarray`
            int64, indexed [x, y].
        """
        total = np.zeros((len(x_edges) - 1, len(y_edges) - 1), dtype=np.int64)

        def work(block):
            return self.block_histogram(block, n_simulations, x_edges, y_edges)

        # the fullest first: the threads end together
        blocks = sorted(self.blocks(), key=lambda item: -item[1])
        pixels = sum(size for _, size in blocks)
        done = 0
        for start in range(0, len(blocks), BLOCKS_AT_ONCE):
            group = blocks[start : start + BLOCKS_AT_ONCE]
            for counts in map_threads(work, [block for block, _ in group]):
                total += counts
            done += sum(size for _, size in group)
            if progress is not None:
                progress(done / pixels)
        return total

    def block_histogram(self, block, n_simulations, x_edges, y_edges):
        """Histogram of a block, int64 indexed [x, y]."""
        counts = np.zeros((len(x_edges) - 1, len(y_edges) - 1), dtype=np.int64)
        for x, y in self.draws(block, n_simulations):
            counts += histogram(x, y, x_edges, y_edges)
        return counts


class LevelSampler(_Sampler):
    """Draws where all exposures share one expected signal and one scalar noise.

    Pixels of nearly the same signal are drawn together: signals are
    grouped into levels a twentieth of a standard deviation apart. The levels
    are fixed in electrons, and each block of them has its own random numbers,
    so that exposures in ADU and in electrons give the same diagram.

    The number of draws does not grow without bounds. Where the pixels are many,
    the draws of the most crowded levels are limited to `MOST_DRAWS` together, and
    tell with which probability a pixel of that level falls into each bin; its
    pixels are then dealt out to the bins. A share of these draws comes from a
    wider distribution, weighted down by the ratio of the two, for the bins that few of very
    many pixels reach (importance sampling with a defensive mixture: Owen & Zhou
    2000, J. Am. Stat. Assoc. 95, 135).

    Parameters
    ----------
    expected : `~numpy.ndarray`
        Expected signal of the pixels to simulate, any shape, in the unit of
        ``noise``; negatives count as 0.
    noise : NoiseModel
        Noise of one exposure, with scalar gain and read noise.
    n_exposures, cr_coincidences : int
        N, and how many of the highest values min2d leaves out.
    seed : int or None
        Seed of the random numbers; None for a new one.
    scale : NoiseScale, optional
        To the coordinates of another pixel, by numbers.
    share : float, optional
        Part of `MOST_DRAWS` that these pixels may take.
    """

    def __init__(self, expected, noise, n_exposures, cr_coincidences, seed, *, scale=None, share=1.0):
        super().__init__(noise.unit, n_exposures, cr_coincidences, seed)
        self.noise = noise
        self._scale = scale
        self._share = share
        self._floor = max(noise.readnoise_electrons, 1.0)
        self._pixels = self._count_levels(expected.ravel())

    def _count_levels(self, expected):
        """Number of pixels by level."""

        def work(part):
            return np.bincount(self._level_of(expected[part] * np.float64(self.noise.electrons_per_unit)))

        counts = map_threads(work, row_bands(expected.size, 1))
        total = np.zeros(max(map(len, counts)), dtype=np.int64)
        for one in counts:
            total[: len(one)] += one
        return total

    def _level_of(self, electrons):
        sigmas = 2 * (np.sqrt(np.maximum(electrons, 0) + self._floor**2) - self._floor)
        return np.rint(sigmas * LEVELS_PER_SIGMA).astype(np.int64)

    def _signal_of(self, level):
        """Electrons at each level: `_level_of` the other way round."""
        return (level / (2 * LEVELS_PER_SIGMA) + self._floor) ** 2 - self._floor**2

    def _xy_of(self, photons, normal):
        cube = photons.astype(np.float32)
        cube += normal * np.float32(self.noise.readnoise_electrons)
        cube /= np.float32(self.noise.electrons_per_unit)
        x, y = self._statistics(cube)
        if self._scale is not None:
            x, y = self._scale.typical(x, y)
        return x[0], y[0]

    def _draw(self, electrons, rng):
        shape = (self.n_exposures, 1, len(electrons))
        photons = self.noise.photons(np.broadcast_to(electrons, shape), rng)
        return self._xy_of(photons, rng.standard_normal(shape, dtype=np.float32))

    def reach(self, signal):
        """Smallest and largest x, and largest y, of many draws at one ``signal``."""
        electrons = np.full(RANGE_DRAWS, max(signal, 0.0) * self.noise.electrons_per_unit)
        x, y = self._draw(electrons, self._rng(0))
        return float(x.min()), float(x.max()), float(y.max())

    def blocks(self):
        """Ranges of levels, with how many pixels they hold."""
        starts = range(0, len(self._pixels), LEVELS_PER_BLOCK)
        sizes = ((start, int(self._pixels[start : start + LEVELS_PER_BLOCK].sum())) for start in starts)
        return [(start, size) for start, size in sizes if size]

    def draws(self, start, n_simulations):
        """Draw each pixel of a block of levels, those of crowded levels left out, ``n_simulations`` times."""
        levels, counts = self._levels_of(start, n_simulations)
        counts[counts > self._most_draws(n_simulations)] = 0
        rng = self._rng(1, start)
        step = DRAWS_AT_ONCE // self.n_exposures
        full = counts * self.n_exposures > TABLE_DRAWS
        for level, count in zip(levels[full], counts[full], strict=True):
            invert = photon_table(self.noise.photon_distribution(self._signal_of(level)))
            for first in range(0, count, step):
                shape = (self.n_exposures, 1, min(step, count - first))
                drawn = invert(rng.random(shape))
                yield self._xy_of(drawn, rng.standard_normal(shape, dtype=np.float32))
        electrons = np.repeat(self._signal_of(levels[~full]), counts[~full])
        for first in range(0, len(electrons), step):
            yield self._draw(electrons[first : first + step], rng)

    def _levels_of(self, start, n_simulations):
        counts = self._pixels[start : start + LEVELS_PER_BLOCK] * n_simulations
        return np.arange(start, start + len(counts), dtype=np.float64), counts

    @lru_cache(maxsize=8)  # noqa: B019 (a sampler lives as long as its diagram takes)
    def _most_draws(self, n_simulations):
        """Most draws of one level, with which all levels together take `MOST_DRAWS`."""
        counts = np.sort(self._pixels * n_simulations)
        before, left = np.append(0, counts.cumsum()), np.arange(len(counts), 0, -1)
        most = int(MOST_DRAWS * self._share)
        fits = before[:-1] + left * counts <= most
        if fits.all():
            return int(counts[-1])
        first = int(np.argmin(fits))
        return int((most - before[first]) // left[first])

    def block_histogram(self, start, n_simulations, x_edges, y_edges):
        """Histogram of a block of levels, int64 indexed [x, y]."""
        total = super().block_histogram(start, n_simulations, x_edges, y_edges)
        levels, counts = self._levels_of(start, n_simulations)
        most = self._most_draws(n_simulations)
        rng = self._rng(2, start)
        for level, count in zip(levels[counts > most], counts[counts > most], strict=True):
            weights, outside = self._weights_of(level, most, x_edges, y_edges, rng)
            bins = np.flatnonzero(weights)
            chances = np.append(weights.ravel()[bins], max(outside, 0.0))
            dealt = rng.multinomial(count, chances / chances.sum())
            total.ravel()[bins] += dealt[:-1]
        return total

    def _weights_of(self, level, n_draws, x_edges, y_edges, rng):
        """Weight of each bin in ``n_draws`` draws at one level, and the weight outside of all bins."""
        tables = _MixedTables(self.noise.photon_distribution(self._signal_of(level)), self.n_exposures)
        weights, total = np.zeros((len(x_edges) - 1, len(y_edges) - 1)), 0.0
        step = DRAWS_AT_ONCE // self.n_exposures
        n_wide = int(n_draws * WIDE_SHARE)
        for wide, n in ((True, n_wide), (False, n_draws - n_wide)):
            for first in range(0, n, step):
                photons, normal, ratio = tables.draw(min(step, n - first), wide, rng)
                weight = 1 / (1 - WIDE_SHARE + WIDE_SHARE * ratio)
                x, y = self._xy_of(photons, normal)
                weights += histogram(x, y, x_edges, y_edges, weight)
                total += weight.sum()
        return weights, total - weights.sum()


class _MixedTables:
    """Draws of photons and normal numbers, from their distributions or from wider ones.

    Parameters
    ----------
    distribution : frozen discrete distribution of `scipy.stats`
        Of the photons.
    n_exposures : int
        Values in a set. The more there are, the less wide each may be, lest the
        weights of whole sets scatter.
    """

    def __init__(self, distribution, n_exposures):
        self.n_exposures = n_exposures
        self.width = 1 + 2 / n_exposures
        photons = _counts_of(distribution, self.width)
        log = distribution.logpmf(photons)
        self._photons, log = photons[np.isfinite(log)], log[np.isfinite(log)]
        wide_log = log / self.width**2
        wide_log -= logsumexp(wide_log)
        self._log_ratio = (wide_log - log).astype(np.float32)
        self._tables = {wide: _inverse(np.exp(one).cumsum()) for wide, one in ((True, wide_log), (False, log))}

    def draw(self, n_sets, wide, rng):
        """Photons and normal numbers (N, 1, n), and how much denser the wider distribution is there (n,)."""
        shape = (self.n_exposures, 1, n_sets)
        index = self._tables[wide](rng.random(shape))
        normal = rng.standard_normal(shape, dtype=np.float32)
        if wide:
            normal *= np.float32(self.width)
        log_ratio = self._log_ratio[index].sum(axis=(0, 1), dtype=np.float64)
        log_ratio += (1 - self.width**-2) / 2 * np.square(normal).sum(axis=(0, 1), dtype=np.float64)
        log_ratio -= self.n_exposures * np.log(self.width)
        with np.errstate(over="ignore"):
            return self._photons[index], normal, np.exp(log_ratio)


class PixelSampler(_Sampler):
    """Draws pixel by pixel: noise that varies over the image, or images of its own
    for each exposure.

    Where gain or read noise are images, the coordinates in the diagram are
    those of a typical pixel: see `~crstack.noise_scale.NoiseScale`.

    Parameters
    ----------
    expected : sequence of `~numpy.ndarray`
        For each exposure its expected image (ny, nx), in the unit of the noise.
    noises : sequence of NoiseModel
        Noise of each exposure.
    used : `~numpy.ndarray` of bool
        (ny, nx), the pixels that count.
    cr_coincidences : int
        How many of the highest values min2d leaves out.
    seed : int or None
        Seed of the random numbers; None for a new one.
    """

    def __init__(self, expected, noises, used, cr_coincidences, seed):
        super().__init__(noises[0].unit, len(expected), cr_coincidences, seed)
        self.expected = expected
        self.noises = noises
        self.used = used
        self._bands = row_bands(*used.shape)
        self._scale = NoiseScale.of(noises[0])

    def coordinates(self, min2d, difference):
        """Coordinates in the diagram of min2d and median2d - min2d (ny, nx)."""
        return (min2d, difference) if self._scale is None else self._scale.typical(min2d, difference)

    def _draw_band(self, rows, rng):
        cube = np.stack(
            [
                noise.cutout(rows).sample(image[rows], rng)
                for image, noise in zip(self.expected, self.noises, strict=True)
            ]
        )
        x, y = self._statistics(cube)
        if self._scale is not None:
            x, y = self._scale.cutout(rows).typical(x, y)
        used = self.used[rows]
        return x[used], y[used]

    def reach(self, signal):
        """Smallest and largest x, and largest y, of one draw of every pixel.

        ``signal`` is not used: the noise differs from pixel to pixel, and only
        the image itself tells by how much.
        """
        spans = []
        for number, rows in enumerate(self._bands):
            x, y = self._draw_band(rows, self._rng(0, number))
            if len(x):
                spans.append((x.min(), x.max(), y.max()))
        low, high, top = zip(*spans, strict=True)
        return float(min(low)), float(max(high)), float(max(top))

    def blocks(self):
        """Bands of rows, with how many pixels they hold."""
        return [(number, int(self.used[rows].sum())) for number, rows in enumerate(self._bands)]

    def draws(self, number, n_simulations):
        """Draw each pixel of a band ``n_simulations`` times."""
        rng = self._rng(1, number)
        for _ in range(n_simulations):
            yield self._draw_band(self._bands[number], rng)
