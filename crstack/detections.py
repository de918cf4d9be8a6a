"""Detections of an auxiliary detector in the images of a stack."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from crstack.detectors.base import Detection, Detector, checked_detection
from crstack.detectors.voting import VotingDetector
from crstack.noise import NoiseModel
from crstack.normal_samples import normal_order_moments
from crstack.prepared import PreparedStack, Progress, report_stage
from crstack.utils.memory import empty_image, kept
from crstack.utils.plugins import protected
from crstack.utils.threads import map_images

__all__ = ["AUX_NOISE", "AuxNoise", "Detections"]

AuxNoise = Literal["exposure", "average"]
#: noise that a detector assumes in the median and the means
AUX_NOISE = ("exposure", "average")


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

    def noise_of_average(self, name: Literal["median", "mean"]) -> NoiseModel:
        """Noise that the detector assumes in an average: that of the average, or that of one exposure.

        Parameters
        ----------
        name : {"median", "mean"}
            Which average.

        Returns
        -------
        noise : `~crstack.noise.NoiseModel`
            See ``aux_noise``.
        """
        exposures, n = self.prepared.exposures, len(self.prepared)
        if self.aux_noise == "exposure":
            return exposures.noise_of_average(1)
        if name == "mean":
            return exposures.noise_of_average(n)
        middle = slice((n - 1) // 2, n // 2 + 1)
        _, covariance = normal_order_moments(n)
        return exposures.noise_of_average(1 / covariance[middle, middle].mean())

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
        return self._detection_in(image, name, self.noise_of_average(name), prepared.nowhere_valid)

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
        noise = self.noise_of_average("mean")
        found = checked_detection(self.aux, meancr, noise, prepared.nowhere_valid)
        prepared.timings[f"{type(self.aux).__name__} on meancr"] = time.perf_counter() - start
        return found
