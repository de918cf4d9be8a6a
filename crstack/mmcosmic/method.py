"""M.M.Cosmic: pixels above the boundary of the median-minimum diagram are hit."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from crstack.boundaries.base import BoundaryModel, FittedBoundary, check_boundary_of, checked_fit, model_in
from crstack.boundaries.calibrated import CalibratedBoundary
from crstack.boundaries.choice import as_boundary_model
from crstack.boundaries.spline import SplineBoundary
from crstack.detections import Detections
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.equalize.fit.differences import Differences
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.masks.codes import Code, exposure_name, united
from crstack.masks.rules import MaskRules, codes_of_detector
from crstack.methods import Decision, DiagramView, Method
from crstack.mmcosmic.limits import Limit, detection_limit, image_codes
from crstack.mmcosmic.sampling import check_three_or_more, diagram_of_stack
from crstack.prepared import PreparedStack, Progress, report_stage
from crstack.simulation.noise_scale import NoiseScale
from crstack.statistics import OrderStatistics
from crstack.utils.validation import check_integer, check_number

__all__ = ["AUTO", "MMCosmic", "MMDecision"]

AUTO = "auto"
#: from this number of exposures on, the default boundary is separate for each kind of image; number of its draws
FEWEST_FOR_OWN, DRAWS = 4, 20_000
#: kind of image of each mask; all others are masks of exposures
KINDS = {"MEDIANCR": "median", "MEANCRT": "mean", "problematic": "mean"}

#: measured memory (bytes) for each pixel of an image, and for each of its values, beside the arrays in files
BYTES_PER_PIXEL, BYTES_PER_VALUE = 65.0, 5.0


@dataclass(frozen=True)
class MMCosmic(Method):
    """M.M.Cosmic (Cardiel et al. 2026, in preparation): pixels that exceed min2d by more than noise.

    Let T be the median, the mean or one exposure, and min2d the lowest value of a pixel (for more than three exposures,
    the mean of the lowest values). A pixel of T is flagged if T - min2d exceeds the boundary at its min2d and the
    threshold, and if max2d, the highest value of the pixel, exceeds a least value.

    Parameters
    ----------
    boundary : "auto", BoundaryModel, FittedBoundary, str or None, optional
        The boundary, a model to fit, or the name of a registered one. "auto" is that of the latest
        `~crstack.CRStack.fit_boundary` of the stack, if there is one. Otherwise it is a `~crstack.SplineBoundary` for
        three exposures, and where exposures differ, or have uncertainties of their own. For more exposures it is a
        `~crstack.CalibratedBoundary`, in which each kind of image has its own. None switches M.M.Cosmic off: only the
        auxiliary detector is used.
    diagram : MMDiagram or DiagramSettings, optional
        The diagram to which a model is fitted, or the settings of its simulation.
    threshold_rnoise : float, optional
        T - min2d must exceed this many read noises (one exposure's).
    minimum_max2d_rnoise : float, optional
        Only pixels are flagged where max2d exceeds this many read noises.
    mm_dilation : int, optional
        Pixels by which the detections grow in every direction, before those of the auxiliary
        detector are added.

    Raises
    ------
    InputError
        If a value is wrong or out of range.
    """

    boundary: BoundaryModel | FittedBoundary | str | None = AUTO
    diagram: MMDiagram | DiagramSettings = field(default_factory=DiagramSettings)
    threshold_rnoise: float = 3.0
    minimum_max2d_rnoise: float = 5.0
    mm_dilation: int = 1

    label = "M.M.Cosmic"
    usual_aux = "lacosmic"

    def __post_init__(self) -> None:
        boundary = self.boundary
        automatic = isinstance(boundary, str) and boundary == AUTO
        if isinstance(boundary, FittedBoundary):
            check_boundary_of(boundary)
        elif not automatic and boundary is not None:
            object.__setattr__(self, "boundary", as_boundary_model(boundary))
        if not isinstance(self.diagram, MMDiagram | DiagramSettings):
            raise InputError(f"diagram must be an MMDiagram or DiagramSettings; got {self.diagram!r}")
        check_number("threshold_rnoise", self.threshold_rnoise, minimum=0)
        check_number("minimum_max2d_rnoise", self.minimum_max2d_rnoise)
        check_integer("mm_dilation", self.mm_dilation, minimum=0)

    def bytes_per_pixel(self, n: int) -> float:
        """See `Method.bytes_per_pixel`.

        Parameters
        ----------
        n : int
            Number of exposures.

        Returns
        -------
        bytes : float
            For each pixel of an image.
        """
        return BYTES_PER_PIXEL + BYTES_PER_VALUE * n

    def fitted_boundary(
        self, prepared: PreparedStack, detected: Detections | None, progress: Progress | None = None
    ) -> FittedBoundary | None:
        """The boundary, fitted if it is a model; None if M.M.Cosmic is switched off.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.
        detected : `~crstack.detections.Detections` or None
            Detections of the auxiliary detector; None without a detector.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        boundary : `~crstack.boundaries.FittedBoundary` or None
            The boundary that decides.
        """
        if self.boundary is None or isinstance(self.boundary, FittedBoundary):
            return self.boundary
        boundary = _usual_boundary(prepared) if isinstance(self.boundary, str) else self.boundary
        # fixed points become numbers, which figures and the axes of the diagram use too
        model = model_in(as_boundary_model(boundary), prepared.exposures.unit)
        diagram = self.diagram
        if isinstance(diagram, DiagramSettings):
            highest = max((point[1] for point in getattr(model, "fixed_points", ())), default=0.0)
            diagram = diagram.in_unit(prepared.exposures.unit)
            settings = replace(diagram, y_floor=max(diagram.y_floor, highest))
            diagram = diagram_of_stack(prepared, detected, settings, progress)

        def compute() -> FittedBoundary:
            return replace(checked_fit(model, diagram), diagram=diagram)

        return prepared.once("boundary", (model, diagram), compute)

    def decide(
        self,
        prepared: PreparedStack,
        detected: Detections | None,
        rules: MaskRules,
        progress: Progress | None = None,
    ) -> "MMDecision":
        """Decide which pixels are hit; see `crstack.methods.Method.decide`.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.
        detected : `~crstack.detections.Detections` or None
            Detections of the auxiliary detector; None without a detector.
        rules : `~crstack.masks.MaskRules`
            Dilation, regions and pixels.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        decision : MMDecision
            Masks, diagram, and the boundary of each image.

        Raises
        ------
        InputError
            If there are two exposures, or neither a boundary nor an auxiliary detector.
        """
        check_three_or_more(prepared)
        if self.boundary is None and detected is None:
            raise InputError("aux or boundary must be given; got None for both")
        boundary = self.fitted_boundary(prepared, detected, progress)
        # without a boundary nothing is compared, and nothing needs to be measured
        equalized = prepared.known if boundary is None else prepared.equalized
        levelled = equalized.levelled
        codes, steps, found_by = self._flagged(prepared, detected, boundary, rules, progress, levelled)
        return MMDecision(
            method=self,
            codes=codes,
            steps=steps,
            found_by=found_by if detected is not None and detected.names else {},
            boundary=boundary,
            compared=prepared.statistics_of(levelled),
            levelled=levelled,
            found=equalized.measured,
            scale=NoiseScale.of(levelled.noise),
        )

    def _limits(self, prepared: PreparedStack, boundary: FittedBoundary) -> Callable[[str], Limit]:
        """Function that gives the limit of each kind of image."""
        noise = prepared.equalized.levelled.noise
        scale = NoiseScale.of(noise)
        rules = {"threshold_rnoise": self.threshold_rnoise, "minimum_max2d_rnoise": self.minimum_max2d_rnoise}
        limits: dict[FittedBoundary, Limit] = {}

        def limit_of(kind: str) -> Limit:
            own = boundary.for_image(kind)
            # most boundaries are the same for all images
            if own not in limits:
                limits[own] = detection_limit(prepared.compared, own, noise.readnoise_in_unit, **rules, scale=scale)
            return limits[own]

        return limit_of

    def _flagged(self, prepared, detected, boundary, rules, progress, exposures):
        """Codes, steps and votes of the median, the mean and the exposures, by name of the mask."""
        statistics = prepared.statistics_of(exposures)
        limit_of = None if boundary is None else self._limits(prepared, boundary)
        codes, steps, found_by = {}, {}, {}

        def with_median(found, counts):
            # forced pixels are added at the end and not dilated
            median = codes["MEDIANCR"].copy()
            median[median == Code.GIVEN] = Code.CLEAN
            joined = united(found, median)
            counts["with those of MEDIANCR"] = int(np.count_nonzero(joined))
            return joined

        def within_mean(found, counts):
            found[codes["MEANCRT"] == 0] = Code.CLEAN
            counts["and in MEANCRT"] = int(np.count_nonzero(found))
            return found

        def flag(name, image, kind, bad, detect, join=None):
            report_stage(progress, f"masking {name}")
            found = None if detected is None else detect()
            found_by[name] = found and found.found_by
            if limit_of is None:
                codes[name], steps[name] = codes_of_detector(found.mask, rules, bad, join=join)
            else:
                options = {"mm_dilation": self.mm_dilation, "auxiliary": found and found.mask, "bad": bad, "join": join}
                codes[name], steps[name] = image_codes(image, limit_of(kind), rules, **options)

        nowhere = prepared.nowhere_valid
        flag("MEDIANCR", statistics.median2d, "median", nowhere, lambda: detected.in_average("median"))
        flag("MEANCRT", statistics.mean2d, "mean", nowhere, lambda: detected.in_average("mean"), with_median)
        for i in range(len(prepared)):
            name = exposure_name(i)
            detect = lambda i=i: detected.in_exposure(i)  # noqa: E731
            flag(name, exposures.data[i], "exposure", exposures.bad_of(i), detect, within_mean)
        return codes, steps, found_by


def _usual_boundary(prepared: PreparedStack) -> BoundaryModel:
    """The default model of the boundary.

    The boundary of the median is too low for single exposures. It flags clean values in MEANCRT, and their share grows
    with the number of exposures. A calibrated boundary has a curve for each kind of image. It is computed from the
    noise alone, and is too low if the exposures also differ in other ways.
    """
    equivalent = prepared.exposures.share_noise and prepared.equalized.differences is None
    if equivalent and len(prepared) >= FEWEST_FOR_OWN:
        return CalibratedBoundary(n_draws=DRAWS)
    return SplineBoundary()


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MMDecision(Decision):
    """The decision of M.M.Cosmic.

    Attributes
    ----------
    boundary : `~crstack.boundaries.FittedBoundary` or None
        The boundary; None if only the auxiliary detector was used.
    compared : `~crstack.statistics.OrderStatistics`
        Statistics of the compared data: the exposures minus their expected differences.
    levelled : `~crstack.exposures.Exposures`
        The compared exposures.
    found : `~crstack.equalize.Differences` or None
        Differences between the exposures that were measured: see ``measured``.
    scale : ``NoiseScale`` or None
        Converts the pixels of several amplifiers to the typical pixel of the diagram.
    """

    method: MMCosmic
    boundary: FittedBoundary | None
    compared: OrderStatistics
    levelled: Exposures
    found: Differences | None = None
    scale: NoiseScale | None = None

    def to_combine(self, prepared: PreparedStack) -> Exposures:
        """The exposures to combine: on their mean level, if levels or seeing are given, or differences were measured.

        A value that is left out then makes no hole or bump, and the mean of all values does not change. Given flux
        factors and offsets alone change nothing, as in the reference program.

        Parameters
        ----------
        prepared : `~crstack.prepared.PreparedStack`
            The stack.

        Returns
        -------
        exposures : `~crstack.exposures.Exposures`
            In the unit of the input.
        """
        if not self.measured and prepared.known.added is None:
            return prepared.exposures
        return prepared.at_mean_level

    @property
    def measured(self) -> Differences | None:
        """The differences between the exposures that were measured; None if none were to be measured."""
        return self.found

    @property
    def diagram(self) -> MMDiagram | None:
        """The diagram to which the boundary was fitted, or None."""
        return None if self.boundary is None else self.boundary.diagram

    @property
    def threshold(self) -> float | None:
        """Smallest T - min2d of a hit, in the unit of the exposures, for a typical pixel; T is the image searched."""
        if self.boundary is None:
            return None
        return float(self.method.threshold_rnoise * np.median(self.levelled.noise.readnoise_in_unit))

    def in_diagram(self, name: str) -> DiagramView | None:
        """The image of a mask in the coordinates of the diagram; None for MEANCR, which has no boundary.

        Parameters
        ----------
        name : str
            Name of a mask.

        Returns
        -------
        view : `~crstack.methods.DiagramView` or None
            The values of the image, its boundary and its threshold.
        """
        if name not in self.codes and name not in KINDS:
            return None
        min2d = self.compared.min2d
        images = {"median": self.compared.median2d, "mean": self.compared.mean2d}
        kind = KINDS.get(name, "exposure")
        image = images[kind] if kind in images else self.levelled.data[int(name.removeprefix("CRMASK")) - 1]
        x, y = min2d, image - min2d
        if self.scale is not None:
            x, y = self.scale.typical(x, y)
        boundary = None if self.boundary is None else self.boundary.for_image(kind)
        return DiagramView(x, y, boundary, self.threshold, self.diagram)

    def describe(self) -> tuple[str, ...]:
        """The method and its boundary, in lines for the history of the masks.

        Returns
        -------
        lines : tuple of str
            For HISTORY.
        """
        words = {} if self.measured is None else self.measured.in_words()
        measured = (f"{name}: {value}" for name, value in words.items())
        return (f"method: {self.method!r}", f"boundary: {self.boundary!r}", *measured)
