"""Simulated pixels of a stack: draws of (min2d, median2d - min2d)."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from crstack._threads import map_threads, row_bands
from crstack.noise import NoiseModel
from crstack.simulation.noise_scale import NoiseScale
from crstack.simulation.photon_tables import MixedTables, photon_table, poisson_of_normal
from crstack.statistics import order_statistics

__all__ = ["LevelSampler", "PixelSampler", "histogram"]

#: levels of expected signal per standard deviation of one exposure
LEVELS_PER_SIGMA = 20
#: levels in one block
LEVELS_PER_BLOCK = 64
#: draws that determine the range of the diagram
RANGE_DRAWS = 10000
#: values drawn at a time in one thread
DRAWS_AT_ONCE = 1 << 19
#: number of draws of a level from which a table of its photon distribution is faster
TABLE_DRAWS = 10_000
#: electrons from which Poisson counts of single pixels are computed from normal numbers
EXPANSION_FROM = 60
#: blocks between two reports of progress
BLOCKS_AT_ONCE = 16
#: sets drawn for each set requested: this reduces the scatter of the boundary points
OVERSAMPLING = 3
#: most draws of a whole simulation; beyond it, the draws of crowded levels are limited
MOST_DRAWS = 33_000_000
#: the limited number of draws of a level is a multiple of this
DRAWS_STEP = 100
#: share of the draws of a crowded level that are drawn from a wider distribution
WIDE_SHARE = 0.3


def histogram(
    x: np.ndarray, y: np.ndarray, x_edges: np.ndarray, y_edges: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Histogram of pairs on even bins, indexed [x, y]: int64, or float64 with weights.

    Values outside the edges, and NaN, do not count; the last edge belongs to
    the last bin.

    Parameters
    ----------
    x, y : `~numpy.ndarray`
        Coordinates of the pairs, of one shape.
    x_edges, y_edges : `~numpy.ndarray`
        Even bin edges.
    weights : `~numpy.ndarray`, optional
        Weight of each pair.
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


class _Sampler:
    """Histograms of draws made in independent blocks, in threads.

    A subclass gives ``blocks(n_simulations)``, pairs of a block and its number of pixels, and ``draws(block,
    n_simulations)``, an iterator of (x, y). Each block has its own stream of random numbers, so that the result does
    not depend on the number of threads.
    """

    #: sets drawn for each set requested
    oversampling = 1

    def __init__(self, unit, n_exposures, cr_coincidences, seed):
        self.unit = unit
        self.n_exposures = n_exposures
        self.cr_coincidences = cr_coincidences
        self._entropy = np.random.SeedSequence(seed).entropy

    def _rng(self, *key):
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=key))

    def coordinates(self, min2d: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in the diagram of min2d and median2d - min2d (ny, nx).

        Parameters
        ----------
        min2d, difference : `~numpy.ndarray`
            In the unit of the exposures.
        """
        return min2d, difference

    def _statistics(self, cube):
        statistics = order_statistics(cube, self.cr_coincidences)
        return statistics.min2d, statistics.median2d - statistics.min2d

    def histogram(
        self,
        n_simulations: int,
        x_edges: np.ndarray,
        y_edges: np.ndarray,
        progress: Callable[[float], None] | None = None,
    ) -> np.ndarray:
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

        # the largest blocks first, so that the threads end at about the same time
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

    def block_histogram(self, block: int, n_simulations: int, x_edges: np.ndarray, y_edges: np.ndarray) -> np.ndarray:
        """Histogram of a block, int64 indexed [x, y].

        Parameters
        ----------
        block : int
            First member of the pair that ``blocks`` gives.
        n_simulations : int
            How often each pixel is drawn.
        x_edges, y_edges : `~numpy.ndarray`
            Even bin edges, in the unit of the exposures.
        """
        counts = np.zeros((len(x_edges) - 1, len(y_edges) - 1), dtype=np.int64)
        for x, y in self.draws(block, n_simulations):
            counts += histogram(x, y, x_edges, y_edges)
        return counts


