"""Values above the range of 16 bits that have wrapped: holes in the cores of bright sources."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import chdtri

__all__ = ["find_wrapped_values"]

#: highest values of unsigned and of signed integers of 16 bits
TOPS = (65535, 32767)
#: the highest value of an exposure in which others have wrapped, at least, as a fraction of the largest of 16 bits
NEAR_TOP = 0.5
#: signed integers that have wrapped are below this
FAR_BELOW = -8192
#: levels of the rim of a hole, as fractions of the largest value of 16 bits
LEVELS = (0.25, 0.5, 0.75)
#: the same once it is known that values have wrapped
FINE_LEVELS = tuple(np.arange(1, 20) / 20)
#: a hole has at most this number of pixels
LARGEST = 2000
#: least step from a hole to its rim, towards each of its four sides, and towards one of them
STEPS = (16384, 24576)
#: the same once it is known that values have wrapped
FINE_STEPS = (1024, 4096)
#: size of the sample that gives the steps; a share of its steps are one step, within a factor; what rounding may add to
#: the top
SAMPLE, SHARE, ONE_STEP, ROUNDING = 20_000, 0.05, 1.5, 0.01
#: number of pixels at the highest value from which values were cut, which do not wrap
CUT = 4
#: scatter of the values between the exposures, relative to the variance of their level: at least, and at most for one
#: hole; chance that independent values scatter as much
SCATTER, AT_MOST, BY_CHANCE = 3.0, 25.0, 1e-3
#: neighbours
AROUND = np.ones((3, 3), dtype=bool)


def find_wrapped_values(exposures, first):
    """Values that are too low by 65536, because they do not fit into 16 bits.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.
    first : `~numpy.ndarray`
        First exposure (ny, nx) as it was read.

    Returns
    -------
    wrapped : `~numpy.ndarray` of bool or None
        (N, ny, nx), the values and a margin of one pixel; None if there are none.

    Notes
    -----
    Values above 65535 are stored as the remainder of a division by 65536, or as negative values if the bits are read as
    signed integers. The core of a bright source is then a hole with a steep rim on all sides. Dead pixels look
    similar, but their values have the noise of a low level, and change in proportion to the light around them. A
    wrapped value has the noise and the changes of its true level, which is higher by 65536. The steps of the values
    give the factor of a gain or of an exposure time.
    """
    steps = _steps_of_converter(exposures, first)
    if steps is None:
        return None
    subtracted = first * np.float32(exposures.rate_seconds or 1) - exposures.data[0]
    bias = float(np.median(subtracted[np.isfinite(subtracted)])) if np.isfinite(subtracted).any() else 0.0
    top = _top(exposures, bias, steps)
    if top is None:
        return None
    converters = [_Converter(step, top, bias) for step in steps]
    holes = np.stack([_holes(exposures, i, one, LEVELS, STEPS) for i, one in enumerate(converters)])
    if not holes.any() or not _scatter_as_bright_values(exposures, holes):
        return None
    holes |= np.stack([_holes(exposures, i, one, FINE_LEVELS, FINE_STEPS) for i, one in enumerate(converters)])
    wrapped = np.stack([ndimage.binary_fill_holes(ndimage.binary_dilation(one, AROUND)) for one in holes])
    if exposures.bad is not None:
        wrapped &= ~exposures.bad
    return wrapped


def _steps_of_converter(exposures, first):
    """One step of the converter in the values of each exposure; None where they have no steps.

    A gain multiplies the steps, and an exposure time divides them. Floating-point numbers of 32 bits round them.
    """
    some = first[:: max(first.size // SAMPLE, 1)]
    steps = np.diff(np.unique(some[np.isfinite(some)]).astype(np.float64))
    if not len(steps) or not np.mean(steps < ONE_STEP * steps.min()) > SHARE:
        return None
    step = float(np.mean(steps[steps < ONE_STEP * steps.min()])) * (exposures.rate_seconds or 1)
    scales = exposures.scales or (1.0,) * len(exposures)
    return [step * scales[0] / scale for scale in scales]


def _top(exposures, bias, steps):
    """Largest value of 16 bits that exposures reach but are not cut at, in steps; None if there is none."""
    high, low, cut = -np.inf, np.inf, 0
    for i, (plane, step) in enumerate(zip(exposures.data, steps, strict=True)):
        where = True if exposures.bad_of(i) is None else ~exposures.bad_of(i)
        highest = float(plane.max(where=where, initial=-np.inf))
        high = max(high, (highest + bias) / step)
        low = min(low, (float(plane.min(where=where, initial=np.inf)) + bias) / step)
        cut = max(cut, np.count_nonzero(plane > highest - step / 2))
    for top, reached in zip(TOPS, (low > -1.0 or bias == 0, low < FAR_BELOW), strict=True):
        if reached and NEAR_TOP * top < high < (1 + ROUNDING) * top + 1.5:
            return None if cut >= CUT else top
    return None


@dataclass(frozen=True)
class _Converter:
    """What is known of the converter of an exposure.

    Attributes
    ----------
    step : float
        One step of its integers, in the unit of the exposures.
    top : int
        Its largest value of 16 bits, in steps.
    bias : float
        What was subtracted, in the unit of the exposures.
    """

    step: float
    top: int
    bias: float


def _holes(exposures, i, converter, levels, least):
    """Pixels (ny, nx) of an exposure in holes below some levels, with steps to their rim on each and on one side.

    ``levels`` are fractions of the largest value of the converter. The ``least`` heights of the rim are in its steps.
    """
    plane, bad = exposures.data[i], exposures.bad_of(i)
    levels = np.array(levels) * converter.top * converter.step - converter.bias
    least = np.array(least) * converter.step
    found = np.zeros(plane.shape, dtype=bool)
    beside_bad = None if bad is None else ndimage.binary_dilation(bad, AROUND)
    for level in levels:
        labels, n = ndimage.label(plane < level)
        steps = _steps_to_rim(plane, labels, n)
        steep = (steps.min(axis=0) > least[0]) & (steps.max(axis=0) > least[1])
        steep &= np.bincount(labels.ravel(), minlength=n + 1) <= LARGEST
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            steep[edge] = False
        if beside_bad is not None:
            steep[labels[beside_bad]] = False
        steep[0] = False
        found |= steep[labels]
    return found


def _steps_to_rim(plane, labels, n):
    """Largest step (4, n + 1) from each of ``n`` labelled features to the pixels without a label on each side of it."""
    steps = np.full((4, n + 1), -np.inf, dtype=np.float32)
    before, after = slice(None, -1), slice(1, None)
    for axis in (0, 1):
        for side, (inner, outer) in enumerate(((before, after), (after, before))):
            one, other = (((slice(None),) * axis + (part,)) for part in (inner, outer))
            rim = (labels[one] > 0) & (labels[other] == 0)
            np.maximum.at(steps[2 * axis + side], labels[one][rim], (plane[other] - plane[one])[rim])
    return steps


def _scatter_as_bright_values(exposures, holes):
    """Whether the lowest values of the holes (N, ny, nx) scatter more than those of faint or dead pixels."""
    labels, n = ndimage.label(holes.any(axis=0), AROUND)
    ratios = []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        wide = tuple(slice(max(one.start - 1, 0), one.stop + 1) for one in box)
        hole = labels[wide] == number
        rim = ndimage.binary_dilation(hole, AROUND) & ~hole
        values = exposures.data[:, *wide].astype(np.float64)
        rows, columns = np.nonzero(hole)
        lowest = int(np.argmin(values[:, hole].mean(axis=0)))
        where = np.array([rows[lowest] + wide[0].start]), np.array([columns[lowest] + wide[1].start])
        own, around = values[:, rows[lowest], columns[lowest]], values[:, rim].mean(axis=1)
        level = max(float(np.median(own)), 0.0)
        noise = float(exposures.noise_of(0).cutout(where).variance(np.float32([level]))[0])
        in_proportion = 2 * level / float(np.median(around)) * np.std(around, ddof=1)
        ratios.append(np.var(own, ddof=1) / (noise + in_proportion**2))
    total, freedom = float(np.sum(np.minimum(ratios, AT_MOST))), n * (len(exposures) - 1)
    mean = total / n
    return mean > SCATTER and mean * freedom > chdtri(freedom, BY_CHANCE)
