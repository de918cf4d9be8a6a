"""Measurement of the course of lines along an axis, such as those of the sky along a slit, if they are not straight."""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.lines.courses import Course
from crstack.equalize.fit.lines.lines import LineTerm, lines_gain

__all__ = ["MORE", "MORE_OF_ALL", "changed_courses", "course_of_lines", "courses_along"]

#: rows of a block, whose mean shows the lines, and columns of the level around lines, which is subtracted
BLOCK, AROUND = 8, 31
#: columns of a segment, in which shifts are measured on their own, and most segments
SEGMENT, MOST = 250, 5
#: distances of two blocks that are compared in each round, and largest shift (pixels) between them for each block of
#: the distance, and beside
DISTANCES, STEEPEST, BESIDE = ((1, 2, 3), (4, 6, 9), (8, 16, 24)), (3, 0, 0), (0, 2, 2)
#: least correlation of two blocks with the same lines, and least share of such pairs
ALIKE, SHARE = 0.4, 0.5
#: highest power of the row, and that of the column, in the polynomial of the course
OF_ROW, OF_COLUMN = 3, 1
#: rounds of the robust fit of the polynomial, and residual (pixels) up to which a shift counts in full
ROBUST, CLOSE = 4, 0.3
#: rows over which the shift of a straight line is small, and least shift (pixels) over them that is not
ROWS, BENT = 56, 1.2
#: length (pixels) of the cells that test whether lines change along their courses, and factors by which their level
#: must describe more than a level and a response along the axis. Orders of an echelle spectrum have a response
LENGTH, MORE = 128, {"backgrounds": 1.5, "response": 1.2}
#: the same if all lines brighten by one factor, so that a response describes them as well
MORE_OF_ALL = {**MORE, "response": 1.0}


def course_of_lines(image):
    """The course of the lines along y, if it is not straight.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx) common image of the exposures, electrons.

    Returns
    -------
    course : ~crstack.equalize.fit.lines.courses.Course or None
        None if there are no lines, or if they are nearly straight.

    Notes
    -----
    Blocks of rows are compared by their correlation. If they have the same lines, its maximum is at the shift of these
    from one block to the other. The shifts give a polynomial, which is removed before blocks that are farther from each
    other are compared.
    """
    ny, nx = image.shape
    n_blocks, n = ny // BLOCK, int(np.clip(nx // SEGMENT, 1, MOST))
    if n_blocks <= max(DISTANCES[-1]) or nx < 2 * AROUND:
        return None
    rows = (np.arange(n_blocks) + 0.5) * BLOCK
    edges = np.linspace(0, nx, n + 1).astype(int)
    terms = _terms(rows, (edges[1:] + edges[:-1]) / 2, ny, nx)
    spectra = [_spectra(image[: n_blocks * BLOCK, first:end]) for first, end in pairwise(edges)]
    powers = np.zeros(terms.shape[-1])
    for distances, steep, beside in zip(DISTANCES, STEEPEST, BESIDE, strict=True):
        found = [
            (one[distance:] - one[:-distance], *_shifts(spectrum, one @ powers, distance, steep * distance + beside))
            for spectrum, one in zip(spectra, terms, strict=True)
            for distance in distances
        ]
        differences, shifts, alike = (np.concatenate(some) for some in zip(*found, strict=True))
        if np.mean(alike > ALIKE) < SHARE:
            return None
        powers += _robust_fit(differences, shifts, np.where(alike > ALIKE, alike, 0))
    whole = (_terms(np.arange(ny), np.arange(nx), ny, nx) @ powers).T
    steep = np.abs(whole[ROWS:] - whole[:-ROWS]).max()
    return Course(whole) if steep > BENT else None


def courses_along(image, axes):
    """Courses of the lines of an image (ny, nx) along some axes, by axis, where these are not straight."""
    found = {axis: course_of_lines(image if axis == "y" else image.T) for axis in axes}
    return {axis: course for axis, course in found.items() if course is not None}


def changed_courses(left, image, variance, least, *, more=MORE):
    """Courses of lines that are not straight, and whose level changes between the exposures.

    Parameters
    ----------
    left : `~numpy.ndarray`
        (N, ny, nx) exposures minus what is expected of them; NaN where they are not known.
    image, variance : `~numpy.ndarray`
        (ny, nx) common image, and variance of a residual.
    least : float
        Least decrease of chi squared by an added level along a course, beyond that of terms along the axis times
        ``more``.
    more : dict, optional
        These factors, by setting.

    Returns
    -------
    courses : dict
        A `~crstack.equalize.fit.lines.courses.Course` for each axis along such lines.
    """
    found = {}
    for axis, course in courses_along(image, "xy").items():

        def gain(setting, regressor, course=None, axis=axis):
            return lines_gain(*LineTerm(axis, setting).arrays(left, regressor, variance, course), LENGTH)[0]

        level, light = np.ones_like(image), np.maximum(image, 0)
        along = gain("backgrounds", level, course)
        # most exposures need no more than this
        if along <= least:
            continue
        straight = (times * gain(one, level if one == "backgrounds" else light) for one, times in more.items())
        if along > max(0, *straight) + least:
            found[axis] = course
    return found


def _terms(rows, columns, ny, nx):
    """Terms (columns, rows, n) of the polynomial of an image (ny, nx) at some rows and columns; 0 in the middle row."""
    row, column = 2 * np.asarray(rows) / ny - 1, 2 * np.asarray(columns) / nx - 1
    return np.stack([
        column[:, None] ** across * row ** along
        for along in range(1, OF_ROW + 1) for across in range(OF_COLUMN + 1)
    ], axis=-1)  # fmt: skip


def _spectra(image):
    """Fourier transforms (n, frequencies) of the lines in blocks of the rows of an image, with one standard
    deviation."""
    blocks = image.reshape(-1, BLOCK, image.shape[1]).mean(axis=1, dtype=np.float64)
    lines = blocks - ndimage.uniform_filter1d(blocks, AROUND, axis=1, mode="nearest")
    lines *= np.hanning(lines.shape[1] + 2)[1:-1]
    lines -= lines.mean(axis=1, keepdims=True)
    return np.fft.rfft(lines / np.maximum(np.sqrt((lines**2).sum(axis=1, keepdims=True)), 1e-30))


def _shifts(spectra, known, distance, most):
    """Shifts (n,) from each block to that at a distance, beyond the known ones, and their correlations."""
    size = 2 * (spectra.shape[1] - 1)
    phases = np.exp(2j * np.pi * np.arange(spectra.shape[1]) * known[:, None] / size)
    straight = spectra * phases
    correlation = np.fft.irfft(straight[:-distance].conj() * straight[distance:], size)
    lags = np.arange(-most - 1, most + 2)
    near = correlation[:, lags]
    best, rows = near[:, 1:-1].argmax(axis=1) + 1, np.arange(len(near))
    before, peak, after = (near[rows, best + step] for step in (-1, 0, 1))
    curvature = before - 2 * peak + after
    part = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, -1), 0)
    return lags[best] + part.clip(-0.5, 0.5), peak


def _robust_fit(terms, shifts, weights):
    """Powers of a polynomial for differences of its terms, by least squares; far shifts have less weight."""
    powers, own = np.zeros(terms.shape[1]), weights
    for _ in range(ROBUST):
        root = np.sqrt(own)
        powers = np.linalg.lstsq(root[:, None] * terms, root * shifts, rcond=None)[0]
        left = np.abs(shifts - terms @ powers)
        own = weights * CLOSE / np.maximum(left, CLOSE)
    return powers
