"""Exposures of unlike noise, such as those of different exposure times, in groups of similar noise."""

from dataclasses import dataclass

import numpy as np

from crstack.joint.cubes import taken
from crstack.utils.memory import empty_image
from crstack.utils.threads import map_threads, row_bands

__all__ = ["UnlikeNoise", "groups_of_noise", "relative_noises", "unlike_noise"]

#: exposures are of one group if their noise differs by no more than this factor
LIKE = 1.6
#: number of rows from which the typical noise is measured
ROWS = 50
#: number of pixels from which the noise of each exposure is measured
PIXELS = 20_000


def groups_of_noise(noise):
    """Groups of exposures with like noise.

    Parameters
    ----------
    noise : `~numpy.ndarray`
        (N,) standard deviation of the level of each exposure.

    Returns
    -------
    groups : tuple of tuple of int
        Numbers of the exposures, from 0; the group of the least noise first.
    """
    groups, least = [], 0.0
    for i in np.argsort(noise, kind="stable").tolist():
        if not groups or noise[i] > LIKE * least:
            groups.append([])
            least = noise[i]
        groups[-1].append(i)
    return tuple(tuple(sorted(group)) for group in groups)


def relative_noises(counts):
    """Variance (N,) of the level of each exposure at a typical signal, over their mean; None where they are alike."""
    if counts.alike:
        return None
    some = slice(None, None, max(len(counts.data[0]) // ROWS, 1))
    part = counts.rows(some)
    signal = np.median(part.levels, axis=0)
    noises = np.array([np.median(part.variance_of(i, signal)) for i in range(len(counts.data))])
    return None if len(groups_of_noise(np.sqrt(noises))) < 2 else noises / noises.mean()


@dataclass(frozen=True, eq=False)
class UnlikeNoise:
    """The noise of exposures that form several groups.

    Attributes
    ----------
    groups : tuple of tuple of int
        See `groups_of_noise`.
    levels : `~numpy.ndarray`
        float32 (groups, ny, nx) noise of the common signal by one value of each group, electrons.
    values : `~numpy.ndarray`
        float32 (N, ny, nx) noise of each value itself, electrons.
    """

    groups: tuple
    levels: np.ndarray
    values: np.ndarray

    def span(self, levels, sigmas):
        """Largest difference of two values, in standard deviations of one of them.

        Parameters
        ----------
        levels : `~numpy.ndarray`
            (N, ...) common signal of each value.
        sigmas : `~numpy.ndarray`
            (groups, ...) the noise of the groups at the same pixels.

        Returns
        -------
        span : `~numpy.ndarray`
            (...), not below 0. That of values with equal noise is their range over the noise.
        """
        ends = [(levels[list(one)].min(axis=0), levels[list(one)].max(axis=0)) for one in self.groups]
        span = np.zeros(levels.shape[1:], np.float32)
        for (low, _), of_low in zip(ends, sigmas, strict=True):
            for (_, high), of_high in zip(ends, sigmas, strict=True):
                np.maximum(span, (high - low) / np.sqrt((of_low**2 + of_high**2) / 2), out=span)
        return span

    def agree(self, levels, places, widest):
        """Whether values (N, M) at some places of the image span at most a number of standard deviations."""
        shape = self.levels.shape[1:]
        return self.span(levels, taken(lambda where: self.levels[:, *where], places, shape)) <= widest


def unlike_noise(counts, signal, excess):
    """The noise of exposures that are not alike.

    Parameters
    ----------
    counts : Counts
        The exposures.
    signal, excess : `~numpy.ndarray`
        (ny, nx) expected common signal, and excess variance (electrons squared).

    Returns
    -------
    noise : UnlikeNoise or None
        None if the noise of all exposures is alike.
    """
    if counts.alike:
        return None
    (ny, nx), n = signal.shape, len(counts.data)
    some = np.unique(np.linspace(0, ny - 1, max(min(PIXELS // nx, ny), 1)).astype(int)).tolist()
    lines = [(counts.rows(slice(row, row + 1)), signal[row : row + 1], excess[row : row + 1]) for row in some]
    noise = [np.median([np.median(part.variance_of(i, one) + more) for part, one, more in lines]) for i in range(n)]
    groups = groups_of_noise(np.sqrt(noise))
    if len(groups) < 2:
        return None
    if counts.bad is not None:
        # an exposure that is not used has no values, which those of the least noise must have
        groups = tuple(sorted(groups, key=lambda group: all(counts.bad[i].all() for i in group)))
    found = UnlikeNoise(groups, empty_image((len(groups), ny, nx)), empty_image((n, ny, nx)))

    def work(rows):
        part = counts.rows(rows)
        for group, plane in zip(groups, found.levels, strict=True):
            total = np.float32(0)
            for i in group:
                total = total + part.variance_of(i, signal[rows]) + excess[rows]
                expected, variance, poisson = part.expected(i, signal[rows], excess[rows])
                found.values[i, rows] = np.sqrt(variance + np.maximum(expected, 0) * poisson)
            plane[rows] = np.sqrt(total / np.float32(len(group)))

    map_threads(work, row_bands(ny, nx))
    return found
