"""Saturated pixels of one image for which no saturation level is given."""

from dataclasses import dataclass, field

import numpy as np
from astropy.io.fits.verify import VerifyError
from scipy import ndimage

from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD

__all__ = [
    "BELOW",
    "BRIGHT",
    "HEIGHT",
    "HIGHEST_WORDS",
    "LEAST_ELECTRONS",
    "LEAST_PILE",
    "LEAST_PIXELS",
    "LIMIT_KEYWORDS",
    "MOST_BRIGHT",
    "Plateau",
    "find_plateau",
    "largest_feature",
    "limit_with_noise",
    "middle_and_scatter",
    "rounded_down",
    "stated_limit",
]

#: keywords of the highest valid value, in the unit of the image
LIMIT_KEYWORDS = ("SATURATE", "SATLEVEL", "SATURLEV", "DATAMAX")

#: number of connected pixels at the highest value that does not occur by chance
LEAST_PIXELS = 4

#: highest values of analog-to-digital converters of 12, 14, 15 and 16 bits
CONVERTER = (4095, 16383, 32767, 65535)

#: sources of the level of a plateau
CONVERTER_WORDS, HIGHEST_WORDS = "the limit of the converter", "its highest value"

#: height of a plateau over the median, in units of the scatter of the image
HEIGHT = 10

#: sample of an image for its median and scatter
SAMPLE = 20_000

#: values far above the median that are searched for a flat top: fraction of the highest value, and number at most
BRIGHT, MOST_BRIGHT = 0.25, 100_000
#: width of a pile of values, in units of their photon noise, and least factor by which it exceeds the values beside it
FLAT, PILE = 0.15, 4
#: fewest values of a pile, and distance of the suggested level below it, in units of the photon noise
LEAST_PILE, BELOW = 12, 3
#: fewest electrons in its pixels: the steps of a converter are then far below their noise
LEAST_ELECTRONS = 10_000
#: a pile at a given level: its noise, and the least photon noise, in units of the read noise (first and last number);
#: and the width of the range beside it, in units of the width of the pile
NOISE_OF_PILE, BESIDE_PILE, PHOTONS = 4.0, 6, 5.0
#: digits of the suggested level
DIGITS = 3


@dataclass(frozen=True)
class Plateau:
    """Saturated pixels of an exposure.

    Attributes
    ----------
    level : float
        Lowest saturated value, in the unit of the exposure, bias included.
    n_pixels : int
        Number of pixels at or above this level.
    source : str
        Why this is the level, as words for a message.
    clipped : tuple of `~numpy.ndarray`
        Rows and columns of the pixels that have the highest value of the image, if four or more of them are connected.
    """

    level: float
    n_pixels: int
    source: str
    clipped: tuple = field(default=(), compare=False, repr=False)


def stated_limit(header):
    """Highest valid value by the header.

    Parameters
    ----------
    header : mapping
        Of the image.

    Returns
    -------
    limit : tuple of (float, str) or None
        The value and its keyword; None if there is none.
    """
    for name in LIMIT_KEYWORDS:
        try:
            value = header.get(name)
        except (VerifyError, ValueError):  # a damaged card, which the header loses
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) and value > 0:
            return float(value), name
    return None


def find_plateau(image, mask=None, limit=None, electrons=None):
    """Connected pixels at the highest value of an image, at a limit of its header, or with a flat top.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx), with the bias.
    mask : `~numpy.ndarray` of bool, optional
        Pixels that are not used.
    limit : tuple of (float, str), optional
        As from `stated_limit`.
    electrons : float, optional
        Electrons per unit of the image. If given, flat tops are found: connected pixels whose scatter is far below
        their photon noise, as at the full well of pixels, below the limit of the converter.

    Returns
    -------
    plateau : Plateau or None
        None if fewer than four connected pixels have the value, or if it is not far above the scatter of the image.

    Notes
    -----
    Without saturation, the highest connected pixels of an image hardly ever have one value. Pixels may be full before
    the converter reaches its limit. Their values then differ only by read noise, and pile up within a small part of
    their photon noise. Calibrated exposures have no such plateau. Their saturation must be given, or stated in the
    header.
    """
    invalid = _invalid(image, mask)
    if invalid is not None and invalid.all():
        return None
    highest = float(image.max() if invalid is None else image[~invalid].max())
    middle, scatter = middle_and_scatter(image, invalid)
    candidates = [(highest, "")] if limit is None else [limit, (highest, "")]
    for level, source in candidates:
        if level > highest or not level - middle > HEIGHT * scatter > 0:
            continue
        at_level = _valid(image >= level, invalid)
        count = int(np.count_nonzero(at_level))
        if count >= LEAST_PIXELS and largest_feature(at_level) >= LEAST_PIXELS:
            words = CONVERTER_WORDS if level in CONVERTER else HIGHEST_WORDS
            words = f"{source} of the header" if source else words
            return Plateau(level, count, words, _clipped(_valid(image == highest, invalid)))
    if electrons is None or not highest - middle > HEIGHT * scatter > 0:
        return None
    return _flat_top(image, invalid, middle, max(BRIGHT * (highest - middle), HEIGHT * scatter), electrons)


