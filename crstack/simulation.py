"""Simulated pixels of a stack: draws of (min2d, median2d - min2d)."""

import numpy as np

from crstack._threads import map_threads, row_bands
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


def histogram(x, y, x_edges, y_edges):
    """Histogram of pairs on even bins, int64 indexed [x, y].

    Values outside the edges, and NaN, do not count; the last edge belongs to
    the last bin.
    """
    nx, ny = len(x_edges) - 1, len(y_edges) - 1
    inside = (x >= x_edges[0]) & (x <= x_edges[-1]) & (y >= y_edges[0]) & (y <= y_edges[-1])
    if not inside.all():
        x, y = x[inside], y[inside]
    column = ((x - x_edges[0]) * (nx / (x_edges[-1] - x_edges[0]))).astype(np.int32)
    row = ((y - y_edges[0]) * (ny / (y_edges[-1] - y_edges[0]))).astype(np.int32)
    np.minimum(column, nx - 1, out=column)
    np.minimum(row, ny - 1, out=row)
    return np.bincount(column * ny + row, minlength=nx * ny).reshape(nx, ny)


def photon_table(distribution):
    """Return a function that turns uniform numbers into counts of ``distribution``.

    The cumulative distribution is inverted through a guide table, which costs
    a tenth of drawing counts one by one (Chen & Asau 1974, AIIE Trans. 6, 163).

    Parameters
    ----------
    distribution : frozen discrete distribution of `scipy.stats`
        Of the counts.

    Returns
    -------
    invert : callable
        From an array of uniform numbers in [0, 1) to integers of that shape.
    """
    mean, reach = distribution.mean(), 10 * distribution.std() + 30
    while distribution.sf(mean + reach) > 1e-16:
        reach *= 2
    counts = np.arange(max(int(mean - reach), 0), int(mean + reach) + 1)
    below = distribution.cdf(counts)
    below[-1] = 1.0
    guide = np.searchsorted(below, np.arange(TABLE_STEPS) / TABLE_STEPS)

    def invert(uniform):
        index = guide[(uniform * TABLE_STEPS).astype(np.int32)]
        late = np.nonzero(below[index] < uniform)
        index[late] = np.searchsorted(below, uniform[late])
        return counts[index]

    return invert


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
            counts = np.zeros_like(total)
            for x, y in self.draws(block, n_simulations):
                counts += histogram(x, y, x_edges, y_edges)
            return counts

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


class LevelSampler(_Sampler):
    """Draws where all exposures share one expected signal and one scalar noise.

    Pixels of nearly the same signal are drawn together: signals are
    grouped into levels a twentieth of a standard deviation apart. The levels
    are fixed in electrons, and each block of them has its own random numbers,
    so that exposures in ADU and in electrons give the same diagram.

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
    """

    def __init__(self, expected, noise, n_exposures, cr_coincidences, seed):
        super().__init__(noise.unit, n_exposures, cr_coincidences, seed)
        self.noise = noise
        self._floor = max(noise.readnoise_electrons, 1.0)
        levels = self._level_of(expected.ravel() * np.float64(noise.electrons_per_unit))
        self._pixels = np.bincount(levels)

    def _level_of(self, electrons):
        sigmas = 2 * (np.sqrt(np.maximum(electrons, 0) + self._floor**2) - self._floor)
        return np.rint(sigmas * LEVELS_PER_SIGMA).astype(np.int64)

    def _signal_of(self, level):
        """Electrons at each level: `_level_of` the other way round."""
        return (level / (2 * LEVELS_PER_SIGMA) + self._floor) ** 2 - self._floor**2

    def _xy_of(self, photons, rng):
        cube = photons.astype(np.float32)
        cube += rng.standard_normal(cube.shape, dtype=np.float32) * np.float32(self.noise.readnoise_electrons)
        cube /= np.float32(self.noise.electrons_per_unit)
        x, y = self._statistics(cube)
        return x[0], y[0]

    def _draw(self, electrons, rng):
        shape = (self.n_exposures, 1, len(electrons))
        return self._xy_of(self.noise.photons(np.broadcast_to(electrons, shape), rng), rng)

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
        """Draw each pixel of a block of levels ``n_simulations`` times."""
        counts = self._pixels[start : start + LEVELS_PER_BLOCK] * n_simulations
        levels = np.arange(start, start + len(counts), dtype=np.float64)
        rng = self._rng(1, start)
        step = DRAWS_AT_ONCE // self.n_exposures
        full = counts * self.n_exposures > TABLE_DRAWS
        for level, count in zip(levels[full], counts[full], strict=True):
            invert = photon_table(self.noise.photon_distribution(self._signal_of(level)))
            for first in range(0, count, step):
                shape = (self.n_exposures, 1, min(step, count - first))
                yield self._xy_of(invert(rng.random(shape)), rng)
        electrons = np.repeat(self._signal_of(levels[~full]), counts[~full])
        for first in range(0, len(electrons), step):
            yield self._draw(electrons[first : first + step], rng)


class PixelSampler(_Sampler):
    """Draws pixel by pixel: noise that varies over the image, or images of its own
    for each exposure.

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
        Images (ny, nx) to subtract from what is drawn, as was done to the exposures.
    """

    def __init__(self, expected, noises, used, cr_coincidences, seed, differences=None):
        super().__init__(noises[0].unit, len(expected), cr_coincidences, seed)
        self.expected = expected
        self.noises = noises
        self.used = used
        self.differences = differences
        self._bands = row_bands(*used.shape)

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
