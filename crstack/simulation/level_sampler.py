"""Draws of pixels that share one noise, by levels of the expected signal."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from crstack.noise import NoiseModel
from crstack.simulation.noise_scale import NoiseScale
from crstack.simulation.photon_tables import MixedTables, photon_table, poisson_of_normal
from crstack.simulation.samplers import Sampler, histogram
from crstack.utils.threads import map_threads, row_bands

__all__ = ["LevelSampler"]

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
#: least electrons for which Poisson counts of single pixels are computed from normal numbers
EXPANSION_FROM = 60
#: sets drawn for each set requested: this reduces the scatter of the boundary points
OVERSAMPLING = 3
#: most draws of a whole simulation; beyond it, the draws of crowded levels are limited
MOST_DRAWS = 11_000_000
#: the limited number of draws of a level is a multiple of this
DRAWS_STEP = 100
#: share of the draws of a crowded level that are drawn from a wider distribution
WIDE_SHARE = 0.5


def _by_exposure(values):
    """Values (pixels, exposures) as planes (exposures, 1, pixels)."""
    return np.ascontiguousarray(values.T)[:, None, :]


class LevelSampler(Sampler):
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
        """Coordinates in the diagram of simulated pixels, from their photons and normal deviates."""
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

        Returns
        -------
        x_min, x_max, y_max : float
            In the unit of the exposures.
        """
        level = self._level_of(np.array(max(signal, 0.0) * self.noise.electrons_per_unit))
        x, y = next(self._draws_of_level(level, RANGE_DRAWS, 0))
        return float(x.min()), float(x.max()), float(y.max())

    def blocks(self) -> list[tuple[int, int]]:
        """List ranges of levels, with the number of their pixels.

        Returns
        -------
        blocks : list of (int, int)
            First level of each block, and its number of pixels.
        """
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

        Yields
        ------
        x, y : `~numpy.ndarray`
            Coordinates in the diagram, of some of the draws.
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
            # drawn pixel by pixel, so that an additional pixel does not change the others
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
        start : int
            First level of the block.
        n_simulations : int
            How often each pixel is drawn.
        x_edges, y_edges : `~numpy.ndarray`
            Even bin edges, in the unit of the exposures.

        Returns
        -------
        counts : `~numpy.ndarray`
            Number of simulated pixels in each bin, int64, indexed [x, y].
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
