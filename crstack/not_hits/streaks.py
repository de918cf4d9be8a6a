"""Short straight streaks as wide as stars: asteroids and satellites that move while an exposure is taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from scipy import ndimage

from crstack.exposures import Exposures
from crstack.not_hits.others import own_and_others
from crstack.not_hits.sources import named_first
from crstack.not_hits.spikes import Spikes, along_spikes
from crstack.utils.medians import median_of_values
from crstack.utils.normal import FWHM_PER_SIGMA, SIGMA_PER_MAD
from crstack.utils.pixels import EIGHT_CONNECTED, dilate
from crstack.utils.threads import map_images
from crstack.utils.words import plain

__all__ = ["Streak", "find_streaks", "sentence_of_streaks"]

#: fewest flagged pixels and least length (pixels) of a streak, and its least length over its width
FEWEST, SHORTEST, ELONGATION = 60, 25, 3.0
#: distance across (pixels) that is examined, that beyond which the level is measured, and step of both
REACH, OUTSIDE, STEP = 12.0, 9.0, 0.5
ACROSS = np.arange(-REACH, REACH + STEP / 2, STEP)
#: least full width at half maximum (pixels); tracks of hits are narrower
NARROWEST = 2.0
#: largest misfit of a Gaussian across: the sum of squared residuals over that of the squared light
MISFIT = 0.05
#: pixels along between which the light is compared
LAG = 3
#: largest scatter of such differences over the light: the light of a streak is even, and the charge of hits is not
UNEVEN = 0.12
#: largest ratio of the widths of both halves: the charge of a track spreads where it is deep in the detector
HALVES = 1.3
#: least light in the middle in standard deviations of a pixel, and largest light of the others there over it
CLEAR, ALSO_IN_OTHERS = 4.0, 0.3


@dataclass(frozen=True)
class Streak:
    """A short streak in one exposure.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 1.
    x1, y1, x2, y2 : float
        Ends of its middle line (FITS: the first pixel is 1, 1).
    width : float
        Its full width at half maximum, pixels.
    flux : float
        Its light, in the unit of the exposures.
    n_pixels : int
        Its flagged pixels.
    """

    exposure: int
    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    flux: float
    n_pixels: int

    @property
    def length(self) -> float:
        """Distance of its ends, pixels."""
        return float(np.hypot(self.x2 - self.x1, self.y2 - self.y1))

    def row(self, unit: u.UnitBase) -> tuple:
        """A row of the table of `~crstack.not_hits.sources.find_sources`."""
        # the standard deviation of an even line is its length over the square root of 12
        major = FWHM_PER_SIGMA * self.length / np.sqrt(12)
        x, y = (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2
        return self.exposure, x * u.pix, y * u.pix, self.flux * unit, self.n_pixels, major * u.pix, self.width * u.pix


def find_streaks(
    flagged: Callable[[int], np.ndarray], exposures: Exposures, spikes: Sequence[Spikes] = ()
) -> tuple[list[Streak], dict[int, np.ndarray]]:
    """Short straight streaks among the flagged pixels of each exposure.

    Parameters
    ----------
    flagged, exposures
        As for `~crstack.not_hits.sources.find_sources`.
    spikes : sequence of Spikes, optional
        From `~crstack.not_hits.spikes.find_spikes`. What lies along them is no streak.

    Returns
    -------
    streaks : list of Streak
    planes : dict of int to `~numpy.ndarray`
        By exposure (from 0), the pixels of its streaks, bool (ny, nx).

    Notes
    -----
    A streak is a flagged group of 60 pixels or more, 25 pixels long or more, that is straight. Its light across is a
    Gaussian, 2 pixels wide or more, of the same width in both halves. Its light along is even. Tracks of hits are
    narrower, or their charge fluctuates along them. What the other exposures show too is no streak.
    """
    found = map_images(lambda i: _streaks_of_exposure(flagged(i), exposures, i), range(len(exposures)))
    found = [[one for one in of_one if not along_spikes(one[0], spikes)] for of_one in found]
    planes = {}
    for i, of_one in enumerate(found):
        if of_one:
            planes[i] = np.zeros(exposures.shape, dtype=bool)
            for _, (y, x) in of_one:
                planes[i][y, x] = True
    return [streak for of_one in found for streak, _ in of_one], planes


def _streaks_of_exposure(plane, exposures, i):
    """The streaks of one exposure, each with the rows and columns of its pixels."""
    cores = plane & ~dilate(~plane, 1)
    if not cores.any():
        return []
    labels, n = ndimage.label(plane, EIGHT_CONNECTED)
    place = np.flatnonzero(plane)
    own = labels.ravel()[place]
    wanted = np.bincount(own, minlength=n + 1) >= FEWEST
    wanted[np.setdiff1d(np.arange(n + 1), labels[cores])] = False
    place, own = place[wanted[own]], own[wanted[own]]
    order = np.argsort(own, kind="stable")
    groups = np.split(place[order], np.flatnonzero(np.diff(own[order])) + 1) if len(place) else []
    found = []
    for group in groups:
        y, x = np.unravel_index(group, plane.shape)
        streak = _streak(exposures, i, y, x)
        if streak is not None:
            found.append((streak, (y, x)))
    return found


def _streak(exposures, i, y, x):
    """The streak of a group of pixels (rows, columns); None if it is none."""
    middle = np.array([x.mean(), y.mean()])
    steps = np.stack([x, y]) - middle[:, None]
    spread, axes = np.linalg.eigh(steps @ steps.T / x.size)
    along = axes[:, 1] @ steps
    low, high = along.min(), along.max()
    if high - low < SHORTEST or spread[1] < ELONGATION**2 * spread[0]:
        return None
    own, others, variance = _rectified(exposures, i, middle, axes[:, 1], low, high)
    if own is None:
        return None
    profile, of_others = median_of_values(own.T, axis=1), median_of_values(others.T, axis=1)
    peak = profile[np.abs(ACROSS) <= 2].max()
    if peak < CLEAR * np.sqrt(variance) or of_others[np.abs(ACROSS) <= 2].max() > ALSO_IN_OTHERS * peak:
        return None
    width, centre, misfit = _gaussian(profile)
    if width < NARROWEST or misfit > MISFIT or high - low < ELONGATION * width:
        return None
    half = len(own) // 2
    widths = [_gaussian(median_of_values(one.T, axis=1))[0] for one in (own[:half], own[half:])]
    light = own[:, np.abs(ACROSS - centre) <= width].sum(axis=1) * STEP
    if max(widths) > HALVES * min(widths) or not _is_even(light, variance * 2 * width):
        return None
    ends = [middle + one * axes[:, 1] + centre * axes[::-1, 1] * (-1, 1) + 1 for one in (low, high)]
    return Streak(
        i + 1, *ends[0].tolist(), *ends[1].tolist(), width, float(median_of_values(light)) * len(light), int(x.size)
    )


def _is_even(light, variance):
    """Whether the light along a streak is even, within its noise."""
    differences = np.abs(light[LAG:] - light[:-LAG])
    scatter = SIGMA_PER_MAD * float(median_of_values(differences)) / np.sqrt(2)
    return scatter**2 - variance <= (UNEVEN * float(median_of_values(light))) ** 2


def _rectified(exposures, i, middle, direction, low, high):
    """Light along and across a line, minus that of the others, that of the others, and the variance of a pixel.

    None in place of all where there are too few valid values.
    """
    along = np.arange(low, high + 0.5)[:, None]
    x = middle[0] + along * direction[0] - ACROSS * direction[1]
    y = middle[1] + along * direction[1] + ACROSS * direction[0]
    rows, columns = (
        np.arange(max(int(one.min()) - 1, 0), min(int(one.max()) + 3, side))
        for one, side in zip((y, x), exposures.shape, strict=True)
    )
    where = tuple(np.meshgrid(rows, columns, indexing="ij"))
    own, others = own_and_others(exposures, i, where, float)
    light, of_others = (_sampled(one, y - rows[0], x - columns[0]) for one in (own - others, others))
    far = np.abs(ACROSS) >= OUTSIDE
    if not np.isfinite(light).any(axis=0).all() or not np.isfinite(light[:, far]).any():
        return None, None, 0.0
    level = max(float(np.nanmedian(of_others)), 0.0)
    light -= np.nanmedian(light[:, far])
    own_level = level + max(float(np.nanmedian(light[:, np.abs(ACROSS) <= 1])), 0.0)
    noise = exposures.noise_of(i).cutout(where)
    variance = sum(float(np.median(noise.variance(np.float32(one)))) for one in (level, own_level))
    return (
        np.nan_to_num(light),
        np.nan_to_num(of_others - np.nanmedian(of_others[:, far])),
        variance,
    )


def _sampled(image, rows, columns):
    """Values of an image between its pixels, linear; NaN outside of it and beside bad values."""
    return ndimage.map_coordinates(image, [rows, columns], order=1, mode="constant", cval=np.nan)


def _gaussian(profile):
    """Full width at half maximum, centre and misfit of a Gaussian that is fitted to a profile."""
    near = np.abs(ACROSS) < OUTSIDE
    distance, light = ACROSS[near], profile[near]
    start = int(np.argmax(np.where(np.abs(distance) <= 2, light, -np.inf)))
    centre, sigma = float(distance[start]), 1.5
    for _ in range(20):
        weight = np.exp(-0.5 * ((distance - centre) / sigma) ** 2)
        # moments of the light times a Gaussian of the same width, whose product is narrower by the root of 2
        weighted = np.maximum(light, 0) * weight
        total = max(float(weighted.sum()), 1e-30)
        centre = float((weighted * distance).sum()) / total
        sigma = float(np.sqrt(max(2 * (weighted * (distance - centre) ** 2).sum() / total, STEP**2 / 4)))
        sigma = min(sigma, OUTSIDE)
    model = np.exp(-0.5 * ((distance - centre) / sigma) ** 2)
    height = float((light * model).sum() / (model**2).sum())
    misfit = float(((light - height * model) ** 2).sum() / max((light**2).sum(), 1e-30))
    return float(FWHM_PER_SIGMA * sigma), centre, misfit


def sentence_of_streaks(streaks: Sequence[Streak], names: Sequence[str], unit: u.UnitBase) -> str | None:
    """A warning about short streaks; None if there are none.

    Parameters
    ----------
    streaks : sequence of Streak
        From `find_streaks`.
    names : sequence of str
        Names of the exposures.
    unit : `~astropy.units.Unit`
        Of the exposures.
    """
    if not streaks:
        return None
    named = named_first([one.exposure for one in streaks], [one.flux for one in streaks])
    places = "; ".join(
        f"{names[one.exposure - 1]} from ({one.x1:.0f}, {one.y1:.0f}) to ({one.x2:.0f}, {one.y2:.0f}), "
        f"{one.width:.0f} pixels wide, with {plain(one.flux)} {unit}"
        for one in (streaks[k] for k in named)
    )
    left = len(streaks) - len(named)
    more = f", and {left} more (in Python: masks.sources)" if left else ""
    return (
        f"straight streaks as wide as stars are flagged ({len(streaks)}): {places}{more}. Did an asteroid, or a "
        "satellite, move during the exposures? They are masked with the code SOURCE, but not counted as hits. To keep "
        "their light, use ignore_pixels or skip_regions"
    )
