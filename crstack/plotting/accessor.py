"""Figures of a stack: ``stack.plot.mask("MEDIANCR")`` and so on."""

import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

from crstack.combine import best_combination
from crstack.equalize.terms.compare import compare_fluxes
from crstack.equalize.terms.offsets import shifted
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.masks import MaskSet
from crstack.masks.features import PROBLEMATIC, codes_of
from crstack.methods import measured_of
from crstack.plotting.diagram import plot_diagram
from crstack.plotting.differences import plot_differences
from crstack.plotting.equivalence import plot_flux_factor, plot_offset
from crstack.plotting.hits import HitPages, plot_hits
from crstack.plotting.mask import plot_mask
from crstack.plotting.mask_view import MaskView
from crstack.plotting.position import plot_median_position
from crstack.prepared import PreparedStack
from crstack.stages.views import InDiagram, image_of_mask
from crstack.statistics import OrderStatistics, exposure_at_median
from crstack.utils.validation import check_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crstack.diagram import MMDiagram

__all__ = ["PlotAccessor"]

ColorScale = Literal["zscale", "minmax"]


def _figure(fig: "Figure | None") -> "Figure | str | None":
    """The given figure, or one of pyplot if pyplot is in use."""
    return "pyplot" if fig is None and "matplotlib.pyplot" in sys.modules else fig


class PlottedStack(Protocol):
    """The part of `~crstack.CRStack` that figures show; its methods are described there."""

    @property
    def prepared(self) -> PreparedStack:
        """Exposures, their statistics, noise and detections."""
        ...

    @property
    def exposures(self) -> Exposures:
        """The exposures."""
        ...

    @property
    def statistics(self) -> OrderStatistics:
        """Mean, median, minimum and maximum of the exposures in each pixel."""
        ...

    def latest_masks(self) -> MaskSet:
        """Masks of the latest detection."""
        ...

    def in_diagram(self, *, masks: MaskSet | None = None) -> InDiagram:
        """Places of the pixels in the median-minimum diagram."""
        ...

    def features(self, name: str = ..., *, masks: MaskSet | None = None) -> QTable:
        """Table of the hits of a mask."""
        ...

    def combine(self, name: str = ..., *, masks: MaskSet | None = None) -> CCDData:
        """Combined image of a name."""
        ...


