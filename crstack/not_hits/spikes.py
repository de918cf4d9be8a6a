"""Diffraction spikes of bright stars that point in other directions in each exposure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crstack.exposures import Exposures
from crstack.not_hits.trails import Trail
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads

__all__ = ["Spikes", "along_spikes", "find_spikes", "sentence_of_spikes"]

#: side (pixels) of the blocks with one bright pixel, and number of the brightest stars that are examined
BLOCK, STARS = 16, 12
#: first and last distance (pixels) from the star at which a spike is examined
FIRST, LAST = 10, 40
#: number of directions, and pixels across a direction that may be flagged
DIRECTIONS, ACROSS = 180, 1
#: least share of these distances at which a spike is flagged, and largest share in the directions beside it
FILLED, AROUND = 0.6, 0.4
#: scatters of all directions by which the share of a spike exceeds their median
OVER_CHANCE = 4.0
#: steps between directions from a spike to those beside it
ASIDE = 8
#: least angle (degrees) between two spikes of an exposure, and between two lines of spikes
APART, CROSSED = 15.0, 30.0
#: largest angle (degrees) between one spike of a vane and the other, turned by 180 degrees
OPPOSITE = 5.0
#: at these distances (pixels) this quantile of the light is below this share of the star; lines of spectra go on
RING, QUANTILE, SHARE = (10.0, 14.0), 0.9, 0.1
#: largest distance (pixels) of a line of spikes from its star
BESIDE = 5.0


@dataclass(frozen=True)
class Spikes:
    """Flagged spikes of one star.

    Attributes
    ----------
    x, y : float
        Place of the star (FITS: the first pixel is 1, 1).
    exposures : tuple of int
        Numbers of the exposures in which spikes are flagged, from 1.
    n_pixels : int
        Flagged values within 40 pixels of the star, in all exposures.
    """

    x: float
    y: float
    exposures: tuple
    n_pixels: int


def find_spikes(flagged: Callable[[int], np.ndarray], exposures: Exposures) -> list[Spikes]:
    """Stars whose diffraction spikes are flagged.

    Parameters
    ----------
    flagged, exposures
        As for `~crstack.not_hits.sources.find_sources`.

    Returns
    -------
    spikes : list of Spikes
        Brightest star first.

    Notes
    -----
    The field rotates against the spider of a telescope with an altazimuth mount, unless it is derotated. Spikes then
    differ between exposures, and look like hits. The brightest stars that all exposures show are examined. A spike is a
    direction in which 60 per cent of the pixels at distances of 10 to 40 pixels are flagged, and clearly more than in
    most directions. Spikes cross in two exposures or more, and one vane has spikes on both sides of the star there.
    Trails that cross a star do so in one exposure only.
    """
    stars = [star for star in _brightest(exposures) if _is_star(exposures, *star)]
    if not stars:
        return []
    planes = [flagged(i) for i in range(len(exposures))]
    some = map_threads(lambda star: _spikes_of_star(planes, *star), stars)
    return [one for one in some if one is not None]


def _brightest(exposures):
    """Rows and columns (from 0) of the brightest pixels of all exposures, each in its own block."""
    ny, nx = exposures.shape
    if min(ny, nx) < 2 * FIRST:
        return []

    def of_rows(start):
        low = exposures.data[:, start : start + BLOCK].min(axis=0)
        # neither a hot pixel nor a bad column
        low = np.minimum(np.minimum(low[:, 1:-1], low[:, :-2]), low[:, 2:])
        low = np.pad(
            np.where(np.isfinite(low), low, -np.inf), ((0, 0), (0, -low.shape[1] % BLOCK)), constant_values=-np.inf
        )
        blocks = low.reshape(len(low), -1, BLOCK).swapaxes(0, 1).reshape(-1, len(low) * BLOCK)
        rows, columns = np.divmod(blocks.argmax(axis=1), BLOCK)
        return blocks.max(axis=1), start + rows, np.arange(len(blocks)) * BLOCK + columns + 1

    found = map_threads(of_rows, range(0, ny, BLOCK))
    values, rows, columns = (np.concatenate([one[k] for one in found]) for k in range(3))
    stars: list[tuple[int, int]] = []
    for k in np.argsort(-values, kind="stable").tolist():
        row, column = int(rows[k]), int(columns[k])
        if all(np.hypot(row - y, column - x) > BLOCK for y, x in stars):
            stars.append((row, column))
        if len(stars) == STARS:
            break
    return stars


def _is_star(exposures, row, column):
    """Whether the light around a bright pixel is that of a star: where lines or traces cross, they go on."""
    reach = int(RING[1])
    rows, columns = (slice(max(one - reach, 0), one + reach + 1) for one in (row, column))
    low = exposures.data[:, rows, columns].min(axis=0)
    y, x = np.indices(low.shape)
    distance = np.hypot(y - row + rows.start, x - column + columns.start)
    ring = low[(distance >= RING[0]) & (distance <= RING[1])]
    level = np.median(ring)
    peak = exposures.data[:, row, column].min() - level
    return np.quantile(ring, QUANTILE) - level < SHARE * peak


def _spikes_of_star(planes, row, column):
    """The `Spikes` of a star; None if there are none."""
    found = {i: _directions(plane, row, column) for i, plane in enumerate(planes)}
    # two trails may cross in one exposure
    if sum(_cross(angles) and _opposite(angles) for angles in found.values()) < 2:
        return None
    box = tuple(slice(max(one - LAST, 0), one + LAST + 1) for one in (row, column))
    n_pixels = sum(int(np.count_nonzero(plane[box])) for plane in planes)
    return Spikes(column + 1, row + 1, tuple(i + 1 for i, angles in found.items() if angles), n_pixels)


def _directions(plane, row, column):
    """Directions (degrees) from a pixel in which most pixels are flagged."""
    angles = np.arange(DIRECTIONS) * 360 / DIRECTIONS
    cosine, sine = np.cos(np.radians(angles))[:, None, None], np.sin(np.radians(angles))[:, None, None]
    along = np.arange(FIRST, LAST + 1)[:, None]
    across = np.arange(-ACROSS, ACROSS + 1)
    x = np.rint(column + along * cosine - across * sine).astype(int)
    y = np.rint(row + along * sine + across * cosine).astype(int)
    inside = (x >= 0) & (x < plane.shape[1]) & (y >= 0) & (y < plane.shape[0])
    values = plane[np.where(inside, y, 0), np.where(inside, x, 0)] & inside
    shares = values.any(axis=2).mean(axis=1)
    beside = np.maximum(np.roll(shares, ASIDE), np.roll(shares, -ASIDE))
    # where hits are frequent, many pixels of all directions are flagged
    usual = float(np.median(shares))
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(shares - usual)))
    least = max(FILLED, usual + OVER_CHANCE * scatter)
    found: list[float] = []
    for k in np.argsort(-shares, kind="stable"):
        if shares[k] < least:
            break
        if beside[k] < AROUND and all(abs((angles[k] - one + 180) % 360 - 180) > APART for one in found):
            found.append(float(angles[k]))
    return found


def _cross(angles):
    """Whether some directions are not along one line."""
    return any(abs((one - angles[0] + 90) % 180 - 90) > CROSSED for one in angles[1:])


def _opposite(angles):
    """Whether two directions are opposite, as those of a vane are; tracks of hits end at either side of a star."""
    return any(abs((one - other) % 360 - 180) < OPPOSITE for one in angles for other in angles)


def along_spikes(trail: Trail, spikes: Sequence[Spikes]) -> bool:
    """Whether a straight feature passes through a star with spikes.

    Some of the spikes of such a star may be too faint for `find_spikes` in the exposure of the feature.

    Parameters
    ----------
    trail : Trail
        The straight feature.
    spikes : sequence of Spikes
        From `find_spikes`.
    """
    dx, dy = trail.x2 - trail.x1, trail.y2 - trail.y1
    return any(abs((one.x - trail.x1) * dy - (one.y - trail.y1) * dx) < BESIDE * np.hypot(dx, dy) for one in spikes)


def sentence_of_spikes(spikes: Sequence[Spikes], names: Sequence[str]) -> str | None:
    """A warning about spikes; None if there are none.

    Parameters
    ----------
    spikes : sequence of Spikes
        From `find_spikes`.
    names : sequence of str
        Names of the exposures.
    """
    if not spikes:
        return None
    stars = "; ".join(
        f"the star at ({one.x:.0f}, {one.y:.0f}) in {', '.join(names[i - 1] for i in one.exposures)}, with "
        f"{one.n_pixels} flagged values within {LAST} pixels"
        for one in spikes
    )
    return (
        f"diffraction spikes of bright stars differ between the exposures, and are flagged as hits: {stars}. Did the "
        "field rotate against the telescope? Their light is left out of combined images: for photometry of these "
        "stars, use ignore_pixels there, or exposures with the same rotation"
    )
