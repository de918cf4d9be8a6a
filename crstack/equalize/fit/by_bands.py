"""Differences of exposures in a large image, by bands of rows, where they are known from a part of it."""

import copy
from itertools import pairwise
from threading import Lock

import numpy as np

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.differences import Differences
from crstack.equalize.fit.fine_surfaces import FEWEST, fine_mesh, surfaces_with_regions
from crstack.equalize.fit.found_differences import fitted_terms
from crstack.equalize.fit.kernels.changes import largest_blur
from crstack.equalize.fit.kernels.drift import positions_of
from crstack.equalize.fit.kernels.kernel import fit_kernels, joined
from crstack.equalize.fit.kernels.kernel_terms import SIZE
from crstack.equalize.fit.rounds import (
    LEAST_SHARES,
    flat_pixels,
    pixels_of_kernels,
    pixels_to_fit,
    residuals_of,
    some_places,
    use_kernels,
)
from crstack.equalize.fit.surfaces import Mesh, surfaces_of
from crstack.utils.memory import empty_image, limited_memory
from crstack.utils.pixels import by_rows, contrast_of
from crstack.utils.threads import map_threads, row_bands

__all__ = ["ExposuresByBands"]

#: rows beside a band that its result depends on, through kernels, windows of their effect, and hot pixels
MARGIN = 32
#: approximate pixels of a band
PIXELS_PER_BAND = 1 << 19
#: what a round changes
STATE = ("changes", "blurs", "noises")


