"""Columns and rows of one exposure that get less light than in the others: a defect, or a fault of the readout."""

from dataclasses import dataclass

import numpy as np

from crstack.utils.memory import relax
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads

__all__ = ["DarkLine", "dark_lines", "words_of_lines"]

#: lines are compared by parts of this number of pixels, or longer ones where there would be more than this number
SIDE, MOST_PARTS = 16, 64
#: distances of the lines on each side that are compared
DISTANCES = (2, 3, 4, 5, 6, 7)
#: relative to the other exposures, a line is darker than those around it by this fraction, and by this number of
#: standard deviations of the lines around it and of all lines
DEPTH, OF_AROUND, OF_RATIOS = 0.15, 8.0, 8.0
#: a part of a line counts if the same line of each other exposure differs from those around it by at most this
#: fraction of the depth, and this number of standard deviations
OF_OTHERS, SIGMAS = 0.3, 3.0
#: the mean of a part has light if it is this number of its standard deviations, and of the read noise of one value,
#: above 0
LIT, OF_READNOISE = 5.0, 1.0
#: candidates are darker by at least this fraction of the least depth
OF_CANDIDATES = 0.8
#: standard deviation of a median over that of a mean
OF_MEDIAN = 1.25
#: fewest parts that count, and their least share of the line
FEWEST_PARTS, SHARE = 5, 0.3
#: the depth of a part differs from that of the line by at most this fraction of it, and this number of standard
#: deviations, in at least this share of the parts
OF_DEPTH, MOSTLY = 0.5, 0.75
#: largest number of such lines, or of groups of blank lines, of an exposure, and fewest lines of an image
MOST, FEWEST = 3, 40
#: a line is blank if it has less than this share of the light of the others in most parts that have light, and the
#: nearest lines with light before and after it have more than this share in their middle part
BLANK, NOT_BLANK = 0.25, 0.6
#: in these parts, the light is this number of times the read noise of one value
OF_BLANK = 2.0
#: widest group of blank lines, and largest distance of the lines before and after it
WIDEST, BESIDE = 8, 7


@dataclass(frozen=True)
class DarkLine:
    """A column or row of an exposure that gets less light than in the others.

    Attributes
    ----------
    exposure : int
        Number of the exposure, from 0.
    axis : int
        Axis along the line: 0 for a column, 1 for a row.
    line : int
        Number of the column or row, from 0.
    share : float
        Share of its light that is left.
    """

    exposure: int
    axis: int
    line: int
    share: float

    @property
    def box(self):
        """Rows and columns of the line, to index an image."""
        return (slice(None), self.line) if self.axis == 0 else (self.line, slice(None))


def dark_lines(exposures):
    """Columns and rows that have less light in one exposure, all along, than in the others.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.

    Returns
    -------
    found : list of DarkLine
        By exposure.

    Notes
    -----
    A line is cut into parts of 16 pixels or more. The mean of a part, relative to the other exposures, is compared with
    the lines at a distance of 2 to 7 on both sides. A line of the spectrum of the sky changes between exposures too,
    but is there in all of them. So a part counts only where the other exposures are smooth, from the line before this
    one to that after it. The depth is the median of these parts, so that hits in some of them do not matter. Most parts
    have this depth. A dark line at a line of the spectrum, or along a trace, is found only if it is blank: it has less
    than 0.25 of the light of the others in most parts that have light, and the nearest lines with light on both sides
    have more than 0.6 (median of the parts). The light changes less abruptly where a trace has moved or is wider.
    """
    if min(exposures.shape) < max(FEWEST, FEWEST_PARTS * SIDE):
        return []
    found, readnoises = [], _noise_without_light(exposures)
    for axis, means in enumerate(_means_of_parts(exposures)):
        search = _Lines(exposures, axis, means, readnoises)
        for i in range(len(exposures)):
            depths = {line: search.depth_of(i, line) for line in search.candidates(i)}
            lines = [DarkLine(i, axis, line, 1 - depth) for line, depth in depths.items() if depth is not None]
            found += lines if len(lines) <= MOST else []
            known = {one.line for one in lines}
            found += [DarkLine(i, axis, line, share) for line, share in search.blank(i) if line not in known]
    return sorted(found, key=lambda one: one.exposure)


