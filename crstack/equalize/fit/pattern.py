"""A pattern of the sky on the detector, such as fringes, whose amplitude differs between exposures."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.common_image import CLIP_SIGMA, CONTRAST
from crstack.equalize.fit.expected_exposures import OF_MEDIAN, ExpectedExposures, copied_levels
from crstack.equalize.fit.surfaces import VARIANCE_OF_MEDIAN, Mesh
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.pixels import by_rows, dilate
from crstack.utils.threads import PIXELS_IN_CACHE, map_threads, row_bands

__all__ = ["BLOCK", "PatternOfSky", "describes_more", "medians_of_blocks", "misfit_of_differences", "pattern_of_sky"]

#: side (pixels) of the blocks whose medians are the pattern, and fewest blocks along each axis
BLOCK, FEWEST = 4, 16
#: side (blocks) of the cells whose medians are the level around, which is no part of the pattern
CELL = 40
#: approximate number of pixels in the middle of the image that show whether a pattern differs
SAMPLE = 400_000
#: a value that exceeds those around, or the level, by more than this number of scatters belongs to a source
SOURCE = 4.0
#: least share of the blocks without sources
LEAST_FREE = 0.5
#: length (blocks) along an axis over which a line of the sky is straight, and largest share of the variance of a
#: pattern that such lines may have: lines have terms of their own
LONG, LINES = 25, 0.75
#: weights of the blocks around one
AROUND = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]) / 8
#: rounds of the fit of the amplitudes, and scatters up to which a residual counts
ROUNDS, CLIP = 3, 3.0
#: least decrease of chi squared by the pattern, in total and for each value
LEAST_GAIN, OF_VALUE = 100.0, 1e-3
#: width (blocks) of the Gaussian that fills blocks with sources, and how often its residual is added
WIDTH, TIMES = 1.0, 3


@dataclass(frozen=True, eq=False)
class PatternOfSky:
    """A pattern that all exposures share, with an amplitude in each that is not their throughput.

    Attributes
    ----------
    image : `~numpy.ndarray`
        float32 (ny, nx) electrons.
    factors : `~numpy.ndarray`
        (N,) amplitude in each exposure, relative to the mean.
    """

    image: np.ndarray
    factors: np.ndarray

    def removed(self, levels):
        """The exposures (N, ny, nx) without the pattern; a copy."""
        levels = copied_levels(levels)
        for plane, factor in zip(levels, np.float32(self.factors), strict=True):
            plane -= factor * self.image
        return levels

    def variance_of(self, variance_of):
        """The mean variance of the exposures at a signal without the pattern, whose photons have noise too."""
        return lambda signal, box=None: variance_of(signal + (self.image if box is None else self.image[box]), box)

    def added_to(self, found):
        """The measured `Differences` of exposures without the pattern, with the pattern in addition."""

        def added_with(added, scale, factor):
            return by_rows(lambda one, a, image: one + (factor - a) * image, added, scale, self.image)

        terms = zip(found.added, found.scales, np.float32(self.factors), strict=True)
        return replace(
            found,
            added=tuple(added_with(*term) for term in terms),
            common=by_rows(np.add, found.common, self.image),
            pattern=tuple(self.factors.tolist()),
        )


def pattern_of_sky(levels, variance_of):
    """Measure a pattern whose amplitude differs between exposures.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons; a cube that is read by rows suffices.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).

    Returns
    -------
    pattern : PatternOfSky or None
        None if there is no pattern, if its amplitudes agree, or if it consists of lines along an axis.

    Notes
    -----
    The pattern is the mean of the exposures in blocks of four pixels, minus the level in cells of 160 pixels. Medians
    of blocks hardly depend on hits. Blocks with stars are left out. The amplitude in an exposure is that of least
    squares to the residuals in the other blocks, up to a limit. A throughput of the whole exposure changes the
    amplitude too: `misfit_of_differences` shows which one describes the exposures.
    """
    shape = levels.shape[1:]
    if min(shape) < BLOCK * FEWEST:
        return None
    box = _middle(shape)
    some = levels[:, *box]
    blocks = _Blocks.of(some)
    if not blocks.like_a_pattern():
        return None
    variance = float(median_of_values(variance_of(some.mean(axis=0), box))) * VARIANCE_OF_MEDIAN / BLOCK**2
    factors, gain = blocks.amplitudes(variance)
    if gain < _least_gain(levels):
        return None
    if some.shape != levels.shape:
        blocks = _Blocks.of(levels)
    return PatternOfSky(blocks.image(factors, shape), factors)


def _middle(shape):
    """Rows and columns in the middle of an image, of about `SAMPLE` pixels."""
    share = min(np.sqrt(SAMPLE / (shape[0] * shape[1])), 1)
    lengths = [max(int(share * side), BLOCK * FEWEST) for side in shape]
    return tuple(
        slice((side - length) // 2, (side - length) // 2 + length) for side, length in zip(shape, lengths, strict=True)
    )


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Medians of blocks.

    Attributes
    ----------
    medians : `~numpy.ndarray`
        (N, rows, columns) minus the level around.
    common : `~numpy.ndarray`
        (rows, columns) of all exposures.
    free : `~numpy.ndarray` of bool
        (rows, columns) blocks without sources.
    """

    medians: np.ndarray
    common: np.ndarray
    free: np.ndarray

    @classmethod
    def of(cls, levels):
        """Blocks of exposures (N, ny, nx)."""
        medians, fine = medians_of_blocks(levels), _quarters_of_blocks(levels)
        mesh = Mesh(medians.shape[1:], (CELL, CELL))
        around, _ = mesh.medians(medians, np.ones(medians.shape[1:], dtype=bool))
        medians -= np.stack([mesh.interpolate(grid) for grid in around])
        common = medians.mean(axis=0)
        return cls(medians, common, ~_sources(fine) & (np.abs(common) <= SOURCE * _scatter(common)))

    def like_a_pattern(self):
        """Whether most blocks hold no source, and the common image has other structure than lines along an axis."""
        if np.count_nonzero(self.free) < LEAST_FREE * self.free.size:
            return False
        total = np.square(self.common[self.free]).sum()
        lines = map_threads(lambda size: ndimage.median_filter(self.common, size)[self.free], ((LONG, 1), (1, LONG)))
        return bool(total > 0 and all(np.square(one).sum() < LINES * total for one in lines))

    def amplitudes(self, variance):
        """Amplitude (N,) of the common pattern in each exposure, relative to their mean, and decrease of chi squared.

        ``variance`` is that of a median. The exposures are compared with the mean of the blocks around each, whose
        noise is independent.
        """
        around = ndimage.convolve(self.common, AROUND, mode="reflect")[self.free]
        total, medians = np.square(around).sum(), self.medians[:, self.free]
        factors = medians @ around / total
        for _ in range(ROUNDS):
            left = medians - factors[:, None] * around
            limit = CLIP * np.maximum(np.sqrt(variance), _scatter(left))
            factors = factors + np.clip(left, -limit, limit) @ around / total
        mean = factors.mean()
        if not (factors > 0).all():
            return np.ones(len(factors)), 0.0
        return factors / mean, float(np.square(factors - mean).sum() * total / variance)

    def image(self, factors, shape):
        """The pattern as an image (ny, nx)."""
        from scipy.interpolate import RectBivariateSpline

        blocks = np.tensordot(factors, self.medians, axes=1) / np.square(factors).sum()
        known = ndimage.gaussian_filter(self.free.astype(float), WIDTH)
        smooth = np.zeros(blocks.shape)
        for _ in range(TIMES):
            left = ndimage.gaussian_filter(np.where(self.free, blocks - smooth, 0), WIDTH)
            smooth += left / np.maximum(known, 1e-3)
        (bottom, down), (left, across) = ((side - 1, _starts(side) + (BLOCK - 1) / 2) for side in shape)
        spline = RectBivariateSpline(down, across, smooth, bbox=[0, bottom, 0, left])
        return spline(np.arange(shape[0]), np.arange(shape[1])).astype(np.float32)


