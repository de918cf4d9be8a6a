"""Places of the image where the noise of the exposures is less alike than elsewhere."""

from itertools import combinations

import numpy as np

__all__ = ["noise_has_places", "widen_spans"]

#: largest ratio of the variances of like values. Errors of the model beside stars may exceed the noise by less: where
#: one exposure has a large one, those of the others are not small.
LIKE = 100.0


def noise_has_places(counts):
    """Whether the ratio of the noise of the exposures depends on the place, apart from that of their photons."""
    scales, variances = counts.scales or (), counts.variance if isinstance(counts.variance, tuple) else ()
    return any(np.ndim(one) for one in (*scales, *variances))


def widen_spans(span, levels, counts, signal, excess, unlike=None):
    """Spans of values with unlike noise, in place: the largest difference of two values in their own noise.

    In the mean noise of all values, two precise values agree although one of them is hit.

    Parameters
    ----------
    span : `~numpy.ndarray`
        (ny, nx) difference of the highest and the lowest value in standard deviations of the mean noise.
    levels : `~numpy.ndarray`
        (N, ny, nx) common signal of each value.
    counts : Counts
        The exposures at these pixels.
    signal, excess : `~numpy.ndarray`
        (ny, nx) expected common signal, and excess variance (electrons squared).
    unlike : UnlikeNoise, optional
        The noise of groups of exposures, if it is not alike.
    """
    variance = np.stack([counts.variance_of(i, signal) + excess for i in range(len(levels))])
    far = np.zeros(span.shape, bool)
    for group in (range(len(levels)),) if unlike is None else unlike.groups:
        own = variance[list(group)]
        far |= own.max(axis=0) > np.float32(LIKE) * own.min(axis=0)
    if not far.any():
        return
    some, noise, widest = levels[:, far], variance[:, far], span[far]
    for i, j in combinations(range(len(some)), 2):
        np.maximum(widest, np.abs(some[i] - some[j]) / np.sqrt((noise[i] + noise[j]) / 2), out=widest)
    span[far] = widest