def words_of_lines(lines, names):
    """What is left of the light of lines, such as "rows 3 to 5 of exposure 2 have 0.01", for each group of lines."""
    groups = []
    for one in sorted(lines, key=lambda one: (one.exposure, one.axis, one.line)):
        last = groups[-1][-1] if groups else None
        if last is not None and (last.exposure, last.axis, last.line + 1) == (one.exposure, one.axis, one.line):
            groups[-1].append(one)
        else:
            groups.append([one])
    words = []
    for group in groups:
        kind, first, name = "row" if group[0].axis else "column", group[0].line + 1, names[group[0].exposure]
        share = max(float(np.median([one.share for one in group])), 0.0)
        which = (
            f"{kind} {first} of {name} has"
            if len(group) == 1
            else f"{kind}s {first} to {group[-1].line + 1} of {name} have"
        )
        words.append(f"{which} {share:.2f}")
    return words


def _means_of_parts(exposures):
    """Means of the valid values of parts of columns and of rows, each (N, parts, lines); NaN where most are bad."""
    sides = [_side(length) for length in exposures.shape]
    numbers = [length // side for length, side in zip(exposures.shape, sides, strict=True)]
    ny, nx = exposures.shape
    columns = np.full((len(exposures), numbers[0], nx), np.nan, np.float32)
    rows = np.full((len(exposures), ny, numbers[1]), np.nan, np.float32)
    width = numbers[1] * sides[1]

    def work(item):
        i, part = item
        band = slice(part * sides[0], (part + 1) * sides[0] if part < numbers[0] else ny)
        plane, bad = exposures.data[i, band], exposures.bad_of(i)
        bad = None if bad is None else bad[band]
        if part < numbers[0]:
            columns[i, part] = _means(plane, bad, 0)
        blocks = (len(plane), numbers[1], sides[1])
        bad = None if bad is None else bad[:, :width].reshape(blocks)
        rows[i, band] = _means(plane[:, :width].reshape(blocks), bad, -1)
        relax()

    map_threads(work, [(i, part) for i in range(len(exposures)) for part in range(numbers[0] + 1)])
    return columns, rows.swapaxes(1, 2)


def _means(values, bad, axis):
    """Means of the values that are not bad, which are 0 where they are; NaN where most are bad."""
    total = values.sum(axis=axis)
    if bad is None:
        return total / np.float32(values.shape[axis])
    number = values.shape[axis] - np.count_nonzero(bad, axis=axis)
    return np.where(number > values.shape[axis] / 2, total / np.maximum(number, 1), np.nan)


def _noise_without_light(exposures):
    """Middle standard deviation (N,) of the values of each exposure where there is no light."""
    some = tuple(slice(None, None, max(length // 100, 1)) for length in exposures.shape)
    none = np.zeros_like(exposures.data[0][some])
    noises = [exposures.noise_of(i).cutout(some) for i in range(len(exposures))]
    return np.sqrt([np.median(noise.variance(none)) for noise in noises])


class _Lines:
    """All columns (axis 0) or rows (axis 1), by the means (N, parts, lines) of their parts."""

    def __init__(self, exposures, axis, means, readnoises):
        self.exposures, self.axis, self.means = exposures, axis, means
        #: least level of a part (N, 1) that is light
        self.least = OF_READNOISE * readnoises[:, None]

    def candidates(self, i):
        """Lines of an exposure that are darker than those around them, relative to the others."""
        others = np.delete(self.means, i, axis=0)
        lit = (others > np.delete(self.least, i, axis=0)[:, None]).all(axis=0)
        with np.errstate(all="ignore"):
            ratio = _median(np.where(lit, self.means[i] / others.mean(axis=0), np.nan))
            depths = 1 - ratio / _median(ratio[_around(np.arange(len(ratio)), len(ratio))])
        known = depths[np.isfinite(depths)]
        if not len(known):
            return []
        return np.flatnonzero(np.nan_to_num(depths) > max(OF_CANDIDATES * DEPTH, OF_RATIOS * _sigma(known))).tolist()

    def depth_of(self, i, line):
        """Fraction of its light that a line of an exposure lacks; None if it is not dark all along."""
        number = self.means.shape[2]
        around = self.means[:, :, _around(line, number)]
        level = _median(np.moveaxis(around, 2, 0))
        sigma = self._noise(level, line)
        lit = (level > np.maximum(LIT * sigma, self.least)).all(axis=0)
        if np.count_nonzero(lit) < FEWEST_PARTS:
            return None
        beside = self.means[:, :, _reflected(np.array([line - 1, line + 1]), number)]
        with np.errstate(all="ignore"):
            relative = np.concatenate([self.means[:, :, [line]], beside, around], axis=2) / level[:, :, None]
            others = np.delete(relative, i, axis=0)
            middle = others.mean(axis=0)
            depths, errors = 1 - relative[i] / middle, sigma / level
            limits = OF_OTHERS * _median(depths[lit, 0]) + SIGMAS * np.delete(errors, i, axis=0)
            used = lit & (np.abs(others[:, :, :3] - 1) < limits[:, :, None]).all(axis=(0, 2))
        used &= np.isfinite(depths[:, 0])
        if np.count_nonzero(used) < max(FEWEST_PARTS, SHARE * len(used)):
            return None
        return _common_depth(depths[used][:, [0, *range(3, depths.shape[1])]], errors[:, used])

    def blank(self, i):
        """Lines of an exposure without light where the others have some, as pairs of number and share of the light."""
        others = np.delete(self.means, i, axis=0)
        with np.errstate(all="ignore"):
            lit = (others > np.delete(OF_BLANK * self.least, i, axis=0)[:, None]).all(axis=0)
            ratio = np.where(lit, self.means[i] / others.mean(axis=0), np.nan)
            usual = float(_median(ratio.ravel()))
            number = np.count_nonzero(np.isfinite(ratio), axis=0)
            dark = np.count_nonzero(ratio < BLANK * usual, axis=0) >= np.maximum(MOSTLY * number, FEWEST_PARTS)
            bright = _median(ratio) > NOT_BLANK * usual
        edges = np.flatnonzero(np.diff(dark, prepend=False, append=False))
        runs = [
            one for one in zip(edges[::2], edges[1::2], strict=True) if self._ends(number >= FEWEST_PARTS, bright, *one)
        ]
        if len(runs) > MOST:
            return []
        share = _median(ratio / usual)
        return [(int(line), float(share[line])) for run in runs for line in range(*run)]

    @staticmethod
    def _ends(lit, bright, start, stop):
        """Whether a group of blank lines is narrow, and the nearest lines with light on both sides are not blank."""
        before, after = np.arange(start - 1, start - 1 - BESIDE, -1), np.arange(stop, stop + BESIDE)
        sides = [one[(one >= 0) & (one < len(lit))] for one in (before, after)]
        nearest = [one[lit[one]][:1] for one in sides]
        return stop - start <= WIDEST and all(len(one) and bright[one[0]] for one in nearest)

    def _noise(self, levels, line):
        """Standard deviations of the means (N, parts) of a line at some levels."""
        side = _side(self.exposures.shape[self.axis])
        along = np.arange(levels.shape[1]) * side + side // 2
        where = (along, np.full_like(along, line)) if self.axis == 0 else (np.full_like(along, line), along)
        levels = np.maximum(np.nan_to_num(levels), 0).astype(np.float32)
        noises = [self.exposures.noise_of(i).cutout(where) for i in range(len(levels))]
        return np.sqrt([noise.variance(own) / side for noise, own in zip(noises, levels, strict=True)])


def _common_depth(depths, errors):
    """Depth of a line, from those of its parts (parts, lines), with the lines around it; None if it is not significant.

    ``errors`` (N, parts) are those of the means of the parts, relative to their level.
    """
    depth, *around = _median(depths)
    error = np.sqrt(np.square(errors).sum(axis=0))
    scatter = max(_sigma(around), OF_MEDIAN * _median(error) / np.sqrt(len(error)))
    alike = np.abs(depths[:, 0] - depth) < OF_DEPTH * depth + SIGMAS * error
    return float(depth) if depth > max(DEPTH, OF_AROUND * scatter) and np.mean(alike) >= MOSTLY else None


def _side(length):
    """Pixels of a part of lines of some length."""
    return max(SIDE, -(-length // MOST_PARTS))


def _around(lines, number):
    """Numbers of the lines on both sides of some of them, on a first axis."""
    steps = np.array([sign * one for one in DISTANCES for sign in (-1, 1)])
    return _reflected(np.add.outer(steps, lines), number)


def _reflected(lines, number):
    """Numbers of lines, of those beyond the edges of the image that of their reflection."""
    return number - 1 - np.abs(number - 1 - np.abs(lines))


def _median(values):
    """Median along the first axis of the values that are not NaN; NaN where there are none."""
    ordered = np.sort(values, axis=0)
    number = np.count_nonzero(np.isfinite(ordered), axis=0)

    def of_rank(rank):
        return np.take_along_axis(ordered, np.asarray(np.maximum(rank, 0))[None], axis=0)[0]

    return (of_rank((number - 1) // 2) + of_rank(number // 2)) / 2


def _sigma(deviations):
    """Standard deviation of normal values about 0, from the median of their absolute values."""
    return SIGMA_PER_MAD * float(_median(np.abs(np.asarray(deviations))))
