"""Slowly varying additions to an exposure: a level, a slope or a smooth surface."""

import copy

import numpy as np
from scipy import ndimage

from crstack.utils.medians import median_of_values
from crstack.utils.threads import map_threads

__all__ = [
    "VARIANCE_OF_MEDIAN",
    "Mesh",
    "first_surfaces",
    "levels_around",
    "linear_weights",
    "shrunk",
    "smooth_surface",
    "surfaces_of",
]

#: side (pixels) of a cell in which the level is measured
CELL = 64
#: fewest pixels of a cell
FEWEST = 200
#: variance of a median over that of a mean
VARIANCE_OF_MEDIAN = 1.57
#: least decrease of chi squared by a level or a slope
LEAST_GAIN = 30.0
#: least effect of a term, in standard deviations of one pixel: hits change the medians slightly
LEAST_EFFECT = 0.06
#: least excess of a surface over its degrees of freedom, in standard deviations
SIGNIFICANCE = 10.0


class Mesh:
    """Cells of an image.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx) of the image.
    size : tuple of float, optional
        Height and width of a cell, pixels.
    """

    def __init__(self, shape, size=(CELL, CELL)):
        self.shape = shape
        self.edges = [
            np.linspace(0, side, max(round(side / one), 1) + 1).round().astype(int)
            for side, one in zip(shape, size, strict=True)
        ]
        self.centres = [(one[1:] + one[:-1] - 1) / 2 for one in self.edges]

    @classmethod
    def of_cells(cls, shape, numbers):
        """The mesh of an image of some shape (ny, nx) with the given numbers of (rows, columns) of cells."""
        return cls(shape, tuple(side / number for side, number in zip(shape, numbers, strict=True)))

    def medians(self, images, known, fewest=FEWEST):
        """Medians of the known pixels of each cell.

        Parameters
        ----------
        images : `~numpy.ndarray`
            (K, ny, nx), or a list of images; no NaN where known.
        known : `~numpy.ndarray` of bool
            (ny, nx).
        fewest : int, optional
            Fewest pixels of a cell.

        Returns
        -------
        medians : `~numpy.ndarray`
            (K, rows, columns), NaN where pixels are too few.
        number : `~numpy.ndarray`
            (rows, columns) of the pixels; 0 where they are too few.
        """
        rows, columns = (list(map(slice, one[:-1], one[1:])) for one in self.edges)
        medians = np.full((len(images), len(rows), len(columns)), np.nan)
        number = np.zeros(medians.shape[1:])

        def work(a):
            some = np.stack([image[rows[a]] for image in images])
            for b, band in enumerate(columns):
                which = np.flatnonzero(known[rows[a], band])
                if len(which) >= fewest:
                    number[a, b] = len(which)
                    cell = some[:, :, band].reshape(len(some), -1)
                    cell = cell if len(which) == cell.shape[1] else cell.take(which, axis=1)
                    medians[:, a, b] = median_of_values(cell, axis=1)

        map_threads(work, range(len(rows)))
        return medians, number

    def rows(self, rows):
        """The mesh of some rows (a slice), which hold whole cells."""
        part = copy.copy(self)
        part.shape = (rows.stop - rows.start, self.shape[1])
        down, across = self.edges
        part.edges = [down[(down >= rows.start) & (down <= rows.stop)] - rows.start, across]
        return part

    def interpolate(self, grid, rows=slice(None)):
        """Values of the cells as an image, linear between their centres, and extrapolated outside; or some rows."""
        down, across = (linear_weights(centres, side) for centres, side in zip(self.centres, self.shape, strict=True))
        return (down[rows] @ grid @ across.T).astype(np.float32)

    def at_centres(self, grid, other):
        """Values of the cells at the centres of the cells of another mesh of the same image."""
        pairs = zip(self.centres, other.centres, self.shape, strict=True)
        down, across = (linear_weights(one, side)[np.rint(places).astype(int)] for one, places, side in pairs)
        return down @ grid @ across.T


def linear_weights(centres, size):
    """(size, n) of linear interpolation, extrapolated beyond the ends."""
    weights = np.zeros((size, len(centres)))
    if len(centres) == 1:
        weights[:, 0] = 1
        return weights
    place = np.arange(size)
    low = np.clip(np.searchsorted(centres, place, side="right") - 1, 0, len(centres) - 2)
    share = (place - centres[low]) / (centres[low + 1] - centres[low])
    weights[place, low] = 1 - share
    weights[place, low + 1] += share
    return weights


