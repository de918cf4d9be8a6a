"""Saturated pixels in exposures for which no saturation level is given."""

from dataclasses import dataclass, field

import numpy as np
from astropy.io.fits.verify import VerifyError
from scipy import ndimage

from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = [
    "LEAST_PIXELS",
    "LIMIT_KEYWORDS",
    "Plateau",
    "clipped_values",
    "find_plateau",
    "find_shared_plateau",
    "limit_with_noise",
    "stated_limit",
    "warn_of_saturation",
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
#: the same pixels of several exposures agree if the first share of the values is within the second number of photon
#: noises. Share of the brightest pixels that agree, and largest spread of a full well relative to its level
MOST_VALUES, SPAN, AGREEING, FULL_WELLS = 0.7, 0.3, 0.8, 0.15
#: a pile at a given level: its noise, and the least photon noise, in units of the read noise (first and last number);
#: and the width of the range beside it, in units of the width of the pile
NOISE_OF_PILE, BESIDE_PILE, PHOTONS = 4.0, 6, 5.0
#: digits of the suggested level
DIGITS = 3

#: largest number of exposures named in the warning
MOST_NAMED = 3


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
    middle, scatter = _middle_and_scatter(image, invalid)
    candidates = [(highest, "")] if limit is None else [limit, (highest, "")]
    for level, source in candidates:
        if level > highest or not level - middle > HEIGHT * scatter > 0:
            continue
        at_level = _valid(image >= level, invalid)
        count = int(np.count_nonzero(at_level))
        if count >= LEAST_PIXELS and _largest_feature(at_level) >= LEAST_PIXELS:
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
    return np.nonzero(at_top) if _largest_feature(at_top) >= LEAST_PIXELS else ()


def clipped_values(exposures, plateaus):
    """Values at the highest value of an exposure that are no measurements.

    Parameters
    ----------
    exposures : Exposures
        Bias subtracted.
    plateaus : list of (int, Plateau)
        Of some exposures, by their number from 0.

    Returns
    -------
    clipped : `~numpy.ndarray` of bool or None
        (N, ny, nx); None if there are none.

    Notes
    -----
    The pixels of one hit may be saturated too. They stay valid, so that they are found as a hit. Two groups of two or
    more pixels do not have one highest value by chance, and neither does a group where the other exposures are bright.
    """
    clipped = np.zeros(exposures.data.shape, dtype=bool)
    for i, plateau in plateaus:
        if not len(plateau.clipped):
            continue
        at_top = np.zeros(exposures.shape, dtype=bool)
        at_top[plateau.clipped] = True
        labels, _ = ndimage.label(at_top, np.ones((3, 3)))
        groups = np.count_nonzero(np.bincount(labels[plateau.clipped])[1:] > 1)
        if groups > 1 or _bright_in_others(exposures, i, plateau.clipped):
            clipped[i] = at_top
    return clipped if clipped.any() else None


def _bright_in_others(exposures, i, where):
    """Whether the lowest of the other exposures is far above its median in most of some pixels."""
    above = []
    for j in range(len(exposures)):
        if j != i:
            middle, scatter = _middle_and_scatter(exposures.data[j], exposures.bad_of(j))
            above.append(exposures.data[j][where] - middle - HEIGHT * scatter)
    return bool(median_of_values(np.min(above, axis=0)) > 0)


def _middle_and_scatter(image, bad=None):
    """Median and scatter of a sample of an image."""
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
    if _largest_feature(where & (image >= group[0]) & (image <= group[-1])) < LEAST_PIXELS:
        return None
    level = _rounded_down(float(group[0] - BELOW * photons[first]))
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


def _agreeing_at_the_top(values, agree):
    """Indices of the pixels that agree, of the largest group of brightest pixels in which most agree."""
    order = np.argsort(-values)
    close = agree[order]
    enough = np.flatnonzero(np.cumsum(close) >= AGREEING * np.arange(1, len(close) + 1))
    number = enough[-1] + 1 if len(enough) else 0
    return order[:number][close[:number]]


def find_shared_plateau(exposures, first):
    """Brightest pixels that agree between the exposures much better than their photon noise allows.

    Parameters
    ----------
    exposures : Exposures
        Bias subtracted.
    first : `~numpy.ndarray`
        First exposure (ny, nx) as it was read.

    Returns
    -------
    plateau : Plateau or None
        Of the first exposure. None if exposures have uncertainties of their own or were scaled.

    Notes
    -----
    The full well differs between pixels by a per cent or so, which may exceed the photon noise. A full pixel has the
    same value in each exposure, but for its read noise. Of the brightest pixels four fifths must agree, and a dozen or
    more, four of them connected.
    """
    if exposures.scales or any(one is not None for one in exposures.variances):
        return None
    plane, electrons = exposures.data[0], float(np.median(exposures.noise.electrons_per_unit))
    middle, scatter = _middle_and_scatter(plane)
    height = max(BRIGHT * (float(plane.max()) - middle), HEIGHT * scatter, LEAST_ELECTRONS / electrons)
    bright = plane > middle + height
    if exposures.bad is not None:
        bright &= ~exposures.bad.any(axis=0)
    rows, columns = np.nonzero(bright)
    if not LEAST_PILE <= len(rows) <= MOST_BRIGHT:
        return None
    values = np.sort(exposures.data[:, rows, columns].astype(np.float64), axis=0)
    usual = median_of_values(values, axis=0)
    n_close = max(int(np.ceil(MOST_VALUES * len(values))), 2)
    span = np.min(values[n_close - 1 :] - values[: len(values) - n_close + 1], axis=0)
    photons = np.sqrt(np.maximum(usual - middle, 0) / electrons)
    group = _agreeing_at_the_top(usual, span < SPAN * photons)
    if len(group) < LEAST_PILE:
        return None
    low, high = np.quantile(usual[group], [0.05, 0.95])
    full = np.zeros(plane.shape, dtype=bool)
    full[rows[group], columns[group]] = True
    if high - low > FULL_WELLS * high or _largest_feature(full) < LEAST_PIXELS:
        return None
    seconds = exposures.rate_seconds or 1
    spread, photon = float(median_of_values(span[group])) / seconds, float(median_of_values(photons[group])) / seconds
    level = _rounded_down(float(first[full].min()) - BELOW * photon)
    words = f"{len(group)} of them agree between exposures to {spread:.2g}, where photons alone give {photon:.3g}"
    return Plateau(level, int(np.count_nonzero(first >= level)), words)


def _rounded_down(value):
    step = 10.0 ** (np.floor(np.log10(value)) - (DIGITS - 1))
    return float(np.floor(value / step) * step) if step > 0 else value


def _shown(level):
    """A level as text, rounded down so that the saturated values reach it."""
    text = f"{level:.6g}"
    if float(text) <= level:
        return text
    step = 10.0 ** (np.floor(np.log10(level)) - 5)
    return f"{level - step:.6g}"


def _largest_feature(where):
    """Number of pixels of the largest connected feature."""
    labels, n = ndimage.label(where, np.ones((3, 3)))
    return int(np.bincount(labels[where])[1:].max()) if n else 0


def warn_of_saturation(plateaus, unit, taken):
    """Give one warning about the saturated exposures.

    Parameters
    ----------
    plateaus : list of (str, Plateau)
        Exposures by name, where no saturation is given.
    unit : `~astropy.units.Unit`
        Their unit.
    taken : list of (str, int)
        Exposures by name, and the number of their values that are taken as bad: those at their highest value.

    Warns
    -----
    CRStackWarning
        If there are any. One group in one exposure alone, at no known limit, may be a hit, and gives no warning.
    """
    if not taken and len(plateaus) < 2 and all(one.source == HIGHEST_WORDS for _, one in plateaus):
        return
    named = plateaus[:MOST_NAMED] if plateaus else taken[:MOST_NAMED]
    left = max(len(plateaus), len(taken)) - len(named)
    more = f" and {left} more exposures" if left else ""
    if not plateaus:
        numbers = ", ".join(f"{counted(number, 'pixel')} of {name}" for name, number in named)
        warn_user(
            f"exposures seem to be saturated: {numbers}{more} are in groups at the highest value of the exposure, and "
            "are taken as bad values. Give saturation= (command: --saturation): values a little below may be bad too"
        )
        return
    shown = ", ".join(
        f"{name} has {counted(one.n_pixels, 'pixel')} at {one.level:g} {unit} ({one.source})" for name, one in named
    )
    lowest = _shown(min(one.level for _, one in plateaus))
    option = f"(command: --saturation {lowest}, parameter file: saturation: {lowest})"
    remedy = f"saturation={lowest} * u.Unit('{unit}') {option}"
    if taken:
        number = sum(number for _, number in taken)
        warn_user(
            f"exposures seem to be saturated: {shown}{more}. {number} values, the highest of their exposures, are "
            f"taken as bad. Give {remedy}, or a lower level: values a little below may be bad too"
        )
        return
    warn_user(
        f"exposures seem to be saturated: {shown}{more}. These values are no measurements, but they are used: give "
        f"{remedy}, which makes them bad values"
    )
