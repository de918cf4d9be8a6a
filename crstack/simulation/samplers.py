"""Simulated pixels of a stack: draws of (min2d, median2d - min2d)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import astropy.units as u
import numpy as np

from crstack.noise import NoiseModel
from crstack.simulation.noise_scale import NoiseScale
from crstack.statistics import minimum_and_median
from crstack.utils.threads import map_threads, row_bands

__all__ = ["PixelSampler", "Sampler", "histogram"]

#: blocks between two reports of progress
BLOCKS_AT_ONCE = 16


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

    Returns
    -------
    counts : `~numpy.ndarray`
        Number or total weight of the pairs in each bin.
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


class Sampler(ABC):
    """Histograms of draws made in independent blocks, in threads.

    A subclass defines `blocks` and `draws`. Each block has its own stream of random numbers, so that the result does
    not depend on the number of threads.

    Parameters
    ----------
    unit : `~astropy.units.UnitBase`
        Unit of the exposures.
    n_exposures : int
        Number of exposures in a set.
    cr_coincidences : int
        Number of highest values that min2d excludes.
    seed : int or None
        Seed of the random numbers; None for new ones.
    """

    #: sets drawn for each set requested
    oversampling = 1

    def __init__(self, unit: u.UnitBase, n_exposures: int, cr_coincidences: int, seed: int | None) -> None:
        self.unit = unit
        self.n_exposures = n_exposures
        self.cr_coincidences = cr_coincidences
        self._entropy = np.random.SeedSequence(seed).entropy

    @abstractmethod
    def blocks(self) -> list[tuple[int, int]]:
        """List pairs of a block and its number of pixels."""

    @abstractmethod
    def draws(self, block: int, n_simulations: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw each pixel of a block ``n_simulations`` times.

        Parameters
        ----------
        block : int
            First member of the pair that `blocks` gives.
        n_simulations : int
            How often each pixel is drawn.
        """

    def _rng(self, *key):
        return np.random.default_rng(np.random.SeedSequence(self._entropy, spawn_key=key))

    def coordinates(self, min2d: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute coordinates in the diagram of min2d and median2d - min2d (ny, nx).

        Parameters
        ----------
        min2d, difference : `~numpy.ndarray`
            In the unit of the exposures.

        Returns
        -------
        x, y : `~numpy.ndarray`
            Coordinates, in the unit of the diagram.
        """
        return min2d, difference

    def _statistics(self, cube):
        minimum, median = minimum_and_median(cube, self.cr_coincidences)
        return minimum, median - minimum

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
            Number of simulated pixels in each bin, int64, indexed [x, y].
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

        Returns
        -------
        counts : `~numpy.ndarray`
            Number of simulated pixels in each bin, int64, indexed [x, y].
        """
        counts = np.zeros((len(x_edges) - 1, len(y_edges) - 1), dtype=np.int64)
        for x, y in self.draws(block, n_simulations):
            counts += histogram(x, y, x_edges, y_edges)
        return counts


class PixelSampler(Sampler):
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
        """Compute coordinates in the diagram of min2d and median2d - min2d (ny, nx).

        Parameters
        ----------
        min2d, difference : `~numpy.ndarray`
            In the unit of the exposures.

        Returns
        -------
        x, y : `~numpy.ndarray`
            Coordinates, in the unit of the diagram.
        """
        return (min2d, difference) if self._scale is None else self._scale.typical(min2d, difference)

    def _draw_band(self, rows, rng):
        """Coordinates in the diagram of simulated pixels in some rows."""
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

        Returns
        -------
        x_min, x_max, y_max : float
            In the unit of the exposures.
        """
        spans = []
        for number, rows in enumerate(self._bands):
            x, y = self._draw_band(rows, self._rng(0, number))
            if len(x):
                spans.append((x.min(), x.max(), y.max()))
        low, high, top = zip(*spans, strict=True)
        return float(min(low)), float(max(high)), float(max(top))

    def blocks(self) -> list[tuple[int, int]]:
        """List bands of rows, with the number of their pixels.

        Returns
        -------
        blocks : list of (int, int)
            Number of each band, from 0, and its number of pixels.
        """
        return [(number, int(self.used[rows].sum())) for number, rows in enumerate(self._bands)]

    def draws(self, number: int, n_simulations: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw each pixel of a band ``n_simulations`` times.

        Parameters
        ----------
        number : int
            Number of the band, from 0.
        n_simulations : int
            How often each pixel is drawn.

        Yields
        ------
        x, y : `~numpy.ndarray`
            Coordinates in the diagram, of some of the draws.
        """
        rng = self._rng(1, number)
        for _ in range(n_simulations):
            yield self._draw_band(self._bands[number], rng)
