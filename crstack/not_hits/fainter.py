"""Exposures with part of the light of the others: faint stars then look like sources that only the others show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from scipy import ndimage

from crstack.exposures import Exposures
from crstack.utils.medians import median_of_values, weighted_median

__all__ = ["Fainter", "fainter_exposures", "words_of_fainter"]

#: half of the side of the image around a source, and largest distance (pixels) of the light from its place
HALF, NEAR = 5, 1.5
#: light relative to that of the sources: least and largest; a star that is not aligned has more, or none
LEAST, MOST = 0.03, 0.6
#: significance of the light; fewest sources, and fewest if the levels of the exposures have the same ratio
SIGMAS, FEWEST, FEWEST_WITH_LEVEL = 5.0, 3, 1
#: this fraction of the sources must have the same ratio, within three errors or half of it
ALIKE, ERRORS, PART = 0.6, 3.0, 0.5
#: levels have the ratio of the light within this fraction; lower levels, in read noises, are not compared
SAME_LEVEL, LEAST_LEVEL = 0.3, 1.0
#: number of values that give the level
LEVELS = 100_000


@dataclass(frozen=True)
class Fainter:
    """The light of an exposure at the places of sources that others show.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 0.
    light, error : float
        Light relative to that of the exposures that show the sources, and its standard error.
    """

    exposure: int
    light: float
    error: float


def fainter_exposures(table: QTable, exposures: Exposures) -> list[Fainter]:
    """Exposures that show the sources of the others with the same part of their light.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        From `~crstack.not_hits.sources.find_sources`.
    exposures : `~crstack.exposures.Exposures`
        The exposures.

    Returns
    -------
    fainter : list of Fainter
        Empty if the sources are not explained by less light.

    Notes
    -----
    The image around each source is fitted to the same pixels of an exposure that does not show it: a factor, by least
    squares. The median of the factors is the light. It must be significant, the same for most sources, and at their
    place. Three sources are needed. A single one may be a variable star, unless the levels have the same ratio.
    """
    shown = sorted(set(np.asarray(table["exposure"], dtype=int) - 1))
    found = []
    for j in range(len(exposures)):
        if j not in shown:
            one = _light_of(table, exposures, j)
            if one is not None:
                found.append(one)
    return found if found and len(found) == len(exposures) - len(shown) else []


def _light_of(table, exposures, j):
    """The light of an exposure at the places of all sources; None if it does not explain them."""
    own, other, variance = _stamps(table, exposures, j)
    if len(own) < FEWEST_WITH_LEVEL:
        return None
    squares = np.sum(own**2, axis=(1, 2))
    ratios = np.sum(own * other, axis=(1, 2)) / squares
    errors = np.sqrt(variance / squares)
    light = weighted_median(ratios, 1 / errors**2)
    # a median has 1.25 times the error of a mean
    error = 1.25 / np.sqrt(np.sum(1 / errors**2))
    alike = np.abs(ratios - light) < np.maximum(ERRORS * errors, PART * light)
    if not LEAST < light < MOST or light < SIGMAS * error or np.mean(alike) < ALIKE or not _in_place(other):
        return None
    if len(own) < FEWEST and not _has_level(table, exposures, j, light):
        return None
    return Fainter(j, float(light), float(error))


def _stamps(table, exposures, j):
    """Images around the sources, and around the same places in exposure ``j``, without the level of their rims.

    Also the variance of a value of the latter. Sources at an edge, or beside bad values, are left out.
    """
    steps = np.arange(-HALF, HALF + 1)
    ny, nx = exposures.shape
    own, other, variances = [], [], []
    for row in table:
        i = int(row["exposure"]) - 1
        y, x = (round(float(getattr(row[name], "value", row[name]))) - 1 for name in "yx")
        if not (HALF <= y < ny - HALF and HALF <= x < nx - HALF):
            continue
        where = y + steps[:, None], x + steps
        if exposures.bad is not None and exposures.bad[[i, j]][:, *where].any():
            continue
        images = [exposures.data[k][where].astype(float) for k in (i, j)]
        levels = [_of_rim(image) for image in images]
        own.append(images[0] - levels[0])
        other.append(images[1] - levels[1])
        noise = exposures.noise_of(j).cutout(where).variance(np.float32(max(levels[1], 0)))
        variances.append(float(np.median(noise)))
    return np.array(own), np.array(other), np.array(variances)


def _of_rim(image):
    """Level of an image: the median of its rim."""
    rim = np.ones(image.shape, dtype=bool)
    rim[1:-1, 1:-1] = False
    return float(median_of_values(image[rim]))


def _in_place(images):
    """Whether the light of images together is highest in their middle, as a star's that has not moved."""
    together = ndimage.uniform_filter(np.median(images, axis=0), 3)
    y, x = np.unravel_index(np.argmax(together), together.shape)
    return bool(np.hypot(y - HALF, x - HALF) <= NEAR)


def _has_level(table, exposures, j, light):
    """Whether the level of an exposure, over that of the exposures with sources, is the ratio of the light."""
    step = max(exposures.data[0].size // LEVELS, 1)
    levels = [float(median_of_values(plane.ravel()[::step])) for plane in exposures.data]
    others = float(np.median([levels[i - 1] for i in table["exposure"]]))
    readnoise = float(np.median(exposures.noise.readnoise_in_unit))
    return others > LEAST_LEVEL * readnoise and abs(levels[j] / others - light) < SAME_LEVEL * light


def words_of_fainter(fainter: Sequence[Fainter], names: Sequence[str]) -> str:
    """What the exposures with less light show, as a cause and a remedy.

    Parameters
    ----------
    fainter : list of Fainter
        From `fainter_exposures`, not empty.
    names : sequence of str
        Names of the exposures.
    """
    found = " and ".join(f"{names[one.exposure]} has {one.light:.2f} +- {one.error:.2f}" for one in fainter)
    light = {one.exposure: one.light for one in fainter}
    factors = ", ".join(f"{light.get(i, 1):.2g}" for i in range(len(names)))
    return (
        f"{found} of their light at these places. Do exposure times differ, or were there clouds? Write EXPTIME into "
        f"the headers, or give exptime= or flux_factors=({factors}) (parameter file: flux_factor: [{factors}])."
    )
