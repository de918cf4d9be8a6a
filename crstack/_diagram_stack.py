"""The part of a stack that makes the diagram and its boundary."""

import astropy.units as u
import numpy as np

from crstack._validation import check_choice
from crstack.boundaries._choose import as_boundary_model
from crstack.boundaries.base import FittedBoundary
from crstack.detectors._choose import as_detector
from crstack.detectors.voting import VotingDetector
from crstack.equalize import fit_nbinom_shape
from crstack.exceptions import InputError
from crstack.mmcosmic.diagram import DiagramSettings, EquivalentSets, make_diagram
from crstack.noise import GAIN_UNIT, NoiseModel
from crstack.simulation import LevelSampler, PixelSampler
from crstack.simulation.amplifiers import AmplifierSampler, amplifiers

__all__ = ["AUTO", "AUX_NOISE", "DiagramStack", "report_stage"]

#: boundary of the latest `CRStack.fit_boundary`, or else a new spline
AUTO = "auto"
#: whose noise a detector is told for the median and the means
AUX_NOISE = ("exposure", "average")


class DiagramStack:
    """Methods of `~crstack.CRStack` for the detectors, the diagram and the boundary."""

    # auxiliary detector

    def _noise_of(self, name, aux_noise):
        """Noise that a detector is told for an average: its own, or that of one exposure."""
        if aux_noise == "exposure":
            return self.exposures.noise_of_average(1)
        return self._noise_of_median() if name == "median" else self.exposures.noise_of_average(len(self))

    def _detection(self, aux, name, image, noise, bad):
        """Detection of ``aux`` on an image of the stack, computed once."""

        def compute():
            if not isinstance(aux, VotingDetector):
                return aux.detect(image, noise, bad)
            return aux.combine(image, [self._detection(one, name, image, noise, bad) for one in aux.detectors])

        return self._once(f"{type(aux).__name__} on {name}", (aux, noise.n_averaged), compute)

    def _detection_of_average(self, aux, name, aux_noise):
        image = self.statistics.median2d if name == "median" else self.statistics.mean2d
        return self._detection(aux, name, image, self._noise_of(name, aux_noise), self._nowhere_valid)

    def _detection_of_exposure(self, aux, i):
        exposures = self.exposures
        return self._detection(aux, f"exposure {i + 1}", exposures.data[i], exposures.noise_of(i), exposures.bad_of(i))

    # the diagram and its boundary

    def nbinom_shape(self, aux=None, *, aux_noise="exposure", progress=None):
        """Fit the shape of the photons' distribution to the exposures.

        Parameters
        ----------
        aux, aux_noise, progress
            As for `mm_diagram`: pixels that the detector flags are left out.

        Returns
        -------
        shape : `~crstack.equalize.NbinomShape`
            kappa and its error.
        """
        aux = as_detector(aux)

        def compute():
            used = self._simulated_pixels(aux, aux_noise, progress)
            return fit_nbinom_shape(self.equalized.levelled, used)

        return self._once("shape of the photons' distribution", (aux, aux_noise), compute)

    def mm_diagram(self, *, aux=None, vote="any", aux_noise="exposure", progress=None, **settings):
        """Simulate and observe the median-minimum diagram.

        Parameters
        ----------
        aux : Detector, str or list of these, optional
            Detector whose hits in the median or in an exposure are left out of
            the simulations; none by default.
        vote, aux_noise : optional
            As for `detect`.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.
        **settings
            Parameters of `~crstack.mmcosmic.diagram.DiagramSettings`: ``n_simulations``,
            ``seed``, ``min_neighbors``, ``y_max``, ``y_floor``, ``nbinom_shape``,
            ``synthetic``. With ``nbinom_shape="auto"`` it is that of `nbinom_shape`.

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
        aux = as_detector(aux, vote)
        check_choice("aux_noise", aux_noise, AUX_NOISE)
        if isinstance(settings.get("nbinom_shape"), str):
            check_choice("nbinom_shape", settings["nbinom_shape"], (AUTO,))
            shape = self.nbinom_shape(aux, aux_noise=aux_noise, progress=progress)
            settings["nbinom_shape"] = None if shape.is_poisson else shape.value
        self._diagram = self._make_diagram(DiagramSettings(**settings), aux, aux_noise, progress)
        self._boundary = None
        return self._diagram

    def _make_diagram(self, settings, aux, aux_noise, progress):
        def compute():
            used = self._simulated_pixels(aux, aux_noise, progress)
            sampler = self._sampler(used, settings, aux)
            report = None if progress is None else lambda fraction: progress("simulating", fraction)
            shifted = self.equalized.offsets is not None
            options = {"shifted": shifted, "sets": self._equivalent_sets(settings), "progress": report}
            return make_diagram(sampler, self.compared, used, settings, **options)

        return self._once("diagram", (settings, aux, aux_noise), compute)

    def _equivalent_sets(self, settings):
        """What a set of exposures without hits is like; None where these share no noise model."""
        exposures = self.exposures
        noise = exposures.noise_of(0).with_shape(settings.nbinom_shape)
        if not exposures.share_noise:
            return None
        if not noise.is_uniform:
            gain, readnoise = (np.median(value) for value in (noise.electrons_per_unit, noise.readnoise_electrons))
            noise = NoiseModel(gain * GAIN_UNIT, readnoise * u.electron, noise.unit, noise.shape)
        return EquivalentSets(noise, len(self), self.cr_coincidences)

    def _simulated_pixels(self, aux, aux_noise, progress):
        """Pixels that are simulated: valid everywhere, not flagged by ``aux``."""
        used = self.exposures.usable.copy()
        if aux is not None:
            report_stage(progress, "detecting in the median")
            used &= ~self._detection_of_average(aux, "median", aux_noise).mask
            for i in range(len(self)):
                report_stage(progress, f"detecting in exposure {i + 1}")
                used &= ~self._detection_of_exposure(aux, i).mask
        return used

    def _sampler(self, used, settings, aux):
        exposures, k = self.exposures, self.cr_coincidences
        differences = self.equalized.differences
        noises = [exposures.noise_of(i).with_shape(settings.nbinom_shape) for i in range(len(self))]
        if settings.synthetic == "single":
            expected = [self._cleaned_exposure(aux, i) for i in range(len(self))]
            return PixelSampler(expected, noises, used, k, settings.seed, differences)
        expected = self.statistics.median2d
        if differences is None and exposures.share_noise and noises[0].is_uniform:
            return LevelSampler(expected[used], noises[0], len(self), k, settings.seed)
        if differences is None and exposures.share_noise:
            parts = amplifiers(noises[0], expected.shape)
            if parts is not None:
                return AmplifierSampler(np.nan_to_num(expected), noises[0], parts, used, len(self), k, settings.seed)
        images = self.equalized.expected_images(expected)
        return PixelSampler(images, noises, used, k, settings.seed, differences)

    def _cleaned_exposure(self, aux, i):
        if aux is None or not aux.cleans:
            raise InputError(f'synthetic="single" must come with a detector that cleans; got aux={aux!r}')
        return np.nan_to_num(self._detection_of_exposure(aux, i).cleaned)

    def fit_boundary(self, model="spline", *, progress=None):
        """Fit a boundary to the diagram.

        Parameters
        ----------
        model : BoundaryModel or str, optional
            The model, or the name of a registered one for its defaults.
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

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
        self._boundary = self._fit(as_boundary_model(model), None, AUX_NOISE[0], progress)
        return self._boundary

    def _fit(self, model, aux, aux_noise, progress):
        fixed = getattr(model, "fixed_points", ())
        diagram = self._diagram
        if diagram is None:
            y_floor = max((point[1] for point in fixed), default=0.0)
            diagram = self._make_diagram(DiagramSettings(y_floor=y_floor), aux, aux_noise, progress)
        self._fitted_to = diagram
        return self._once("boundary", (model, id(diagram)), lambda: model.fit(diagram))

    def _boundary_for(self, boundary, aux, aux_noise, progress):
        if boundary is None or isinstance(boundary, FittedBoundary):
            # kept, so that its identity stays that of these settings
            return self._once("given boundary", id(boundary), lambda: boundary)
        if isinstance(boundary, str) and boundary == AUTO:
            if self._boundary is not None:
                return self._boundary
            boundary = "spline"
        return self._fit(as_boundary_model(boundary), aux, aux_noise, progress)


def report_stage(progress, stage):
    """Tell ``progress``, if there is one, that a stage begins."""
    if progress is not None:
        progress(stage, 0.0)
