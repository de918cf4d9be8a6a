"""Density of a value that is hit: the charge of the hit and the noise, convolved."""

from functools import lru_cache

import numpy as np

from crstack.utils.threads import map_threads, slices

__all__ = [
    "ALL_NOISES",
    "BEYOND",
    "CELLS",
    "CHARGES",
    "CHARGE_EDGES",
    "CHARGE_STEP",
    "FAINT_FACTOR",
    "KINDS_AT_ONCE",
    "LEAST_CHARGE",
    "LINEAR",
    "LOG_SIGMA",
    "NORMAL",
    "HitDensity",
    "Z",
    "above_least",
    "counts_as_hit",
    "noise_of",
    "shares",
    "sigma_index",
]

#: distributions of charge whose tables are made together in one thread
KINDS_AT_ONCE = 9
#: edges of the bins of charge, electrons, evenly spaced in the logarithm
CHARGE_EDGES = np.geomspace(0.5, 2e5, 46)
#: charges below this many standard deviations of the noise do not count as hits: they cannot be detected
LEAST_CHARGE = 0.5

# the tables run over the noise in electrons, in even steps of its logarithm, ...
SIGMA_STEP = 0.1
LOG_SIGMA = np.arange(np.log(0.2), np.log(3e3), SIGMA_STEP)
ALL_NOISES = slice(0, LOG_SIGMA.size)
# ... and over the excess z in standard deviations: evenly up to JOIN, then in even steps of its logarithm
LOWEST_Z, STEP, JOIN, STEPS_PER_E = -6.0, 0.05, 10.0, 8
LINEAR = np.arange(LOWEST_Z, JOIN, STEP)
BEYOND = JOIN * np.exp(np.arange(0, STEPS_PER_E * 14) / STEPS_PER_E)
Z = np.concatenate([LINEAR, BEYOND])
#: step and middles of the charges (standard deviations) over which hits are integrated
CHARGE_STEP = 0.1
CHARGES = np.arange(LEAST_CHARGE + CHARGE_STEP / 2, JOIN + 6, CHARGE_STEP)
NORMAL = (np.exp(-0.5 * (LINEAR[:, None] - CHARGES) ** 2) * CHARGE_STEP / np.sqrt(2 * np.pi)).astype(np.float32)
NORMAL[NORMAL < 1e-20] = 0  # products of matrices with very small numbers are slow
#: step and middles of the charges (standard deviations) that do not count as hits, but shift a value ...
FAINT_STEP = 0.05
FAINT = np.arange(FAINT_STEP / 2, LEAST_CHARGE, FAINT_STEP)
# ... and the factors by which they change the density of a value at Z; far above the signal the factor is constant
FAINT_FACTOR = np.exp(np.minimum(Z, JOIN)[:, None] * FAINT - 0.5 * FAINT**2).astype(np.float32)


#: edges of the cells of charge around FAINT, CHARGES and BEYOND, in standard deviations
CELLS = tuple(
    np.stack(one)
    for one in (
        (FAINT - FAINT_STEP / 2, FAINT + FAINT_STEP / 2),
        (CHARGES - CHARGE_STEP / 2, CHARGES + CHARGE_STEP / 2),
        (BEYOND * np.exp(-0.5 / STEPS_PER_E), BEYOND * np.exp(0.5 / STEPS_PER_E)),
    )
)


@lru_cache(maxsize=8)
def shares(first, last):
    """Share of each bin of charge that lies in each of the ``CELLS``, for the noises from ``first`` to ``last``.

    Three arrays (sigmas, cells, bins). Within a bin, the density per unit of the logarithm of the charge is constant.
    """
    bins = np.arange(len(CHARGE_EDGES) - 1)
    width = np.log(CHARGE_EDGES[1] / CHARGE_EDGES[0])

    def below(edge):
        charge = np.exp(LOG_SIGMA[first:last])[:, None] * np.maximum(edge, 1e-6)
        return np.clip(np.log(charge / CHARGE_EDGES[0])[..., None] / width - bins, 0, 1)

    return tuple((below(high) - below(low)).astype(np.float32) for low, high in CELLS)


