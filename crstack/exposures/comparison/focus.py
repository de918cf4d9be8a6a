"""Exposures that are out of focus, from the mean image of their bright stars."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.exposures.comparison.structures import IN_ONE, IN_TWO, MIDDLE, labelled
from crstack.utils.medians import median_of_values, of_rank
from crstack.utils.normal import SIGMA_PER_MAD

__all__ = ["Profile", "out_of_focus"]

#: half of the side of the images of stars, distance from which their level is measured, and largest radius of their
#: light (pixels)
HALF, RIM, RADIUS = 30, 24, 20.0
#: fewest and most stars of which the median is taken
FEWEST, MOST = 5, 40
#: largest area (blocks of 2 x 2 pixels) and largest ratio of the sides of a structure that may be a star
AREA, ELONGATION = 400, 2
#: distance (pixels) from a bad value within which a star is not used
FROM_BAD = 4
#: an exposure of the same field shows more than the third share of the stars, with the first share of the usual light,
#: which is that of the brighter stars: the second quantile
SHOWN, USUAL, LEAST_SHOWN = 0.25, 0.75, 0.75
#: least light of the median star in standard deviations; with less its profile is not known
SIGNIFICANT = 30.0
#: largest radius (pixels) of half of the light of a star in focus: traces and noise fill the whole aperture
COMPACT = 6.0
#: steps of a pixel in which profiles are integrated
FINER = 4
#: radii of 20 and of 80 per cent of the light: a profile without a bright centre has a smaller ratio than the first
#: number, and a star in focus has more than the second. The ratio is 2 for a uniform disc and 2.7 for a Gaussian
HOLLOW, PEAKED = 2.2, 2.45
#: a hollow profile is wider than a star in focus by this factor, and a profile of any shape by the second
WIDER, MUCH_WIDER = 1.1, 1.5
#: least difference of the second moments (square pixels) that kernels do not describe, for a profile of any shape; and
#: squared half-light radius of a Gaussian over its second moment along one axis
MOMENTS, OF_GAUSSIAN = 3.5, 1.386
#: least ratio of the second moments along both axes: a trail has less
ROUND = 0.5


@dataclass(frozen=True)
class Profile:
    """Profile of the median star of an exposure.

    Attributes
    ----------
    inner, half, outer : float
        Radii (pixels) of 20, 50 and 80 per cent of its light.
    roundness : float
        Ratio of the second moments along both axes.
    """

    inner: float
    half: float
    outer: float
    roundness: float

    @property
    def peaked(self):
        """Ratio of the outer to the inner radius."""
        return self.outer / self.inner


def out_of_focus(data, bad, planes):
    """Exposures whose stars have the profile of a disc or a ring, or are much wider than in the others.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures (N, ny, nx).
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx), their bad values.
    planes : sequence of `~numpy.ndarray`
        Significance of the blocks of each exposure, see `crstack.exposures.comparison.structures.significances`.

    Returns
    -------
    found : dict of int to (float, float, bool)
        By exposure, from 0: the diameter of half of the light of its stars, that of the sharp exposures, and whether
        its profile is hollow. Empty if there are too few stars, and if most exposures are alike in this.

    Notes
    -----
    Stars are compact structures of most exposures. The images of up to 40 of the brightest are divided by their light,
    and the median image of each exposure is compared with that of the sharpest half. Hits and neighbours are not in a
    median image. It is centred on its own light, so that shifts change nothing. A trail is longer in one direction, and
    does not count. If the sharp images are not round, they are pieces of traces and lines of spectra: second-order
    light beside them looks like a wide profile, but nothing is out of focus. Light that was added to an exposure, such
    as fringes or a leak, is the same around bright and faint stars. It widens the profile of the brighter half of the
    stars less than that of all, and a profile of any shape must be wide in both.
    """
    places = _stars(planes, data.shape[1:])
    if len(places) < FEWEST:
        return {}
    stars = _median_stars(data, bad, places)
    profiles = [None if one is None else _profile(one[0]) for one in stars]
    known = [one for one in profiles if one is not None]
    if len(known) < 2 or len(known) < len(data) / 2:
        return {}
    sharp = sorted(known, key=lambda one: one.half)[: (len(known) + 1) // 2]
    half, peaked, roundness = (
        float(median_of_values([getattr(one, name) for one in sharp])) for name in ("half", "peaked", "roundness")
    )
    found = {}
    if half > COMPACT or roundness < ROUND:
        return found
    for i, one in enumerate(profiles):
        if one is None or one.roundness < ROUND:
            continue
        hollow = one.peaked < HOLLOW and peaked > PEAKED and one.half > WIDER * half
        # two exposures of other seeing have a warning of their own
        wide = len(data) > 2 and _much_wider(one, half) and _much_wider(_profile(stars[i][1]), half)
        if hollow or wide:
            found[i] = 2 * one.half, 2 * half, hollow
    return found if len(found) < len(data) / 2 or (len(data) == 2 and len(found) == 1) else {}


def _much_wider(profile, half):
    """Whether a profile, of any shape, is much wider than those in focus, of which ``half`` is the radius."""
    if profile is None:
        return False
    return profile.half > MUCH_WIDER * half and (profile.half**2 - half**2) / OF_GAUSSIAN > MOMENTS


def _stars(planes, shape):
    """Pixels (M, 2), row and column, of the brightest compact structures of most exposures, or of one of two."""
    n = len(planes)
    levels = np.stack([np.nan_to_num(plane) for plane in planes])
    common = levels.max(axis=0) if n == 2 else of_rank(levels, (n - 1) // 2)
    labels, number = labelled(common, IN_ONE if n == 2 else IN_TWO)
    if not number:
        return np.zeros((0, 2), int)
    rows, columns = np.nonzero(labels)
    structure, level = labels[rows, columns], common[rows, columns]
    # by structure, the highest block first
    order = np.lexsort((-level, structure))
    rows, columns, level = rows[order], columns[order], level[order]
    first = np.searchsorted(structure[order], np.arange(1, number + 1))
    height, width = (np.maximum.reduceat(at, first) - np.minimum.reduceat(at, first) + 1 for at in (rows, columns))
    compact = np.maximum(height, width) <= ELONGATION * np.minimum(height, width)
    first = first[compact & (height * width <= AREA)]
    brightest = first[np.argsort(-level[first], kind="stable")[: 2 * MOST]]
    offset = [max((side - MIDDLE) // 2, 0) for side in shape]
    return 2 * np.stack([rows[brightest], columns[brightest]], axis=1) + offset


def _stamps(data, bad, places, steps):
    """Images (N, M, side, side) of the exposures around some places; NaN at bad values and beyond the edges."""
    rows, columns = (places[:, k, None] + steps for k in (0, 1))  # (M, side)
    ny, nx = data.shape[1:]
    where = np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None]
    inside = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None]
    stamps = np.stack([np.where(inside, plane[where], np.nan) for plane in data])
    if bad is not None:
        stamps[np.stack([one[where] for one in bad])] = np.nan
    return stamps


def _median_stars(data, bad, places):
    """Median images of all stars of each exposure, over their light in most exposures, and of the brighter half.

    None in place of both where they are not known.
    """
    steps = np.arange(-HALF, HALF + 1)
    radius = np.hypot(steps[:, None], steps)
    stamps = _stamps(data, bad, places, steps)
    stamps = stamps[:, np.isfinite(stamps[..., radius < FROM_BAD]).all(axis=(0, 2))][:, :MOST]
    if stamps.shape[1] < FEWEST:
        return [None] * len(data)
    rims = stamps[..., radius > RIM]
    # one star in an exposure may lack a part of the rim, but hardly all of it
    use = np.isfinite(rims).any(axis=2).all(axis=0)
    stamps, rims = stamps[:, use], rims[:, use]
    stamps = np.nan_to_num(stamps - np.array([_median_of_rims(one) for one in rims])[..., None, None])
    light = median_of_values(stamps[..., radius < RADIUS / 2].sum(axis=2), axis=0)
    bright = light > 0
    if np.count_nonzero(bright) < FEWEST:
        return [None] * len(data)
    stamps, light = stamps[:, bright], light[bright]
    each = stamps[..., radius < RADIUS].sum(axis=2)
    ratios = each / np.maximum(each.max(axis=0), 1e-30)
    shown = (ratios > SHOWN * np.quantile(ratios, USUAL, axis=1)[:, None]).mean(axis=1)
    stamps, brighter = stamps / light[:, None, None], np.argsort(-light, kind="stable")[: (len(light) + 1) // 2]
    return [
        (median_of_values(one, axis=0), median_of_values(one[brighter], axis=0)) if share > LEAST_SHOWN else None
        for one, share in zip(stamps, shown, strict=True)
    ]


def _median_of_rims(rims):
    """Median of each row (M,) of some values without those that are NaN."""
    return [float(median_of_values(one[np.isfinite(one)])) for one in rims]


def _profile(star):
    """Profile of a median star; None if it has too little light."""
    steps = np.arange(-HALF, HALF + 1)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    star = np.nan_to_num(star)
    rim = star[np.hypot(y, x) > RIM]
    noise = SIGMA_PER_MAD * float(median_of_values(np.abs(rim - median_of_values(rim)))) + 1e-12
    star = star - median_of_values(rim)
    smooth = ndimage.uniform_filter(star, 5, mode="constant")
    row, column = np.unravel_index(np.argmax(np.where(np.hypot(y, x) < RIM, smooth, 0)), star.shape)
    cy, cx = float(steps[row]), float(steps[column])
    for _ in range(10):
        weight = np.where((np.hypot(y - cy, x - cx) < RADIUS) & (star > 3 * noise), star, 0)
        total = weight.sum()
        if not total > 0:
            return None
        cy, cx = float((weight * y).sum() / total), float((weight * x).sum() / total)
    inside = np.hypot(y - cy, x - cx) < RADIUS
    light = float(star[inside].sum())
    if light < SIGNIFICANT * noise * np.sqrt(np.count_nonzero(inside)):
        return None
    moments = np.linalg.eigvalsh([[float((weight * a * b).sum()) for a in (x - cx, y - cy)] for b in (x - cx, y - cy)])
    return Profile(*_radii(star, cy, cx), float(moments[0] / max(moments[1], 1e-30)))


def _radii(star, cy, cx):
    """Radii (pixels) of 20, 50 and 80 per cent of the light around a centre."""
    fine = np.arange(-RADIUS, RADIUS + 1e-9, 1 / FINER)
    rows, columns = np.meshgrid(HALF + cy + fine, HALF + cx + fine, indexing="ij")
    values = ndimage.map_coordinates(star, [rows, columns], order=1, mode="constant")
    radius = np.hypot(fine[:, None], fine).ravel()
    order = np.argsort(radius, kind="stable")
    order = order[radius[order] < RADIUS]
    growth = np.maximum.accumulate(np.cumsum(values.ravel()[order]))
    place = np.searchsorted(growth, np.array([0.2, 0.5, 0.8]) * growth[-1])
    return np.maximum(radius[order][place], 0.5 / FINER).tolist()
