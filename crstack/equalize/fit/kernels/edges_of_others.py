"""Error of a change by a kernel at the edges of an image, as far as the other exposures show it."""

import numpy as np

from crstack.equalize.fit.kernels.kernel_terms import SIZE

__all__ = ["edge_strips", "lower_edge_errors"]

#: pixels along an edge, to both sides, whose residuals in the other exposures show how large the error is
ALONG = 2
#: the error is at most this number of times what these residuals show, squared
SAFE = 4.0


def edge_strips(image):
    """The pixels along each edge of an image that a kernel reaches from beyond the edge, as four views of it.

    The first axis of each is across the edge. No pixel is in two of them.
    """
    half = SIZE // 2
    return image[:half], image[-half:], image[half:-half, :half].T, image[half:-half, -half:].T


def lower_edge_errors(noises, errors, lefts, variance):
    """Lower the part of variances that comes from the scene beyond the edges, in place.

    The scene beyond the edges is the same for all exposures. A star there leaves residuals in every exposure that has
    an error by the edges. Where the other exposures agree with what is expected of them, such light is small, and what
    one exposure has is a hit. Exposures whose own error is small do not show such light: the error then stays.

    Parameters
    ----------
    noises : sequence of `~numpy.ndarray`
        (ny, nx) variances of the changes of the exposures, electrons squared. Each includes its error by the edges.
    errors, lefts : sequence of sequence of `~numpy.ndarray`
        `edge_strips` of the error by the edges (electrons squared), and of the exposure minus what is expected of it
        (electrons), for each exposure.
    variance : `~numpy.ndarray`
        (ny, nx) variance of an exposure.
    """
    if len(noises) < 2:
        return
    for edge, known in enumerate(edge_strips(variance)):
        error = np.stack([one[edge] for one in errors]).astype(np.float64)
        left = np.stack([one[edge] for one in lefts]).astype(np.float64)
        if not (error > known).any():
            continue
        surplus = error * (1 - np.clip(_shown_by_others(error, left, known.astype(np.float64)), 0, 1))
        for noise, less in zip(noises, surplus, strict=True):
            strip = edge_strips(noise)[edge]
            strip -= np.minimum(less, strip)


def _shown_by_others(error, left, variance):
    """Share of the errors (N, k, n) along an edge that the residuals of the other exposures allow.

    It is found by least squares: how much the squared residuals exceed the noise, as a multiple of the error. The noise
    of these sums, and that of the pixel, are lower limits.
    """
    others = [_around(one) for one in (error**2, error * (left**2 - variance), 2 * (error * variance) ** 2)]
    weight, found, spread = (one.sum(axis=0) - one for one in others)
    weight = np.maximum(weight, np.finfo(np.float32).tiny)
    noise = np.sqrt(np.maximum(spread, 0)) / weight
    own = variance / np.maximum(error, np.finfo(np.float32).tiny)
    return np.maximum(SAFE * np.maximum(found / weight, noise), own)


def _around(strips):
    """Sums (N, 1, n) of strips (N, k, n) across the edge, and along it around each pixel."""
    wide = np.pad(strips.sum(axis=1, keepdims=True), ((0, 0), (0, 0), (ALONG, ALONG)))
    return np.lib.stride_tricks.sliding_window_view(wide, 2 * ALONG + 1, axis=2).sum(axis=-1)
