"""A start for the throughputs of exposures that differ by large factors."""

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values
from crstack.utils.normal import MEDIAN_DIFFERENCE, SIGMA_PER_MAD
from crstack.utils.pixels import EIGHT_CONNECTED, contrast_of, dilate
from crstack.utils.threads import map_threads

__all__ = ["first_factors"]

#: least contrast, in standard deviations in every exposure, of the pixels that count
CLEAR = 4.0
#: fewest and most such pixels
FEWEST, MOST = 20, 3000
#: largest ratio of two throughputs up to which 1 is a good start
ALIKE = 1.6
#: largest side (pixels) of a structure; larger ones are divided
SIDE = 16
#: where exposures show the same light, their values are correlated by this much or more; fewest pixels of such a
#: structure
CORRELATED, LARGE = 0.8, 12
#: the logarithm of the largest ratio is at least this number of standard errors, and the scatter of the structures is
#: at least this one: for structures of the same shape; for all, of which there must be the last number or more
OF_SAME, OF_ALL, MANY = (2.0, 0.05), (6.0, 0.3), 12
#: standard error of a median over that of a mean
OF_MEDIAN = 1.25


def first_factors(levels):
    """Throughput of each exposure, from the contrast of its structures, if the throughputs differ by much.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.

    Returns
    -------
    factors : `~numpy.ndarray` or None
        (N,) relative to their mean; None if they are similar, or if there is too little structure.

    Notes
    -----
    A level that is added to an exposure does not change the contrast. Medians of three pixels remove hits of one pixel.
    Larger hits count only where they are in all exposures. The factors come from the pixels with the highest contrast.
    They are not precise, because the seeing changes the contrast too.

    In a field without light, such hits are the only structures. They have other shapes in each exposure, and their
    ratios scatter by large factors. The factors come from the structures that have the same shape in most exposures, if
    there are some. All others count only if their ratios agree.
    """
    planes = map_threads(_smooth, levels[:, :])
    sigmas = map_threads(_scatter, levels[:, :])
    if min(planes[0].shape) < 3 or not min(sigmas) > 0:
        return None
    contrasts = np.stack([contrast_of(plane) for plane in planes])
    clear = np.min([one / sigma for one, sigma in zip(contrasts, sigmas, strict=True)], axis=0).ravel()
    number = min(np.count_nonzero(clear > CLEAR), MOST)
    if number < FEWEST:
        return None
    some = np.argpartition(clear, -number)[-number:]
    contrasts = contrasts.reshape(len(contrasts), -1)[:, some]
    numbers = _structures_of(some, planes[0].shape)
    same, numbers = _same_shapes(planes, numbers), numbers.ravel()[some]
    same, factors = same[numbers], None
    if np.count_nonzero(same) >= FEWEST:
        factors = _factors(contrasts[:, same], numbers[same], *OF_SAME)
    if factors is None and len(np.unique(numbers)) >= MANY:
        factors = _factors(contrasts, numbers, *OF_ALL)
    return factors


def _factors(contrasts, numbers, significant, least_scatter):
    """Factors (N,) from the contrasts (N, M) of structures of some ``numbers`` (M,); None if similar or not certain."""
    factors = median_of_values(contrasts / contrasts.mean(axis=0), axis=1)
    lowest, highest = np.argsort(factors)[[0, -1]]
    if not factors[highest] > ALIKE * factors[lowest]:
        return None
    ratios = np.log(contrasts[highest] / contrasts[lowest])
    ratios = np.array([median_of_values(ratios[numbers == one]) for one in np.unique(numbers)])
    middle = median_of_values(ratios)
    scatter = max(SIGMA_PER_MAD * median_of_values(np.abs(ratios - middle)), least_scatter)
    certain = middle > significant * OF_MEDIAN * scatter / np.sqrt(len(ratios))
    return factors / factors.mean() if certain else None


def _structures_of(some, shape):
    """Numbers (ny, nx), from 1, of the structures around some pixels of the flat image; 0 elsewhere."""
    around = np.zeros(shape, dtype=bool)
    around.ravel()[some] = True
    connected, _ = ndimage.label(dilate(around, 1), EIGHT_CONNECTED)
    rows, columns = np.indices(shape, sparse=True)
    cells = rows // SIDE * (shape[1] // SIDE + 1) + columns // SIDE
    inside = connected > 0
    numbers = np.zeros(shape, dtype=np.intp)
    # a small image may have no pixel outside
    numbers[inside] = np.unique((connected * (cells.max() + 1) + cells)[inside], return_inverse=True)[1] + 1
    return numbers


def _same_shapes(planes, numbers):
    """Whether structures are large and have the same shape in most exposures as in the others: bool, by number."""
    inside = numbers > 0
    where = numbers[inside]
    size = np.maximum(np.bincount(where), 1)
    values = [plane[inside].astype(np.float64) for plane in planes]
    values = [one - (np.bincount(where, one) / size)[where] for one in values]
    total, alike = sum(values), 0
    for one in values:
        power = np.bincount(where, one**2) * np.bincount(where, (total - one) ** 2)
        alike = alike + (np.bincount(where, one * (total - one)) > CORRELATED * np.sqrt(power))
    return (alike > len(values) / 2) & (size >= LARGE)


def _smooth(plane):
    """Medians of three pixels along rows, and of three of these along columns, without the edges."""
    for axis in (0, 1):
        first, middle, last = (np.moveaxis(plane, axis, 0)[k : plane.shape[axis] - 2 + k] for k in range(3))
        median = np.maximum(np.minimum(first, middle), np.minimum(np.maximum(first, middle), last))
        plane = np.ascontiguousarray(np.moveaxis(median, 0, axis))
    return plane


def _scatter(plane):
    """Standard deviation of a value, from the differences of neighbours, which hits hardly change."""
    return float(median_of_values(np.abs(np.diff(plane, axis=1)))) / MEDIAN_DIFFERENCE
