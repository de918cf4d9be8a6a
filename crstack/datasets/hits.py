"""The charge of cosmic rays in one exposure.

The population "cosmic" has three kinds of hit: straight tracks of muons through a thick detector, the
winding tracks of scattered electrons, and points. A track is a row of points
less than half a pixel apart. The charge of each point spreads as a Gaussian,
which is integrated over the pixels. So tracks are as thin and as sharp as in a
real detector. Coordinates are in pixels, with whole numbers at pixel centres.
"""

import numpy as np
from scipy.special import ndtr
from scipy.stats import moyal

from crstack.datasets.populations import (
    MARGIN,
    running_sum,
    single_pixels,
    starts,
    thin_tracks,
    unroll,
    wide_worms,
)

__all__ = ["POPULATIONS", "SIGNIFICANT_CHARGE", "SMALLEST_CHARGE", "make_hits"]

SIGNIFICANT_CHARGE = 1.0
"""Electrons (more than this) with which a pixel counts in the rate of hits."""

SMALLEST_CHARGE = 0.05
"""Electrons below which the tail of the diffusion is set to 0."""

FRACTIONS = {"muon": 0.45, "worm": 0.25, "point": 0.30}
"""Share of the hits that each kind has."""

SHARES_OF_MIXED = {"cosmic": 0.40, "thin": 0.10, "worms": 0.05, "single": 0.45}
"""Share of the hits of a mixture that each population has."""

THICKNESS = 10.0  # of the detector, in pixels
STEP = 1 / 3  # between the points of a track, in pixels
SMALLEST_COSINE = 0.05  # of a muon's zenith angle: tracks end at 20 times the thickness
LONGEST_WORM = 80.0  # pixels
LANDAU_WIDTH = 0.3  # of the energy loss in one step, relative to its most probable value
DIFFUSION = 0.4  # standard deviation (pixels) of charge freed at the far side of the detector
REACH = 2  # pixels from a point in which its charge is counted: 5 standard deviations
SPARE = 6  # allowed excess of hit pixels even in the smallest images: enough for a point
LARGEST_BATCH = 4000  # hits made at once, to limit the memory


