"""Light of stars beyond the edges, which an exposure of wider seeing brings into the image."""

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_along_rows

__all__ = ["ALONG", "FAINT", "STEEPEST", "add_light_from_beyond", "smooth_along"]

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
#: the light is at most this number of standard deviations of a value, plus this multiple of the light in the common
#: image beyond its noise: the wings of a star are in the narrower exposures too, those of a hit are not
FAINT, STEEPEST = 5.0, 30.0
#: it is at most the same plus this multiple of the light in the next row or column: that of a star reaches inwards
INWARDS = 15.0
#: light in the common image up to this number of standard deviations of a value is noise: twice the error of a median
#: of ``ALONG`` values
DOUBTFUL = 1.1


def smooth_along(image):
    """Running medians along the edge of the rows next to it, (INSIDE + 1, nx)."""
    return median_along_rows(image[: INSIDE + 1], ALONG)


def light_of_all(common, error):
    """Largest light around each place of the edge (nx), beyond that inside, in the common image (ny, nx).

    What may be noise is subtracted; ``error`` is the variance of the image.
    """
    smooth = smooth_along(common)
    light = smooth[0] - smooth[INSIDE] - DOUBTFUL * np.sqrt(error[0] + error[INSIDE])
    return ndimage.maximum_filter1d(light.clip(0), 2 * ALONG + 1)


def reaches_inwards(light, sigma):
    """Where (nx) the light (DEPTH, nx) along an edge is as bright in the second row as that of a star would be.

    A track along the edge may lie beside a star that all exposures show: its rows are compared at each place, and the
    common image within several places.
    """
    return light[0] < FAINT * sigma + INWARDS * light[1]


def add_light_from_beyond(noise, left, variance, common, error):
    """Add the square of the light of stars beyond the edges to a variance, in place.

    A star beyond the edge is not in the common image, and no kernel describes its light. It is in the exposures of
    widest seeing, falls inwards, and is smooth along the edge. A hit beside the edge is brighter further inside. The
    others have some of the light of a star, and so has the next row. Lines and traces that reach the edge have the same
    residual further inside.

    Parameters
    ----------
    noise : `~numpy.ndarray`
        (ny, nx) variance of what is expected of an exposure, electrons squared.
    left, variance : `~numpy.ndarray`
        (ny, nx) the exposure minus what is expected of it, electrons, and the variance of its noise.
    common, error : `~numpy.ndarray`
        (ny, nx) the common image at the level of the exposure, electrons, and its variance.
    """
    turned = [(one, one[::-1], one.T, one.T[::-1]) for one in (noise, left, variance, common, error)]
    for own, rest, known, seen_by_all, of_all in zip(*turned, strict=True):
        if len(own) <= INSIDE:
            continue
        smooth = smooth_along(rest)
        light = np.maximum(smooth[:DEPTH] - np.maximum(smooth[INSIDE], 0), 0)
        sigma = np.sqrt(known[:2] + smooth[:2].clip(0))
        even = (np.abs(rest[:2] - smooth[:2]) < ROUGH * light[:2] + NOISE * sigma).all(axis=0)
        seen = (light[0] > CLEAR * sigma[0]) & (light[1] > BESIDE * sigma[1])
        seen &= ndimage.minimum_filter1d(even, ALONG)
        of_star = light[0] < FAINT * sigma[0] + STEEPEST * light_of_all(seen_by_all, of_all)
        of_star &= (light[1:] < light[0] + NOISE * np.sqrt(known[1:DEPTH] + light[1:])).all(axis=0)
        seen = ndimage.maximum_filter1d(seen, ALONG) & ndimage.minimum_filter1d(of_star, 2 * ALONG + 1)
        seen &= ndimage.minimum_filter1d(reaches_inwards(light, sigma[0]), ALONG)
        own[:DEPTH] += np.where(seen, np.square(light), 0)
