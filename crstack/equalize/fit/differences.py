"""What was measured of exposures that are not quite equivalent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.table import Column, Table

from crstack.equalize.fit.kernels.kernel_terms import KernelTerms, split_kernel
from crstack.equalize.fit.kernels.varying import corners_less_centre
from crstack.equalize.fit.surfaces import Mesh
from crstack.utils.memory import empty_image, in_files
from crstack.utils.threads import row_bands

__all__ = ["NAMES", "Differences"]

#: what can be measured
NAMES = ("backgrounds", "flux_factors", "offsets", "response", "seeing")
#: columns of the table where the shift, or the seeing, changes over the image
IN_CORNERS = ("corner_shift", "corner_moment")


@dataclass(frozen=True, eq=False, repr=False)
class Differences:
    """Measured differences of exposures that are not quite equivalent.

    Exposure i is expected to hold ``scales[i]`` times the common image plus ``added[i]``.

    Attributes
    ----------
    factors : tuple of float
        Throughput, relative to the mean of the exposures.
    scales : tuple of `~numpy.ndarray` or float
        Throughput of each pixel: the factors, and terms along rows and columns.
    added : tuple of `~numpy.ndarray` or float
        (ny, nx) electrons: surfaces, lines, and the changes by shift and seeing; numbers if no image is needed.
    noises : tuple of `~numpy.ndarray` or float
        (ny, nx) variance of ``added``, by the noise of the common image.
    levels : tuple of float
        Mean of the surfaces, electrons.
    surfaces : tuple of str
        "", "level", "slope" or "surface".
    kernels : `~numpy.ndarray`
        (N, 7, 7) what is added to a kernel of 1 at the centre.
    kernel_errors : `~numpy.ndarray`
        (N, 6) standard errors of what ``split_kernel`` gives.
    terms : KernelTerms or None
        None if no kernel was needed.
    steps : tuple of (int, int)
        Whole pixels (dx, dy) by which each exposure is shifted before its kernel.
    lines : tuple of LineTerm
        Terms along rows and columns.
    limits : tuple of float
        Percentiles 0.1 and 99.9 of the response along rows and columns, of the pixels that have light.
    change : `~numpy.ndarray` or None
        (ny, nx) the largest change by seeing and by the part of the shift below a pixel, electrons. None if no exposure
        changes in shift or seeing.
    common : `~numpy.ndarray` or None
        (ny, nx) the common image; None if nothing differs.
    grids : `~numpy.ndarray` or None
        (N, rows, columns) electrons: the surfaces at the centres of their cells, see `surface_images`.
    profiles : tuple of `~numpy.ndarray`
        One array (N, length) for each of ``lines``: its mean along its axis, for each row or column. A response is
        relative to the exposure (1 for no change). An added level is in electrons, and is the sum of all such terms.
    drifts : `~numpy.ndarray` or None
        (N, 2, 2) change of the shift (dx, dy) from the centre of the image to its edges along (x, y), pixels; 0 where
        the shift is the same everywhere.
    varying : `~numpy.ndarray` or None
        (N, PARTS, POWERS) change of the kernel over the image, see ``crstack.equalize.fit.kernels.varying``; 0 where it
        is the same everywhere. The shifts that change over the image are part of it.
    hot : tuple of float
        Dark charge of the hot pixels of each exposure, relative to the mean of the exposures; empty if it is the same.
    pattern : tuple of float
        Amplitude of a common pattern of the sky in each exposure, relative to the mean of the exposures: fringes, or a
        sky that ends at dark parts. Empty if it changes no more than the throughput.
    unused : tuple of int
        Exposures, from 0, whose values are not used. They have the numbers of one that differs in nothing.
    """

    factors: tuple
    scales: tuple
    added: tuple
    noises: tuple
    levels: tuple
    surfaces: tuple
    kernels: np.ndarray
    kernel_errors: np.ndarray
    terms: KernelTerms | None
    steps: tuple = ()
    lines: tuple = ()
    limits: tuple = ()
    change: np.ndarray | None = None
    common: np.ndarray | None = None
    grids: np.ndarray | None = None
    profiles: tuple = ()
    drifts: np.ndarray | None = None
    varying: np.ndarray | None = None
    hot: tuple = ()
    pattern: tuple = ()
    unused: tuple = ()

    def __bool__(self):
        measured = self.terms is not None or any(self.surfaces) or bool(self.lines) or any(map(any, self.steps))
        return measured or bool(self.hot or self.pattern)

    @property
    def errors(self):
        """Standard errors of the factors."""
        return tuple(self.kernel_errors[:, 0].tolist())

    def __repr__(self):
        return f"<Differences: {'; '.join(f'{name} {value}' for name, value in self.in_words().items())}>"

    @property
    def shifts(self):
        """(dx, dy) of each exposure, pixels."""
        moments = [split_kernel(kernel)[1:3] for kernel in self.kernels]
        return tuple((dx + x, dy + y) for (dx, dy), (x, y) in zip(moments, self.steps, strict=True))

    @property
    def widths(self):
        """Change of the second moments (xx, yy, xy) of a star, square pixels."""
        return tuple(split_kernel(kernel)[3:] for kernel in self.kernels)

    def table(self) -> Table:
        """The measured values, one row for each exposure, as a `~astropy.table.Table`.

        Columns: exposure, level (electron), surface, throughput, dx, dy (pixel), xx, yy, xy (what is added to the
        second moments of a star, square pixels), and the standard errors of all but the level.

        Some columns are there only if the term was needed. Names that end in _low and _high are the lowest and the
        highest value: of the surface (electron), of the response along rows or columns, and of the level of each row or
        column (electron). The columns corner_shift (pixel) and corner_moment (square pixels) are what
        `corners_less_centre` gives. The column hot_pixels is the dark charge of hot pixels, and the column pattern the
        amplitude of a pattern of the sky, such as fringes. Both are relative to the mean of the exposures. An exposure
        whose values are not used has NaN, and "not used" as surface.

        Returns
        -------
        table : `~astropy.table.Table`
            N rows.
        """
        moments = np.array([split_kernel(kernel) for kernel in self.kernels])
        moments[:, 1:3] = self.shifts
        table = Table()
        table["exposure"] = np.arange(len(self.factors)) + 1
        table["level"] = Column(self.levels, unit="electron")
        table["surface"] = ["not used" if i in self.unused else one or "none" for i, one in enumerate(self.surfaces)]
        units = {"throughput": None, "dx": "pix", "dy": "pix", "xx": "pix2", "yy": "pix2", "xy": "pix2"}
        for k, (name, unit) in enumerate(units.items()):
            table[name] = Column(moments[:, k], unit=unit)
            table[f"{name}_error"] = Column(self.kernel_errors[:, k], unit=unit)
        for name, unit, values in zip(IN_CORNERS, ("pix", "pix2"), self.corners_less_centre(), strict=True):
            if any(values):
                table[name] = Column(values, unit=unit)
        if self.hot:
            table["hot_pixels"] = self.hot
        if self.pattern:
            table["pattern"] = self.pattern
        for name, values in self._ranges():
            unit = None if name.startswith("response") else "electron"
            table[f"{name}_low"], table[f"{name}_high"] = (
                Column(end(values, axis=1), unit=unit) for end in (np.min, np.max)
            )
        for i in self.unused:
            for name in table.colnames:
                if table[name].dtype.kind == "f":
                    table[name][i] = np.nan
        return table

    def _ranges(self):
        """Names and values (N, M) of the terms that vary along the image."""
        n = len(self.factors)
        if self.grids is not None and set(self.surfaces) - {"", "level"}:
            yield "surface", self.grids.reshape(n, -1)
        seen = set()
        for line, profile in zip(self.lines, self.profiles, strict=False):
            name = f"{'response' if line.name == 'response' else 'added'}_along_{line.axis}"
            if name not in seen:
                seen.add(name)
                yield name, profile

    def surface_images(self, shape: tuple[int, int]) -> list[np.ndarray]:
        """The added level of each exposure, a smooth surface, without terms along rows and columns.

        Parameters
        ----------
        shape : tuple of int
            (ny, nx) of the exposures.

        Returns
        -------
        images : list of `~numpy.ndarray`
            One image for each exposure, float32 (ny, nx), in electrons. All 0 if no level was needed.
        """
        if self.grids is None:
            return [np.zeros(shape, np.float32) for _ in self.factors]
        mesh = Mesh.of_cells(shape, self.grids.shape[1:])
        if not in_files():
            return [mesh.interpolate(grid) for grid in self.grids]
        images = [empty_image(shape) for _ in self.grids]
        for image, grid in zip(images, self.grids, strict=True):
            for rows in row_bands(*shape):
                image[rows] = mesh.interpolate(grid, rows)
        return images

    def ordered(self, order: np.ndarray) -> "Differences":
        """The differences of the exposures in another order (indices).

        Parameters
        ----------
        order : `~numpy.ndarray`
            Numbers of the exposures, from 0.

        Returns
        -------
        differences : Differences
            In the order that was given.
        """
        return self.placed(np.argsort(order).tolist(), len(order))

    def placed(self, places: Sequence[int], n: int) -> "Differences":
        """The differences of these exposures at other places in a list, where the others have no values.

        Parameters
        ----------
        places : sequence of int
            New number of each exposure, from 0.
        n : int
            Number of exposures in the list. Those that are not among the places differ in nothing.

        Returns
        -------
        differences : Differences
            Of the exposures in the list.
        """
        numbers = {int(place): k for k, place in enumerate(places)}
        order = [numbers.get(i) for i in range(n)]

        def in_list(values, otherwise):
            return tuple(otherwise if k is None else values[k] for k in order)

        def in_array(values):
            if values is None or None not in order:
                return None if values is None else values[order]
            return np.stack([np.zeros_like(values[0]) if k is None else values[k] for k in order])

        alike = {"factors": 1.0, "scales": 1.0, "added": 0.0, "noises": 0.0, "levels": 0.0, "surfaces": ""}
        placed = {name: in_list(getattr(self, name), value) for name, value in alike.items()}
        placed["steps"] = in_list(self.steps, (0, 0)) if self.steps else ()
        for name in ("hot", "pattern"):
            values = getattr(self, name)
            placed[name] = in_list(values, 1.0) if values else ()
        for name in ("kernels", "kernel_errors", "grids", "drifts", "varying"):
            placed[name] = in_array(getattr(self, name))
        # a response is relative to the exposure, and an added level is in electrons
        kinds = [line.name == "response" for line in self.lines]
        placed["profiles"] = tuple(
            np.stack([np.full_like(one[0], relative) if k is None else one[k] for k in order])
            for one, relative in zip(self.profiles, kinds, strict=False)
        )
        unused = tuple(i for i, k in enumerate(order) if k is None or k in self.unused)
        return replace(self, **placed, unused=unused)

    def summary(self) -> dict[str, list]:
        """What was measured, as lists of numbers by name: one for each exposure.

        Returns
        -------
        numbers : dict of list
            N numbers by name; None for an exposure whose values are not used.
        """
        numbers = {
            "added levels (electron)": [float(level) for level in self.levels],
            "throughputs": [float(factor) for factor in self.factors],
            "shifts (dx, dy)": [[float(dx), float(dy)] for dx, dy in self.shifts],
            "second moments (pixel squared)": [float(w[0] + w[1]) / 2 for w in self.widths],
        }
        return {
            name: [None if i in self.unused else value for i, value in enumerate(values)]
            for name, values in numbers.items()
        }

    def in_words(self) -> dict[str, str]:
        """What was measured and is used, in words: a dict of str.

        Returns
        -------
        words : dict of str
            Text by name.
        """
        words = {}
        if any(self.surfaces):
            levels = self._listed(f"{level:+.4g}" for level in self.levels)
            words["added levels (electron)"] = f"{levels} ({self._listed(one or 'none' for one in self.surfaces)})"
        for line in self.lines:
            limits = ""
            if line.name == "response" and self.limits:
                limits = f" from {self.limits[0]:.3f} to {self.limits[1]:.3f}"
            words[line.words] = f"measured{limits}"
        if self.hot:
            shares = self._listed(f"{one:.3f}" for one in self.hot)
            words["dark charge of hot pixels"] = f"{shares} (relative to their mean)"
        if self.pattern:
            shares = self._listed(f"{one:.3f}" for one in self.pattern)
            words["amplitudes of a pattern of the sky"] = f"{shares} (relative to their mean)"
        if self.terms is None and not any(map(any, self.steps)):
            return words or {"differences": "none"}
        terms = self.terms or KernelTerms(0, False, False, False)
        if terms.flux:
            words["throughputs"] = (
                self._listed(f"{factor:.4f}" for factor in self.factors) + " (relative to their mean)"
            )
        if (terms.shift and terms.reach) or any(map(any, self.steps)):
            words["shifts (dx, dy)"] = self._listed(f"({dx:+.3f}, {dy:+.3f})" for dx, dy in self.shifts)
        shifts, moments = self.corners_less_centre()
        if any(shifts):
            words["shifts in the corners less those in the centre (pixel)"] = self._listed(f"{x:.3f}" for x in shifts)
        if terms.seeing and terms.reach:
            words["second moments (pixel squared)"] = self._listed(f"{(w[0] + w[1]) / 2:+.3f}" for w in self.widths)
        if any(moments):
            name = "second moments in the corners less those in the centre (pixel squared)"
            words[name] = self._listed(f"{one:+.3f}" for one in moments)
        return words

    def _listed(self, texts):
        """Texts of all exposures, with "not used" for those whose values are not used."""
        return ", ".join("not used" if i in self.unused else text for i, text in enumerate(texts))

    def corners_less_centre(self) -> tuple[list[float], list[float]]:
        """How much shift and seeing change from the centre of the image to the corner that differs most.

        Returns
        -------
        shifts, moments : list of float
            Of each exposure: the largest shift along an axis, pixels, and the change of the second moment of stars
            (mean of both axes), square pixels.
        """
        shifts, moments = [0.0] * len(self.factors), [0.0] * len(self.factors)
        if self.drifts is not None and self.drifts.any():
            shifts = np.abs(self.drifts).sum(axis=2).max(axis=1).tolist()
        if self.varying is not None and self.varying.any():
            shifts, moments = map(list, zip(*map(corners_less_centre, self.varying), strict=True))
        return shifts, moments