class PlotAccessor:
    """Figures of a `~crstack.CRStack`; they show results and compute none.

    A new figure belongs to pyplot if pyplot has been imported, so that a notebook shows it. Otherwise it belongs to no
    window.

    Parameters
    ----------
    stack : `~crstack.CRStack`
        The stack.
    """

    def __init__(self, stack: PlottedStack) -> None:
        self._stack = stack

    def __call__(self, *args: Any, **options: Any) -> None:
        """Raise `InputError`: each figure is a method."""
        figures = [name for name, one in vars(type(self)).items() if not name.startswith("_") and callable(one)]
        shown = ", ".join(f"stack.plot.{name}" for name in figures)
        raise InputError(f"plot must be followed by the name of a figure: {shown}; got a call of stack.plot itself")

    def __repr__(self) -> str:
        names = ", ".join(name for name in vars(type(self)) if not name.startswith("_"))
        return f"<figures of {self._stack!r}: {names}>"

    def mask_view(self, name: str = "MEDIANCR", *, masks: MaskSet | None = None) -> MaskView:
        """A mask with its images and its decision, for `mask` and `hits`.

        Parameters
        ----------
        name : str, optional
            Name of a mask, or "problematic" for the pixels masked in every exposure.
        masks : `~crstack.MaskSet`, optional
            Those of the latest `~crstack.CRStack.detect` by default.

        Returns
        -------
        view : `~crstack.plotting.MaskView`
            Arrays that `mask` and `hits` draw.
        """
        stack = self._stack
        masks = stack.latest_masks() if masks is None else masks
        label, image = image_of_mask(name, stack.prepared, lambda: masks)
        statistics = stack.statistics
        first = ("mean2d", statistics.mean2d) if name == "MEDIANCR" else ("median2d", statistics.median2d)
        exposures = [(f"exposure {i + 1}", data) for i, data in enumerate(stack.exposures.data)]
        return MaskView(
            name=name,
            codes=codes_of(masks, name),
            image=image,
            label=label,
            min2d=statistics.min2d,
            others=(first, *exposures),
            unit=stack.exposures.unit,
            decided=None if masks.decision is None else masks.decision.in_diagram(name),
            finder=masks.finder,
        )

    def diagram(
        self, *, masks: MaskSet | None = None, ax: "Axes | None" = None, fig: "Figure | None" = None
    ) -> "Figure":
        """Draw the median-minimum diagram of the stack, as `~crstack.CRStack.in_diagram` gives it.

        Parameters
        ----------
        masks : `~crstack.MaskSet`, optional
            Draw the diagram of the decision on these masks.
        ax : `~matplotlib.axes.Axes`, optional
            Draw only the observed diagram, in these axes.
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            See `~crstack.plotting.plot_diagram`.

        Raises
        ------
        InputError
            If there is no diagram.
        """
        diagram, boundary, threshold = self._stack.in_diagram(masks=masks)
        return plot_diagram(
            cast("MMDiagram", diagram), boundary, threshold=threshold, ax=ax, fig=fig if ax else _figure(fig)
        )

    def mask(
        self,
        name: str = "MEDIANCR",
        *,
        masks: MaskSet | None = None,
        color_scale: ColorScale = "zscale",
        resolution: int | None = None,
        fig: "Figure | None" = None,
    ) -> "Figure":
        """Draw a mask in the diagram and in the image: four panels.

        Parameters
        ----------
        name : str, optional
            Name of a mask, or "problematic" for the pixels that are masked in every exposure.
        masks : `~crstack.MaskSet`, optional
            Those of the latest `~crstack.CRStack.detect` by default.
        color_scale : {"zscale", "minmax"}, optional
            Contrast of the images.
        resolution : int, optional
            Average the images in blocks, so that about this many pixels remain along the longer side.
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            The figure, not shown or saved.
        """
        options: dict[str, Any] = {"color_scale": color_scale, "resolution": resolution, "fig": _figure(fig)}
        return plot_mask(self.mask_view(name, masks=masks), **options)

    def hits(
        self,
        name: str = "MEDIANCR",
        *,
        masks: MaskSet | None = None,
        semiwindow: int = 15,
        color_scale: ColorScale = "zscale",
    ) -> HitPages:
        """Prepare two pages for each hit of a mask.

        Parameters
        ----------
        name : str, optional
            Name of a mask, or "problematic" for the pixels that are masked in every exposure.
        masks : `~crstack.MaskSet`, optional
            Those of the latest `~crstack.CRStack.detect` by default.
        semiwindow : int, optional
            Half the size of the images, in pixels.
        color_scale : {"zscale", "minmax"}, optional
            Contrast, the same for all images of a hit.

        Returns
        -------
        pages : `~crstack.plotting.HitPages`
            ``pages.show(number)`` draws a hit, ``pages.write(path)`` a PDF file.
        """
        masks = self._stack.latest_masks() if masks is None else masks
        view, features = self.mask_view(name, masks=masks), self._stack.features(name, masks=masks)
        corrected = None
        if name == PROBLEMATIC:  # the mean with min2d in these pixels alone would show all other hits
            best = best_combination(masks)
            corrected = best, self._stack.combine(best, masks=masks).data
        options: dict[str, Any] = {"masks": masks, "semiwindow": semiwindow, "color_scale": color_scale}
        return plot_hits(view, features, corrected=corrected, **options)

    # flux factors and offsets

    def median_position(
        self, *, color_scale: ColorScale = "zscale", resolution: int | None = None, fig: "Figure | None" = None
    ) -> "Figure":
        """Draw the median and the number of the exposure of each of its pixels.

        Parameters
        ----------
        color_scale : {"zscale", "minmax"}, optional
            Contrast of the median.
        resolution : int, optional
            Average the images in blocks, so that about this many pixels remain along the longer side.
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            The figure, not shown or saved.
        """
        exposures, median2d = self._stack.exposures, self._stack.statistics.median2d
        number = exposure_at_median(exposures.data, median2d, exposures.bad)
        options = {"unit": exposures.unit, "color_scale": color_scale, "resolution": resolution, "fig": _figure(fig)}
        return plot_median_position(number, median2d, len(exposures), **options)

    def flux_factor(self, number: int | None = None, *, fig: "Figure | None" = None) -> "Figure":
        """Draw the ratio of an exposure to the others, and its flux factor.

        Parameters
        ----------
        number : int, optional
            Number of the exposure, from 1. By default the one whose factor differs most from 1.
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
        prepared = self._stack.prepared
        given, flux = prepared.given, prepared.known.flux
        if number is not None:
            check_integer("number", number, minimum=1, maximum=len(prepared))
        if flux is None:
            raise InputError("flux_factors must be given or measured for this figure; got none")
        if number is None:
            number = int(np.argmax(np.abs(np.log(flux.values)))) + 1
        i = number - 1
        shifts = None if prepared.known.offsets is None else prepared.known.offsets.values

        def compute() -> Any:
            settings = flux.values, prepared.equalization.flux_regions, shifts
            return compare_fluxes(given, prepared.statistics_of(given), *settings)

        found = prepared.once("comparison of fluxes", None, compute)
        options = {"error": flux.errors[i], "label": f"exposure {number}", "unit": given.unit, "fig": _figure(fig)}
        return plot_flux_factor(found.level, found.signals[i], found.references[i], flux.values[i], **options)

    def differences(
        self, *, masks: MaskSet | None = None, resolution: int | None = None, fig: "Figure | None" = None
    ) -> "Figure":
        """Draw what was measured of exposures that differ, one panel for each term and one for each exposure.

        Parameters
        ----------
        masks : `~crstack.MaskSet`, optional
            Masks of the decision that measured; by default the latest ones.
        resolution : int, optional
            Average the images in blocks, so that about this many pixels remain along the longer side.
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            The figure, not shown or saved.

        Raises
        ------
        InputError
            If nothing was measured to differ.
        """
        prepared = self._stack.prepared
        masks = self._stack.latest_masks() if masks is None else masks
        measured, decision = measured_of(masks.decision), masks.decision
        if decision is None or measured is None:
            raise InputError("exposures must differ by a measured term for this figure; got none")
        common = prepared.statistics.median2d if measured.common is None else np.asarray(measured.common)
        found = decision.differences(prepared, common / np.float32(prepared.exposures.noise.electrons_per_unit))
        images = [np.broadcast_to(one, common.shape) for one in found or ()]
        return plot_differences(measured, images, unit=prepared.exposures.unit, resolution=resolution, fig=_figure(fig))

    def offset(
        self,
        number: int | None = None,
        *,
        color_scale: ColorScale = "zscale",
        resolution: int | None = None,
        fig: "Figure | None" = None,
    ) -> "Figure":
        """Draw the difference between an exposure and the common image, without and with its offset.

        Parameters
        ----------
        number : int, optional
            Number of the exposure, from 1. By default the one that is shifted most.
        color_scale : {"zscale", "minmax"}, optional
            Contrast of the images.
        resolution : int, optional
            Average the images in blocks, so that about this many pixels remain along the longer side.
        fig : `~matplotlib.figure.Figure`, optional
            Figure to draw in; a new one by default.

        Returns
        -------
        fig : `~matplotlib.figure.Figure`
            The figure, not shown or saved.

        Raises
        ------
        InputError
            If there is no such exposure, or the stack has no offsets.
        """
        prepared = self._stack.prepared
        given, equalized = prepared.given, prepared.known
        if number is not None:
            check_integer("number", number, minimum=1, maximum=len(prepared))
        if equalized.offsets is None:
            raise InputError("offsets must be given or measured for this figure; got none")
        if number is None:
            number = int(np.argmax(np.hypot(*np.transpose(equalized.offsets.values)))) + 1
        i = number - 1
        ny, nx = given.shape
        xmin, xmax, ymin, ymax = equalized.offsets.region or (1, nx, 1, ny)
        box = slice(ymin - 1, ymax), slice(xmin - 1, xmax)
        factor = np.float32(1 if equalized.flux is None else equalized.flux.values[i])
        offset = equalized.offsets.values[i]
        common = factor * np.asarray(equalized.common)
        return plot_offset(
            common[box],
            shifted(common, offset)[box],
            given.data[i][box],
            offset,
            errors=equalized.offsets.errors[i],
            first=(xmin, ymin),
            label=f"exposure {number}",
            unit=given.unit,
            color_scale=color_scale,
            resolution=resolution,
            fig=_figure(fig),
        )