class ExposuresByBands:
    """The whole exposures with the kernels, throughputs and steps of a part; levels and surfaces are fitted.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) electrons; a cube that is read by rows suffices.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx) excluded values.
    part : `~crstack.equalize.fit.expected_exposures.ExpectedExposures`
        The fit to a part of the image, without terms along rows and columns.
    """

    def __init__(self, levels, variance_of, bad, part):
        self.levels, self.variance_of, self.bad, self.part = levels, variance_of, bad, part
        self.mesh, n = Mesh(levels.shape[1:]), len(levels)
        self.margin = MARGIN + 2 * max(abs(dy) for _, dy in part.steps)
        self.grids, self.kinds, self.backgrounds = None, [""] * n, part.first_levels(levels)
        self.changes = self.blurs = self.noises = [np.float32(0)] * n
        if any(map(any, part.steps)):
            self._changed(lambda some, inner, rows: some.start_moved())

    def _rows(self, wide):
        """The exposures of some rows."""
        some, box = copy.copy(self.part), (wide, slice(None))
        some.levels, some.variance_of = np.asarray(self.levels[:, wide]), lambda signal: self.variance_of(signal, box)
        some.bad = None if self.bad is None else self.bad[:, wide]
        some.has_edges = False
        some.positions = positions_of(self.levels.shape[1:], wide)
        for name in ("backgrounds", *STATE):
            setattr(some, name, [one[wide] if np.ndim(one) else one for one in getattr(self, name)])
        some.fill_bad()
        if any(map(any, some.steps)):
            some.leave_out_hot()
        return some

    def _results_of_bands(self, work):
        """Results of ``work(some, inner, rows)`` for each band: exposures with a margin, and the rows of the band.

        A band holds whole cells of the mesh.
        """
        ny, nx = self.levels.shape[1:]
        edges = self.mesh.edges[0].tolist()
        cells = max(PIXELS_PER_BAND // (nx * (edges[1] - edges[0])), 1)
        cuts = [*edges[:-1:cells], edges[-1]]

        def of_band(item):
            rows = slice(*item)
            wide = slice(max(rows.start - self.margin, 0), min(rows.stop + self.margin, ny))
            with limited_memory(None):  # what a band needs is small
                some = self._rows(wide)
            return work(some, slice(rows.start - wide.start, rows.stop - wide.start), rows)

        return map_threads(of_band, pairwise(cuts))

    def _changed(self, work):
        """Call ``work(some, inner, rows)`` for each band, keep the changes that it makes, and return its results."""
        planes = {name: [np.float32(0)] * len(self.levels) for name in STATE}
        lock = Lock()

        def changed(some, inner, rows):
            with limited_memory(None):
                result = work(some, inner, rows)
            for name, kept in planes.items():
                for i, one in enumerate(getattr(some, name)):
                    if np.ndim(one):
                        with lock:
                            if np.ndim(kept[i]) == 0:
                                kept[i] = empty_image(self.levels.shape[1:])
                        kept[i][rows] = one[inner]
            return result

        results = self._results_of_bands(changed)
        for name, kept in planes.items():
            setattr(self, name, kept)
        return results

    def refine(self, contrast):
        """One round: the common image, the changes, and the surfaces."""
        found = self._changed(lambda some, inner, rows: self._round(some, inner, rows, contrast))
        if "backgrounds" not in self.part.names:
            return
        medians, number, *of_fine = (np.concatenate(one, axis=-2) for one in zip(*found, strict=True))
        self.grids, self.kinds = surfaces_of(medians, number)
        if of_fine:
            self.grids = surfaces_with_regions(self.mesh, self.grids, *of_fine)
        self.backgrounds = [
            self._interpolated(grid) if kind else np.float32(0)
            for grid, kind in zip(self.grids, self.kinds, strict=True)
        ]

    def fit_kernels(self, contrast):
        """Fit the kernels to the whole image, if they change over it.

        Returns
        -------
        changed : bool
            Whether they do; if not, those of the part remain.
        """
        part = self.part
        if part.terms is None or part.terms.reach == 0:
            return False
        found = self._results_of_bands(lambda some, inner, rows: self._pixels(some, inner, rows, contrast))
        found = [one for one in found if one is not None]
        if not found:
            return False
        pixels = joined(found)
        start = None if part.start is None else part.factors
        fitted = fit_kernels(pixels, [part.terms], LEAST_SHARES[-1], start, varies=True)
        if not (fitted.drifts.any() or fitted.varying.any()):
            return False
        use_kernels(part, fitted, pixels)
        return True

    def _pixels(self, some, inner, rows, contrast):
        """Pixels of the rows of a band to which kernels are fitted; None if there are none."""
        common = some.common(contrast)
        variance, structure = some.variance_of(common), contrast_of(common)
        used = np.zeros(common.shape, dtype=bool)
        used[inner] = pixels_of_kernels(some, common, variance, structure)[inner]
        reach = SIZE // 2 + max(abs(one) for step in self.part.steps for one in step)
        used[:, :reach] = used[:, -reach:] = False
        at = np.arange(rows.start, rows.stop)
        used[inner][(at < reach) | (at >= self.levels.shape[1] - reach)] = False
        share = (rows.stop - rows.start) / self.levels.shape[1]
        place = some_places(np.flatnonzero(used), structure.ravel(), share)
        return pixels_to_fit(some, common, variance, structure, place, some.positions) if len(place) else None

    def _round(self, some, inner, rows, contrast):
        """A round for the rows of a band; medians of its cells, and the numbers of their pixels.

        The same of its fine cells, if a surface was found before.
        """
        common = some.common(contrast)
        variance = some.variance_of(common)
        some.change(common, variance)
        if "backgrounds" not in some.names:
            return None
        flat = flat_pixels(some, contrast_of(common), variance)[inner]
        images = [*(one[inner] for one in residuals_of(some, common)), variance[inner]]
        found = self.mesh.rows(rows).medians(images, flat)
        if "surface" not in self.kinds:
            return found
        return *found, *fine_mesh(self.mesh).rows(rows).medians(images, flat, FEWEST)

    def _interpolated(self, grid):
        """A surface as an image."""
        image, mesh = empty_image(self.mesh.shape), Mesh.of_cells(self.mesh.shape, grid.shape)

        def work(rows):
            image[rows] = mesh.interpolate(grid, rows)

        map_threads(work, row_bands(*image.shape))
        return image

    def _common(self, contrast):
        """Image that the exposures share."""
        common = empty_image(self.mesh.shape)

        def work(some, inner, rows):
            with limited_memory(None):
                common[rows] = some.common_with_hot(contrast)[inner]

        self._results_of_bands(work)
        return common

    def _shift(self, i):
        """What is added to exposure ``i``: number or image."""
        if np.ndim(self.changes[i]) == 0 and self.changes[i] == 0:
            return self.backgrounds[i]
        return by_rows(np.add, self.backgrounds[i], self.changes[i])

    def result(self):
        """The `Differences`."""
        part, n = self.part, len(self.levels)
        differs = part.terms is not None or any(self.kinds) or any(map(any, part.steps)) or "hot pixels" in part.names
        return Differences(
            **fitted_terms(part, self),
            scales=tuple(np.float32(part.factors)),
            added=tuple(self._shift(i) for i in range(n)),
            change=largest_blur(self.blurs, self.changes, part.steps),
            common=self._common(CONTRAST[-1]) if differs else None,
        )
