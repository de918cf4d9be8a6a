"""Short cuts from a stack to its tables and figures: they compute nothing themselves."""

import numpy as np

from crstack._validation import check_integer
from crstack.equalize.compare import compare_fluxes
from crstack.equalize.offsets import shifted
from crstack.exceptions import InputError
from crstack.masks.features import PROBLEMATIC, codes_of, find_features
from crstack.statistics import exposure_at_median

__all__ = ["Shortcuts"]

#: which boundary an image of `Shortcuts.image_of` has; all others are exposures
KINDS = {"median2d": "median", "mean2d": "mean", "meancr": "mean"}


class Shortcuts:
    """Methods of `~crstack.CRStack` that show what it has found.

    The figures need matplotlib, which is imported when the first is asked for.
    """

    def _latest(self, masks):
        masks = self._masks if masks is None else masks
        return self.detect() if masks is None else masks

    @property
    def _latest_diagram(self):
        return self._fitted_to if self._diagram is None else self._diagram

    def image_of(self, name, masks=None):
        """The image that a mask belongs to.

        Parameters
        ----------
        name : str
            Name of a mask, or "problematic" for the pixels masked in every
            exposure.
        masks : MaskSet, optional
            Those of the latest `detect` by default; used for MEANCR.

        Returns
        -------
        label : str
            Such as "median2d" or "exposure 2".
        image : `~numpy.ndarray`
            (ny, nx), bias subtracted.
        """
        if name == "MEDIANCR":
            return "median2d", self.statistics.median2d
        if name in ("MEANCRT", PROBLEMATIC):
            return "mean2d", self.statistics.mean2d
        if name == "MEANCR":
            return "meancr", self.combine("meancr", self._latest(masks)).data
        for i, image in enumerate(self.exposures.data):
            if name == f"CRMASK{i + 1}":
                return f"exposure {i + 1}", image
        raise InputError(f"name must be that of a mask, or problematic; got {name!r}")

    def features(self, name="MEDIANCR", masks=None):
        """Make the table of the connected hits of a mask.

        Parameters
        ----------
        name : str, optional
            Name of a mask, or "problematic" for the pixels masked in every
            exposure.
        masks : MaskSet, optional
            Those of the latest `detect` by default.

        Returns
        -------
        features : `~astropy.table.QTable`
            See `~crstack.masks.features.find_features`.
        """
        masks = self._latest(masks)
        _, image = self.image_of(name, masks)
        return find_features(masks, image - self.statistics.min2d, name, self.exposures.unit)

    def mask_view(self, name="MEDIANCR", masks=None):
        """A mask with the images it belongs to: what `plot_mask` and `plot_hits` draw.

        Parameters
        ----------
        name, masks
            As for `features`.

        Returns
        -------
        view : `~crstack.plotting.MaskView`
        """
        from crstack.plotting import MaskView

        masks = self._latest(masks)
        label, image = self.image_of(name, masks)
        statistics = self.statistics
        first = ("mean2d", statistics.mean2d) if name == "MEDIANCR" else ("median2d", statistics.median2d)
        exposures = [(f"exposure {i + 1}", data) for i, data in enumerate(self.exposures.data)]
        boundary, threshold = self._limits
        if boundary is not None:
            boundary = boundary.for_image(KINDS.get(label, "exposure"))
        return MaskView(
            name=name,
            codes=codes_of(masks, name),
            image=image,
            label=label,
            min2d=statistics.min2d,
            others=(first, *exposures),
            unit=self.exposures.unit,
            boundary=boundary,
            threshold=threshold,
            diagram=self._latest_diagram,
            finder=masks.finder,
        )

    def plot_diagram(self, *, fig=None):
        """Draw the median-minimum diagram of the latest `mm_diagram` or `detect`.

        Parameters
        ----------
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            See `~crstack.plotting.plot_diagram`.

        Raises
        ------
        InputError
            If there is no diagram yet.
        """
        from crstack.plotting import plot_diagram

        diagram = self._latest_diagram
        if diagram is None:
            raise InputError("diagram must be made first, by mm_diagram or detect; got none")
        boundary, threshold = self._limits
        boundary = self._boundary if self._boundary is not None else boundary
        return plot_diagram(diagram, boundary, threshold=threshold, fig=fig)

    def plot_mask(self, name="MEDIANCR", masks=None, *, color_scale="zscale", resolution=None, fig=None):
        """Draw a mask in the diagram and in the image: four panels.

        Parameters
        ----------
        name, masks
            As for `features`.
        color_scale, resolution, fig
            As for `~crstack.plotting.plot_mask`.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
        """
        from crstack.plotting import plot_mask

        options = {"color_scale": color_scale, "resolution": resolution, "fig": fig}
        return plot_mask(self.mask_view(name, masks), **options)

    def plot_hits(self, name="MEDIANCR", masks=None, *, semiwindow=15, color_scale="zscale"):
        """Prepare two pages for each hit of a mask.

        Parameters
        ----------
        name, masks
            As for `features`.
        semiwindow, color_scale
            As for `~crstack.plotting.plot_hits`.

        Returns
        -------
        pages : `~crstack.plotting.HitPages`
            ``pages.show(number)`` draws a hit, ``pages.write(path)`` a PDF file.
        """
        from crstack.plotting import plot_hits

        masks = self._latest(masks)
        options = {"semiwindow": semiwindow, "color_scale": color_scale}
        return plot_hits(self.mask_view(name, masks), self.features(name, masks), masks=masks, **options)

    # what makes the exposures equivalent

    def plot_median_position(self, *, color_scale="zscale", resolution=None, fig=None):
        """Draw the median beside the number of the exposure that it was taken from.

        Parameters
        ----------
        color_scale, resolution, fig
            As for `~crstack.plotting.plot_median_position`.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
        """
        from crstack.plotting import plot_median_position

        exposures, median2d = self.exposures, self.statistics.median2d
        number = exposure_at_median(exposures.data, median2d, exposures.bad)
        options = {"unit": exposures.unit, "color_scale": color_scale, "resolution": resolution, "fig": fig}
        return plot_median_position(number, median2d, len(exposures), **options)

    def plot_flux_factor(self, number, *, fig=None):
        """Draw how much brighter an exposure is than the others, and its flux factor.

        Parameters
        ----------
        number : int
            Number of the exposure, from 1.
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            See `~crstack.plotting.plot_flux_factor`.

        Raises
        ------
        InputError
            If there is no such exposure, or the stack has no flux factors.
        """
        from crstack.plotting import plot_flux_factor

        given, flux = self._given, self.equalized.flux
        i = check_integer("number", number, minimum=1, maximum=len(self)) - 1
        if flux is None:
            raise InputError("flux_factors must be given or measured for this figure; got none")
        shifts = None if self.equalized.offsets is None else self.equalized.offsets.values

        def compute():
            settings = flux.values, self.equalization.flux_regions, shifts
            return compare_fluxes(given, self._statistics_of(given), *settings)

        found = self._once("comparison of fluxes", None, compute)
        options = {"error": flux.errors[i], "label": f"exposure {number}", "unit": given.unit, "fig": fig}
        return plot_flux_factor(found.level, found.signals[i], found.references[i], flux.values[i], **options)

    def plot_offset(self, number, *, color_scale="zscale", resolution=None, fig=None):
        """Draw the difference between an exposure and what all have in common, without and with its offset.

        Parameters
        ----------
        number : int
            Number of the exposure, from 1.
        color_scale, resolution, fig
            As for `~crstack.plotting.plot_offset`.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`

        Raises
        ------
        InputError
            If there is no such exposure, or the stack has no offsets.
        """
        from crstack.plotting import plot_offset

        equalized = self.equalized
        i = check_integer("number", number, minimum=1, maximum=len(self)) - 1
        if equalized.offsets is None:
            raise InputError("offsets must be given or measured for this figure; got none")
        ny, nx = self._given.shape
        xmin, xmax, ymin, ymax = equalized.offsets.region or (1, nx, 1, ny)
        box = slice(ymin - 1, ymax), slice(xmin - 1, xmax)
        factor = np.float32(1 if equalized.flux is None else equalized.flux.values[i])
        offset = equalized.offsets.values[i]
        common = factor * equalized.common
        options = {"color_scale": color_scale, "resolution": resolution, "fig": fig, "unit": self._given.unit}
        return plot_offset(
            common[box],
            shifted(common, offset)[box],
            self._given.data[i][box],
            offset,
            errors=equalized.offsets.errors[i],
            first=(xmin, ymin),
            label=f"exposure {number}",
            **options,
        )


def middle_threshold(rules, readnoise):
    """Threshold of ``rules`` for the figures: its median where the read noise is an image."""
    return float(rules.threshold_rnoise * np.median(readnoise))