def make_hits(shape, rate, rng, population="cosmic"):
    """Charge of random hits in one exposure.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    rate : float
        Fraction of the pixels to receive more than `SIGNIFICANT_CHARGE`. Hits are added until less than half the
        average hit is missing. If the rate is exceeded by 10 % and by `SPARE` pixels, the hits are drawn again.
    rng : `~numpy.random.Generator`
        Source of the random numbers.
    population : str, optional
        One of `POPULATIONS`.

    Returns
    -------
    charge : `~numpy.ndarray`
        (ny, nx) float32, in electrons; exactly 0 where there is no hit.
    """
    charge = np.zeros(shape[0] * shape[1])
    wanted = missing = rate * charge.size
    # pixels per hit: first an estimate, 20 for a hit inside, then the average so far
    n_hits, most, per_hit = 0, LARGEST_BATCH, 20.0 * charge.size / ((shape[0] + 2 * MARGIN) * (shape[1] + 2 * MARGIN))
    while missing > per_hit / 2:
        # fewer than seem to be needed, so that the last hits are added one by one
        n_new = int(np.clip(0.8 * missing / per_hit, 1, most))
        trial = charge + POPULATIONS[population](n_new, shape, rng)
        touched = np.count_nonzero(trial > SIGNIFICANT_CHARGE)
        if touched > wanted + max(0.1 * wanted, SPARE):
            most = max(n_new // 2, 1)  # a long track at the end would exceed the rate: draw again, with fewer hits
            continue
        charge, n_hits = trial, n_hits + n_new
        missing, per_hit = wanted - touched, max(touched, 1) / n_hits
    charge[charge < SMALLEST_CHARGE] = 0
    return charge.reshape(shape).astype(np.float32)


def cosmic_rays(n, shape, rng):
    """Flat image of the charge of ``n`` hits of a thick detector, of random kind."""
    kinds = rng.multinomial(n, list(FRACTIONS.values()))
    parts = [make(k, shape, rng) for make, k in zip((_muons, _worms, _spots), kinds, strict=True)]
    return _deposit(*(np.concatenate(column) for column in zip(*parts, strict=True)), shape)


def mixed_hits(n, shape, rng):
    """Flat image of the charge of ``n`` hits of all the populations."""
    kinds = rng.multinomial(n, list(SHARES_OF_MIXED.values()))
    return sum(POPULATIONS[name](k, shape, rng) for name, k in zip(SHARES_OF_MIXED, kinds, strict=True))


def _muons(n, shape, rng):
    """Steps along ``n`` straight tracks of muons: x, y, charge and width of each."""
    # cos^2 of the zenith angle per solid angle, through a horizontal surface
    cosine = np.maximum(rng.random(n) ** 0.25, SMALLEST_COSINE)
    length = THICKNESS * np.sqrt(1 / cosine**2 - 1)
    steps = np.ceil(length / STEP).astype(int) + 3
    track, order = unroll(steps)
    depth = (order + 0.5) / steps[track]
    x, y, angle = starts(n, shape, rng)
    x = x[track] + depth * (length * np.cos(angle))[track]
    y = y[track] + depth * (length * np.sin(angle))[track]
    loss = 350 * rng.lognormal(0, 0.5, n) * THICKNESS / cosine / steps
    # one end of a track is sharper than the other: charge diffuses on its way up
    return x, y, _fluctuate(loss[track], rng), np.maximum(DIFFUSION * np.sqrt(depth), 0.15)


def _worms(n, shape, rng):
    """Steps along ``n`` winding tracks of slow electrons: x, y, charge and width of each."""
    length = np.minimum(rng.lognormal(np.log(12), 0.6, n), LONGEST_WORM)
    steps = np.ceil(length / STEP).astype(int) + 1
    track, order = unroll(steps)
    energy = 1 - order / steps[track]
    x, y, angle = starts(n, shape, rng)
    # slow electrons scatter more and free more charge
    turn = rng.standard_normal(track.size) * 0.13 / (0.15 + 0.85 * energy)
    angle = angle[track] + running_sum(turn, steps)
    x = x[track] + running_sum(STEP * np.cos(angle), steps)
    y = y[track] + running_sum(STEP * np.sin(angle), steps)
    loss = (STEP * 450 * rng.lognormal(0, 0.6, n))[track] / (0.3 + 0.7 * energy)
    return x, y, _fluctuate(loss, rng), rng.uniform(0.2, DIFFUSION, n)[track]


def _spots(n, shape, rng):
    x, y, _ = starts(n, shape, rng)
    return x, y, rng.lognormal(np.log(700), 1.0, n), rng.uniform(0.15, DIFFUSION, n)


def _fluctuate(loss, rng):
    factor = 1 + LANDAU_WIDTH * moyal.rvs(size=loss.size, random_state=rng)
    return loss * np.maximum(factor, 0.1)


def _deposit(x, y, charge, sigma, shape):
    """Flat image of the charge of points that diffuse."""
    rows, row_shares = _shares(y, sigma)
    columns, column_shares = _shares(x, sigma)
    row_shares[(rows < 0) | (rows >= shape[0])] = 0
    column_shares[(columns < 0) | (columns >= shape[1])] = 0
    values = (charge[:, None] * row_shares)[:, :, None] * column_shares[:, None, :]
    pixels = rows[:, :, None] * shape[1] + columns[:, None, :]
    inside = values > 0
    return np.bincount(pixels[inside], values[inside], minlength=shape[0] * shape[1])


def _shares(position, sigma):
    """Pixels around each position along one axis, and the share of a Gaussian that each gets."""
    pixels = np.rint(position).astype(int)[:, None] + np.arange(-REACH, REACH + 1)
    edges = np.concatenate([pixels - 0.5, pixels[:, -1:] + 0.5], axis=1)
    return pixels, np.diff(ndtr((edges - position[:, None]) / sigma[:, None]), axis=1)


POPULATIONS = {
    "cosmic": cosmic_rays,
    "thin": thin_tracks,
    "worms": wide_worms,
    "single": single_pixels,
    "mixed": mixed_hits,
}
"""The populations of hits by name: functions of a number, a shape and a generator."""
