"""Tests of the detections of auxiliary detectors."""

import threading
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.detections import AUX_NOISE, Detections
from crstack.detectors import Detection, Detector, PyCosmicDetector
from crstack.utils.memory import limited_memory
from crstack.utils.threads import limited_threads


@pytest.mark.parametrize(
    # variances of medians of normal values: of three, and of the middle two of four
    ("n", "of_median"),
    [(3, 0.448671), (4, 0.298246), (5, 0.286834)],
)
def test_noise_that_a_detector_assumes_in_an_average(flat_exposures, n, of_median):
    stack = CRStack(flat_exposures(n), gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    one = stack.exposures.noise.variance(np.float32(100))
    assert one == pytest.approx(100 / 2 + 25 / 4)
    for name, share in (("mean", 1 / n), ("median", of_median)):
        found = {
            aux_noise: Detections(stack.prepared, PyCosmicDetector(), aux_noise).noise_of_average(name)
            for aux_noise in AUX_NOISE
        }
        assert found["average"].variance(np.float32(100)) == pytest.approx(share * one, rel=1e-3)
        assert found["exposure"].variance(np.float32(100)) == one


@dataclass(frozen=True)
class Brightest(Detector):
    """Flags the brightest pixels, and notes its threads."""

    seen: tuple = field(default=(set(), []), compare=False, repr=False)
    in_threads = False

    def detect(self, image, noise, mask=None):
        """Find pixels."""
        self.seen[1].append(image.shape)
        self.seen[0].add(threading.current_thread().name)
        return Detection(mask=image > np.percentile(image, 99))


@dataclass(frozen=True)
class BrightestInThreads(Brightest):
    """The same, in threads."""

    seen: tuple = field(default=(set(), []), compare=False, repr=False)
    in_threads = True


@pytest.mark.parametrize(("kind", "n_stages"), [(Brightest, 4), (BrightestInThreads, 1)])
def test_images_are_searched_in_threads_where_the_detector_allows_it(kind, n_stages):
    simulated = make_stack("ifu", shape=(40, 50), seed=5)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stages, detector = [], kind(seen=(set(), []))
    with limited_threads(4):
        detected = Detections(stack.prepared, detector)
        detected.search(lambda stage, fraction: stages.append(stage))
    if kind is Brightest:
        assert detector.seen[0] == {threading.main_thread().name}
    assert len(stages) == n_stages
    assert len(detector.seen[1]) == 4
    data = stack.exposures.data
    found = np.stack([detected.in_average("median").mask, *detected.in_exposures()])
    images = [stack.statistics.median2d, *data]
    np.testing.assert_array_equal(found, [one > np.percentile(one, 99) for one in images])
    assert len(detector.seen[1]) == 4  # each image is searched once


def test_images_are_searched_one_by_one_where_memory_is_limited():
    simulated = make_stack("ifu", shape=(40, 50), seed=5)
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "mem_limit": "8GB"}
    stack, detector = CRStack(simulated.exposures, **options), BrightestInThreads(seen=(set(), []))
    with limited_threads(4), limited_memory(stack._workspace):
        Detections(stack.prepared, detector).search()
    assert detector.seen[0] == {threading.main_thread().name}
