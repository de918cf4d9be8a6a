"""CRStack: runs the stages in order and stores their results."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import astropy.units as u
from astropy.nddata import CCDData
from astropy.table import QTable

from crstack import equalize
from crstack.combine import Combination, best_combination
from crstack.combine.ccdproc_combiner import make_combiner
from crstack.combine.result import WITHOUT_MASKS
from crstack.detections import AuxNoise
from crstack.equalize.settings import BY_DEFAULT
from crstack.exceptions import InputError
from crstack.exposures import Keyword, load_exposures
from crstack.masks import MaskRules, MaskSet
from crstack.masks.origin import check_origin
from crstack.methods import Method
from crstack.prepared import PreparedStack, Progress
from crstack.stages import arguments
from crstack.stages.argument_types import Auxiliary, Boundary, CombineOptions, FromDetector, Vote
from crstack.stages.arguments import AUTO, allow_work, detections_for, made_by, workspace_for
from crstack.stages.combining import cleaned, combined
from crstack.stages.levels import warn_of_levels
from crstack.stages.masks import check_plausibility, masks_by
from crstack.stages.measured import MeasuredStack
from crstack.stages.views import InDiagram, features_of_mask, in_diagram_of, summary_of
from crstack.utils.memory import limited_memory
from crstack.utils.process_memory import MemoryLimit
from crstack.utils.progress import progress_to
from crstack.utils.summary import Summary
from crstack.utils.threads import limited_threads, with_limited_threads
from crstack.utils.validation import check_integer

if TYPE_CHECKING:
    import ccdproc

    from crstack.plotting.accessor import PlotAccessor

__all__ = ["CRStack"]


@with_limited_threads
class CRStack(MeasuredStack):
    """Two or more exposures of one field, and the results of all stages.

    The stages are `mm_diagram`, `fit_boundary`, `detect` and `combine`. Each runs the earlier ones with their
    defaults. Results are stored: a repeated call with the same settings is not computed again.

    Parameters
    ----------
    exposures : list, path with wildcards or ImageFileCollection
        CCDData, NDData, Quantity images, 2-D arrays or paths of FITS files, all of one shape and unit. Masks, NaN and
        uncertainties of any of the three NDData classes are used.
    gain : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Electrons per ADU, scalar or image (ny, nx), or a keyword of the headers: see `~crstack.exposures.Keyword`. Not
        needed for exposures in electrons. Count and DN are other names of ADU. Images of this and of the next arguments
        may be a CCDData.
    readnoise : `~astropy.units.Quantity`, "header:NAME" or Keyword
        In electrons (or ADU), scalar or image.
    bias : `~astropy.units.Quantity`, "header:NAME", Keyword, str or list, optional
        Bias that is still in the exposures, and is subtracted: scalar or image (ny, nx), or a list of one for each
        exposure. With a section such as "[2049:2080,1:4096]" it is measured there. None is subtracted by default.
    unit : `~astropy.units.Unit` or str, optional
        Unit of arrays, and of files instead of their BUNIT: adu, electron, or either per second.
    ext : int or str, optional
        FITS extension of the images. By default that of the only image of each file, or 0.
    exptime : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Exposure time, one for all or one for each. By default it is read from the headers.
    saturation : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Level, bias included, from which values are bad.
    trim : str or Keyword, optional
        Section to keep, such as "[1:2048,1:4096]" or "header:TRIMSEC".
    dq_ext, err_ext : int or str, optional
        FITS extensions of the data quality and of the uncertainty.
    bits : str, int or mapping, optional
        Bits of the data quality that make a value bad: "stsci", "lsst", "dragons" or numbers. Any bit by default.
    drop_unusable : bool, optional
        Leave out exposures that are blank, of another field or shifted too far. By default, blank ones are an error.
        The others have a warning, and keep their place without their values.
    cr_coincidences : int, optional
        Largest number of exposures that may be hit in one pixel. M.M.Cosmic and the minimum leave out this number of
        highest values. At least 2 and less than the number of exposures; 1 for two exposures.
    flux_factors : "auto", float, sequence of float or None, optional
        Throughput of each exposure, relative to the others. For this and the other differences, "auto", the default,
        measures the term, and None assumes that it does not differ. `~crstack.equalize.Equalization` has the details.
    flux_regions, flux_method, apply_flux_factors_to : optional
        Where and how flux factors are measured before the other terms, and how they are used.
    offsets : "auto", sequence of (dx, dy) or None, optional
        Shift (pixels) from the common image to each exposure.
    crosscorr_region : (xmin, xmax, ymin, ymax), optional
        Region in which the offsets are measured before the other terms, by cross-correlation.
    response : "auto", sequence of `~numpy.ndarray`, ResponseSettings or None, optional
        Local throughput of each exposure, an image (ny, nx).
    backgrounds : "auto", sequence of float, Quantity or `~numpy.ndarray`, or None, optional
        Level that is added to each exposure, such as its sky, in the unit of the exposures.
    seeing : "auto", sequence of float or None, optional
        Full width at half maximum (pixels) of the stars in each exposure.
    differences : {"auto", None}, optional
        None measures only the differences that are requested by name.
    n_threads : int, optional
        Number of threads. Default: the environment variable ``CRSTACK_NUM_THREADS``, or the number of processors, 8 at
        most. Results do not depend on it.
    mem_limit : int, str or Quantity, optional
        Memory that the process may hold, such as "2GB"; no limit by default. If the stack needs more, large arrays are
        kept in temporary files, and the joint decision and the combinations work on a few rows at a time. Results
        are the same.

    Attributes
    ----------
    prepared : `~crstack.prepared.PreparedStack`
        The exposures, their expected images, and the results computed from them.

    Raises
    ------
    InputError
        If the exposures or the numbers disagree.

    Examples
    --------
    >>> import astropy.units as u
    >>> from crstack import CRStack
    >>> from crstack.datasets import make_stack
    >>> simulated = make_stack("ifu", shape=(60, 80), seed=1)
    >>> stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    >>> ccd = stack.combine("meancr2")
    >>> ccd.shape, ccd.unit
    ((60, 80), Unit("adu"))
    """

    def __init__(
        self,
        exposures: str | os.PathLike | Iterable[Any],
        *,
        gain: FromDetector = None,
        readnoise: FromDetector = None,
        bias: FromDetector = None,
        unit: u.UnitBase | str | None = None,
        ext: int | str | None = None,
        exptime: FromDetector = None,
        saturation: FromDetector = None,
        trim: str | Keyword | None = None,
        dq_ext: int | str | None = None,
        err_ext: int | str | None = None,
        bits: str | int | Mapping[str, int] | None = None,
        drop_unusable: bool = False,
        cr_coincidences: int = 2,
        flux_factors: Literal["auto"] | float | Sequence[float] | None = BY_DEFAULT,
        flux_regions: Sequence[Sequence[int]] = (),
        flux_method: Literal["ratio", "slope"] | None = None,
        apply_flux_factors_to: Literal["simulated", "original"] | None = None,
        offsets: Literal["auto"] | Sequence[Sequence[float]] | None = BY_DEFAULT,
        crosscorr_region: Sequence[int] | None = None,
        response: Literal["auto"] | Sequence[Any] | equalize.ResponseSettings | None = BY_DEFAULT,
        backgrounds: Literal["auto"] | Sequence[Any] | None = BY_DEFAULT,
        seeing: Literal["auto"] | Sequence[float] | None = BY_DEFAULT,
        differences: Literal["auto"] | None = "auto",
        n_threads: int | None = None,
        mem_limit: MemoryLimit = None,
    ) -> None:
        n_threads = None if n_threads is None else check_integer("n_threads", n_threads, minimum=1)
        equalization = equalize.Equalization(
            flux_factors=flux_factors,
            flux_regions=flux_regions,
            flux_method=flux_method,
            apply_flux_factors_to=apply_flux_factors_to,
            offsets=offsets,
            crosscorr_region=crosscorr_region,
            response=response,
            backgrounds=backgrounds,
            seeing=seeing,
            differences=differences,
        )
        workspace = workspace_for(mem_limit, equalization)
        with limited_threads(n_threads), limited_memory(workspace):
            given = load_exposures(
                exposures,
                gain=gain,
                readnoise=readnoise,
                bias=bias,
                unit=unit,
                ext=ext,
                exptime=exptime,
                saturation=saturation,
                trim=trim,
                dq_ext=dq_ext,
                err_ext=err_ext,
                bits=bits,
                drop_unusable=drop_unusable,
            )
        super().__init__(PreparedStack(given, cr_coincidences, equalization), workspace, n_threads)
        self._masks: MaskSet | None = None
        self._compared: MaskSet | None = None

    from_files = made_by(__init__, "from_files", "Make a stack of FITS files, with the arguments of `CRStack`.")

    def __repr__(self) -> str:
        results = (("diagram", self._diagram), ("boundary", self._boundary), ("masks", self._masks))
        has = ", ".join(name for name, result in results if result is not None) or "no results"
        return f"<CRStack of {self.prepared.given!r}, cr_coincidences={self.cr_coincidences}, has {has}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(self) -> Summary:
        """List the numbers of the stack and its results, by name; ``str()`` gives readable lines.

        Returns
        -------
        summary : dict
            Numbers of the exposures, of the masks and of what was measured, as far as they are known.
        """
        return summary_of(self.prepared, self._masks)

    # masks

    def detect(
        self,
        method: Method | str = AUTO,
        *,
        aux: Auxiliary = AUTO,
        boundary: Boundary = AUTO,
        vote: Vote = "any",
        aux_noise: AuxNoise = "exposure",
        rules: MaskRules | None = None,
        max_fraction: float | None = None,
        progress: Progress | bool | None = None,
    ) -> MaskSet:
        """Find the cosmic rays: the masks MEDIANCR, MEANCRT, CRMASKi and MEANCR, which the next `combine` uses.

        Parameters
        ----------
        method : Method or str, optional
            The method: `~crstack.mmcosmic.MMCosmic`, `~crstack.JointPosterior`, or the name of a registered method,
            such as "mmcosmic" or "joint". "auto" is "mmcosmic" if a detector or a boundary is given, or after
            `mm_diagram` or `fit_boundary`. Otherwise, and for two exposures, it is "joint".
        aux : Detector, str, list of these or None, optional
            Auxiliary detector, or the name of a registered one; several vote; None for the method alone. "auto" is
            "lacosmic" for M.M.Cosmic and None for other methods.
        boundary : "auto", BoundaryModel, FittedBoundary, str or None, optional
            Boundary of M.M.Cosmic: see `~crstack.mmcosmic.MMCosmic`. "auto" uses that of the latest `fit_boundary`, or
            fits one. None switches M.M.Cosmic off and uses only the auxiliary detector.
        vote : {"any", "all"} or int, optional
            Number of several detectors that must flag a pixel: see `~crstack.detectors.VotingDetector`.
            ``masks.found_by`` states which ones did.
        aux_noise : {"exposure", "average"}, optional
            Noise that the detector assumes in the median and the means. With that of one exposure its thresholds give
            the masks of the reference program. With that of the average it finds fainter hits and more false ones.
        rules : MaskRules, optional
            Dilation, regions to skip, pixels to force, to ignore or to replace in all masks.
        max_fraction : float, optional
            Largest fraction of flagged values in an exposure. A larger fraction is an error. If not given, more than
            0.2 is a warning.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        masks : `~crstack.masks.MaskSet`
            Boolean images by name; ``masks.crmasks`` has the shape (N, ny, nx).

        Raises
        ------
        InputError
            If both the detector and the boundary are None, a boundary is given to a method that has none, or a rule
            is wrong.
        PluginError
            If no method, detector or boundary is registered by a name.
        ImplausibleResultError
            If ``max_fraction`` is given and more is flagged, or the masks disagree with the noise. If it is not given,
            this is an ``ImplausibleResultWarning``.
        """
        chosen = arguments.chosen_method(method, aux, boundary, len(self), self._boundary, self._diagram)
        detected = detections_for(self.prepared, aux, vote, aux_noise, chosen)
        allow_work(self._workspace, len(self), chosen, detected.aux if detected else None)
        rules = arguments.rules_for(rules, self.exposures.shape)

        with progress_to(progress) as report:
            masks = masks_by(chosen, self.prepared, detected, rules, report)
        check_plausibility(masks, self.prepared, max_fraction)
        self._masks = masks
        shown = in_diagram_of(masks)
        if shown.diagram is not None:
            self._in_diagram = shown
        return masks

    def latest_masks(self) -> MaskSet:
        """The masks of the latest `detect`; without one, it is called with its defaults.

        Returns
        -------
        masks : `~crstack.masks.MaskSet`
            The masks.
        """
        return self.detect() if self._masks is None else self._masks

    def _masks_to_apply(self, masks: MaskSet | None) -> MaskSet:
        """The masks that are given, checked, or the latest ones."""
        return self.latest_masks() if masks is None else self.check_masks(masks)

    # combined images

    @overload
    def combine(
        self, name: str = ..., *, full_output: Literal[False] = ..., **options: Unpack[CombineOptions]
    ) -> CCDData:
        """Combine the exposures to one image."""

    @overload
    def combine(self, name: str = ..., *, full_output: Literal[True], **options: Unpack[CombineOptions]) -> Combination:
        """Combine the exposures, with the number of values used and flags for each pixel."""

    def combine(
        self,
        name: str = AUTO,
        masks: MaskSet | None = None,
        *,
        full_output: bool = False,
        use_auxmedian: bool = False,
        variance: Literal["model", "sample"] = "model",
        unbiased: bool | None = None,
        fill: Literal["minimum", "neighbours"] | None = None,
        weights: Literal["variance", "exptime"] | Sequence[float] | None = None,
    ) -> CCDData | Combination:
        """Combine the exposures.

        Parameters
        ----------
        name : {"auto", "mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2", "meanjoint"}
            The combination. "auto" is "meanjoint" for masks of the joint decision, and "meancr2" for other masks.
            "meanjoint" needs masks of the joint decision.
        masks : MaskSet, optional
            Masks to apply. By default `latest_masks`, except for "mean", "median" and "min". The values of these three
            do not depend on masks. Their variances allow for the hits of the masks that are given.
        full_output : bool, optional
            Return count and flags too.
        use_auxmedian : bool, optional
            Replace hits by the cleaned median of the auxiliary detector, not by the minimum.
        variance : {"model", "sample"}, optional
            Variance propagated from the noise, or sample variance of the clean values.
        unbiased, fill, weights : optional
            Correction of the selection by the masks, values of pixels that are hit in every exposure, and weights of
            the exposures: see `~crstack.combine.Combiner`.

        Returns
        -------
        ccd : `~astropy.nddata.CCDData`
            In the unit of the given exposures, with mask (no clean measurement),
            `~astropy.nddata.VarianceUncertainty`, and the header and WCS of the first exposure; NCOMBINE, EXPTIME (the
            mean), EXPTOTAL (the sum), EFFGAIN, EFFRN and HISTORY are of the combination. With ``full_output`` a
            `~crstack.combine.Combination` of ``ccd``, ``count`` and ``flags``.

        Raises
        ------
        InputError
            If the name is unknown or the masks do not match the exposures.

        Warns
        -----
        CRStackWarning
            If levels differ by more than their noise, for "median" and "min", unless ``differences=None``.
        """
        weights = arguments.definite_weights(weights)
        arguments.check_combination(name, variance, fill)  # before the masks, which take longer
        if masks is None and name in WITHOUT_MASKS:
            masks = self._masks
        else:
            masks = self._masks_to_apply(masks)
            name = best_combination(masks) if name == AUTO else name
        options = {"use_auxmedian": use_auxmedian, "variance": variance, "unbiased": unbiased, "fill": fill}
        result = combined(name, self.prepared, masks, options | {"weights": weights})
        warn_of_levels(name, self.prepared)
        return result if full_output else result.ccd

    def check_masks(self, masks: MaskSet, what: str = "masks") -> MaskSet:
        """Compare masks with the exposures of this stack, once.

        `combine` and `clean` do this with the masks that they are given.

        Parameters
        ----------
        masks : MaskSet
            Masks of these exposures, such as those that `MaskSet.read` returns.
        what : str, optional
            Name of the masks in messages.

        Returns
        -------
        masks : MaskSet
            The same.

        Raises
        ------
        InputError
            If they are no masks, or if the exposures are in another order.

        Warns
        -----
        CRStackWarning
            If the masks were made of exposures with other values.
        """
        if not isinstance(masks, MaskSet):
            raise InputError(f"masks must be a MaskSet, of detect or MaskSet.read; got {type(masks).__name__}")
        if masks is not self._masks and masks is not self._compared:
            check_origin(masks, self.exposures, what)
            self._compared = masks
        return masks

    def clean(self, *, masks: MaskSet | None = None) -> list[CCDData]:
        """Replace the hits and bad values of each exposure by the expected values.

        Each result has `~astropy.nddata.VarianceUncertainty` and a mask that is
        True where a value was replaced: see ``crstack.combine.clean_exposures``.

        Parameters
        ----------
        masks : MaskSet, optional
            Those of `latest_masks` by default.

        Returns
        -------
        cleaned : list of `~astropy.nddata.CCDData`
            The exposures, in the unit and at the level of the input, with the bias subtracted. Exposures of unlike
            exposure times keep their own levels.
        """
        return list(cleaned(self.prepared, self._masks_to_apply(masks)))

    def to_combiner(self, *, masks: MaskSet | None = None) -> "ccdproc.Combiner":
        """A `~ccdproc.Combiner` of the exposures, bias subtracted, with hits and bad pixels masked.

        Parameters
        ----------
        masks : MaskSet, optional
            Those of `latest_masks` by default.

        Returns
        -------
        combiner : `~ccdproc.Combiner`
            Its images have the variance of the noise, the header and the WCS.
        """
        self._workspace.refuse("a Combiner of ccdproc")
        return make_combiner(self.exposures, self.statistics, self._masks_to_apply(masks))

    # tables and figures

    def features(self, name: str = "MEDIANCR", *, masks: MaskSet | None = None) -> QTable:
        """Table of the connected hits of a mask: see `~crstack.masks.features.find_features`.

        Parameters
        ----------
        name : str, optional
            Name of a mask, or "problematic" for the pixels masked in every exposure.
        masks : MaskSet, optional
            Those of `latest_masks` by default.

        Returns
        -------
        hits : `~astropy.table.QTable`
            A row for each hit.
        """
        return features_of_mask(name, self.prepared, self._masks_to_apply(masks))

    def in_diagram(self, *, masks: MaskSet | None = None) -> InDiagram:
        """Diagram, boundary and threshold, for `~crstack.plotting.plot_diagram`.

        Parameters
        ----------
        masks : MaskSet, optional
            Those of their decision. By default those of the latest `mm_diagram`, `fit_boundary` or `detect`.

        Returns
        -------
        data : InDiagram
            Named tuple of ``diagram``, ``boundary`` and ``threshold``; each may be None.

        Raises
        ------
        InputError
            If there is no diagram.
        """
        shown = self._in_diagram if masks is None else in_diagram_of(masks)
        if shown.diagram is None:
            of_masks = "" if masks is None else " of the masks"
            raise InputError(f'diagram{of_masks} must be made first, by mm_diagram or detect("mmcosmic"); got none')
        return shown

    @property
    def plot(self) -> "PlotAccessor":
        """Figures of the stack: ``stack.plot.mask("MEDIANCR")``, see `~crstack.plotting.accessor.PlotAccessor`."""
        from crstack.plotting.accessor import PlotAccessor

        return PlotAccessor(self)
