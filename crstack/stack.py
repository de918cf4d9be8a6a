"""CRStack: asks for the stages in order and keeps their results."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast, overload

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable

from crstack._progress import progress_to
from crstack._registry import DETECTORS
from crstack._summary import Summary
from crstack._threads import limited_threads, with_limited_threads
from crstack._validation import check_choice, check_integer, check_quantity
from crstack.boundaries._choose import as_boundary_model
from crstack.boundaries.base import BoundaryModel, FittedBoundary
from crstack.combine import Combination, Combiner
from crstack.combine.ccdproc_combiner import make_combiner
from crstack.combine.clean_exposures import clean_exposures
from crstack.combine.product import as_product
from crstack.detectors._choose import as_detector
from crstack.detectors.base import Detector
from crstack.equalize import (
    Equalization,
    FluxFactors,
    NbinomShape,
    Offsets,
    Response,
    ResponseSettings,
    estimate_flux_factors,
    estimate_offsets,
    estimate_response,
)
from crstack.equalize.settings import EqualizedExposures
from crstack.exceptions import InputError
from crstack.exposures import Exposures, Keyword, load_exposures
from crstack.joint import JointPosterior, JointResult
from crstack.masks import MaskRules, MaskSet
from crstack.masks.features import PROBLEMATIC, find_features
from crstack.masks.rules import codes_of_detector
from crstack.masks.votes import bits_by_mask, counts_of_detectors
from crstack.methods import Decision, Method, as_method, checked_decision
from crstack.mmcosmic import DiagramSettings, MMCosmic, MMDecision, MMDiagram
from crstack.mmcosmic.sampling import diagram_of_stack, nbinom_shape_of_stack
from crstack.plausibility import check_plausible
from crstack.prepared import AuxNoise, Detections, PreparedStack, Progress, report_stage
from crstack.statistics import OrderStatistics

if TYPE_CHECKING:
    import ccdproc

    from crstack.plotting.accessor import PlotAccessor

__all__ = ["CRStack"]

AUTO = "auto"
#: masks, and combiners, that a stack keeps; each holds several images
KEPT = 2

Auxiliary: TypeAlias = Detector | str | Sequence[Detector | str] | None
Boundary: TypeAlias = BoundaryModel | FittedBoundary | str | None
Length: TypeAlias = float | u.Quantity
FromDetector: TypeAlias = u.Quantity | str | Keyword | None


class InDiagram(NamedTuple):
    """What a figure of the diagram shows: the diagram, the boundary and the least median2d - min2d of a hit."""

    diagram: MMDiagram | None = None
    boundary: FittedBoundary | None = None
    threshold: float | None = None


@with_limited_threads
class CRStack:
    """Two or more equivalent exposures, and what is found out about them.

    The stages are `mm_diagram`, `fit_boundary`, `detect` and `combine`. Each
    asks for the earlier ones with sensible defaults, and results are kept: a
    stage asked for again with the same settings is not computed again.

    Parameters
    ----------
    exposures : list, path with wildcards or ImageFileCollection
        CCDData, NDData, Quantity images, 2-D arrays or paths of FITS files, all
        of one shape and unit. Masks, NaN and uncertainties of any of the three
        NDData classes are honoured.
    gain : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Electrons per ADU, scalar or image (ny, nx), or a keyword of the headers: see
        `~crstack.exposures.Keyword`. Not needed for exposures in electrons.
    readnoise : `~astropy.units.Quantity`, "header:NAME" or Keyword
        In electrons (or ADU), scalar or image.
    bias : `~astropy.units.Quantity`, "header:NAME", Keyword or str, optional
        In ADU or electrons, scalar or image, still in the exposures; none by
        default. A section such as "[2049:2080,1:4096]", or a keyword that holds one, stands for
        the median of each exposure there.
    unit : `~astropy.units.Unit`, optional
        Unit of plain arrays, and of files without BUNIT: adu, electron, or either per second.
    ext : int or str, optional
        FITS extension where exposures are paths.
    exptime : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Exposure time, one for all or one each; the usual keywords of the headers by default.
        Exposures in a unit per second need it. Results come back in that unit.
    saturation : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Level, bias included, from which values are bad.
    trim : str or Keyword, optional
        Section to keep, such as "[1:2048,1:4096]" or "header:TRIMSEC".
    dq_ext, err_ext : int or str, optional
        Extensions of data quality and of the uncertainty.
    bits : str, mapping or int, optional
        Bits of the data quality that make a value bad: see `crstack.exposures.quality.bits_of`. All by default.
    drop_unusable : bool, optional
        Go on without exposures that are blank, in place of an error.
    cr_coincidences : int, optional
        Number of exposures that may be hit in one pixel: min2d leaves out as many of
        the highest values. At least 2 and less than the number of exposures; 1 where there are two.
    flux_factors, flux_regions, flux_method, apply_flux_factors_to, offsets, crosscorr_region, response : optional
        What is known, or is to be measured, of exposures that are not quite
        equivalent: parameters of `~crstack.equalize.Equalization`.
    differences : {None, "auto"}, optional
        "auto" measures what differs beyond that, and puts it into what M.M.Cosmic simulates and compares. The joint
        decision measures it in any case.
    n_threads : int, optional
        Threads that work on this stack. By default the environment variable
        ``CRSTACK_NUM_THREADS``, or the number of processors, 8 at most. The number
        changes no result.

    Attributes
    ----------
    prepared : `~crstack.prepared.PreparedStack`
        The exposures, what is expected of them, and what was computed from them.

    Raises
    ------
    InputError
        If the exposures or the numbers do not fit together.

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
        ext: int | str = 0,
        exptime: FromDetector = None,
        saturation: FromDetector = None,
        trim: str | Keyword | None = None,
        dq_ext: int | str | None = None,
        err_ext: int | str | None = None,
        bits: str | int | Mapping[str, int] | None = None,
        drop_unusable: bool = False,
        cr_coincidences: int = 2,
        flux_factors: Literal["auto"] | float | Sequence[float] | None = None,
        flux_regions: Sequence[Sequence[int]] = (),
        flux_method: Literal["ratio", "slope"] = "ratio",
        apply_flux_factors_to: Literal["simulated", "original"] = "simulated",
        offsets: Literal["auto"] | Sequence[Sequence[float]] | None = None,
        crosscorr_region: Sequence[int] | None = None,
        response: Literal["auto"] | ResponseSettings | None = None,
        differences: Literal["auto"] | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._n_threads = None if n_threads is None else check_integer("n_threads", n_threads, minimum=1)
        equalization = Equalization(
            flux_factors=flux_factors,
            flux_regions=flux_regions,
            flux_method=flux_method,
            apply_flux_factors_to=apply_flux_factors_to,
            offsets=offsets,
            crosscorr_region=crosscorr_region,
            response=response,
            differences=differences,
        )
        with limited_threads(self._n_threads):
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
        self.prepared = PreparedStack(given, cr_coincidences, equalization)
        self._diagram: MMDiagram | None = None
        self._boundary: FittedBoundary | None = None
        self._masks: MaskSet | None = None
        self._in_diagram = InDiagram()

    @classmethod
    def from_files(
        cls,
        paths: str | os.PathLike | Iterable[str | os.PathLike],
        *,
        gain: FromDetector = None,
        readnoise: FromDetector = None,
        bias: FromDetector = None,
        unit: u.UnitBase | str | None = None,
        ext: int | str = 0,
        exptime: FromDetector = None,
        saturation: FromDetector = None,
        trim: str | Keyword | None = None,
        dq_ext: int | str | None = None,
        err_ext: int | str | None = None,
        bits: str | int | Mapping[str, int] | None = None,
        drop_unusable: bool = False,
        cr_coincidences: int = 2,
        flux_factors: Literal["auto"] | float | Sequence[float] | None = None,
        flux_regions: Sequence[Sequence[int]] = (),
        flux_method: Literal["ratio", "slope"] = "ratio",
        apply_flux_factors_to: Literal["simulated", "original"] = "simulated",
        offsets: Literal["auto"] | Sequence[Sequence[float]] | None = None,
        crosscorr_region: Sequence[int] | None = None,
        response: Literal["auto"] | ResponseSettings | None = None,
        differences: Literal["auto"] | None = None,
        n_threads: int | None = None,
    ) -> "CRStack":
        """Make a stack of FITS files.

        Parameters
        ----------
        paths : str, path-like, list of these or ImageFileCollection
            Files; a path with wildcards such as "raw/*.fits" stands for what it finds, in the order of the names.
        gain, readnoise, bias, unit, ext, exptime, saturation, trim, dq_ext, err_ext, bits, drop_unusable : optional
            As for `CRStack`; ``unit`` overrides the BUNIT of the files.
        cr_coincidences, flux_factors, flux_regions, flux_method : optional
            As for `CRStack`.
        apply_flux_factors_to, offsets, crosscorr_region, response, n_threads : optional
            As for `CRStack`.

        Returns
        -------
        stack : CRStack

        Raises
        ------
        InputError
            As `CRStack` does.
        """
        return cls(
            paths,
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
            cr_coincidences=cr_coincidences,
            flux_factors=flux_factors,
            flux_regions=flux_regions,
            flux_method=flux_method,
            apply_flux_factors_to=apply_flux_factors_to,
            offsets=offsets,
            crosscorr_region=crosscorr_region,
            response=response,
            n_threads=n_threads,
        )

    def __len__(self) -> int:
        return len(self.prepared)

    def __repr__(self) -> str:
        results = (("diagram", self._diagram), ("boundary", self._boundary), ("masks", self._masks))
        has = ", ".join(name for name, result in results if result is not None) or "no results"
        return f"<CRStack of {self.prepared.given!r}, cr_coincidences={self.cr_coincidences}, has {has}>"

    def summary(self) -> Summary:
        """What the stack is and what was found, as numbers by name; ``str()`` gives lines for people."""
        exposures, masks = self.prepared.given, self._masks
        ny, nx = exposures.shape
        found = {"exposures": len(self), "columns": nx, "rows": ny, "unit": str(exposures.unit)}
        found["bad values"] = 0 if exposures.bad is None else int(np.count_nonzero(exposures.bad))
        found["cr_coincidences"] = self.cr_coincidences
        if masks is not None:
            found |= {f"pixels in {name}": int(np.count_nonzero(codes)) for name, codes in masks.codes.items()}
        return Summary(found)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # what the stages start from

    @property
    def exposures(self) -> Exposures:
        """The exposures that are combined: bias subtracted, divided by what `equalized` states."""
        return self.prepared.exposures

    @property
    def statistics(self) -> OrderStatistics:
        """Order statistics of `exposures`."""
        return self.prepared.statistics

    @property
    def equalized(self) -> EqualizedExposures:
        """The exposures made equivalent, with the flux factors, offsets and response that are used."""
        return self.prepared.equalized

    @property
    def cr_coincidences(self) -> int:
        """Number of the highest values that min2d leaves out."""
        return self.prepared.cr_coincidences

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that each stage took when it was computed, by its name."""
        return self.prepared.timings

    def flux_factors(
        self, *, regions: Sequence[Sequence[int]] | None = None, method: Literal["ratio", "slope"] = "ratio"
    ) -> FluxFactors:
        """Measure the flux factors of the exposures as they were given.

        Parameters
        ----------
        regions : sequence of (xmin, xmax, ymin, ymax), optional
            Where to measure; FITS convention. The whole image by default.
        method : {"ratio", "slope"}, optional
            See `~crstack.equalize.estimate_flux_factors`.

        Returns
        -------
        factors : `~crstack.equalize.FluxFactors`
            Values, relative to the median image, and errors.
        """
        given = self.prepared.given
        return estimate_flux_factors(given, self.prepared.statistics_of(given), regions, method)

    def offsets(self, *, region: Sequence[int] | None = None) -> Offsets:
        """Measure the offsets of the exposures as they were given.

        Parameters
        ----------
        region : (xmin, xmax, ymin, ymax), optional
            Where to measure; FITS convention. The whole image by default.

        Returns
        -------
        offsets : `~crstack.equalize.Offsets`
            (dx, dy) in pixels by which the median image must be shifted to
            coincide with each exposure, and errors.
        """
        given = self.prepared.given
        return estimate_offsets(given, self.prepared.statistics_of(given), region)

    def response(self, *, settings: ResponseSettings | None = None) -> Response:
        """Measure the local response of the exposures as they were given.

        Parameters
        ----------
        settings : `~crstack.equalize.ResponseSettings`, optional
            Direction and lengths of the smoothing.

        Returns
        -------
        response : `~crstack.equalize.Response`
        """
        return estimate_response(self.prepared.given, settings)

    def nbinom_shape(
        self,
        *,
        aux: Auxiliary = None,
        vote: int | Literal["any", "all"] = "any",
        aux_noise: AuxNoise = "exposure",
        progress: Progress | bool | None = None,
    ) -> NbinomShape:
        """Fit the shape of the photons' distribution to the exposures.

        Parameters
        ----------
        aux, vote, aux_noise, progress
            As for `mm_diagram`: pixels that the detector flags are left out.

        Returns
        -------
        shape : `~crstack.equalize.NbinomShape`
            kappa and its error.
        """
        detected = self.prepared.detections(as_detector(aux, vote), aux_noise)
        with progress_to(progress) as report:
            return nbinom_shape_of_stack(self.prepared, detected, report)

    # the diagram and its boundary

    def mm_diagram(
        self,
        *,
        aux: Auxiliary = None,
        vote: int | Literal["any", "all"] = "any",
        aux_noise: AuxNoise = "exposure",
        n_simulations: int = 10,
        seed: int | None = 123456,
        min_neighbors: int = 0,
        x_min: Length | None = None,
        x_max: Length | None = None,
        y_max: Length = 0.0,
        y_floor: Length = 0.0,
        nbinom_shape: float | Literal["auto"] | None = None,
        synthetic: Literal["median", "single"] = "median",
        progress: Progress | bool | None = None,
    ) -> MMDiagram:
        """Simulate and observe the median-minimum diagram.

        Parameters
        ----------
        aux : Detector, str or list of these, optional
            Detector whose hits in the median or in an exposure are left out of
            the simulations; none by default.
        vote, aux_noise : optional
            As for `detect`.
        n_simulations, seed, min_neighbors, x_min, x_max, y_max, y_floor, synthetic : optional
            As for `~crstack.mmcosmic.diagram.DiagramSettings`. Ends of axes are numbers in the
            unit of the exposures, or Quantities.
        nbinom_shape : float, "auto" or None, optional
            As for `~crstack.mmcosmic.diagram.DiagramSettings`; "auto" measures it, see `nbinom_shape`.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        diagram : `~crstack.mmcosmic.diagram.MMDiagram`
            Also used by the `fit_boundary` and `detect` that follow.

        Raises
        ------
        InputError
            If a setting is out of range, or ``synthetic="single"`` comes
            without a detector that cleans.
        """
        detected = self.prepared.detections(as_detector(aux, vote), aux_noise)
        if isinstance(nbinom_shape, str):
            check_choice("nbinom_shape", nbinom_shape, (AUTO,))
            with progress_to(progress) as report:
                shape = nbinom_shape_of_stack(self.prepared, detected, report)
            nbinom_shape = None if shape.is_poisson else shape.value
        settings = DiagramSettings(
            n_simulations=n_simulations,
            seed=seed,
            min_neighbors=min_neighbors,
            y_max=self._in_unit("y_max", y_max),
            y_floor=self._in_unit("y_floor", y_floor),
            nbinom_shape=nbinom_shape,
            synthetic=synthetic,
            x_min=None if x_min is None else self._in_unit("x_min", x_min),
            x_max=None if x_max is None else self._in_unit("x_max", x_max),
        )
        with progress_to(progress) as report:
            self._diagram = diagram_of_stack(self.prepared, detected, settings, report)
        self._boundary = None
        self._in_diagram = InDiagram(self._diagram)
        return self._diagram

    def _in_unit(self, name: str, length: Length) -> float:
        """A length along an axis of the diagram, in the unit of the exposures."""
        if isinstance(length, u.Quantity):
            return float(check_quantity(name, length, self.exposures.unit, shape=()))
        return length

    def fit_boundary(
        self, model: BoundaryModel | str = "spline", *, progress: Progress | bool | None = None
    ) -> FittedBoundary:
        """Fit a boundary to the diagram.

        Parameters
        ----------
        model : BoundaryModel or str, optional
            The model, or the name of a registered one for its defaults.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        boundary : `~crstack.boundaries.FittedBoundary`
            A callable of min2d; also used by the `detect` that follows.

        Raises
        ------
        InputError
            If the diagram has too few points for the model.
        PluginError
            If no model is registered by that name.
        """
        method = self._with_diagram(MMCosmic(boundary=as_boundary_model(model)))
        with progress_to(progress) as report:
            self._boundary = cast(FittedBoundary, method.fitted_boundary(self.prepared, None, report))
        self._in_diagram = InDiagram(self._boundary.diagram, self._boundary)
        return self._boundary

    def _with_diagram(self, method: MMCosmic) -> MMCosmic:
        """The method with the diagram of the latest `mm_diagram`, where there is one."""
        return method if self._diagram is None else replace(method, diagram=self._diagram)

    # masks

    def detect(
        self,
        method: Method | str = AUTO,
        *,
        aux: Auxiliary = AUTO,
        boundary: Boundary = AUTO,
        vote: int | Literal["any", "all"] = "any",
        aux_noise: AuxNoise = "exposure",
        rules: MaskRules | None = None,
        max_fraction: float | None = None,
        progress: Progress | bool | None = None,
    ) -> MaskSet:
        """Find the cosmic rays: the masks MEDIANCR, MEANCRT, CRMASKi and MEANCR.

        Parameters
        ----------
        method : Method or str, optional
            What decides: `~crstack.mmcosmic.MMCosmic`, `~crstack.JointPosterior`, or the name of a
            registered method, such as "mmcosmic" or "joint", for its defaults. "auto" is
            "mmcosmic", and "joint" where there are two exposures.
        aux : Detector, str, list of these or None, optional
            Auxiliary detector, or the name of a registered one for its
            defaults; several vote; None for the method alone. "auto" is
            "lacosmic" for M.M.Cosmic and None for other methods.
        boundary : "auto", BoundaryModel, FittedBoundary, str or None, optional
            Boundary of M.M.Cosmic: see `~crstack.mmcosmic.MMCosmic`. "auto" takes that of the latest
            `fit_boundary`, or fits one: a `~crstack.SplineBoundary` for three exposures, a
            `~crstack.CalibratedBoundary` for more. None leaves M.M.Cosmic
            out, for the auxiliary detector alone.
        vote : {"any", "all"} or int, optional
            Number of several detectors that must flag a pixel: see
            `~crstack.detectors.VotingDetector`. ``masks.found_by`` holds which did.
        aux_noise : {"exposure", "average"}, optional
            Noise that the detector assumes in the median and the means: that
            of one exposure, with which its thresholds give the masks of the
            reference program, or that of the average itself, which finds
            fainter hits there and more false ones.
        rules : MaskRules, optional
            Dilation, regions to skip, pixels to force, to ignore or to replace in all masks.
        max_fraction : float, optional
            Part of the values of an exposure that may be flagged. More is an error; where it is not given,
            more than 0.2 is a warning.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        masks : `~crstack.masks.MaskSet`
            Also used by the `combine` that follows.

        Raises
        ------
        InputError
            If both the detector and the boundary are None, a boundary is given to a method
            that has none, or a rule is wrong.
        PluginError
            If no method, detector or boundary is registered by a name.
        ImplausibleResultError
            If ``max_fraction`` is given and more is flagged, or the masks contradict the noise.

        Warns
        -----
        ImplausibleResultWarning
            If the masks cannot be true, and it is not given.
        """
        chosen = self._chosen(method, boundary)
        if isinstance(aux, str) and aux == AUTO:
            aux = chosen.usual_aux
        detected = self.prepared.detections(as_detector(aux, vote), aux_noise)
        rules = MaskRules() if rules is None else rules
        if not isinstance(rules, MaskRules):
            raise InputError(f"rules must be MaskRules; got {rules!r}")
        rules.check_inside(self.exposures.shape)

        def compute() -> MaskSet:
            with progress_to(progress) as report:
                decision = checked_decision(chosen, self.prepared, detected, rules, report)
                return self._masks_of(decision, detected, rules, report)

        masks = self.prepared.once("masks", (chosen, detected, rules), compute, keep=KEPT)
        check_plausible(masks, self.exposures, max_fraction, noise=masks.excess_variance is None)
        self._masks = masks
        if isinstance(masks.decision, MMDecision) and masks.decision.diagram is not None:
            self._in_diagram = in_diagram_of(masks.decision)
        return masks

    def _chosen(self, method: Method | str, boundary: Boundary) -> Method:
        """The method that decides, with the boundary and the diagram that it is to use."""
        automatic = isinstance(boundary, str) and boundary == AUTO
        if isinstance(method, str):
            if method == AUTO:
                method = "mmcosmic" if len(self) > 2 else "joint"
            elif method in DETECTORS.names():
                raise InputError(f"method must be that of a whole stack; got the detector {method!r}: pass it as aux")
        chosen = as_method(method)
        if not isinstance(chosen, MMCosmic):
            if not automatic:
                raise InputError(f"boundary must be left out for {type(chosen).__name__}; got {boundary!r}")
            return chosen
        open_boundary = isinstance(chosen.boundary, str)
        if not automatic:
            if not open_boundary:
                raise InputError(f"boundary must be given once; got {chosen.boundary!r} and {boundary!r}")
            chosen = replace(chosen, boundary=boundary)
        elif open_boundary and self._boundary is not None:
            chosen = replace(chosen, boundary=self._boundary)
        return self._with_diagram(chosen)

    def _masks_of(
        self, decision: Decision, detected: Detections | None, rules: MaskRules, progress: Progress | None
    ) -> MaskSet:
        """The masks of a decision, with MEANCR: what the detector still finds in the mean of the clean exposures."""
        shape, flux = self.exposures.shape, self.equalized.flux
        empty = {"MEANCR": np.zeros(shape, dtype=np.uint8)}
        masks = MaskSet(
            {**decision.codes, **empty},
            None if detected is None else detected.in_average("median").cleaned,
            self._history(decision, detected, rules),
            decision.steps,
            decision.probability,
            signal_shift=decision.signal_shift,
            excess_variance=decision.excess_variance,
            local_medians=tuple(tuple(one) for one in rules.local_medians),
            flux_factors=flux.values if flux else (),
            detectors=() if detected is None else detected.names,
            decision=decision,
        )
        if detected is None:
            return masks
        report_stage(progress, "masking MEANCR")
        meancr = Combiner(self.exposures, self.statistics, masks).combine("meancr").ccd.data
        found = detected.in_mean_of_clean(meancr)
        codes, counts = codes_of_detector(found.mask, replace(rules, dilation=0), self.prepared.nowhere_valid)
        all_codes, steps, found_by = {**masks.codes, "MEANCR": codes}, {**masks.steps, "MEANCR": counts}, {}
        if detected.names:
            found_by = bits_by_mask(all_codes, {**decision.found_by, "MEANCR": np.asarray(found.found_by)})
            steps = {name: {**steps[name], **counts_of_detectors(found_by[name], detected.names)} for name in steps}
        return replace(masks, codes=all_codes, steps=steps, found_by=found_by)

    def _history(self, decision: Decision, detected: Detections | None, rules: MaskRules) -> tuple[str, ...]:
        aux, aux_noise = (None, "exposure") if detected is None else (detected.aux, detected.aux_noise)
        return (
            f"crstack {version('crstack')}",
            *(f"exposure {i + 1}: {name}" for i, name in enumerate(self.exposures.names)),
            f"noise: {self.exposures.noise!r}",
            *self.equalized.describe(),
            f"cr_coincidences: {self.cr_coincidences}",
            f"auxiliary detector: {aux!r}, with the noise of the {aux_noise}",
            *decision.describe(),
            f"rules: {rules!r}",
        )

    def joint_posterior(
        self,
        method: JointPosterior | None = None,
        *,
        aux: Auxiliary = None,
        vote: int | Literal["any", "all"] = "any",
        aux_noise: AuxNoise = "exposure",
        progress: Progress | bool | None = None,
    ) -> JointResult:
        """Probability of each value to be hit, all exposures taken together.

        Parameters
        ----------
        method : JointPosterior, optional
            Its settings; the defaults if not given.
        aux, vote, aux_noise : optional
            Detector whose masks of the exposures raise the odds of what it flags: as for `detect`.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        result : `~crstack.joint.JointResult`
        """
        detected = self.prepared.detections(as_detector(aux, vote), aux_noise)
        with progress_to(progress) as report:
            return (method or JointPosterior()).posterior(self.prepared, detected, report)

    # combined images

    @overload
    def combine(
        self,
        name: str = ...,
        *,
        masks: MaskSet | None = ...,
        full_output: Literal[False] = ...,
        use_auxmedian: bool = ...,
        variance: Literal["model", "sample"] = ...,
        unbiased: bool | None = ...,
        fill: Literal["minimum", "neighbours"] | None = ...,
        weights: Literal["variance", "exptime"] | Sequence[float] | None = ...,
    ) -> CCDData: ...

    @overload
    def combine(
        self,
        name: str = ...,
        *,
        masks: MaskSet | None = ...,
        full_output: Literal[True],
        use_auxmedian: bool = ...,
        variance: Literal["model", "sample"] = ...,
        unbiased: bool | None = ...,
        fill: Literal["minimum", "neighbours"] | None = ...,
        weights: Literal["variance", "exptime"] | Sequence[float] | None = ...,
    ) -> Combination: ...

    def combine(
        self,
        name: str = "meancr2",
        *,
        masks: MaskSet | None = None,
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
        name : {"mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2", "meanjoint"}
            The combination; "meanjoint" needs masks of the joint decision.
        masks : MaskSet, optional
            Masks to apply. By default those of the latest `detect`; where
            there was none, it is called with its defaults, except for "mean",
            "median" and "min". These three keep their values with or without
            masks, but where masks are known their variances allow for the
            exposures that are hit.
        full_output : bool, optional
            Return count and flags too.
        use_auxmedian : bool, optional
            Replace by the detector's cleaned median in place of min2d.
        variance : {"model", "sample"}, optional
            Variance of the combined value propagated from the noise, or sample
            variance of the values combined.
        unbiased : bool, optional
            Correct values beside hits for the choice of what is masked, and medians and minima
            for the order of the clean values; by default where the masks are of the joint
            decision. False: plain means, medians and minima under the masks.
        fill : {"minimum", "neighbours"}, optional
            What stands in where each valid exposure is hit; "neighbours" by default
            where the masks are of the joint decision.
        weights : {"variance", "exptime"} or sequence of float, optional
            Weights of the exposures in the means, see `~crstack.combine.exposure_weights`; equal by default.

        Returns
        -------
        ccd : `~astropy.nddata.CCDData`
            In the unit of the exposures as they were given, with mask (no clean measurement),
            `VarianceUncertainty`, and the header and WCS of the first exposure; NCOMBINE, EXPTIME (the mean),
            EXPTOTAL (the sum) and HISTORY are of the combination. With ``full_output`` a
            `~crstack.combine.Combination` of ``ccd``, ``count`` and ``flags``.

        Raises
        ------
        InputError
            If the name is unknown or the masks do not fit.
        """
        if masks is None:
            masks = self._masks if name in ("mean", "median", "min") else self.latest_masks()
        check_choice("variance", variance, ("model", "sample"))
        options: dict[str, Any] = {"use_auxmedian": use_auxmedian, "variance": variance}
        options |= {"unbiased": unbiased, "fill": fill}
        # a copy, so that a list that is changed is not taken for what it was
        options["weights"] = tuple(weights) if isinstance(weights, list | np.ndarray) else weights
        settings = (masks, *options.values())

        def compute() -> Combiner:
            return Combiner(self.exposures, self.statistics, masks, **options)

        # combined anew each time: what the user does to one must not show in the next
        result = self.prepared.once("combiner", settings, compute, keep=KEPT).combine(name)
        result = as_product(result, self.exposures, masks)
        return result if full_output else result.ccd

    def clean(self, *, masks: MaskSet | None = None) -> list[CCDData]:
        """Each exposure with its hits, and its bad values, replaced by what is expected there.

        Parameters
        ----------
        masks : MaskSet, optional
            Masks to apply; by default those of the latest `detect`.

        Returns
        -------
        ccds : list of `~astropy.nddata.CCDData`
            Bias subtracted, with `VarianceUncertainty`, and a mask that is True where a value was replaced: see
            `~crstack.combine.clean_exposures.clean_exposures`.
        """
        masks = self.latest_masks() if masks is None else masks
        name = "meancr2" if masks.probability is None else "meanjoint"
        combination = Combiner(self.exposures, self.statistics, masks).combine(name)
        return clean_exposures(self.exposures, masks, combination, self.equalized.differences)

    def to_combiner(self, *, masks: MaskSet | None = None) -> "ccdproc.Combiner":
        """A `~ccdproc.Combiner` of the exposures, bias subtracted, with hits and bad pixels masked.

        Parameters
        ----------
        masks : MaskSet, optional
            Masks to apply; by default those of the latest `detect`.

        Returns
        -------
        combiner : `~ccdproc.Combiner`
        """
        return make_combiner(self.exposures, self.statistics, self.latest_masks() if masks is None else masks)

    # tables and figures

    def latest_masks(self) -> MaskSet:
        """The masks of the latest `detect`; where there was none, it is called with its defaults."""
        return self.detect() if self._masks is None else self._masks

    def in_diagram(self, *, masks: MaskSet | None = None) -> InDiagram:
        """Diagram, boundary and threshold, for `~crstack.plotting.plot_diagram`.

        Parameters
        ----------
        masks : MaskSet, optional
            Those of which M.M.Cosmic decided. By default, the latest of `mm_diagram`,
            `fit_boundary` and `detect` counts.

        Returns
        -------
        shown : tuple
            (diagram, boundary, threshold).

        Raises
        ------
        InputError
            If there is no diagram.
        """
        shown = self._in_diagram
        if masks is not None:
            shown = in_diagram_of(masks.decision) if isinstance(masks.decision, MMDecision) else InDiagram()
        if shown.diagram is None:
            of_masks = "" if masks is None else " of the masks"
            raise InputError(f"diagram{of_masks} must be made first, by mm_diagram or detect; got none")
        return shown

    def image_of(self, name: str, *, masks: MaskSet | None = None) -> tuple[str, np.ndarray]:
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
            return "meancr", self.combine("meancr", masks=masks).data
        for i, image in enumerate(self.exposures.data):
            if name == f"CRMASK{i + 1}":
                return f"exposure {i + 1}", image
        raise InputError(f"name must be that of a mask, or problematic; got {name!r}")

    def features(self, name: str = "MEDIANCR", *, masks: MaskSet | None = None) -> QTable:
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
        masks = self.latest_masks() if masks is None else masks
        _, image = self.image_of(name, masks=masks)
        return find_features(masks, image - self.statistics.min2d, name, self.exposures.unit)

    @property
    def plot(self) -> "PlotAccessor":
        """Figures of the stack: ``stack.plot.mask("MEDIANCR")``, see `~crstack.plotting.accessor.PlotAccessor`."""
        from crstack.plotting.accessor import PlotAccessor

        return PlotAccessor(self)


def in_diagram_of(decision: MMDecision) -> InDiagram:
    """What a figure of the diagram of a decision shows."""
    return InDiagram(decision.diagram, decision.boundary, decision.threshold)
