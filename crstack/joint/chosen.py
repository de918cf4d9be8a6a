"""Selection of the pixels that are examined, and the hits that it misses."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Chosen"]

#: number of simulated pixels that measure the share of hits that is not examined
DRAWS_OF_SPAN = 20_000


@dataclass(frozen=True, eq=False)
class Chosen:
    """Selection of the pixels that are examined.

    Attributes
    ----------
    anyway : `~numpy.ndarray` of bool
        (ny, nx) pixels that are always examined.
    span : float
        Others are examined if their values have a larger span, in standard deviations of one of them.
    n : int
        Number of exposures.
    """

    anyway: np.ndarray
    span: float
    n: int

    def missed(self, charge):
        """Probability that a pixel with one hit is not examined.

        Parameters
        ----------
        charge : `~numpy.ndarray`
            Of the hit, in standard deviations of the noise.

        Returns
        -------
        chance : `~numpy.ndarray`
        """
        rng = np.random.default_rng(20260103)
        values = rng.standard_normal((DRAWS_OF_SPAN, self.n))
        others = values[:, 1:]
        low, high = others.min(axis=1), others.max(axis=1)
        # if the hit value lies between these, the span is too small for an examination
        inside = high - low < self.span
        least, most = (np.sort((edge - values[:, 0])[inside]) for edge in (high - self.span, low + self.span))
        return (least.searchsorted(charge) - most.searchsorted(charge)) / DRAWS_OF_SPAN
