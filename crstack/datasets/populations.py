"""Populations of hits that differ from those of a real detector in one respect each.

A method that fits the hits of a stack must work for all of them. Each function adds ``n`` hits: it returns the flat
image of their charge. No charge spreads into neighbouring pixels.
"""

import numpy as np

__all__ = ["MARGIN", "running_sum", "single_pixels", "starts", "thin_tracks", "unroll", "wide_worms"]

MARGIN = 32.0
"""Pixels outside the image in which tracks may start."""

SHORTEST, LONGEST = 10, 40  # pixels of a thin track
LOWEST_OF_TRACK, HIGHEST_OF_TRACK = 100.0, 300.0  # electrons of each of its pixels
WORM_LENGTH, WORM_STEP = 12.0, 0.5  # pixels: median length of a worm, distance of the points of its path
LONGEST_WORM = 60.0  # pixels
WORM_RADIUS = 1.5  # pixels on either side of the path
WORM_TURN = 0.25  # radians per step
WORM_CHARGE, WORM_SPREAD = 60.0, 0.7  # electrons of the pixels of a worm: median over worms, and its spread
WORM_SHAPE = 2.0  # of the gamma distribution of the pixels of one worm
LEAST_OF_SINGLE, MOST_OF_SINGLE, SINGLE_POWER = 20.0, 20_000.0, -1.5  # electrons of single pixels


def thin_tracks(n, shape, rng):
    """Straight tracks, one pixel wide, of 10 to 40 pixels, each of which holds 100 to 300 electrons."""
    length = rng.integers(SHORTEST, LONGEST + 1, n)
    track, order = unroll(length)
    x, y, angle = starts(n, shape, rng)
    # one pixel per step along the longer side
    step = 1 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle)))
    x = np.rint(x[track] + order * (step * np.cos(angle))[track]).astype(int)
    y = np.rint(y[track] + order * (step * np.sin(angle))[track]).astype(int)
    return _add(x, y, rng.uniform(LOWEST_OF_TRACK, HIGHEST_OF_TRACK, track.size), shape)


def wide_worms(n, shape, rng):
    """Winding tracks, three pixels wide; the charge of their pixels scatters around that of the track."""
    length = np.minimum(rng.lognormal(np.log(WORM_LENGTH), 0.6, n), LONGEST_WORM)
    steps = np.ceil(length / WORM_STEP).astype(int) + 1
    track, _ = unroll(steps)
    x, y, angle = starts(n, shape, rng)
    angle = angle[track] + running_sum(WORM_TURN * rng.standard_normal(track.size), steps)
    x = x[track] + running_sum(WORM_STEP * np.cos(angle), steps)
    y = y[track] + running_sum(WORM_STEP * np.sin(angle), steps)
    near = np.arange(-2, 3)
    columns, rows = np.rint(x).astype(int)[:, None, None] + near, np.rint(y).astype(int)[:, None, None] + near[:, None]
    within = (columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2 <= WORM_RADIUS**2
    within &= (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    pixel = rows * shape[1] + columns + track[:, None, None] * shape[0] * shape[1]
    # each pixel of a track once, for any number of close points
    pixel = np.unique(pixel[within])
    track, pixel = np.divmod(pixel, shape[0] * shape[1])
    mean = rng.lognormal(np.log(WORM_CHARGE), WORM_SPREAD, n)
    charge = mean[track] * rng.gamma(WORM_SHAPE, 1 / WORM_SHAPE, track.size)
    return np.bincount(pixel, charge, minlength=shape[0] * shape[1])


def single_pixels(n, shape, rng):
    """Single pixels, as many per electron as the power -1.5 of their charge, from 20 to 20 000 electrons."""
    power = SINGLE_POWER + 1
    low, high = LEAST_OF_SINGLE**power, MOST_OF_SINGLE**power
    charge = (low + (high - low) * rng.random(n)) ** (1 / power)
    return _add(rng.integers(shape[1], size=n), rng.integers(shape[0], size=n), charge, shape)


def starts(n, shape, rng):
    """Where ``n`` tracks start, and their direction."""
    x = rng.uniform(-MARGIN, shape[1] + MARGIN, n)
    y = rng.uniform(-MARGIN, shape[0] + MARGIN, n)
    return x, y, rng.uniform(0, 2 * np.pi, n)


def unroll(steps):
    """Number of the track, and position in it, of every point of tracks of ``steps`` points."""
    track = np.repeat(np.arange(steps.size), steps)
    return track, np.arange(track.size) - (np.cumsum(steps) - steps)[track]


def running_sum(values, steps):
    """Cumulative sum that restarts with each track."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return total[1:] - np.repeat(total[np.cumsum(steps) - steps], steps)


def _add(x, y, charge, shape):
    """Flat image of charge at pixels, some of them outside."""
    inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    return np.bincount((y * shape[1] + x)[inside], charge[inside], minlength=shape[0] * shape[1])
