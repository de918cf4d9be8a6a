"""The sky of a field of which some parts receive no light: a vignetted corner, a gap between chips, an overscan."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.common_image import CLIP_SIGMA
from crstack.equalize.fit.pattern import BLOCK, PatternOfSky, medians_of_blocks
from crstack.utils.medians import median_of_values
from crstack.utils.memory import relax, zero_image
from crstack.utils.pixels import at_pixels, dilate
from crstack.utils.threads import slices, wide_bands

__all__ = ["describes_more_than_noise", "sky_with_dark_parts"]

#: step (pixels) of a sample that shows whether there are dark parts, and least share of the image that they have
STEP, LEAST_SHARE = 8, 0.003
#: a part is dark below the first, and at its edge below the second share of the level of the sky
DARK, EDGE = 0.3, 0.9
#: the level of the sky is uniform if this share of the lit blocks lie within this part of it
UNIFORM, WITHIN = 0.7, 0.3
#: fewest dark blocks that touch each other, and largest share of the image that edges of dark parts have
FEWEST, MOST_EDGES = 40, 0.25
#: blocks around an edge that belong to it, and side (pixels) of the window whose median is the sky there
MARGIN, WINDOW = 2, 9
#: least difference of the skies of exposures, in standard deviations of a pixel
LEAST_EFFECT = 0.2
#: least decrease of chi squared by the sky as a pattern, in total and for each value
LEAST_GAIN, OF_VALUE = 100.0, 1e-3
#: side (pixels) of the cells in which the noise is measured, and share of a cell that is lit
CELL, LIT = 16, 0.9


@dataclass(frozen=True, eq=False)
class SkyWithDarkParts(PatternOfSky):
    """The sky of exposures with dark parts.

    Attributes
    ----------
    edges : `~numpy.ndarray` of bool
        (ny, nx) surroundings of the edges of the dark parts. The sky is known less well there, and does not move with
        the scene.
    """

    edges: np.ndarray

    def excluded(self, bad, n):
        """Excluded values (N, ny, nx) of ``n`` exposures, with the edges in addition."""
        edges = np.broadcast_to(self.edges, (n, *self.edges.shape))
        return edges if bad is None else bad[:, :] | edges


def sky_with_dark_parts(levels, variance_of, bad=None):
    """Measure the sky of exposures that have dark parts.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons; a cube that is read by rows suffices.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.

    Returns
    -------
    sky : SkyWithDarkParts or None
        None if there are no dark parts, if the sky is not uniform elsewhere, or if the exposures have the same sky.

    Notes
    -----
    The sky ends at the edges of dark parts. If it differs between exposures, these edges look like structures with a
    throughput that is the ratio of the skies. The pattern is the level of the sky in lit parts, 0 in dark parts, and a
    median of windows of 9 x 9 pixels at the edges between them. Such a median keeps straight edges.
    """
    sample = median_of_values(levels[:, STEP // 2 :: STEP, STEP // 2 :: STEP], axis=0)
    if min(sample.shape) < WINDOW or np.mean(sample < DARK * median_of_values(sample)) < LEAST_SHARE:
        return None
    medians = medians_of_blocks(levels)
    parts = _Parts.of(medians.mean(axis=0), _without_values(bad, medians.shape[1:]))
    if parts is None:
        return None
    skies = np.array([median_of_values(one[parts.lit]) - median_of_values(one[parts.dark]) for one in medians])
    sky = skies.mean()
    apart = np.abs(skies - sky).max() / np.sqrt(np.median(variance_of(np.full_like(levels[0, :1], sky), np.s_[:1, :])))
    if not (skies > 0).all() or apart < LEAST_EFFECT:
        return None
    image, edges = _images(levels, parts, np.float32(sky), np.float32(skies / sky))
    return SkyWithDarkParts(image, skies / sky, edges)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Parts of the image in blocks.

    Attributes
    ----------
    dark, lit, edge : `~numpy.ndarray` of bool
        (rows, columns). An edge may be lit or dark.
    level : float
        Level of the dark parts, electrons.
    """

    dark: np.ndarray
    lit: np.ndarray
    edge: np.ndarray
    level: float

    @classmethod
    def of(cls, common, unknown):
        """Parts from medians of blocks (rows, columns); None if there are no dark parts, or no uniform sky."""
        # without values, or after a bias that is too large, there is no level of a sky
        middle = 0.0 if unknown.all() else median_of_values(common[~unknown])
        if middle <= 0:
            return None
        sky = median_of_values(common[~unknown & (common > DARK * middle)])
        dark = ~unknown & (common < DARK * sky)
        labels, _ = ndimage.label(dark)
        dark &= (np.bincount(labels.ravel()) >= FEWEST)[labels]
        if not dark.any():
            return None
        level = float(median_of_values(common[dark]))
        below = dark | (~unknown & (common - level < EDGE * (sky - level)))
        reached = ndimage.binary_propagation(dark, mask=below, structure=np.ones((3, 3)))
        lit = ~reached & ~unknown
        edge = dilate(reached & ~dark, MARGIN) | (dilate(dark, MARGIN) & dilate(~dark, MARGIN))
        uniform = lit.any() and np.mean(np.abs(common[lit] - sky) < WITHIN * (sky - level)) > UNIFORM
        return cls(dark, lit, edge, level) if uniform and edge.mean() < MOST_EDGES else None