def medians_of_blocks(levels):
    """Medians (N, rows, columns) of the blocks of exposures (N, ny, nx)."""

    def work(planes):
        return median_of_values(planes.reshape(BLOCK**2, *planes.shape[2:]), axis=0)

    return np.concatenate(_in_rows_of_blocks(work, levels), axis=1).astype(float)


def _quarters_of_blocks(levels):
    """Means (N, 2 rows, 2 columns) of the quarters of the blocks."""
    half = BLOCK // 2

    def work(planes):
        sums = planes.reshape(2, half, 2, half, *planes.shape[2:]).sum(axis=1).sum(axis=2)
        means = sums.transpose(2, 3, 0, 4, 1) / np.float32(half**2)
        return means.reshape(len(means), 2 * means.shape[1], -1)

    return np.concatenate(_in_rows_of_blocks(work, levels), axis=1).astype(np.float32)


def _in_rows_of_blocks(function, levels):
    """A function of the pixels (BLOCK, BLOCK, N, rows, columns) of some rows of blocks, for all rows, in threads."""
    down, across = (_starts(side) for side in levels.shape[1:])

    def work(some):
        first = down[some]
        part = np.asarray(levels[:, first[0] : first[-1] + BLOCK])
        part = _without_overlap(_without_overlap(part, len(first), 1), len(across), 2)
        return function(part.reshape(len(part), len(first), BLOCK, len(across), BLOCK).transpose(2, 4, 0, 1, 3))

    return map_threads(work, row_bands(len(down), BLOCK * len(levels) * levels.shape[2], PIXELS_IN_CACHE))


