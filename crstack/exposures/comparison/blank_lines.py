"""Columns and rows of one exposure that are blank, along traces and lines of the spectrum too."""

import numpy as np

from crstack.exposures.comparison.parts_of_lines import (
    FEWEST_PARTS,
    MOSTLY,
    median_of_valid,
    side_of_parts,
    sigma_of,
)

__all__ = ["blank_lines"]

#: a line is blank if it has less than the first share of the light of the others in most parts that have light. The
#: nearest lines with light before and after it have more than the second share in their middle part
BLANK, NOT_BLANK = 0.25, 0.6
#: no line with light near them has this share: light that has moved is brighter at its new place
BRIGHT = 1.5
#: in these parts, the light is this number of times the noise of a value without light, and the expected light is this
#: number of times the scatter of all parts
OF_READNOISE, OF_SCATTER = 2.0, 6.0
#: widest group of blank lines, and largest distance of the lines before and after it
WIDEST, BESIDE = 8, 7
#: largest number of groups of blank lines of an exposure
MOST = 3


def blank_lines(exposures, i, axis, means, readnoises):
    """Lines of an exposure without light where the others have some.

    Parameters
    ----------
    exposures : Exposures
        Two or more, bias subtracted.
    i : int
        Number of the exposure.
    axis : int
        Axis along the lines: 0 for columns, 1 for rows.
    means : `~numpy.ndarray`
        Means (N, parts, lines) of the parts of the lines.
    readnoises : `~numpy.ndarray`
        Standard deviation (N, 1) of a value without light.

    Returns
    -------
    found : list of tuple
        Number of each line, and the share of the expected light that it has.
    """
    others = np.delete(means, i, axis=0)
    with np.errstate(all="ignore"):
        lit = (others > OF_READNOISE * np.delete(readnoises, i, axis=0)[:, None]).all(axis=0)
        usual = float(median_of_valid(np.where(lit, means[i] / others.mean(axis=0), np.nan).ravel()))
        expected = usual * others.mean(axis=0)
        scatter = sigma_of((means[i] - expected).ravel())
        least = max(OF_READNOISE * float(readnoises[i, 0]), OF_SCATTER * scatter)
        ratio = np.where(lit & (expected > least), means[i] / expected, np.nan)
        number = np.count_nonzero(np.isfinite(ratio), axis=0)
        dark = np.count_nonzero(ratio < BLANK, axis=0) >= np.maximum(MOSTLY * number, 1)
        share = median_of_valid(ratio)
    edges = np.flatnonzero(np.diff(dark, prepend=False, append=False))
    groups = [one for one in zip(edges[::2], edges[1::2], strict=True) if _ends(number, share, *one)]
    groups = [
        range(*one) for one in groups if any(_is_blank(exposures, i, axis, line, usual, least) for line in range(*one))
    ]
    return [(int(line), float(share[line])) for one in groups for line in one] if len(groups) <= MOST else []


def _ends(number, share, start, stop):
    """Whether a group of dark lines is narrow, and the lines beside it are neither dark nor bright."""
    before, after = np.arange(start - 1, start - 1 - BESIDE, -1), np.arange(stop, stop + BESIDE)
    sides = [one[(one >= 0) & (one < len(share))] for one in (before, after)]
    lit = [share[one[number[one] >= FEWEST_PARTS]] for one in sides]
    dark = stop - start > WIDEST or not all(len(one) and one[0] > NOT_BLANK for one in lit)
    return not dark and np.concatenate(lit).max() < BRIGHT


def _is_blank(exposures, i, axis, line, usual, least):
    """Whether the medians of the parts of a line lack light; hits of the other exposures do not change them."""
    side = side_of_parts(exposures.shape[axis])
    parts = exposures.shape[axis] // side
    box = (slice(None), *((slice(parts * side), line) if axis == 0 else (line, slice(parts * side))))
    values = exposures.data[box] if exposures.bad is None else np.where(exposures.bad[box], np.nan, exposures.data[box])
    medians = median_of_valid(np.moveaxis(values.reshape(-1, parts, side), 2, 0))
    expected = usual * np.delete(medians, i, axis=0).min(axis=0)
    with np.errstate(all="ignore"):
        lit = (expected > least) & np.isfinite(medians[i])
        blank = lit & (medians[i] < BLANK * expected)
    return np.count_nonzero(blank) >= max(FEWEST_PARTS, MOSTLY * np.count_nonzero(lit))