def _by_exposure(values):
    """Values (pixels, exposures) as planes (exposures, 1, pixels)."""
    return np.ascontiguousarray(values.T)[:, None, :]


class LevelSampler(_Sampler):
    """Draws where all exposures share one expected signal and one scalar noise.

    Signals are grouped into levels a twentieth of a standard deviation apart. The pixels of a full level are drawn
    together, through a table. Others are drawn in order of signal, each at its own signal. Levels are fixed in
    electrons, and each has its own streams of random numbers. If rounding moves a pixel to another level, only this
    pixel changes. So exposures in ADU and in electrons give the same diagram.

    The number of draws is limited. If there are many pixels, the draws of the most crowded levels are limited to
    ``MOST_DRAWS`` together. These draws measure the probability that a pixel of that level falls into each bin. The bin
    then gets the expected number, rounded up or down at random. A share of these draws comes from a wider
    distribution, weighted by the ratio of the two densities. It samples the bins that few pixels reach (importance
    sampling with a defensive mixture: Owen & Zhou 2000, J. Am. Stat. Assoc. 95, 135).

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
        Part of ``MOST_DRAWS`` that these pixels may take.
    """

    oversampling = OVERSAMPLING

    def __init__(
        self,
        expected: np.ndarray,
        noise: NoiseModel,
        n_exposures: int,
        cr_coincidences: int,
        seed: int | None,
        *,
        scale: NoiseScale | None = None,
        share: float = 1.0,
    ) -> None:
        super().__init__(noise.unit, n_exposures, cr_coincidences, seed)
        self.noise = noise
        self._scale = scale
        self._share = share
        self._floor = max(noise.readnoise_electrons, 1.0)
        self._expected = expected.ravel()
        self._pixels = self._count_levels()

    def _electrons_of(self, part):
        return np.maximum(self._expected[part] * np.float64(self.noise.electrons_per_unit), 0)

    def _count_levels(self):
        """Number of pixels by level."""
        parts = row_bands(self._expected.size, 1)
        counts = map_threads(lambda part: np.bincount(self._level_of(self._electrons_of(part))), parts)
        total = np.zeros(max(map(len, counts)), dtype=np.int64)
        for one in counts:
            total[: len(one)] += one
        return total

    @lru_cache(maxsize=2)  # noqa: B019 (a sampler lives as long as its diagram takes)
    def _alone(self, n_simulations):
        """Whether the pixels of each level are drawn at their own signals, and these signals, sorted."""
        alone = self._pixels * n_simulations * self.n_exposures <= TABLE_DRAWS
        alone &= self._signal_of(np.arange(len(alone))) >= EXPANSION_FROM
        if self.noise.nbinom_shape is not None:
            alone[:] = False
        found = [np.empty(0)]
        for part in row_bands(self._expected.size, 1):
            electrons = self._electrons_of(part)
            found.append(electrons[alone[self._level_of(electrons)]])
        return alone, np.sort(np.concatenate(found))

    def _level_of(self, electrons):
        sigmas = 2 * (np.sqrt(electrons + self._floor**2) - self._floor)
        return np.rint(sigmas * LEVELS_PER_SIGMA).astype(np.int64)

    def _signal_of(self, level):
        """Electrons at each level: the inverse of `_level_of`."""
        return (level / (2 * LEVELS_PER_SIGMA) + self._floor) ** 2 - self._floor**2

    def _xy_of(self, photons, normal):
        cube = photons.astype(np.float32)
        cube += normal * np.float32(self.noise.readnoise_electrons)
        cube /= np.float32(self.noise.electrons_per_unit)
        x, y = self._statistics(cube)
        if self._scale is not None:
            x, y = self._scale.typical(x, y)
        return x[0], y[0]

    def reach(self, signal: float) -> tuple[float, float, float]:
        """Smallest and largest x, and largest y, of many draws at one ``signal``.

        Parameters
        ----------
        signal : float
            Expected signal, in the unit of the exposures.
        """
        level = self._level_of(np.array(max(signal, 0.0) * self.noise.electrons_per_unit))
        x, y = next(self._draws_of_level(level, RANGE_DRAWS, 0))
        return float(x.min()), float(x.max()), float(y.max())

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of levels, with how many pixels they hold."""
        starts = range(0, len(self._pixels), LEVELS_PER_BLOCK)
        sizes = ((start, int(self._pixels[start : start + LEVELS_PER_BLOCK].sum())) for start in starts)
        return [(start, size) for start, size in sizes if size]

    def draws(self, start: int, n_simulations: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw each pixel of a block of levels ``n_simulations`` times, without crowded levels.

        Parameters
        ----------
        start : int
            First level of the block.
        n_simulations : int
            How often each pixel is drawn.
        """
        levels, counts = self._levels_of(start, n_simulations)
        alone, electrons = self._alone(n_simulations)
        alone = alone[levels]
        counts[(counts > self._most_draws(n_simulations)) & ~alone] = 0
        for level in np.flatnonzero(~alone & (counts > 0)):
            yield from self._draws_of_level(levels[level], counts[level], 1)
        if counts[alone].any():
            found = self._level_of(electrons)
            first, last = np.searchsorted(found, (start, start + len(levels)))
            yield from self._draws_of_pixels(electrons[first:last], start, n_simulations)

    def _draws_of_level(self, level, count, purpose):
        """Draw ``count`` pixels of one level, through a table."""
        invert = photon_table(self.noise.photon_distribution(self._signal_of(level)))
        stream, noise_stream = self._rng(purpose, int(level), 0), self._rng(purpose, int(level), 1)
        step = DRAWS_AT_ONCE // self.n_exposures
        for first in range(0, count, step):
            # pixel after pixel: an additional pixel does not change the others
            shape = (min(step, count - first), self.n_exposures)
            yield self._xy_of(
                _by_exposure(invert(stream.random(shape))),
                _by_exposure(noise_stream.standard_normal(shape, dtype=np.float32)),
            )

    def _draws_of_pixels(self, electrons, block, n_simulations):
        """Draw pixels in order of signal, each at its own signal."""
        stream, noise_stream = self._rng(2, block, 0), self._rng(2, block, 1)
        shape = (len(electrons), self.n_exposures)
        for _ in range(n_simulations):
            photons = poisson_of_normal(electrons[:, None], stream.standard_normal(shape))
            normal = noise_stream.standard_normal(shape, dtype=np.float32)
            yield self._xy_of(_by_exposure(photons), _by_exposure(normal))

    def _levels_of(self, start, n_simulations):
        counts = self._pixels[start : start + LEVELS_PER_BLOCK] * n_simulations
        return np.arange(start, start + len(counts)), counts

    @lru_cache(maxsize=8)  # noqa: B019 (a sampler lives as long as its diagram takes)
    def _most_draws(self, n_simulations):
        """Most draws of one level, with which all levels together take ``MOST_DRAWS``."""
        counts = np.sort(self._pixels * n_simulations)
        before, left = np.append(0, counts.cumsum()), np.arange(len(counts), 0, -1)
        most = int(MOST_DRAWS * self._share)
        fits = before[:-1] + left * counts <= most
        if fits.all():
            return int(counts[-1])
        first = int(np.argmin(fits))
        # rounded, so that a single pixel rarely changes it
        return max(int((most - before[first]) // left[first]) // DRAWS_STEP, 1) * DRAWS_STEP

    def block_histogram(self, start: int, n_simulations: int, x_edges: np.ndarray, y_edges: np.ndarray) -> np.ndarray:
        """Histogram of a block of levels, int64 indexed [x, y].

        Parameters
        ----------
        start, n_simulations
            As for `draws`.
        x_edges, y_edges : `~numpy.ndarray`
            Even bin edges, in the unit of the exposures.
        """
        total = super().block_histogram(start, n_simulations, x_edges, y_edges)
        levels, counts = self._levels_of(start, n_simulations)
        most = self._most_draws(n_simulations)
        crowded = (counts > most) & ~self._alone(n_simulations)[0][levels]
        for level, count in zip(levels[crowded], counts[crowded], strict=True):
            rng = self._rng(3, int(level))
            weights, outside = self._weights_of(level, most, x_edges, y_edges, rng)
            bins = np.flatnonzero(weights)
            chances = np.append(weights.ravel()[bins], max(outside, 0.0))
            expected = count * chances / chances.sum()
            total.ravel()[bins] += np.floor(expected + rng.random(len(expected))).astype(np.int64)[:-1]
        return total

    def _weights_of(self, level, n_draws, x_edges, y_edges, rng):
        """Weight of each bin in ``n_draws`` draws at one level, and the weight outside of all bins."""
        tables = MixedTables(self.noise.photon_distribution(self._signal_of(level)), self.n_exposures)
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


class PixelSampler(_Sampler):
    """Draws pixel by pixel, for noise that varies over the image or for separate images of each exposure.

    Where gain or read noise are images, the coordinates in the diagram are
    those of a typical pixel: see ``NoiseScale``.

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
    differences : sequence of `~numpy.ndarray`, optional
        Images (ny, nx) to subtract from the draws, as from the exposures.
    """

    def __init__(
        self,
        expected: np.ndarray,
        noises: Sequence[NoiseModel],
        used: np.ndarray,
        cr_coincidences: int,
        seed: int | None,
        differences: Sequence[np.ndarray] | None = None,
    ) -> None:
        super().__init__(noises[0].unit, len(expected), cr_coincidences, seed)
        self.expected = expected
        self.noises = noises
        self.used = used
        self.differences = differences
        self._bands = row_bands(*used.shape)
        self._scale = NoiseScale.of(noises[0])

    def coordinates(self, min2d: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in the diagram of min2d and median2d - min2d (ny, nx)."""
        return (min2d, difference) if self._scale is None else self._scale.typical(min2d, difference)

    def _draw_band(self, rows, rng):
        cube = np.stack(
            [
                noise.cutout(rows).sample(image[rows], rng)
                for image, noise in zip(self.expected, self.noises, strict=True)
            ]
        )
        if self.differences is not None:
            for plane, difference in zip(cube, self.differences, strict=True):
                plane -= difference[rows]
        x, y = self._statistics(cube)
        if self._scale is not None:
            x, y = self._scale.cutout(rows).typical(x, y)
        used = self.used[rows]
        return x[used], y[used]

    def reach(self, signal: float) -> tuple[float, float, float]:
        """Smallest and largest x, and largest y, of one draw of every pixel.

        ``signal`` is not used, because the noise differs from pixel to pixel.

        Parameters
        ----------
        signal : float
            Ignored.
        """
        spans = []
        for number, rows in enumerate(self._bands):
            x, y = self._draw_band(rows, self._rng(0, number))
            if len(x):
                spans.append((x.min(), x.max(), y.max()))
        low, high, top = zip(*spans, strict=True)
        return float(min(low)), float(max(high)), float(max(top))

    def blocks(self) -> list[tuple[int, int]]:
        """Bands of rows, with how many pixels they hold."""
        return [(number, int(self.used[rows].sum())) for number, rows in enumerate(self._bands)]

    def draws(self, number: int, n_simulations: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw each pixel of a band ``n_simulations`` times.

        Parameters
        ----------
        number : int
            Number of the band, from 0.
        n_simulations : int
            How often each pixel is drawn.
        """
        rng = self._rng(1, number)
        for _ in range(n_simulations):
            yield self._draw_band(self._bands[number], rng)
