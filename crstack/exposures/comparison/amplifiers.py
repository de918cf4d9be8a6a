"""Steps of the level where amplifiers meet: a bias or gain that is wrong in a half or a quadrant of the image."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = ["AmplifierStep", "amplifier_steps", "warn_of_amplifiers"]

#: places of borders, as fractions of a side; a border may be this number of pixels away
PLACES, NEAR = (0.25, 0.5, 0.75), 2
#: rows on both sides of a border, in which steps elsewhere are measured, without the ``NEXT`` rows beside the border,
#: whose differences contain its step
ROUND, NEXT = 24, 2
#: parts of half a border, and fewest pixels of a part
PARTS, FEWEST = 8, 16
#: least step, in units of its standard error, of the largest step around it, and of the noise of a pixel
SIGNIFICANT, OF_LARGEST, OF_NOISE = 6.0, 2.0, 0.5
#: standard error of the median of the differences of four rows, for one column and a noise of 1
ERROR = 2.8
#: largest deviations: of the parts, and of two halves, as fractions of the step
OF_PARTS, OF_HALVES = 0.5, 0.3
#: least share of the parts that have the step
MOSTLY = 0.75
#: largest number of exposures whose steps a message lists
MOST_NAMED = 3
#: first and last row on each side, counted from the border, between which the levels must differ by the step too; and
#: the least fraction of the step that remains there
ASIDE, REMAINS = (4, 12), 0.5
#: standard errors that are allowed for in comparisons
SIGMAS = 4.0
#: a sharp step gives this fraction of itself one row before and after its place; largest deviation as a fraction of it
BESIDE, OF_BESIDE, SIGMAS_BESIDE = -0.5, 0.35, 3.0


@dataclass(frozen=True)
class AmplifierStep:
    """A step of the level all along a border, or half of it.

    Attributes
    ----------
    exposures : tuple of int
        The exposures that have it, from 0.
    axis : int
        Axis across the border: 0 for a border between rows, 1 between columns.
    border : int
        Number of pixels before the border.
    half : int
        Half of the border: 0 to the middle of the image, 1 from there on.
    step : float
        Level after the border minus that before it, in the unit of the exposures.
    error : float
        Its standard error.
    """

    exposures: tuple
    axis: int
    border: int
    half: int
    step: float
    error: float

    def words(self, shape, unit):
        """Words on the step and its place in an image of some shape (FITS: the first pixel is 1, 1)."""
        middle, end = shape[1 - self.axis] // 2, shape[1 - self.axis]
        first, last = ((1, middle), (middle + 1, end))[self.half]
        across, along = "yx" if self.axis == 0 else "xy"
        place = f"from {across} = {self.border} to {self.border + 1} at {along} = {first} to {last}"
        return f"{self.step:+.4g} +/- {self.error:.2g} {unit} {place}"


def warn_of_amplifiers(exposures):
    """Warn if the level has a step where amplifiers may meet.

    Parameters
    ----------
    exposures : Exposures
        The exposures, on one level where their times differ.

    Warns
    -----
    CRStackWarning
        With the exposures, the steps, and a remedy.

    Returns
    -------
    warned : bool
        Whether there was a warning.
    """
    found = amplifier_steps(exposures)
    # a gain of each amplifier makes steps in ADU or in electrons, depending on the flat
    gain = exposures.noise.electrons_per_unit
    if not found or (np.ndim(gain) and not amplifier_steps(exposures, gain)):
        return False
    everywhere = len(found[0].exposures) == len(exposures)
    names = {one.exposures: "all exposures" if everywhere else exposures.names[one.exposures[0]] for one in found}
    numbers = "; ".join(
        f"{name} by {', '.join(one.words(exposures.shape, exposures.unit) for one in found if one.exposures == whose)}"
        for whose, name in list(names.items())[:MOST_NAMED]
    )
    more = f"; and {counted(len(names) - MOST_NAMED, 'exposure')} more" if len(names) > MOST_NAMED else ""
    against = "" if everywhere else f", against the other exposure{'s' * (len(exposures) > 2)}"
    warn_user(
        f"the level changes by a sharp step where amplifiers may meet{against}: {numbers}{more}. Is the bias or the "
        "gain of an amplifier wrong? Combined images have such steps too, and the noise is wrong on one side. Subtract "
        "the bias of each amplifier first, or give an image of it as bias=; for another gain give an image as gain="
    )
    return True


def amplifier_steps(exposures, factor=None):
    """Steps of the level at the middle of the image and at its quarters, of one value all along.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.
    factor : `~numpy.ndarray`, optional
        Image (ny, nx) by which their values are multiplied.

    Returns
    -------
    found : list of AmplifierStep
        Those of single exposures against the others; if there is none, those of all exposures.

    Notes
    -----
    In each column, the difference of two rows minus the mean of the differences beside it shows a step, and no
    gradient. Medians over parts of half a border leave stars and hits out. A step must be larger than twice those at
    the rows around it, so that no fibre, trace or line of the sky counts. One row beside it, the difference must be
    that of a sharp step, so that no dust lane of a galaxy counts. The level must remain beyond it. The step must be of
    one value in most parts. A wrong level of a half of the image gives the same step in both halves of a border. That
    of a quadrant gives steps along a row and a column that meet in the middle: on a way around the middle, all steps
    add up to 0. A step that all exposures have is not found beside lines or traces that are brighter: those of a long
    slit.
    """
    borders = [(axis, place) for axis in (0, 1) for place in PLACES]
    measured = map_threads(lambda border: _Border(exposures, factor, *border), borders)
    measured = [one for one in measured if one.steps is not None]
    alike, found = list(range(len(exposures))), []
    while len(alike) > 1:
        # a step of one exposure is a part of the median of the others
        each = [_accepted([border.of_one(i, alike) for border in measured], (i,)) for i in alike]
        largest = max(each, key=lambda steps: max((abs(one.step) for one in steps), default=0.0))
        if not largest:
            break
        found += largest
        alike.remove(largest[0].exposures[0])
    everywhere = tuple(range(len(exposures)))
    return found or _accepted([border.of_all() for border in measured], everywhere)


class _Step(NamedTuple):
    """A step in half a border, or None; and its standard error."""

    size: float | None
    error: float


class _Border:
    """Profiles of steps across a border, in parts of its halves: (N, halves, parts, rows); None in a small image."""

    def __init__(self, exposures, factor, axis, place):
        self.axis, self.middle_of_image = axis, place == 0.5
        length, along = exposures.shape[axis], exposures.shape[1 - axis]
        self.border = round(place * length)
        parts = min(PARTS, along // 2 // FEWEST)
        self.steps = None
        if min(self.border, length - self.border) < ROUND + 2 or parts < 2:
            return
        rows = slice(self.border - ROUND - 2, self.border + ROUND + 1)
        middle = along // 2
        halves = np.array([np.linspace(*ends, parts + 1).astype(int) for ends in ((0, middle), (middle, along))])
        self.pixels = middle
        strips = [_steps_and_rise(_strip(exposures, i, factor, axis, rows), halves) for i in range(len(exposures))]
        self.steps, self.rises = (np.array(one) for one in zip(*strips, strict=True))

    def of_one(self, i, alike):
        """Steps of an exposure minus the median of those of others that are ``alike`` (indices)."""
        others = [k for k in alike if k != i]
        known = ((one[i], median_of_values(one[others], axis=0)) for one in (self.steps, self.rises))
        return self._found(*(one - other for one, other in known))

    def of_all(self):
        """Steps that all exposures have: the median."""
        return self._found(median_of_values(self.steps, axis=0), median_of_values(self.rises, axis=0))

    def _found(self, steps, rises):
        """The (axis, border, whether in the middle, and the `_Step` of each half)."""
        place, profiles = ROUND, median_of_values(steps, axis=1)
        if np.isfinite(profiles).all():
            near = np.abs(profiles[:, place - NEAR : place + NEAR + 1]).max(axis=0)
            place += int(np.argmax(near)) - NEAR
        halves = [_sharp_step(*one, place, self.pixels) for one in zip(profiles, steps, rises, strict=True)]
        return self.axis, self.border + place - ROUND, self.middle_of_image, halves


def _strip(exposures, i, factor, axis, rows):
    """Rows (or columns, turned) of an exposure around a border; NaN at bad values."""
    box = (rows, slice(None)) if axis == 0 else (slice(None), rows)
    strip, bad = exposures.data[i][box], exposures.bad_of(i)
    strip = strip if factor is None else strip * factor[box]
    strip = strip if bad is None else np.where(bad[box], np.nan, strip)
    return strip if axis == 0 else strip.T


def _steps_and_rise(strip, halves):
    """Medians of the steps (halves, parts, rows) over parts of the columns, whose edges are (halves, parts + 1).

    Also the rise (halves,) of the level from one side of the middle to the other.
    """
    first, last = ASIDE
    border = len(strip) // 2
    middle = ((edges[0], edges[-1]) for edges in halves)
    rises = [
        _median(strip[border + first : border + last, slice(*one)])
        - _median(strip[border - last : border - first, slice(*one)])
        for one in middle
    ]
    steps = 1.5 * (strip[2:-1] - strip[1:-2]) - 0.5 * (strip[3:] - strip[:-3])
    return _medians_of_parts(steps, halves), np.array(rises)


def _medians_of_parts(steps, halves):
    """Medians (halves, parts, rows) of the steps over parts of the columns; NaN where most are not valid."""
    first, widths = halves[:, :-1], np.diff(halves)
    medians = np.full((*widths.shape, len(steps)), np.nan)
    valid = np.isfinite(steps)
    if valid.all():
        # parts of one width together, because each call takes time
        for width in np.unique(widths):
            columns = first[widths == width][:, None] + np.arange(width)
            medians[widths == width] = median_of_values(steps[:, columns], axis=-1).T
        return medians
    for place in np.ndindex(widths.shape):
        part = slice(first[place], first[place] + widths[place])
        some, known = steps[:, part], valid[:, part]
        if known.all():
            medians[place] = median_of_values(some, axis=1)
        elif known.mean() > 0.5:
            rows = zip(some, known, strict=True)
            medians[place] = [median_of_values(row[good]) if good.any() else np.nan for row, good in rows]
    return medians


def _median(values):
    """Median of the values that are not NaN; NaN if most are."""
    good = values[np.isfinite(values)]
    return float(median_of_values(good)) if good.size > values.size / 2 else np.nan


def _sharp_step(profile, parts, rise, place, pixels):
    """The `_Step` at a place of a profile (rows,); ``parts`` are (parts, rows).

    ``rise`` is that of the level from one side to the other. It is about 0 at a trace.
    """
    around = np.abs(np.delete(profile, np.s_[place - NEXT + 1 : place + NEXT]))
    around = around[np.isfinite(around)]
    if len(around) < ROUND or not np.isfinite(profile[place - 1 : place + 2]).all():
        return _Step(None, np.inf)
    error, step = SIGMA_PER_MAD * float(median_of_values(around)), float(profile[place])
    least = max(SIGNIFICANT * error, OF_LARGEST * around.max(), OF_NOISE * error * np.sqrt(pixels) / ERROR)
    own = parts[:, place][np.isfinite(parts[:, place])]
    alike = np.abs(own - step) < OF_PARTS * abs(step) + SIGMAS * error * np.sqrt(len(parts))
    remains = rise * np.sign(step) > REMAINS * abs(step)
    deviation = np.abs(profile[[place - 1, place + 1]] - BESIDE * step).max()
    sharp = deviation < OF_BESIDE * abs(step) + SIGMAS_BESIDE * error
    return _Step(step if abs(step) > least and remains and sharp and np.mean(alike) >= MOSTLY else None, error)


def _accepted(borders, whose):
    """The steps of borders in both halves alike, or around the middle of the image."""
    found = []
    for axis, border, _, halves in borders:
        one, other = halves
        limit = SIGMAS * np.hypot(one.error, other.error)
        if one.size and other.size and abs(one.size - other.size) < OF_HALVES * abs(one.size) + limit:
            found += [AmplifierStep(whose, axis, border, half, *step) for half, step in enumerate(halves)]
    middle = {axis: (border, halves) for axis, border, in_middle, halves in borders if in_middle}
    if not found and len(middle) == 2:
        found = _around_the_middle(middle, whose)
    return found


def _around_the_middle(middle, whose):
    """Steps of quadrants, by axis: border and halves; empty unless they add up to 0 on a way around the middle."""
    places = [
        (axis, border, half, step) for axis, (border, halves) in middle.items() for half, step in enumerate(halves)
    ]
    if not all(any(step.size for step in halves) for _, halves in middle.values()):
        return []
    sizes, errors = np.array([(step.size or 0, step.error) for *_, step in places]).T
    rest = abs(sizes @ (1, -1, -1, 1))
    if rest > OF_HALVES * np.abs(sizes).max() + SIGMAS * np.linalg.norm(errors[np.isfinite(errors)]):
        return []
    return [AmplifierStep(whose, *place, *step) for *place, step in places if step.size]
