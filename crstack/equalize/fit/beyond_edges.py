"""Light of stars beyond the edges, which an exposure of wider seeing brings into the image."""

import numpy as np
from scipy import ndimage

__all__ = ["add_light_from_beyond"]

#: rows or columns at an edge that such light reaches, and the one whose residual is that of structure inside the image
DEPTH, INSIDE = 5, 6
#: pixels along the edge whose median is the residual there: hits that cross the edge are narrower
ALONG = 5
#: least residual at the edge, beyond that inside, and the same of the next row or column, in standard deviations of a
#: value. A hit along the edge is rarely in both
CLEAR, BESIDE = 2.0, 1.0
#: values along the edge differ from the median by at most this share of it, plus this number of standard deviations:
#: those of hits differ more
ROUGH, NOISE = 0.3, 4.0


def add_light_from_beyond(noise, left, variance):
    """Add the square of the light of stars beyond the edges to a variance, in place.

    A star beyond the edge is not in the common image, and no kernel describes its light. It is in the exposures of
    widest seeing, falls inwards, and is smooth along the edge. Lines and traces that reach the edge have the same
    residual further inside.

    Parameters
    ----------
    noise : `~numpy.ndarray`
        (ny, nx) variance of what is expected of an exposure, electrons squared.
    left, variance : `~numpy.ndarray`
        (ny, nx) the exposure minus what is expected of it, electrons, and the variance of its noise.
    """
    turned = [(one, one[::-1], one.T, one.T[::-1]) for one in (noise, left, variance)]
    for own, rest, known in zip(*turned, strict=True):
        if len(own) <= INSIDE:
            continue
        smooth = ndimage.median_filter(rest[: INSIDE + 1], (1, ALONG), mode="nearest")
        light = np.maximum(smooth[:DEPTH] - np.maximum(smooth[INSIDE], 0), 0)
        sigma = np.sqrt(known[:2] + smooth[:2].clip(0))
        even = (np.abs(rest[:2] - smooth[:2]) < ROUGH * light[:2] + NOISE * sigma).all(axis=0)
        seen = (light[0] > CLEAR * sigma[0]) & (light[1] > BESIDE * sigma[1])
        seen &= ndimage.minimum_filter1d(even, ALONG)
        own[:DEPTH] += np.where(ndimage.maximum_filter1d(seen, ALONG), np.square(light), 0)
