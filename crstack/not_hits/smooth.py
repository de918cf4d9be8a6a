"""Flagged groups like light through the optics: variable and moving stars, comets, ghosts, false alarms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from scipy import ndimage

from crstack.exposures import Exposures
from crstack.not_hits.others import own_and_others
from crstack.not_hits.sources import named_first
from crstack.utils.medians import median_of_values
from crstack.utils.normal import FWHM_PER_SIGMA
from crstack.utils.pixels import EIGHT_CONNECTED, dilate
from crstack.utils.threads import map_images
from crstack.utils.words import plain

__all__ = ["SmoothGroup", "find_smooth", "sentence_of_smooth"]

#: fewest flagged pixels of a group, fewest on a star that the other exposures show, and margin (pixels) of the image
#: around it
FEWEST, FEWEST_ON_STAR, MARGIN = 12, 9, 5
#: distances (pixels) from the group between which the level is measured
NEAR, FAR = 2, 4
#: largest roughness of a smooth group: a high quantile of the squared Laplacian over that of the squared light. Hits
#: are rougher than well-sampled stars, and than the residuals of stars that move
ROUGHEST = 0.3
#: the quantile: a hit within a group has fewer pixels than the rest
QUANTILE = 0.75
#: variance of the Laplacian of noise of variance 1; the quantile of the square of a normal value
OF_LAPLACIAN, OF_QUANTILE = 20.0, 1.3233
#: standard error of that quantile, times the root of the number of values, and least significance of the smoothness
ERROR_OF_QUANTILE, ERRORS = 2.42, 2.0
#: least light (the same quantile of its square), in standard deviations of a pixel
CLEAR = 3.0
#: the squared light above the level around a group is at most this factor times that above the lowest pixel beside it
BRIGHTER = 2.0
#: the other exposures show a star at a group if they have this share of its light there
ALSO_IN_OTHERS = 0.3
#: a group is proportional to such a star if neither its misfit nor the share of noise in its light exceeds these. The
#: misfit is the sum of the squared residuals over that of the squared light. Hits on stars have a larger misfit
MISFIT, MOST_NOISE = 0.1, 0.25
#: the misfit is computed if the squared correlation with the light of the other exposures is at least this
CORRELATED = 0.3
#: hits are recognised within groups of at least this width (FWHM, pixels): they exceed twice the median of the window
#: (pixels) around them by this number of standard deviations
WIDE, WINDOW, ABOVE = 4.5, 5, 5.0


@dataclass(frozen=True)
class SmoothGroup:
    """A smooth flagged group.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 1.
    x, y : float
        Its centre (FITS: the first pixel is 1, 1).
    flux : float
        Light beyond that of the others, unit of the exposures.
    n_pixels : int
        Its flagged pixels.
    fwhm_major, fwhm_minor : float
        Widths by second moments, pixels.
    ratio : float
        Light of this exposure over that of the others, if these show a star there; infinite if not.
    """

    exposure: int
    x: float
    y: float
    flux: float
    n_pixels: int
    fwhm_major: float
    fwhm_minor: float
    ratio: float

    def row(self, unit: u.UnitBase) -> tuple:
        """A row of the table of `~crstack.not_hits.sources.find_sources`."""
        return (
            self.exposure, self.x * u.pix, self.y * u.pix, self.flux * unit, self.n_pixels, self.fwhm_major * u.pix,
            self.fwhm_minor * u.pix,
        )  # fmt: skip


def find_smooth(
    flagged: Callable[[int], np.ndarray],
    exposures: Exposures,
    differences: Callable[[], Sequence[np.ndarray] | None] = lambda: None,
) -> tuple[list[SmoothGroup], dict[int, np.ndarray]]:
    """Flagged groups that are as smooth as light through the optics.

    Parameters
    ----------
    flagged, exposures
        As for `~crstack.not_hits.sources.find_sources`.
    differences : callable, optional
        Gives the expected image of each exposure minus the common image, in the unit of the exposures; None if the
        exposures are equal. Called only if a group looks smooth without them.

    Returns
    -------
    groups : list of SmoothGroup
    planes : dict of int to `~numpy.ndarray`
        By exposure (from 0), the pixels of its groups, bool (ny, nx).

    Notes
    -----
    A group has 12 pixels or more, and contains a square of 3 x 3. The median of the other exposures (the lower of two
    middle values) and the level around the group are subtracted. A quantile of the squared Laplacian, minus that of
    the noise, is compared with that of the squared light. Light through the optics has no sharp edges, but hits have.
    A sharper group, or one of 9 to 11 pixels, is accepted too if it has the profile of a star that the other exposures
    show there. Sharp peaks in a wide group are hits, and stay such.
    """
    candidates = map_images(lambda i: _candidates(flagged(i), exposures, i), range(len(exposures)))
    known = differences() if any(candidates) else None
    groups: list[SmoothGroup] = []
    planes: dict[int, np.ndarray] = {}
    for i, places in enumerate(candidates):
        for box, group in places:
            found = _measured(exposures, i, box, group, known)
            if found is None:
                continue
            group = group & ~_hits_in(exposures, i, box, known) if found.fwhm_minor > WIDE else group
            groups.append(replace(found, n_pixels=int(np.count_nonzero(group))))
            plane = planes.setdefault(i, np.zeros(exposures.shape, dtype=bool))
            plane[box] |= group
    return groups, planes


def _candidates(plane, exposures, i):
    """Boxes and pixels of the groups of one exposure that are smooth without the differences of the exposures."""
    cores = plane & ~dilate(~plane, 1)
    if not cores.any():
        return []
    labels, n = ndimage.label(plane, EIGHT_CONNECTED)
    place = np.flatnonzero(plane)
    own = labels.ravel()[place]
    wanted = np.zeros(n + 1, dtype=bool)
    wanted[own[cores.ravel()[place]]] = True
    wanted &= np.bincount(own, minlength=n + 1) >= FEWEST_ON_STAR
    place = place[wanted[own]]
    wanted &= _perhaps_smooth(labels, place, n + 1, exposures, i)
    places, found = ndimage.find_objects(labels) if wanted.any() else [], []
    for k in np.flatnonzero(wanted):
        box = tuple(
            slice(max(one.start - MARGIN, 0), min(one.stop + MARGIN, side))
            for one, side in zip(places[k - 1], plane.shape, strict=True)
        )
        group = labels[box] == k
        if _measured(exposures, i, box, group, None) is not None:
            found.append((box, group))
    return found


def _perhaps_smooth(labels, place, n_groups, exposures, i):
    """Whether `_measured` may accept each group, bool (n_groups,); the level around is not subtracted.

    ``place`` are the places of the pixels of the groups in the flattened image.
    """
    if not len(place):
        return np.zeros(n_groups, dtype=bool)
    own = labels.ravel()[place]
    y, x = np.divmod(place, labels.shape[1])
    # the pixels of each group, then the pixels beside it
    dy, dx = (one.ravel() for one in np.mgrid[-1:2, -1:2])
    yy, xx = (y[:, None] + dy).ravel(), (x[:, None] + dx).ravel()
    known = (yy >= 0) & (yy < labels.shape[0]) & (xx >= 0) & (xx < labels.shape[1])
    keys = np.sort((np.repeat(own, dy.size)[known] * labels.shape[0] + yy[known]) * labels.shape[1] + xx[known])
    keys = keys[np.append(True, keys[1:] != keys[:-1])]  # as np.unique, which is slower
    group, place = np.divmod(keys, labels.size)
    y, x = np.divmod(place, labels.shape[1])
    light, others = _light(exposures, i, y, x)
    beside = [
        _light(exposures, i, np.clip(y + dy, 0, labels.shape[0] - 1), np.clip(x + dx, 0, labels.shape[1] - 1))[0]
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    laplacian2 = (sum(beside) - 4 * light) ** 2
    variance = 2 * exposures.noise_of(i).cutout((y, x)).variance(np.maximum(np.nan_to_num(others), 0))
    lowest = np.full(n_groups, np.inf)
    with np.errstate(invalid="ignore"):  # bad values are NaN
        np.minimum.at(lowest, group, light)
    flagged = labels[y, x] == group
    number, rough = _quantiles(laplacian2, group, n_groups, QUANTILE)
    _, typical = _quantiles(((light - lowest[group]) ** 2)[flagged], group[flagged], n_groups, QUANTILE)
    _, noise = _quantiles((variance + 0 * light)[flagged], group[flagged], n_groups, 0.5)
    rough -= _noise_of_laplacian(np.maximum(number, 1), noise)
    # a bad value has no light here, so that `_measured` decides on its group
    unknown = ~np.isfinite(rough + typical + noise)
    typical *= BRIGHTER
    alike = _squared_correlation(light, others, group, n_groups) >= CORRELATED
    return unknown | ((typical >= CLEAR**2 * noise) & ((rough <= ROUGHEST * typical) | alike))


def _squared_correlation(one, other, group, n_groups):
    """Squared correlation of two values within each group (n_groups,); 0 where it is negative."""
    number = np.maximum(np.bincount(group, minlength=n_groups), 1)

    def sums(values):
        return np.bincount(group, values, minlength=n_groups)

    one, other = (values - (sums(values) / number)[group] for values in (one, other))
    both = np.maximum(sums(one * other), 0)
    return both**2 / np.maximum(sums(one**2) * sums(other**2), 1e-30)


def _light(exposures, i, y, x):
    """Light minus that of the other exposures at some pixels, and the light of the others."""
    own, others = own_and_others(exposures, i, (y, x), float)
    return own - others, others


def _quantiles(values, group, n_groups, share):
    """Number of values and quantile of each group (n_groups,); NaN for a group that has none, or a NaN."""
    order = np.lexsort((values, group))
    number = np.bincount(group, minlength=n_groups)
    first = np.cumsum(number) - number
    values = np.append(values[order], np.nan)
    place = share * np.maximum(number - 1, 0)
    low = (first + np.floor(place)).astype(int)
    high = np.minimum(low + 1, first + np.maximum(number - 1, 0))
    found = values[low] + (values[high] - values[low]) * (place % 1)
    last = values[first + np.maximum(number - 1, 0)]  # NaN are sorted to the end
    return number, np.where((number > 0) & np.isfinite(last), found, np.nan)


def _noise_of_laplacian(number, noise):
    """Quantile of the squared Laplacian of noise, for a number of values.

    It is an upper limit: the noise of few pixels may hide sharp edges.
    """
    return (OF_QUANTILE - ERRORS * ERROR_OF_QUANTILE / np.sqrt(number)) * OF_LAPLACIAN * noise


def _measured(exposures, i, box, group, differences):
    """The group as a `SmoothGroup`; None if it is not smooth, or too faint."""
    y, x = np.mgrid[box]
    own, others = own_and_others(exposures, i, (y, x), float, differences)
    around = dilate(group, FAR) & ~dilate(group, NEAR)
    light, star = (np.nan_to_num(one - _level(one, around)) for one in (own - others, others))
    variance = 2 * exposures.noise_of(i).cutout(box).variance(np.maximum(np.nan_to_num(others), 0))
    noise = float(median_of_values(np.broadcast_to(variance, group.shape)[group]))
    typical = float(np.quantile(light[group] ** 2, QUANTILE))
    laplacian = ndimage.laplace(light, mode="nearest")[dilate(group, 1)]
    rough = np.quantile(laplacian**2, QUANTILE) - _noise_of_laplacian(laplacian.size, noise)
    if typical < CLEAR**2 * noise or median_of_values(light[group]) < 0:
        return None
    smooth = rough <= ROUGHEST * typical and np.count_nonzero(group) >= FEWEST
    if not smooth and not _is_star(light, star, dilate(group, 1), variance / 2):
        return None
    weight = np.where(group, np.maximum(light, 0), 0)
    total = weight.sum()
    cx, cy = (float((weight * one).sum() / total) for one in (x, y))
    dx, dy = x - cx, y - cy
    moments = [[float((weight * a * b).sum() / total) for a in (dx, dy)] for b in (dx, dy)]
    minor, major = FWHM_PER_SIGMA * np.sqrt(np.maximum(np.linalg.eigvalsh(moments), 0))
    flux, of_star = float(light[group].sum()), float(star[group].sum())
    ratio = 1 + flux / of_star if of_star > ALSO_IN_OTHERS * flux else np.inf
    return SmoothGroup(
        i + 1, cx + 1, cy + 1, flux, int(np.count_nonzero(group)), float(major), float(minor), float(ratio)
    )


def _is_star(light, star, where, variance):
    """Whether the light of a group is proportional to a star of the other exposures, within the noise.

    ``variance`` is that of one value of the others. Hits do not have the profile of the star that they lie on.
    """
    light, star, variance = (np.broadcast_to(one, where.shape)[where] for one in (light, star, variance))
    factor = (light * star).sum() / max((star**2).sum(), 1e-30)
    total = (light**2).sum()
    # the exposure has the noise of its own light, and the others that of the star
    noise = (variance * ((1 + factor) + (1 + factor) ** 2)).sum()
    remains = ((light - factor * star) ** 2).sum() - noise
    return factor > 0 and noise < MOST_NOISE * total and remains < MISFIT * total


def _hits_in(exposures, i, box, differences):
    """Pixels of a box where a wide group has a sharp peak, bool: a hit lies on it."""
    own, others = own_and_others(exposures, i, tuple(np.mgrid[box]), float, differences)
    light = np.nan_to_num(own - others)
    smooth = np.maximum(ndimage.median_filter(light, WINDOW, mode="nearest"), 0)
    variance = exposures.noise_of(i).cutout(box).variance(np.maximum(np.nan_to_num(others) + smooth, 0))
    return light > 2 * smooth + ABOVE * np.sqrt(2 * variance)


def _level(values, around):
    """Median of the values around a group."""
    some = values[around & np.isfinite(values)]
    return median_of_values(some) if some.size else 0.0


def sentence_of_smooth(
    groups: Sequence[SmoothGroup], names: Sequence[str], unit: u.UnitBase, unmeasured: str = ""
) -> str | None:
    """A warning about smooth flagged groups; None if there are none.

    Parameters
    ----------
    groups : sequence of SmoothGroup
        From `find_smooth`.
    names : sequence of str
        Names of the exposures.
    unit : `~astropy.units.Unit`
        Of the exposures.
    unmeasured : str, optional
        Which differences of the exposures are neither given nor measured, with the remedy.
    """
    if not groups:
        return None
    exposures = sorted({one.exposure for one in groups})
    where = f"{len(exposures)} exposures" if len(exposures) > 1 else names[exposures[0] - 1]
    named = named_first([one.exposure for one in groups], [one.flux for one in groups])
    places = ", ".join(
        f"{names[one.exposure - 1]} at ({one.x:.1f}, {one.y:.1f}) with {plain(one.flux)} {unit}"
        + (f", {one.ratio:.2f} times the light of the others" if np.isfinite(one.ratio) else "")
        for one in (groups[k] for k in named)
    )
    left = len(groups) - len(named)
    more = f", and {left} more (in Python: masks.sources)" if left else ""
    advice = unmeasured or (
        "Is it a variable or moving star, a comet, a ghost, or an exposure whose seeing, focus or alignment differs? "
        "To keep their light, use ignore_pixels or skip_regions"
    )
    return (
        f"flagged groups are smooth ({len(groups)}, in {where}), as light through the optics is, and hits are not. "
        f"{advice}. They are masked with the code SOURCE, but not counted as hits. "
        f"{'Brightest' if len(groups) > 1 else 'Place'}: {places}{more}"
    )
