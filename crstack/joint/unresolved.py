"""Pixels whose signal needs closer nodes, because the noise of their values is less alike than that of the exposures.

The error of the expected values is large beside stars beyond an edge, and the throughput of one exposure may be small
in a few pixels. The nodes of `Candidates` are as far apart as the mean noise of the values allows. Where one value has
much more noise than the others, they do not resolve the signal that the others measure. The probabilities of hits are
then wrong, and the variance of the signal is far too small.
"""

from dataclasses import dataclass, replace

import numpy as np

from crstack.joint.candidates import NODES_AT_ONCE, Candidates, even_slices
from crstack.utils.threads import map_threads

__all__ = ["Unresolved", "unresolved"]

#: largest distance of nodes, in standard deviations of the signal that the values of a group measure together: sums
#: over evenly spaced nodes then have an error of one per mille
WIDEST = 1.6


def unresolved(candidates):
    """Candidates (indices) whose nodes are too far apart."""
    columns = max(one.shape[1] for one in (candidates.scales, candidates.shifts, candidates.variance))
    if columns == 1 or not len(candidates):
        return np.empty(0, int)  # the noise differs by exposures, which their groups allow for
    noise = np.broadcast_to(candidates.sigma(candidates.lowest) / candidates.scales, candidates.values.shape)
    wide = np.zeros(len(candidates), bool)
    for group in candidates.groups or (range(len(noise)),):
        own = noise[list(group)]
        information = (1 / own**2).sum(axis=0)
        wide |= candidates.step / np.sqrt(len(own)) * own.mean(axis=0) * np.sqrt(information) > WIDEST
    return np.flatnonzero(wide)


@dataclass(frozen=True, eq=False)
class Unresolved:
    """Candidates whose nodes are too far apart, with nodes around each of their values.

    Attributes
    ----------
    which : `~numpy.ndarray` of int
        (K,) numbers of the candidates.
    candidates : Candidates
        The K candidates. Each exposure is a group of its own.
    """

    which: np.ndarray
    candidates: Candidates

    @classmethod
    def of(cls, candidates):
        """Those of some candidates."""
        n, which = len(candidates.values), unresolved(candidates)
        groups, step = tuple((i,) for i in range(n)), candidates.step / np.sqrt(n)
        return cls(which, replace(candidates.some(which), groups=groups, step=step))

    def pieces(self):
        """Slices of the candidates, whose values at the nodes are computed together."""
        if not len(self.which):
            return []
        n, nodes = len(self.candidates.values), len(self.candidates.some(slice(0, 1)).at_nodes()[0])
        return even_slices(len(self.which), NODES_AT_ONCE // (n * nodes))

    def noises(self):
        """`Candidates.noises` of the pieces: a list of (first, last)."""
        return map_threads(lambda piece: self.candidates.some(piece).noises(), self.pieces())
