"""Warning about single pixels that scatter more than stated, such as those of a CMOS detector."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from crstack.exposures import Exposures
from crstack.masks import MaskSet
from crstack.masks.codes import exposure_name, is_hit
from crstack.utils.medians import median_of_values
from crstack.utils.pixels import dilate, middle_of
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["NoisyPixels", "noisy_pixels", "warn_of_noisy_pixels"]

#: largest side (pixels) of the central part of the image that is examined, and side of the blocks that have one level
SIDE, BLOCK = 1024, 16
#: a pixel is part of a structure if the median of the exposures deviates from the level by this number of standard
#: deviations, and so are those within this number of pixels
CLEAR, MARGIN = 5.0, 2
#: the other values of a pixel scatter too much if noise as stated scatters as much with this probability
CHANCE = 0.05
#: least share of the single flagged values that are noisy, fewest of them, least number per million values, and least
#: significance in standard deviations of the number by chance
SHARE, FEWEST, PER_MILLION, SIGNIFICANCE = 0.1, 12, 20.0, 5.0


@dataclass(frozen=True)
class NoisyPixels:
    """Flagged values without flagged neighbours, in pixels without structure.

    Attributes
    ----------
    noisy : float
        Number of them in pixels whose other values scatter too much, or are flagged too, less that by chance.
    single, examined : int
        Number of all of them, and of all values.
    noise : float
        Standard deviation of a typical value, in the unit of the exposures.
    """

    noisy: float
    single: int
    examined: int
    noise: float

    @property
    def per_million(self):
        """Number of the noisy ones in a million values."""
        return 1e6 * self.noisy / max(self.examined, 1)


def noisy_pixels(masks: MaskSet, exposures: Exposures) -> NoisyPixels | None:
    """Count flagged values in single pixels whose other values do not scatter as stated.

    A hit does not change the other values of its pixel. If noise was flagged instead, they scatter too much as well:
    by more than the noise as stated, and the scatter that the decision has measured in all pixels.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    exposures : `~crstack.exposures.Exposures`
        Their exposures, three or more.

    Returns
    -------
    found : NoisyPixels or None
        None if there are no such values.
    """
    rows, columns = (
        slice(one.start, one.stop - (one.stop - one.start) % BLOCK) for one in middle_of(exposures.shape, SIDE)
    )
    part = exposures.cutout((rows, columns))
    if min(part.shape) < BLOCK:
        return None
    codes = np.stack([masks.codes[exposure_name(i)][rows, columns] for i in range(len(part))])
    single = np.stack([is_hit(one) & (_number_around(one > 0) == 1) for one in codes])
    if not single.any():
        return None
    levels = np.stack([_levels(plane) for plane in part.data])
    variance = np.mean([part.noise_of(i).variance(np.maximum(one, 0)) for i, one in enumerate(levels)], axis=0)
    variance = variance + _of_all_pixels(masks, part, levels.mean(axis=0))
    # a pixel that is hot at times is no structure
    common = np.where(single.any(axis=0), 0, median_of_values(part.data - levels, axis=0))
    flat = ~dilate(np.abs(common) > CLEAR * np.sqrt(variance), MARGIN)
    there = single.any(axis=0) & flat
    others = (codes == 0 if part.bad is None else (codes == 0) & ~part.bad)[:, there]
    scatter = _sum_of_squares((part.data - levels)[:, there], others) / variance[there]
    known, number = others.sum(axis=0), single[:, there].sum(axis=0)
    wide = (known > 1) & (scatter > special.chdtri(np.maximum(known - 1, 1), CHANCE))
    noisy = number[wide | (number > 1)].sum() - CHANCE * number.sum() - _pairs_by_chance(single, flat)
    usual = float(np.sqrt(median_of_values(variance)))
    return NoisyPixels(max(float(noisy), 0.0), int(number.sum()), int(np.count_nonzero(flat)) * len(part), usual)


def _of_all_pixels(masks, exposures, level):
    """Variance that the decision has measured beyond the noise as stated, at a level: all pixels have it."""
    excess = getattr(getattr(masks.decision, "result", None), "excess", None)
    if excess is None:
        return 0.0
    unit = exposures.noise.electrons_per_unit
    return excess.of(level * unit, 0.0) / unit**2


def _number_around(flagged):
    """Number of flagged pixels in the 3 x 3 pixels around each pixel, itself included."""
    return ndimage.convolve(flagged.view(np.uint8), np.ones((3, 3), np.uint8), mode="constant")


def _pairs_by_chance(single, flat):
    """Number of ``single`` values (N, ny, nx) that random places give in the same ``flat`` pixel as another one."""
    numbers = np.count_nonzero(single, axis=(1, 2)) * flat.mean()
    return (numbers.sum() ** 2 - (numbers**2).sum()) / max(np.count_nonzero(flat), 1)


def _sum_of_squares(values, known):
    """Sum over the known ones of some values (N, M) of the squares of their deviations from their mean, (M,)."""
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / number
    return np.square(np.where(known, values - mean, 0)).sum(axis=0)


def _levels(plane):
    """Medians (ny, nx) of blocks of a plane whose sides are multiples of a block."""
    ny, nx = (length // BLOCK for length in plane.shape)
    blocks = plane.reshape(ny, BLOCK, nx, BLOCK).swapaxes(1, 2).reshape(ny, nx, -1)
    return np.repeat(np.repeat(median_of_values(np.moveaxis(blocks, 2, 0), 0), BLOCK, axis=0), BLOCK, axis=1)


def warn_of_noisy_pixels(masks: MaskSet, exposures: Exposures) -> bool:
    """Warn if many single pixels have more noise than stated, and are flagged.

    Parameters
    ----------
    masks, exposures
        As for `noisy_pixels`. With two exposures there is no warning, because one other value shows no scatter. Nor is
        there one for masks of a method that does not measure how the exposures differ.

    Returns
    -------
    warned : bool
        Whether there is a warning.

    Warns
    -----
    CRStackWarning
        With the number of these values and a remedy.
    """
    if len(exposures) < 3 or masks.probability is None:
        return False
    found = noisy_pixels(masks, exposures)
    if found is None or found.per_million < PER_MILLION:
        return False
    if found.noisy < max(FEWEST, SHARE * found.single, SIGNIFICANCE * np.sqrt(CHANCE * found.single)):
        return False
    warn_user(
        f"about {found.noisy:.0f} of {found.single} flagged values without flagged neighbours "
        f"({found.per_million:.0f} in a million values) are in pixels whose other values are flagged too, or scatter "
        f"by more than the stated noise of {plain(found.noise)} {exposures.unit}. Such pixels have more noise than "
        "others, as in CMOS detectors, or are hot at times. Their noise is flagged as hits, and combined images are "
        "too low there. Give an image as readnoise=, such as the standard deviation of each pixel in many bias frames, "
        "or mark these pixels in the masks of the exposures"
    )
    return True
