"""Columns and rows of one exposure that get less light than in the others: a defect, or a fault of the readout."""

from dataclasses import dataclass

import numpy as np

from crstack.exposures.comparison.blank_lines import blank_lines
from crstack.exposures.comparison.parts_of_lines import (
    FEWEST_PARTS,
    MOSTLY,
    SIDE,
    means_of_parts,
    median_of_valid,
    side_of_parts,
    sigma_of,
)

__all__ = ["DarkLine", "dark_lines", "words_of_lines"]

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
#: least share of the parts of a line that count
SHARE = 0.3
#: the depth of a part differs from that of the line by at most this fraction of it, and this number of standard
#: deviations, in most of the parts
OF_DEPTH = 0.5
#: largest number of such lines of an exposure, and fewest lines of an image
MOST, FEWEST = 3, 40


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
    have this depth.

    A dark line at a line of the spectrum, or along a trace, is found only if it is blank. In most parts with light, it
    then has less than 0.25 of the light of the others. The nearest lines with light on both sides have more than 0.6
    (median of the parts). The light changes less abruptly where a trace has moved or is wider.
    """
    if min(exposures.shape) < max(FEWEST, FEWEST_PARTS * SIDE):
        return []
    found, readnoises = [], _noise_without_light(exposures)
    for axis, means in enumerate(means_of_parts(exposures)):
        search = _Lines(exposures, axis, means, readnoises)
        for i in range(len(exposures)):
            depths = {line: search.depth_of(i, line) for line in search.candidates(i)}
            lines = [DarkLine(i, axis, line, 1 - depth) for line, depth in depths.items() if depth is not None]
            found += lines if len(lines) <= MOST else []
            known = {one.line for one in lines}
            blank = blank_lines(exposures, i, axis, means, search.least)
            found += [DarkLine(i, axis, line, share) for line, share in blank if line not in known]
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
            ratio = median_of_valid(np.where(lit, self.means[i] / others.mean(axis=0), np.nan))
            depths = 1 - ratio / median_of_valid(ratio[_around(np.arange(len(ratio)), len(ratio))])
        known = depths[np.isfinite(depths)]
        if not len(known):
            return []
        return np.flatnonzero(np.nan_to_num(depths) > max(OF_CANDIDATES * DEPTH, OF_RATIOS * sigma_of(known))).tolist()

    def depth_of(self, i, line):
        """Fraction of its light that a line of an exposure lacks; None if it is not dark all along."""
        number = self.means.shape[2]
        around = self.means[:, :, _around(line, number)]
        level = median_of_valid(np.moveaxis(around, 2, 0))
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
            limits = OF_OTHERS * median_of_valid(depths[lit, 0]) + SIGMAS * np.delete(errors, i, axis=0)
            used = lit & (np.abs(others[:, :, :3] - 1) < limits[:, :, None]).all(axis=(0, 2))
        used &= np.isfinite(depths[:, 0])
        if np.count_nonzero(used) < max(FEWEST_PARTS, SHARE * len(used)):
            return None
        return _common_depth(depths[used][:, [0, *range(3, depths.shape[1])]], errors[:, used])

    def _noise(self, levels, line):
        """Standard deviations of the means (N, parts) of a line at some levels."""
        side = side_of_parts(self.exposures.shape[self.axis])
        along = np.arange(levels.shape[1]) * side + side // 2
        where = (along, np.full_like(along, line)) if self.axis == 0 else (np.full_like(along, line), along)
        levels = np.maximum(np.nan_to_num(levels), 0).astype(np.float32)
        noises = [self.exposures.noise_of(i).cutout(where) for i in range(len(levels))]
        return np.sqrt([noise.variance(own) / side for noise, own in zip(noises, levels, strict=True)])


def _common_depth(depths, errors):
    """Depth of a line, from those of its parts (parts, lines), with the lines around it; None if it is not significant.

    ``errors`` (N, parts) are those of the means of the parts, relative to their level.
    """
    depth, *around = median_of_valid(depths)
    error = np.sqrt(np.square(errors).sum(axis=0))
    scatter = max(sigma_of(around), OF_MEDIAN * median_of_valid(error) / np.sqrt(len(error)))
    alike = np.abs(depths[:, 0] - depth) < OF_DEPTH * depth + SIGMAS * error
    return float(depth) if depth > max(DEPTH, OF_AROUND * scatter) and np.mean(alike) >= MOSTLY else None


def _around(lines, number):
    """Numbers of the lines on both sides of some of them, on a first axis."""
    steps = np.array([sign * one for one in DISTANCES for sign in (-1, 1)])
    return _reflected(np.add.outer(steps, lines), number)


def _reflected(lines, number):
    """Numbers of lines, of those beyond the edges of the image that of their reflection."""
    return number - 1 - np.abs(number - 1 - np.abs(lines))
