"""The exposures of a stack, and what is measured in them: differences, the diagram and its boundary."""

from collections.abc import Sequence
from typing import Literal, cast

from crstack import equalize
from crstack.boundaries.base import BoundaryModel, FittedBoundary
from crstack.boundaries.choice import as_boundary_model
from crstack.detections import AuxNoise
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.equalize.equalized import EqualizedExposures
from crstack.exposures import Exposures
from crstack.joint import JointPosterior, JointResult
from crstack.mmcosmic import MMCosmic
from crstack.mmcosmic.sampling import diagram_of_stack, nbinom_shape_of_stack
from crstack.prepared import PreparedStack, Progress
from crstack.stages import arguments
from crstack.stages.argument_types import Auxiliary, Length, Vote
from crstack.stages.arguments import allow_work, detections_for
from crstack.stages.views import InDiagram
from crstack.statistics import OrderStatistics
from crstack.utils.memory import Workspace
from crstack.utils.progress import progress_to
from crstack.utils.threads import with_limited_threads

__all__ = ["MeasuredStack"]


@with_limited_threads
class MeasuredStack:
    """The exposures of a stack, and what is measured in them before anything is masked.

    Parameters
    ----------
    prepared : `~crstack.prepared.PreparedStack`
        The exposures, their expected images, and the results computed from them.
    workspace : `~crstack.utils.memory.Workspace`
        Place of large arrays.
    n_threads : int or None
        Number of threads.
    """

    def __init__(self, prepared: PreparedStack, workspace: Workspace, n_threads: int | None) -> None:
        self.prepared = prepared
        self._workspace = workspace
        self._n_threads = n_threads
        self._diagram: MMDiagram | None = None
        self._boundary: FittedBoundary | None = None
        self._in_diagram = InDiagram()

    def __len__(self) -> int:
        return len(self.prepared)

    @property
    def exposures(self) -> Exposures:
        """The exposures to combine: bias subtracted, divided by flux factors that are given or measured first."""
        return self.prepared.exposures

    @property
    def statistics(self) -> OrderStatistics:
        """Order statistics of `exposures`."""
        return self.prepared.statistics

    @property
    def equalized(self) -> EqualizedExposures:
        """The exposures with their given and measured differences. The measurement runs at the first use.

        The joint decision measures them itself: see `~crstack.joint.JointResult`.
        """
        return self.prepared.equalized

    @property
    def cr_coincidences(self) -> int:
        """Number of highest values that min2d excludes."""
        return self.prepared.cr_coincidences

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that each stage took when it was computed, by its name."""
        return self.prepared.timings

    # differences of the exposures

    def flux_factors(
        self, *, regions: Sequence[Sequence[int]] | None = None, method: Literal["ratio", "slope"] = "slope"
    ) -> equalize.FluxFactors:
        """Measure the flux factors of the given exposures: see `~crstack.equalize.estimate_flux_factors`.

        Parameters
        ----------
        regions : sequence of (xmin, xmax, ymin, ymax), optional
            Regions to use; the whole image by default.
        method : {"slope", "ratio"}, optional
            As for `~crstack.equalize.Equalization`.

        Returns
        -------
        factors : `~crstack.equalize.FluxFactors`
            Factors with a median of 1, and their standard errors. The stack is not changed.
        """
        self._workspace.refuse("flux factors")
        given = self.prepared.given
        return equalize.estimate_flux_factors(given, self.prepared.statistics_of(given), regions, method)

    def offsets(self, *, region: Sequence[int] | None = None) -> equalize.Offsets:
        """Measure the offsets of the given exposures: see `~crstack.equalize.estimate_offsets`.

        Parameters
        ----------
        region : (xmin, xmax, ymin, ymax), optional
            Region to use; the whole image by default.

        Returns
        -------
        offsets : `~crstack.equalize.Offsets`
            Shifts in pixels, and their standard errors. The stack is not changed.
        """
        self._workspace.refuse("offsets")
        given = self.prepared.given
        return equalize.estimate_offsets(given, self.prepared.statistics_of(given), region)

    def response(self, *, settings: equalize.ResponseSettings | None = None) -> equalize.Response:
        """Measure the local response of the given exposures: see `~crstack.equalize.estimate_response`.

        Parameters
        ----------
        settings : `~crstack.equalize.ResponseSettings`, optional
            Settings of the fit.

        Returns
        -------
        response : `~crstack.equalize.Response`
            A map of each exposure. The stack is not changed.
        """
        self._workspace.refuse("the local response")
        return equalize.estimate_response(self.prepared.given, settings)

    def nbinom_shape(
        self,
        *,
        aux: Auxiliary = None,
        vote: Vote = "any",
        aux_noise: AuxNoise = "exposure",
        progress: Progress | bool | None = None,
    ) -> equalize.NbinomShape:
        """Fit the shape of the photons' distribution to the exposures.

        Parameters
        ----------
        aux : Detector, str or list of these, optional
            Detector whose hits are excluded; none by default.
        vote, aux_noise : optional
            As for `detect`.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        shape : `~crstack.equalize.NbinomShape`
            Shape kappa (electrons) and its error.
        """
        detected = detections_for(self.prepared, aux, vote, aux_noise)
        allow_work(self._workspace, len(self), MMCosmic(), detected.aux if detected else None)
        with progress_to(progress) as report:
            return nbinom_shape_of_stack(self.prepared, detected, report)

    # the diagram and its boundary

    def mm_diagram(
        self,
        *,
        aux: Auxiliary = None,
        vote: Vote = "any",
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
        """Simulate and observe the median-minimum diagram, which the next `fit_boundary` and `detect` use.

        Parameters
        ----------
        aux : Detector, str or list of these, optional
            Detector whose hits in the median or in an exposure are excluded from the simulations; none by default.
        vote, aux_noise : optional
            As for `detect`.
        n_simulations, seed, min_neighbors, x_min, x_max, y_max, y_floor : optional
            As for `~crstack.diagram.DiagramSettings`. Ends of axes are numbers in the unit of the exposures,
            or Quantities.
        nbinom_shape, synthetic : optional
            As for `~crstack.diagram.DiagramSettings`. A shape of "auto" is measured, see `nbinom_shape`.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        diagram : `~crstack.diagram.MMDiagram`
            Simulated and observed histogram, with their bin edges.

        Raises
        ------
        InputError
            If a setting is out of range, or ``synthetic="single"`` comes without a detector that cleans.
        """
        detected = detections_for(self.prepared, aux, vote, aux_noise)
        allow_work(self._workspace, len(self), MMCosmic(), detected.aux if detected else None)
        with progress_to(progress) as report:
            settings = DiagramSettings(
                n_simulations=n_simulations,
                seed=seed,
                min_neighbors=min_neighbors,
                y_max=y_max,
                y_floor=y_floor,
                nbinom_shape=arguments.definite_shape(nbinom_shape, self.prepared, detected, report),
                synthetic=synthetic,
                x_min=x_min,
                x_max=x_max,
            )
            self._diagram = diagram_of_stack(self.prepared, detected, settings, report)
        self._boundary = None
        self._in_diagram = InDiagram(self._diagram)
        return self._diagram

    def fit_boundary(
        self, model: BoundaryModel | str = "spline", *, progress: Progress | bool | None = None
    ) -> FittedBoundary:
        """Fit a boundary to the diagram, which the next `detect` uses.

        Parameters
        ----------
        model : BoundaryModel or str, optional
            The model, or the name of a registered one for its defaults.
        progress : callable or True, optional
            Called as ``progress(stage, fraction)``; True draws a bar.

        Returns
        -------
        boundary : `~crstack.boundaries.FittedBoundary`
            A callable of min2d.

        Raises
        ------
        InputError
            If the diagram has too few points for the model.
        PluginError
            If no model is registered by that name.
        """
        allow_work(self._workspace, len(self), MMCosmic())
        method = arguments.with_diagram(MMCosmic(boundary=as_boundary_model(model)), self._diagram)
        with progress_to(progress) as report:
            self._boundary = cast(FittedBoundary, method.fitted_boundary(self.prepared, None, report))
        self._in_diagram = InDiagram(self._boundary.diagram, self._boundary)
        return self._boundary

    # probabilities

    def joint_posterior(
        self,
        method: JointPosterior | None = None,
        *,
        aux: Auxiliary = None,
        vote: Vote = "any",
        aux_noise: AuxNoise = "exposure",
        progress: Progress | bool | None = None,
    ) -> JointResult:
        """Probability that each value is hit, from all exposures together.

        Parameters
        ----------
        method : JointPosterior, optional
            Its settings; the defaults if not given.
        aux, vote, aux_noise, progress : optional
            As for `detect`: pixels that the detector flags in an exposure have higher odds.

        Returns
        -------
        result : `~crstack.joint.JointResult`
            Probabilities of shape (N, ny, nx), the population of hits, and what differs between the exposures.
        """
        method, detected = method or JointPosterior(), detections_for(self.prepared, aux, vote, aux_noise)
        allow_work(self._workspace, len(self), method, detected.aux if detected else None)
        with progress_to(progress) as report:
            return method.posterior(self.prepared, detected, report)
