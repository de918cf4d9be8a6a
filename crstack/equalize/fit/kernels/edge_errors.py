"""Error of a change by a kernel at the edges of an image, because the scene beyond them is not known."""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.kernels.kernel_terms import SIZE
from crstack.equalize.fit.kernels.varying import kernels_of, polynomials
from crstack.utils.medians import median_of_values
from crstack.utils.memory import zero_image

__all__ = ["as_far_as_seen", "error_by_edges"]

#: error at the edges of an image, as a multiple of the largest difference between assumptions on the scene beyond them
OF_EDGE = np.float32(2)
#: pixels along an edge whose residuals show how large the error is, and fewest of these with an error above the noise:
#: a star at the edge has fewer, a trace along it has more
LENGTH, FEWEST = 64, 24
#: the error is at most this number of times the median residual, squared
SAFE = 4.0
#: median of the square of a standard normal number
MEDIAN_OF_SQUARE = 0.455


def error_by_edges(scene, kernel, varying, positions):
    """Variance (ny, nx) of a scene after kernels, because the scene beyond the edges is not known.

    The last pixel is assumed to continue there. A star at the edge goes on in another way. The error is computed from
    two other assumptions: the scene is a mirror image about the last pixel, or about the last but one. The second one
    is for a star whose centre is near the edge: its last pixels are alike, and its light falls beyond them.

    Parameters
    ----------
    scene : `~numpy.ndarray`
        (ny, nx) electrons.
    kernel, varying, positions
        As for `~crstack.equalize.fit.kernels.changes.change_by_kernel`; the sum of the kernel is 0.

    Returns
    -------
    error : `~numpy.ndarray`
        (ny, nx) electrons squared.
    """
    half, error, whole = SIZE // 2, zero_image(scene.shape), slice(None)
    kernels = [kernel.astype(np.float32)]
    if varying.any():
        kernels += list(kernels_of(varying))
    for strip, edge in ((slice(2 * half), slice(half)), (slice(-2 * half, None), slice(-half, None))):
        for box, inner in (((strip, whole), (edge, whole)), ((whole, strip), (whole, edge))):
            powers = [np.float32(1)]
            if len(kernels) > 1:
                powers += polynomials(positions[0][box[1]], positions[1][box[0]])
            axis = 0 if box[1] == whole else 1
            first, *others = (
                sum(one * _convolved(beyond, steps) for one, steps in zip(powers, kernels, strict=True))[inner]
                for beyond in _continued(scene[box], axis, at_start=edge.start is None)
            )
            error[box][inner] += np.square(OF_EDGE * np.abs([first - one for one in others]).max(axis=0))
    return error


def _continued(strip, axis, at_start):
    """A strip along an edge, with the pixels beyond all edges that a kernel reaches.

    The edge lies at the start or end of an ``axis``.

    Yields
    ------
    strip : `~numpy.ndarray`
        (ny + 2 half, nx + 2 half): the last pixel continues beyond the edge; a mirror image about the last pixel; one
        about the last but one. Beyond the other edges, the last pixel continues.
    """
    half = SIZE // 2
    length = strip.shape[axis]
    ends = [(half, half)] * 2
    ends[axis] = (0, half) if at_start else (half, 0)
    strip = np.pad(strip, ends, mode="edge")
    steps = np.arange(1, half + 1)
    for places in (np.zeros_like(steps), steps, steps + 2):
        beyond = np.minimum(places, length - 1)
        beyond = beyond[::-1] if at_start else strip.shape[axis] - 1 - beyond
        more = strip.take(beyond, axis=axis)
        yield np.concatenate([more, strip] if at_start else [strip, more], axis=axis)


def _convolved(image, kernel):
    """An image after a kernel, without the pixels beyond its edges."""
    half = SIZE // 2
    return ndimage.convolve(image, kernel)[half:-half, half:-half]


def as_far_as_seen(error, left, variance):
    """The error by the edges, as far as the residuals of the exposure show it.

    A trace along an edge goes on beyond it in many pixels. Their residuals show how wrong the assumption on the scene
    is. Without this, a trace that moves in a slit of few rows would hide most of its hits.

    Parameters
    ----------
    error : `~numpy.ndarray`
        (ny, nx) of `error_by_edges`.
    left : `~numpy.ndarray`
        (ny, nx) the exposure minus what is expected of it, electrons.
    variance : `~numpy.ndarray`
        (ny, nx) variance of the exposure.

    Returns
    -------
    error : `~numpy.ndarray`
        (ny, nx) electrons squared.
    """
    cells = list(_clear_cells(error, variance))
    if not cells:
        return error
    found = error.copy()
    for *cell, clear in cells:
        cell = tuple(cell)
        own, noise = error[cell][clear], variance[cell][clear]
        excess = left[cell][clear] ** 2 / MEDIAN_OF_SQUARE - noise
        # at least the noise, which the median of few values may hide
        seen = np.minimum(np.maximum(SAFE * median_of_values(excess / own), noise / own), 1)
        found[cell][clear] = np.minimum(found[cell][clear], seen * own)
    return found


def _clear_cells(error, variance):
    """Rows, columns and pixels with a clear error of the cells along the edges that have enough of these."""
    for axis, length in enumerate(error.shape):
        places = np.linspace(0, error.shape[1 - axis], max(round(error.shape[1 - axis] / LENGTH), 1) + 1).astype(int)
        for place in {*range(min(SIZE // 2, length)), *range(max(length - SIZE // 2, 0), length)}:
            line = (place, slice(None)) if axis == 0 else (slice(None), place)
            clear = error[line] > variance[line]
            for first, end in pairwise(places):
                if np.count_nonzero(clear[first:end]) >= FEWEST:
                    along = slice(first, end)
                    yield (place, along, clear[along]) if axis == 0 else (along, place, clear[along])
