"""Input of every method: the exposures, their expected images, and the detections in them."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from crstack.detectors.base import Detection, Detector, checked_detection
from crstack.detectors.voting import VotingDetector
from crstack.equalize.equalized import EqualizedExposures
from crstack.equalize.fit.differences import Differences
from crstack.equalize.known import before_shifts, equalize_as_known
from crstack.equalize.settings import Equalization, known_steps, open_settings
from crstack.equalize.terms.given_terms import warn_of_terms
from crstack.equalize.terms.wcs_shifts import compare_with_wcs
from crstack.equalize.with_measured import with_measured
from crstack.exposures import Exposures
from crstack.exposures.comparison.times import warn_of_times
from crstack.noise import NoiseModel
from crstack.statistics import OrderStatistics, normal_order_moments, order_statistics
from crstack.utils.memory import empty_image, kept
from crstack.utils.plugins import protected
from crstack.utils.threads import map_images
from crstack.utils.validation import check_choice, check_integer

__all__ = ["AUX_NOISE", "AuxNoise", "Detections", "PreparedStack", "Progress", "report_stage"]

#: called as ``progress(stage, fraction)``
Progress = Callable[[str, float], None]
AuxNoise = Literal["exposure", "average"]
#: noise that a detector assumes in the median and the means
AUX_NOISE = ("exposure", "average")
#: default number of stored results of each stage
KEPT = 8


def report_stage(progress: Progress | None, stage: str) -> None:
    """Report to ``progress``, if there is one, that a stage begins.

    Parameters
    ----------
    progress : callable or None
        Called as ``progress(stage, 0.0)``.
    stage : str
        Name of the stage.
    """
    if progress is not None:
        progress(stage, 0.0)


class _Same:
    """A key that equals only itself. It holds the object, so that its identity is not reused."""

    def __init__(self, one: object) -> None:
        self._one = one

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._one is self._one

    def __hash__(self) -> int:
        return id(self._one)


def _as_key(settings: object) -> Hashable:
    """Settings as a key; objects that cannot be hashed equal only themselves."""
    if isinstance(settings, tuple):
        return tuple(_as_key(one) for one in settings)
    try:
        hash(settings)
    except TypeError:
        return _Same(settings)
    return settings


class PreparedStack:
    """The exposures of a stack, their expected images, and the results computed from them.

    Parameters
    ----------
    given : `~crstack.exposures.Exposures`
        The exposures as read.
    cr_coincidences : int
        Number of highest values that min2d excludes; 1 for two exposures.
    equalization : `~crstack.equalize.Equalization`
        Given or measured differences of exposures that are not equivalent.

    Attributes
    ----------
    timings : dict of float
        Seconds that each stage took when it was computed, by its name.
    """

    def __init__(self, given: Exposures, cr_coincidences: int, equalization: Equalization) -> None:
        check_integer("cr_coincidences", cr_coincidences, minimum=2, maximum=max(len(given) - 1, 2))
        if len(given) == 2:
            # with two exposures the lower value is the replacement, because either may be hit
            cr_coincidences = 1
        equalization.check_for(given)
        used = equalization.uses_times
        warn_of_times(given, used=used, given=not used and equalization.flux_factors is not None)
        self.given = given
        self.cr_coincidences = cr_coincidences
        self.equalization = equalization
        self.timings: dict[str, float] = {}
        self._kept: dict[str, OrderedDict[Hashable, Any]] = {}

    def __len__(self) -> int:
        return len(self.given)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the stored results, for pickles and copies: they are large, and are computed again."""
        return self.__dict__ | {"_kept": {}}

    def once(self, stage: str, settings: object, compute: Callable[[], Any], *, keep: int = KEPT) -> Any:
        """Return the result of a stage for these settings; compute it if it is not stored.

        Parameters
        ----------
        stage : str
            Name of the stage.
        settings : object
            Everything that the result depends on, except this stack. Compared by value if it can be hashed.
        compute : callable
            Computes the result.
        keep : int, optional
            Number of results of this stage that are stored; the least recently used is dropped first.

        Returns
        -------
        result : object
            What ``compute`` returned.
        """
        key = _as_key(settings)
        results = self._kept.setdefault(stage, OrderedDict())
        if key not in results:
            start = time.perf_counter()
            results[key] = compute()
            self.timings[stage] = time.perf_counter() - start
        results.move_to_end(key)
        while len(results) > keep:
            results.popitem(last=False)
        return results[key]

    # the exposures

    @property
    def known(self) -> EqualizedExposures:
        """The exposures with the differences that are given, or measured before all other terms."""

        def compute() -> EqualizedExposures:
            found = equalize_as_known(self.given, lambda: self.statistics_of(self.given), self.equalization)
            warn_of_terms(found, self.equalization, open_settings(self.equalization))
            return found

        return self.once("equalization", None, compute)

    @property
    def before_measurement(self) -> EqualizedExposures:
        """The exposures as they are measured: those of `known`, without given offsets where these are a start only."""

        def compute() -> EqualizedExposures:
            return self.known if known_steps(self.equalization) is None else before_shifts(self.known)

        return self.once("before shifts", None, compute)

    @property
    def equalized(self) -> EqualizedExposures:
        """The exposures with all their differences: those of `known`, and what is measured beyond them.

        The joint decision measures the same terms itself, in the memory that it may use.
        """
        names, steps = open_settings(self.equalization), known_steps(self.equalization)
        return self.once("differences", None, lambda: with_measured(self.before_measurement, names, steps))

    @property
    def exposures(self) -> Exposures:
        """The exposures to combine, divided by the factors of `known`."""
        return self.known.exposures

    @property
    def at_mean_level(self) -> Exposures:
        """The exposures minus their expected differences, plus the mean of these."""

        def compute() -> Exposures:
            differences = self.equalized.differences
            if differences is None:
                return self.exposures
            return self.exposures.at_mean_level(differences)

        return self.once("exposures on their mean level", None, compute)

    @property
    def statistics(self) -> OrderStatistics:
        """Order statistics of `exposures`."""
        return self.statistics_of(self.exposures)

    @property
    def compared(self) -> OrderStatistics:
        """Order statistics of the compared data: the exposures minus their expected differences."""
        return self.statistics_of(self.equalized.levelled)

    def statistics_of(self, exposures: Exposures) -> OrderStatistics:
        """Order statistics of exposures, computed once.

        Parameters
        ----------
        exposures : `~crstack.exposures.Exposures`
            The exposures.

        Returns
        -------
        statistics : `~crstack.statistics.OrderStatistics`
            Of shape (ny, nx).
        """

        def compute() -> OrderStatistics:
            return order_statistics(exposures.data, self.cr_coincidences, exposures.bad)

        return self.once("order statistics", exposures, compute)

    @property
    def nowhere_valid(self) -> np.ndarray | None:
        """Pixels without a valid exposure, bool (ny, nx); None if there are none."""
        nothing = self.statistics.count == 0
        return nothing if nothing.any() else None

    def compare_with_wcs(self, measured: Differences | None) -> None:
        """Warn if the world coordinates of the headers give other shifts than those that are used.

        Parameters
        ----------
        measured : `~crstack.equalize.Differences` or None
            What the decision measured, beyond the offsets of `known`.
        """
        offsets = self.known.offsets
        if offsets is not None:
            is_measured = any(any(one) for one in offsets.errors)
            compare_with_wcs(self.exposures, offsets.values, offsets.errors if is_measured else None)
        elif measured is not None and "offsets" in open_settings(self.equalization):
            compare_with_wcs(self.exposures, measured.shifts, measured.kernel_errors[:, 1:3].tolist())

    # auxiliary detectors

    def noise_of_average(self, name: Literal["median", "mean"], aux_noise: AuxNoise) -> NoiseModel:
        """Noise that a detector assumes in an average: that of the average, or that of one exposure.

        Parameters
        ----------
        name : {"median", "mean"}
            Which average.
        aux_noise : {"average", "exposure"}
            Whether the noise is that of the average, or of one exposure.

        Returns
        -------
        noise : `~crstack.noise.NoiseModel`
            Of the average.
        """
        if aux_noise == "exposure":
            return self.exposures.noise_of_average(1)
        if name == "mean":
            return self.exposures.noise_of_average(len(self))
        middle = slice((len(self) - 1) // 2, len(self) // 2 + 1)
        _, covariance = normal_order_moments(len(self))
        return self.exposures.noise_of_average(1 / covariance[middle, middle].mean())

    def detections(self, aux: Detector | None, aux_noise: AuxNoise = "exposure") -> "Detections | None":
        """Collect the detections of an auxiliary detector in the images of the stack; None without a detector.

        Parameters
        ----------
        aux : `~crstack.detectors.Detector` or None
            The detector.
        aux_noise : {"exposure", "average"}, optional
            Noise that it assumes in an average: see `noise_of_average`.

        Returns
        -------
        detections : Detections or None
            Computed when they are asked for.
        """
        check_choice("aux_noise", aux_noise, AUX_NOISE)
        return None if aux is None else Detections(self, aux, aux_noise)


class ReadOnlyStack(PreparedStack):
    """A prepared stack with read-only arrays, for the methods of plug-ins. It shares the stored results.

    Parameters
    ----------
    prepared : PreparedStack
        The stack.
    """

    def __init__(self, prepared: PreparedStack) -> None:
        self.__dict__.update(prepared.__dict__)
        self._whole = prepared
        self.given = protected(prepared.given)

    @property
    def known(self) -> EqualizedExposures:
        """See `PreparedStack.known`."""
        return protected(self._whole.known)

    @property
    def equalized(self) -> EqualizedExposures:
        """See `PreparedStack.equalized`."""
        return protected(self._whole.equalized)

    @property
    def statistics(self) -> OrderStatistics:
        """See `PreparedStack.statistics`."""
        return protected(self._whole.statistics)

    @property
    def compared(self) -> OrderStatistics:
        """See `PreparedStack.compared`."""
        return protected(self._whole.compared)


@dataclass(frozen=True)
class Detections:
    """Detections of an auxiliary detector in the images of a stack. An image is searched at its first use.

    What is kept is shared, so its arrays are read-only.

    Parameters
    ----------
    prepared : PreparedStack
        The stack, which stores the detections.
    aux : `~crstack.Detector`
        The detector.
    aux_noise : {"exposure", "average"}
        Noise that it assumes in the median and the mean.
    """

    prepared: PreparedStack
    aux: Detector
    aux_noise: AuxNoise = "exposure"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the detectors, if several vote; empty otherwise."""
        return self.aux.names if isinstance(self.aux, VotingDetector) else ()

    def _detection_in(
        self, image: np.ndarray, name: str, noise: NoiseModel, bad: np.ndarray | None, aux: Detector | None = None
    ) -> Detection:
        """Detection in an image, computed once; by one of several detectors if ``aux`` is given."""
        detector = self.aux if aux is None else aux

        def compute() -> Detection:
            if isinstance(detector, VotingDetector):
                votes = [self._detection_in(image, name, noise, bad, one) for one in detector.detectors]
                found = detector.combine(image, votes)
            else:
                found = checked_detection(detector, image, noise, bad)
            names = [one.name for one in fields(found)]
            planes = kept(tuple(getattr(found, one) for one in names))
            return protected(replace(found, **dict(zip(names, planes, strict=True))))

        return self.prepared.once(f"{type(detector).__name__} on {name}", (detector, noise.n_averaged), compute)

    def search(self, progress: Progress | None = None, *, median: bool = True) -> None:
        """Search all exposures now, so that later calls return at once.

        Where the detector allows it, several images are searched at the same time.

        Parameters
        ----------
        progress : callable, optional
            Called as ``progress(stage, fraction)``.
        median : bool, optional
            Whether to search the median too.
        """

        def search_one(i: int) -> None:
            self.in_average("median") if i < 0 else self.in_exposure(i)

        images = range(-1 if median else 0, len(self.prepared))
        if self.aux.in_threads:
            report_stage(progress, "detecting in the exposures")
            self.prepared.statistics  # noqa: B018 (computed once, not in each thread)
            map_images(search_one, images)
            return
        for i in images:
            report_stage(progress, "detecting in the median" if i < 0 else f"detecting in exposure {i + 1}")
            search_one(i)

    def in_average(self, name: Literal["median", "mean"]) -> Detection:
        """Detection in the median or in the mean of the exposures.

        Parameters
        ----------
        name : {"median", "mean"}
            Which average.

        Returns
        -------
        detection : `~crstack.detectors.Detection`
            Of shape (ny, nx).
        """
        prepared = self.prepared
        image = prepared.statistics.median2d if name == "median" else prepared.statistics.mean2d
        return self._detection_in(image, name, prepared.noise_of_average(name, self.aux_noise), prepared.nowhere_valid)

    def in_exposure(self, i: int) -> Detection:
        """Detection in exposure ``i``, counted from 0.

        Parameters
        ----------
        i : int
            Number of the exposure.

        Returns
        -------
        detection : `~crstack.detectors.Detection`
            Of shape (ny, nx).
        """
        exposures = self.prepared.exposures
        return self._detection_in(exposures.data[i], f"exposure {i + 1}", exposures.noise_of(i), exposures.bad_of(i))

    def in_exposures(self, progress: Progress | None = None) -> np.ndarray:
        """The masks of all exposures, bool (N, ny, nx).

        Parameters
        ----------
        progress : callable, optional
            Called as ``progress(stage, fraction)``.

        Returns
        -------
        masks : `~numpy.ndarray` of bool
            (N, ny, nx).
        """
        self.search(progress, median=False)
        found = empty_image(self.prepared.exposures.data.shape, bool)
        for i in range(len(self.prepared)):
            found[i] = self.in_exposure(i).mask
        return found

    def votes_in_exposures(self) -> Sequence[np.ndarray]:
        """N images (ny, nx) of the detectors that found each pixel, where several vote: ``Detection.found_by``.

        Returns
        -------
        votes : sequence of `~numpy.ndarray`
            N images (ny, nx), uint8: one bit for each detector.
        """
        votes = [self.in_exposure(i).found_by for i in range(len(self.prepared))]
        return [one for one in votes if one is not None]

    def in_mean_of_clean(self, meancr: np.ndarray) -> Detection:
        """Detection in ``meancr``, the mean of the exposures that are not masked; not kept.

        Parameters
        ----------
        meancr : `~numpy.ndarray`
            (ny, nx).

        Returns
        -------
        detection : `~crstack.detectors.Detection`
            Of shape (ny, nx).
        """
        start = time.perf_counter()
        prepared = self.prepared
        noise = prepared.noise_of_average("mean", self.aux_noise)
        found = checked_detection(self.aux, meancr, noise, prepared.nowhere_valid)
        prepared.timings[f"{type(self.aux).__name__} on meancr"] = time.perf_counter() - start
        return found