def smooth_surface(medians, number, variance):
    """The significant part of the medians of cells.

    Parameters
    ----------
    medians, number : `~numpy.ndarray`
        (rows, columns) median and number of pixels of each cell.
    variance : `~numpy.ndarray`
        (rows, columns) of one pixel of each cell.

    Returns
    -------
    surface : `~numpy.ndarray`
        (rows, columns).
    kind : str
        "", "level", "slope" or "surface", the simplest that suffices.
    """
    known = number > 0
    weight = np.where(known, number / (VARIANCE_OF_MEDIAN * variance), 0)
    values = np.where(known, medians, 0)
    down, across = np.mgrid[: medians.shape[0], : medians.shape[1]]
    surface, kind = np.zeros(medians.shape), ""
    chi2 = (weight * values**2).sum()
    plane = np.stack([np.ones(medians.size), down.ravel() - down.mean(), across.ravel() - across.mean()], axis=1)
    for name, terms in (("level", 1), ("slope", 3)):
        root = np.sqrt(weight).ravel()
        found = np.linalg.lstsq(plane[:, :terms] * root[:, None], values.ravel() * root, rcond=None)[0]
        trial = (plane[:, :terms] @ found).reshape(medians.shape)
        left = (weight * (values - trial) ** 2).sum()
        needed = (np.square(trial - surface) > LEAST_EFFECT**2 * variance)[known].any()
        if needed and chi2 - left > LEAST_GAIN:
            surface, kind, chi2 = trial, name, left
    degrees = np.count_nonzero(known)
    if degrees and chi2 > degrees + SIGNIFICANCE * np.sqrt(2 * degrees):
        return surface + shrunk(
            np.where(known, values - surface, 0), weight, (chi2 - degrees) / weight.sum()
        ), "surface"
    return surface, kind


def surfaces_of(medians, number):
    """Grids and kinds of the surfaces, from medians (N + 1, rows, columns) of residuals and variance in cells."""
    medians, of_cells = medians[:-1], np.nan_to_num(medians[-1], nan=1.0)
    medians = medians - medians.mean(axis=0)
    surfaces = [smooth_surface(median, number, of_cells) for median in medians]
    return np.array([grid for grid, _ in surfaces]), [kind for _, kind in surfaces]


def first_surfaces(mesh, levels, variance_of, bad=None):
    """Surfaces (N, ny, nx) of exposures as a start, before the fit of throughputs and kernels.

    They come from medians of cells, on which stars have little effect.

    Parameters
    ----------
    mesh : Mesh
        Cells of the exposures.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures.
    variance_of : callable
        Mean variance of the exposures at a signal (image).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.

    Returns
    -------
    surfaces : list of `~numpy.ndarray`
        (ny, nx) of each exposure; their mean is 0.
    """
    mean = levels.mean(axis=0)
    known = np.ones(mean.shape, dtype=bool) if bad is None else ~bad.any(axis=0)
    grids, _ = surfaces_of(*mesh.medians([*(levels - mean), variance_of(mean)], known))
    return [mesh.interpolate(grid) for grid in grids]


def levels_around(mesh, images, flat):
    """Level of images (ny, nx) around each pixel: medians of the ``flat`` pixels of cells, linear between centres.

    A cell that a galaxy fills gets the level of the nearest other cell.
    """
    medians, number = mesh.medians(images, flat)
    if not number.any():
        return [np.full(image.shape, median_of_values(image)) for image in images]
    nearest = ndimage.distance_transform_edt(number == 0, return_distances=False, return_indices=True)
    return [mesh.interpolate(median[tuple(nearest)]) for median in medians]


def shrunk(rest, weight, spread):
    """Values of cells, each shrunk towards the mean of those around; ``spread`` is their scatter beyond the noise."""
    around, beside = (ndimage.uniform_filter(one, 3, mode="nearest") for one in (weight * rest, weight))
    # the filter leaves rounding errors where no weights are
    known = ndimage.maximum_filter(weight, 3, mode="nearest") > 0
    around = np.where(known, around / np.where(known, beside, 1), 0)
    share = spread * weight / (spread * weight + 1)
    return around + share * (rest - around)
