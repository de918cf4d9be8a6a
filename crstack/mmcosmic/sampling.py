"""The diagram of a stack: selection and simulation of its pixels."""

import astropy.units as u
import numpy as np

from crstack.detections import Detections
from crstack.diagram import DiagramSettings, EquivalentSets, MMDiagram, make_diagram
from crstack.equalize.terms.overdispersion import NbinomShape, fit_nbinom_shape
from crstack.exceptions import InputError
from crstack.exposures.comparison.unused import check_values
from crstack.noise import GAIN_UNIT, NoiseModel
from crstack.prepared import PreparedStack, Progress
from crstack.simulation import LevelSampler, PixelSampler
from crstack.simulation.amplifiers import AmplifierSampler, amplifiers

__all__ = ["check_three_or_more", "diagram_of_stack", "nbinom_shape_of_stack"]


def nbinom_shape_of_stack(
    prepared: PreparedStack, detected: Detections | None, progress: Progress | None = None
) -> NbinomShape:
    """Fit the shape of the photons' distribution to the pixels that no detector flags; computed once."""

    def compute() -> NbinomShape:
        check_values(prepared.exposures, "the shape of the photons' distribution")
        used = _simulated_pixels(prepared, detected, progress)
        return fit_nbinom_shape(prepared.equalized.levelled, used)

    return prepared.once("shape of the photons' distribution", detected, compute)


def check_three_or_more(prepared: PreparedStack) -> None:
    """Raise `InputError` for two exposures, whose median is their mean, or if one has no valid value."""
    if len(prepared) < 3:
        raise InputError(
            f"exposures must be three or more for M.M.Cosmic; got {len(prepared)}: use detect('joint'), which needs two"
        )
    check_values(prepared.exposures, "M.M.Cosmic")


def diagram_of_stack(
    prepared: PreparedStack,
    detected: Detections | None,
    settings: DiagramSettings,
    progress: Progress | None = None,
) -> MMDiagram:
    """Simulate and observe the diagram of a stack; computed once.

    Parameters
    ----------
    prepared : `~crstack.prepared.PreparedStack`
        The stack.
    detected : `~crstack.detections.Detections` or None
        Pixels that it flags in the median or in an exposure are excluded.
    settings : DiagramSettings
        Settings of the simulation.
    progress : callable, optional
        Called as ``progress(stage, fraction)``.

    Returns
    -------
    diagram : MMDiagram

    Raises
    ------
    InputError
        If no pixel can be used, or ``synthetic="single"`` comes without a detector that cleans.
    """
    check_three_or_more(prepared)
    settings = settings.in_unit(prepared.exposures.unit)

    def compute() -> MMDiagram:
        used = _simulated_pixels(prepared, detected, progress)
        sampler = _sampler(prepared, detected, used, settings)
        return make_diagram(
            sampler,
            prepared.compared,
            used,
            settings,
            shifted=prepared.equalized.offsets is not None,
            sets=_equivalent_sets(prepared, settings),
            progress=None if progress is None else lambda fraction: progress("simulating", fraction),
        )

    return prepared.once("diagram", (settings, detected), compute)


def _simulated_pixels(prepared, detected, progress):
    """The simulated pixels: valid in every exposure, not flagged by the detector. `InputError` if there is none."""
    used = prepared.exposures.usable.copy()
    if detected is not None:
        detected.search(progress)
        used &= ~detected.in_average("median").mask
        for i in range(len(prepared)):
            used &= ~detected.in_exposure(i).mask
    if not used.any():
        raise InputError("exposures must share valid pixels that the auxiliary detector does not flag; got none")
    return used


def _equivalent_sets(prepared, settings):
    """Sets of exposures like these, without hits; None where the exposures share no noise model."""
    exposures = prepared.exposures
    noise = exposures.noise_of(0).with_nbinom_shape(settings.nbinom_shape)
    if not exposures.share_noise:
        return None
    if not noise.is_uniform:
        gain, readnoise = (np.median(value) for value in (noise.electrons_per_unit, noise.readnoise_electrons))
        noise = NoiseModel(gain * GAIN_UNIT, readnoise * u.electron, noise.unit, noise.nbinom_shape)
    return EquivalentSets(noise, len(prepared), prepared.cr_coincidences)


def _sampler(prepared, detected, used, settings):
    """The fastest sampler that describes the exposures and their noise."""
    exposures, k = prepared.exposures, prepared.cr_coincidences
    n, differences = len(prepared), prepared.equalized.differences
    noises = [exposures.noise_of(i).with_nbinom_shape(settings.nbinom_shape) for i in range(n)]
    if settings.synthetic == "single":
        images = [_cleaned_exposure(detected, i) for i in range(n)]
        return PixelSampler(images, noises, used, k, settings.seed, differences)
    expected = prepared.statistics.median2d
    if differences is None and exposures.share_noise and noises[0].is_uniform:
        return LevelSampler(expected[used], noises[0], n, k, settings.seed)
    if differences is None and exposures.share_noise:
        parts = amplifiers(noises[0], expected.shape)
        if parts is not None:
            options = {"n_exposures": n, "cr_coincidences": k, "seed": settings.seed}
            return AmplifierSampler(np.nan_to_num(expected), noises[0], parts, used, **options)
    images = prepared.equalized.expected_images(expected)
    return PixelSampler(images, noises, used, k, settings.seed, differences)


def _cleaned_exposure(detected, i):
    """Exposure ``i`` as the detector has cleaned it; `InputError` without such a detector."""
    if detected is None or not detected.aux.cleans:
        given = None if detected is None else detected.aux
        raise InputError(
            f'aux must be a detector that cleans, such as "lacosmic", for synthetic="single"; got {given!r}'
        )
    return np.nan_to_num(detected.in_exposure(i).cleaned)
