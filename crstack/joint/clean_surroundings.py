"""The prior of the signal of pixels, once most hits around them are known."""

from dataclasses import replace

import numpy as np

from crstack.joint.candidates import clean_means
from crstack.joint.local_prior import local_prior
from crstack.joint.measured_signals import MeasuredSignals

__all__ = ["WithoutHits", "with_hits_left_out"]


def with_hits_left_out(candidates, chance, counts, sigma, unlike=None):
    """The candidates with a prior for which the hits found so far are left out of the pixels around.

    Parameters
    ----------
    candidates : Candidates
        Those of `find_candidates`.
    chance : `~numpy.ndarray`
        (N, M) the probability of each of their values to be hit.
    counts, sigma, unlike
        As for `find_candidates`.
    """
    if candidates.prior is None:
        return candidates
    clean = WithoutHits(counts.level_cube, candidates.where, chance, clean_means(candidates, chance))
    signals = MeasuredSignals.of(counts, sigma, candidates.chosen.span, unlike, clean)
    prior, around = local_prior(signals, candidates.where)
    return replace(candidates, prior=prior, around=around)


class WithoutHits:
    """A cube in which values that are probably hit are replaced by the mean of the clean values.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx).
    where : tuple of `~numpy.ndarray`
        Rows, ascending, and columns (M,) of some pixels.
    chance : `~numpy.ndarray`
        (N, M) probability of their values to be hit.
    clean : `~numpy.ndarray`
        (M,) mean of their clean values.
    """

    def __init__(self, cube, where, chance, clean):
        self._cube, self._where, self._chance, self._clean = cube, where, chance, clean

    def __getitem__(self, key):
        """The planes of all exposures in some rows (a slice), or at rows and columns (M,)."""
        which, rows, *columns = key
        if columns:
            first = int(rows.min(initial=0))
            return self[which, first : int(rows.max(initial=0)) + 1][:, rows - first, *columns]
        first, stop, _ = rows.indices(self._cube.shape[1])
        part = np.array(self._cube[:, rows])
        some = slice(*self._where[0].searchsorted([first, stop]))
        place = (slice(None), self._where[0][some] - first, self._where[1][some])
        part[place] += self._chance[:, some] * (self._clean[some] - part[place])
        return part[which]