def _invalid(image, mask):
    """Pixels (ny, nx) that are masked or hold no number; None if there are none."""
    with np.errstate(invalid="ignore"):
        lowest, highest = image.min(), image.max()
    if np.isfinite(lowest) and np.isfinite(highest):
        return mask if mask is not None and mask.any() else None
    return ~np.isfinite(image) if mask is None else ~np.isfinite(image) | mask


def _valid(where, invalid):
    """Pixels of ``where`` that are not invalid."""
    return where if invalid is None else where & ~invalid


def _clipped(at_top):
    """Rows and columns of the pixels at the highest value if four or more of them are connected; () if not."""
    return np.nonzero(at_top) if largest_feature(at_top) >= LEAST_PIXELS else ()


def middle_and_scatter(image, bad=None):
    """Median and scatter of a sample of an image.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx) image.
    bad : `~numpy.ndarray` of bool, optional
        Pixels that are not used.

    Returns
    -------
    middle, scatter : float
    """
    step = max(int(np.sqrt(image.size / SAMPLE)), 1)
    some = image[::step, ::step]
    some = some if bad is None else some[~bad[::step, ::step]]
    if not some.size:
        return 0.0, 0.0
    middle = float(median_of_values(some))
    return middle, SIGMA_PER_MAD * float(median_of_values(np.abs(some - middle)))


def _flat_top(image, invalid, middle, height, electrons):
    """Plateau of connected pixels so far above the median whose values pile up within their photon noise, or None.

    Only the photons above the median count, because the bias may be anything below it.
    """
    where = _valid(image > middle + max(height, LEAST_ELECTRONS / electrons), invalid)
    values = image[where].astype(np.float64)
    if len(values) < LEAST_PILE:
        return None
    values = np.sort(values)[-MOST_BRIGHT:]
    photons = np.sqrt((values - middle) / electrons)
    start, width = np.arange(len(values)), FLAT * photons
    end, further = (np.searchsorted(values, values + k * width, "right") for k in (1, 2))
    number, beside = end - start, np.maximum(start - np.searchsorted(values, values - width), further - end)
    piled = (number >= LEAST_PILE) & (number > PILE * (beside + 1))
    if not piled.any():
        return None
    first = int(np.argmax(np.where(piled, number, 0)))
    group = values[first : end[first]]
    if largest_feature(where & (image >= group[0]) & (image <= group[-1])) < LEAST_PIXELS:
        return None
    level = rounded_down(float(group[0] - BELOW * photons[first]))
    spread, photon = float(np.std(group)), float(photons[first])
    words = f"{len(group)} of them scatter by {spread:.2g}, where photons alone give {photon:.3g}"
    return Plateau(level, int(np.count_nonzero(_valid(image >= level, invalid))), words)


def limit_with_noise(image, limit, readnoise, electrons):
    """A given saturation level, lowered by the read noise if values pile up at it.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx), with the bias.
    limit : float
        Saturation level that is given, in the unit of the image.
    readnoise : float
        In the unit of the image.
    electrons : float
        Electrons per unit of the image.

    Returns
    -------
    limit : float
        Four times the read noise below the given level, or the level itself.

    Notes
    -----
    Full pixels differ by their read noise, so that half of them stay below a level that is their mean. Without a pile,
    the values near the level have photon noise, which spreads them over a range that is far wider.
    """
    width = NOISE_OF_PILE * readnoise
    if not 0 < PHOTONS * readnoise < np.sqrt(max(limit, 0) / electrons):
        return limit
    with np.errstate(invalid="ignore"):
        values = image[np.abs(image - limit) <= (1 + BESIDE_PILE) * width]
    below = np.count_nonzero((values >= limit - width) & (values < limit))
    beside = np.count_nonzero(values < limit - width) / BESIDE_PILE
    above = np.count_nonzero((values >= limit) & (values <= limit + width))
    piled = min(below, above) >= LEAST_PIXELS and below > PILE * (beside + 1)
    return limit - width if piled else limit


def rounded_down(value):
    """A level rounded down to three digits.

    Parameters
    ----------
    value : float
        The level.

    Returns
    -------
    level : float
    """
    step = 10.0 ** (np.floor(np.log10(value)) - (DIGITS - 1))
    return float(np.floor(value / step) * step) if step > 0 else value


def largest_feature(where):
    """Number of pixels of the largest connected feature.

    Parameters
    ----------
    where : `~numpy.ndarray` of bool
        (ny, nx) pixels.

    Returns
    -------
    number : int
    """
    labels, n = ndimage.label(where, np.ones((3, 3)))
    return int(np.bincount(labels[where])[1:].max()) if n else 0