def _without_values(bad, shape):
    """Blocks (rows, columns) in which most pixels have a bad value."""
    if bad is None:
        return np.zeros(shape, dtype=bool)
    return medians_of_blocks(bad).astype(bool).all(axis=0)


def _without_hits(planes):
    """Image (ny, nx) without hits, of exposures (N, ny, nx) at a common level: the median, or the lower of two."""
    return median_of_values(planes, axis=0) if len(planes) > 2 else planes.min(axis=0)


def _images(levels, parts, sky, factors):
    """The sky, at the mean level of the exposures, above the dark parts, and the edges of these, both (ny, nx)."""
    ny, nx = levels.shape[1:]
    places = [
        np.minimum(np.arange(side) // BLOCK, number - 1) for side, number in zip((ny, nx), parts.lit.shape, strict=True)
    ]
    image, edges, half = zero_image((ny, nx)), zero_image((ny, nx), bool), WINDOW // 2
    for rows, wide, inner in wide_bands(ny, nx, margin=half):
        box = np.ix_(places[0][rows], places[1])
        image[rows] = np.where(parts.lit[box], sky, 0)
        edges[rows] = parts.edge[box]
        down, across = np.nonzero(edges[rows])
        if not len(down):
            continue
        beyond = half - inner.start, half - (wide.stop - rows.stop)
        common = _without_hits((np.asarray(levels[:, wide]) - parts.level) / factors[:, None, None])
        common = np.pad(common, (beyond, (half, half)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(common, (WINDOW, WINDOW))[down, across]
        found = median_of_values(windows.reshape(len(down), -1), axis=1)
        image[rows][down, across] = np.clip(found, 0, sky)
        relax()
    return image, edges


def describes_more_than_noise(one, other, sky, levels, variance_of, bad=None):
    """Whether one of two descriptions has a clearly lower misfit, without the noise of the exposures.

    Parameters
    ----------
    one, other : Differences
        What was measured of the exposures, with and without the sky as a pattern.
    sky : SkyWithDarkParts
        Of `sky_with_dark_parts`.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.

    Returns
    -------
    more : bool

    Notes
    -----
    Exposures of unlike skies have unlike noise, of which the common image has a part. A throughput that follows the sky
    lowers chi squared in all pixels for this reason alone. The typical mean of the squared residuals in cells of the
    lit sky measures this part.
    """
    if one.common is None or other.common is None:
        return False
    misfits = [_misfit(each, one.common, sky, levels, variance_of, bad) for each in (one, other)]
    return misfits[0] < misfits[1] - LEAST_GAIN - OF_VALUE * len(levels) * one.common.size


def _misfit(found, common, sky, levels, variance_of, bad):
    """Sum of the squared residuals, less those of the noise in the lit sky; ``common`` gives the variances."""
    (ny, nx), n, level = common.shape, len(levels), np.float32(sky.image.max())
    total, shares, cells = np.zeros(n), np.zeros(n), []
    across = np.arange(0, nx, CELL)
    for rows in slices(ny, CELL):
        box = rows, slice(None)
        variance = variance_of(common[rows], box)
        of_sky = np.minimum(variance_of(np.full_like(variance, level), box) / variance, 1)
        known = np.ones((n, *variance.shape), bool) if bad is None else ~bad[:, rows]
        squares = [
            np.minimum(np.square(plane - at_pixels(scale, rows) * found.common[rows] - at_pixels(added, rows)), limit)
            for plane, scale, added, limit in zip(
                levels[:, rows], found.scales, found.added, [CLIP_SIGMA**2 * variance] * n, strict=True
            )
        ] / variance
        total += squares.sum(axis=(1, 2), where=known)
        shares += (of_sky * known).sum(axis=(1, 2))
        lit = np.add.reduceat(known & (sky.image[rows] > level / 2), across, axis=2).sum(axis=1)
        sums = np.add.reduceat(squares * known, across, axis=2).sum(axis=1)
        cells.append(np.where(lit > LIT * len(variance) * CELL, sums / np.maximum(lit, 1), np.nan))
    means = np.concatenate(cells, axis=1)
    if np.isnan(means).all(axis=1).any():
        return np.nan  # bad values are everywhere, and the descriptions are not compared
    return float((total - np.nanmedian(means, axis=1) * shares).sum())
