"""Surfaces with finer cells, where a region of one exposure is smaller than the usual cells, as under a cloud."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.surfaces import VARIANCE_OF_MEDIAN, Mesh, shrunk

__all__ = ["FEWEST", "fine_mesh", "is_fine", "surfaces_with_regions"]

#: fine cells along a side of a usual one, and fewest pixels in which the level of a fine cell is measured
PARTS, FEWEST = 4, 60
#: least deviation of most of 3 x 3 fine cells from the usual surface, in standard deviations of one pixel. Lines
#: along rows and columns do not count
LEAST_EFFECT = 0.6
#: least share of the fine cells that have enough pixels
LEAST_KNOWN = 0.5


def fine_mesh(mesh):
    """The mesh whose cells are parts of those of a mesh."""
    return Mesh.of_cells(mesh.shape, [PARTS * len(one) for one in mesh.centres])


def surfaces_with_regions(mesh, grids, medians, number):
    """Grids of surfaces with the regions that are too small for the cells of a mesh.

    Parameters
    ----------
    mesh : Mesh
        Usual cells.
    grids : `~numpy.ndarray`
        (N, rows, columns) surfaces in these cells.
    medians, number : `~numpy.ndarray`
        (N + 1, rows, columns) medians of the residuals and of the variance in the cells of the `fine_mesh`, and numbers
        (rows, columns) of their pixels.

    Returns
    -------
    grids : `~numpy.ndarray`
        (N, rows, columns): in fine cells if there is such a region, and those that were given if not.
    """
    known = number > 0
    if np.count_nonzero(known) < LEAST_KNOWN * known.size:
        return grids
    variance = np.nan_to_num(medians[-1], nan=1.0)
    medians = medians[:-1] - medians[:-1].mean(axis=0)
    usual = np.array([mesh.at_centres(grid, fine_mesh(mesh)) for grid in grids])
    rest = np.where(known, medians - usual, 0)
    weight = np.where(known, number / (VARIANCE_OF_MEDIAN * variance), 0)
    if not any(_has_region(one, weight, variance) for one in rest):
        return grids
    degrees = np.count_nonzero(known)
    return np.array([
        level + shrunk(one, weight, max((weight * one**2).sum() - degrees, 0) / weight.sum())
        for level, one in zip(usual, rest, strict=True)
    ])  # fmt: skip


def _has_region(rest, weight, variance):
    """Whether the deviations (rows, columns) of an exposure from its surface are large somewhere."""
    for axis in (0, 1):
        of_lines = (weight * rest).sum(axis=axis, keepdims=True)
        rest = rest - of_lines / np.maximum(weight.sum(axis=axis, keepdims=True), 1e-30)
    # the median of 3 x 3 cells: a hit may fill the few pixels of one of them
    around = ndimage.median_filter(np.where(weight > 0, rest, 0), 3, mode="constant")
    return bool((np.abs(around) > LEAST_EFFECT * np.sqrt(variance))[weight > 0].any())


def is_fine(grids, shape):
    """Whether surfaces (N, rows, columns) of an image of some shape have fine cells; False for None."""
    return grids is not None and grids.shape[1:] != tuple(map(len, Mesh(shape).centres))
