"""Saturated pixels by comparison of the exposures, and the warning about them."""

import numpy as np
from scipy import ndimage

from crstack.exposures.bad_values.saturation import (
    BELOW,
    BRIGHT,
    HEIGHT,
    HIGHEST_WORDS,
    LEAST_ELECTRONS,
    LEAST_PILE,
    LEAST_PIXELS,
    MOST_BRIGHT,
    Plateau,
    largest_feature,
    middle_and_scatter,
    rounded_down,
)
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = ["clipped_values", "find_shared_plateau", "warn_of_saturation"]

#: pixels agree between exposures if the first share of the values is within the second number of photon noises. Share
#: of the brightest pixels that agree, and largest spread of a full well relative to its level
MOST_VALUES, SPAN, AGREEING, FULL_WELLS = 0.7, 0.3, 0.8, 0.15
#: largest number of exposures named in the warning
MOST_NAMED = 3


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
            middle, scatter = middle_and_scatter(exposures.data[j], exposures.bad_of(j))
            above.append(exposures.data[j][where] - middle - HEIGHT * scatter)
    return bool(median_of_values(np.min(above, axis=0)) > 0)


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
    middle, scatter = middle_and_scatter(plane)
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
    if high - low > FULL_WELLS * high or largest_feature(full) < LEAST_PIXELS:
        return None
    seconds = exposures.rate_seconds or 1
    spread, photon = float(median_of_values(span[group])) / seconds, float(median_of_values(photons[group])) / seconds
    level = rounded_down(float(first[full].min()) - BELOW * photon)
    words = f"{len(group)} of them agree between exposures to {spread:.2g}, where photons alone give {photon:.3g}"
    return Plateau(level, int(np.count_nonzero(first >= level)), words)


def _agreeing_at_the_top(values, agree):
    """Indices of the pixels that agree, of the largest group of brightest pixels in which most agree."""
    order = np.argsort(-values)
    close = agree[order]
    enough = np.flatnonzero(np.cumsum(close) >= AGREEING * np.arange(1, len(close) + 1))
    number = enough[-1] + 1 if len(enough) else 0
    return order[:number][close[:number]]


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


def _shown(level):
    """A level as text, rounded down so that the saturated values reach it."""
    text = f"{level:.6g}"
    if float(text) <= level:
        return text
    step = 10.0 ** (np.floor(np.log10(level)) - 5)
    return f"{level - step:.6g}"