def _without_overlap(values, number, axis):
    """Values along an axis, with those of the last block after those of the others, which it may overlap."""
    if values.shape[axis] == number * BLOCK:
        return values
    blocks = np.arange((number - 1) * BLOCK), np.arange(values.shape[axis] - BLOCK, values.shape[axis])
    return values.take(np.concatenate(blocks), axis)


def _sources(fine):
    """Blocks (rows, columns) in or beside which two exposures have a peak; a hit is in one.

    ``fine`` (N, 2 rows, 2 columns) are means of the quarters of the blocks. Fringes are nearly straight there.
    """
    peaks = np.stack([_peaks(plane) for plane in fine])
    peaks = np.stack([plane - median_of_values(plane) > SOURCE * _scatter(plane) for plane in peaks])
    in_block = peaks.reshape(len(fine), fine.shape[1] // 2, 2, -1, 2).any(axis=(2, 4))
    return np.sum([dilate(one, 1) for one in in_block], axis=0) > 1


def _peaks(image):
    """Excess of each block over those on both sides of it, in the direction where it is least.

    A source exceeds the blocks around in all directions, and the crest of a fringe does not along the fringe.
    """
    padded = np.pad(image, 1, mode="reflect")
    rows, columns = image.shape

    def beside(dy, dx):
        return padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]

    return np.min(
        [image - (beside(dy, dx) + beside(-dy, -dx)) / 2 for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))], axis=0
    )


def _scatter(values):
    """Standard deviation of values from their median absolute deviation."""
    return SIGMA_PER_MAD * median_of_values(np.abs(values - median_of_values(values)))


def _starts(side):
    """First pixels of the blocks along a side; the last block ends at the edge."""
    return np.append(np.arange(0, side - BLOCK, BLOCK), side - BLOCK)


def describes_more(one, other, levels, variance_of, bad=None):
    """Whether one of two descriptions of exposures has a clearly lower misfit, see `misfit_of_differences`."""
    misfits = [misfit_of_differences(each, levels, variance_of, bad) for each in (one, other)]
    return misfits[0] < misfits[1] - _least_gain(levels)


def _least_gain(levels):
    """Least decrease of chi squared in the middle of some exposures."""
    return LEAST_GAIN + OF_VALUE * levels[:, *_middle(levels.shape[1:])].size


def misfit_of_differences(found, levels, variance_of, bad=None):
    """Sum of the squared residuals of exposures, in units of the variance; a limit reduces the effect of hits.

    Parameters
    ----------
    found : Differences
        What was measured of the exposures.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.

    Returns
    -------
    misfit : float
        The sum over the middle of the image.

    Notes
    -----
    The variance of a residual depends on the noise of the common image. This noise is independent of that of an
    exposure that was shifted by whole pixels.
    """
    box = _middle(levels.shape[1:])
    some, excluded = levels[:, *box], None if bad is None else bad[:, *box]
    if found.common is None:
        common = ExpectedExposures(some, lambda signal: variance_of(signal, box), excluded, set()).common(CONTRAST[-1])
    else:
        common = found.common[box]
    variance, total, n = variance_of(common, box), 0.0, len(some)
    for i, level in enumerate(some):
        scale, added = (one[box] if np.ndim(one) else one for one in (found.scales[i], found.added[i]))
        moved = bool(found.steps) and any(found.steps[i])
        share = 1 + (OF_MEDIAN if n > 2 else 1.0) / n - (0 if moved else 2 / n)
        squares = np.square(level - scale * common - added) / (np.float32(share) * variance)
        known = True if excluded is None else ~excluded[i]
        total += float(np.minimum(squares, CLIP_SIGMA**2).sum(dtype=np.float64, where=known))
    return total