class HitDensity:
    """Look-up tables of the density of hit values, for several distributions of charge.

    With n(c) the density of charges c, the density of a value x over a signal s is the integral of n(c) N(x - s - c;
    sigma) over the charges of more than `LEAST_CHARGE` sigma. Weaker hits do not count as hits.

    The tables hold this density per standard deviation and not per electron. The noise of a value is rounded to one of
    ``LOG_SIGMA``, by up to 5 %. A density per electron would be wrong by this factor, and rates would be biased where
    most pixels have one noise.

    Parameters
    ----------
    shapes : `~numpy.ndarray`
        (K, bins) share of the charges in each bin of ``CHARGE_EDGES``, for each distribution.
    noises : slice, optional
        Places in ``LOG_SIGMA`` for which the tables are made. No others may be used.
    """

    def __init__(self, shapes, noises=ALL_NOISES):
        self.shapes, self.noises = shapes, noises
        self._shares = shares(noises.start, noises.stop)
        n_sigmas = len(self._shares[0])
        self._log_density = np.empty((len(shapes), n_sigmas, Z.size), np.float32)
        self._above = above_least(shapes)
        self._far = np.empty((len(shapes), n_sigmas, len(BEYOND)), np.float32)
        self._below = np.empty((len(shapes), n_sigmas), np.float32)
        self._faint_factor = np.empty((len(shapes), n_sigmas, Z.size), np.float32)
        map_threads(self._make_tables, slices(len(shapes), KINDS_AT_ONCE))

    def _make_tables(self, kinds):
        """Fill the tables of some distributions (a slice)."""
        # share of the charges in each cell: (K, sigmas, cells)
        shapes = self.shapes[kinds].astype(np.float32)
        below, near, self._far[kinds] = (np.tensordot(shapes, one, (1, 2)) for one in self._shares)
        density = self._log_density[kinds]
        # as products of two matrices, which are much faster than a stack of small ones
        np.divide(np.tensordot(near, NORMAL, (2, 1)), np.float32(CHARGE_STEP), out=density[..., : len(LINEAR)])
        np.divide(self._far[kinds], np.diff(CELLS[2], axis=0)[0], out=density[..., len(LINEAR) :], casting="same_kind")
        np.log(np.maximum(density, np.float32(1e-30), out=density), out=density)
        self._below[kinds] = below.sum(axis=2)
        total = np.maximum(self._below[kinds], np.float32(1e-30))[..., None]
        np.divide(np.tensordot(below, FAINT_FACTOR, (2, 1)), total, out=self._faint_factor[kinds])

    @staticmethod
    def index(excess, sigma, log_sigma=None):
        """Index in the tables of values ``excess`` electrons above the signal, with noise ``sigma``.

        Parameters
        ----------
        excess, sigma : `~numpy.ndarray`
            In electrons; shapes that broadcast.
        log_sigma : `~numpy.ndarray`, optional
            Logarithm of ``sigma``, if it is known.

        Returns
        -------
        index : `~numpy.ndarray`
            uint16, for `log_density`.
        """
        z = np.asarray(excess / sigma)
        place = (np.minimum(z, np.float32(JOIN)) - np.float32(LOWEST_Z)) * np.float32(1 / STEP)
        # steps of the logarithm beyond JOIN
        np.maximum(z, np.float32(JOIN), out=z)
        z /= np.float32(JOIN)
        place += STEPS_PER_E * np.log(z, out=z)
        place += np.float32(0.5)
        np.clip(place, 0, len(Z) - 1, out=place)
        # there are fewer than 2**16 places
        of_sigma = _place_of_log(np.log(sigma, dtype=np.float32) if log_sigma is None else log_sigma)
        return place.astype(np.uint16) + of_sigma.astype(np.uint16) * np.uint16(len(Z))

    def log_density(self, kind, index):
        """Log density, per standard deviation, of hit values of distribution ``kind`` at an `index`."""
        n_places, first = self._log_density[0].size, (self.noises.start or 0) * Z.size
        return self._log_density.ravel().take(kind * np.int32(n_places) - np.int32(first) + index)

    def above(self, kind, sigma):
        """Share of the charges of distribution ``kind`` that count as hits where the noise is ``sigma``."""
        return self._above[kind, sigma_index(sigma)]

    def by_kind(self, kinds):
        """Tables of some distributions, at each of the ``noises`` (sigmas) and index in the tables (places).

        Parameters
        ----------
        kinds : `~numpy.ndarray`
            (K,) distributions.

        Returns
        -------
        log_density : `~numpy.ndarray`
            (K, sigmas, places) log density of hit values, per standard deviation.
        faint_factor : `~numpy.ndarray`
            (K, sigmas, places) factor of the density of a clean value with a charge below `LEAST_CHARGE`.
        above, below : `~numpy.ndarray`
            (K, sigmas) share of the charges that count as hits, and of those below.
        """
        return self._log_density[kinds], self._faint_factor[kinds], self._above[kinds, self.noises], self._below[kinds]


def sigma_index(sigma):
    """Place of a noise (electrons) in ``LOG_SIGMA``, int32."""
    return _place_of_log(np.log(sigma, dtype=np.float32))


def _place_of_log(log_sigma):
    place = np.asarray((log_sigma - np.float32(LOG_SIGMA[0])) * np.float32(1 / SIGMA_STEP))
    place += np.float32(0.5)
    return np.clip(place, 0, LOG_SIGMA.size - 1, out=place).astype(np.int32)


def counts_as_hit():
    """Share of each bin of charge that counts as a hit, at each noise of ``LOG_SIGMA``: (sigmas, bins)."""
    log_edges, least = np.log(CHARGE_EDGES), np.log(LEAST_CHARGE) + LOG_SIGMA[:, None]
    return np.clip((log_edges[1:] - least) / np.diff(log_edges), 0, 1).astype(np.float32)


def above_least(shapes):
    """Share of the charges of each distribution that count as hits, (K, sigmas)."""
    return (shapes @ counts_as_hit().T).astype(np.float32)


def noise_of(index):
    """Places in ``LOG_SIGMA`` of places in the tables."""
    return index // np.uint16(len(Z))
