"""Checks of detectors."""

import astropy.units as u
import numpy as np

from crstack.detectors.base import Detection, Detector
from crstack.testing.contract import (
    CHARGE,
    READNOISE,
    SKY,
    TRACKS,
    check_arguments,
    check_few_false,
    check_frozen,
    expect,
    faults_named,
    faults_of_plugins,
    instance_of,
    noise_of_gain,
)
from crstack.utils.plugins import plugin_errors

__all__ = ["SHAPES", "check_detector"]

#: unusual shapes for networks and filters
SHAPES = ((63, 71), (101, 77), (15, 400))

#: an isolated pixel, which Cosmic-CoNN does not flag
SINGLE = ((12, 50),)


def check_detector(
    detector: Detector | type[Detector],
    *,
    single_pixels: bool = True,
    uses_noise: bool = True,
    most_false: float = 0.003,
) -> None:
    """Check that a detector fulfils the contract of `~crstack.detectors.Detector`.

    The test images have several shapes, in ADU of gain 1 and 2.5 and in electrons, with a flat sky, bright hits in the
    corners and elsewhere, bad pixels and NaN. The detector must find the hits and few other pixels, return arrays of
    the correct shape and type, never flag bad pixels, not modify its input, and be frozen and comparable.

    Parameters
    ----------
    detector : Detector or class
        The detector, or a class whose defaults are checked.
    single_pixels : bool, optional
        Whether an isolated bright pixel must be found.
    uses_noise : bool, optional
        Whether it must find fainter hits with lower noise. False for a detector that does not use the noise, such as a
        neural network.
    most_false : float, optional
        Largest fraction of the pixels that may be flagged without a hit.

    Raises
    ------
    AssertionError
        If it does not. The message states the fault.
    InputError
        If it is not a detector.
    """
    detector = instance_of(detector, Detector, "detector")
    with faults_named(detector):
        check_frozen(detector)
        check_arguments(detector.detect, "image", "noise", "mask")
        for shape in SHAPES:
            for gain in (1.0, 2.5):
                _check_finds_hits(detector, shape, gain, single_pixels, most_false)
        _check_units(detector)
        _check_bad_pixels(detector, most_false)
        _check_nothing_to_find(detector, most_false)
        if uses_noise:
            _check_noise(detector)


def flat_image(shape, gain, single_pixels=True, hit=True):
    """A flat image in ADU with hits, and where they are: float32 and bool (ny, nx)."""
    rng = np.random.default_rng(0)
    electrons = rng.poisson(SKY, shape) + rng.normal(0, READNOISE, shape)
    hits = np.zeros(shape, dtype=bool)
    if hit:
        pixels = [pixel for track in TRACKS for pixel in track] + list(SINGLE if single_pixels else ())
        hits[tuple(np.transpose(pixels))] = True
    electrons[hits] += CHARGE
    return (electrons / gain).astype(np.float32), hits


def _detected(detector, *arguments):
    """The detection of a detector; an error of it fails the check."""
    with faults_of_plugins(), plugin_errors(detector, "detect"):
        return detector.detect(*arguments)


def _check_answer(detector, detection, image):
    """Types and shapes of a detection."""
    expect(isinstance(detection, Detection), "detect must return a Detection", type(detection).__name__)
    expect(detection.mask is not None, "the Detection must have a mask")
    for name, kind in (("mask", np.bool_), ("cleaned", np.float32), ("probability", np.float32)):
        array = getattr(detection, name)
        if array is not None:
            expect(isinstance(array, np.ndarray), f"{name} must be an array", type(array).__name__)
            expect(array.shape == image.shape, f"{name} must have the shape {image.shape}", array.shape)
            expect(array.dtype == kind, f"{name} must be {kind.__name__}", array.dtype)
    cleans = bool(detector.cleans)
    expect((detection.cleaned is not None) == cleans, "cleaned must be given if, and only if, cleans is True")
    if detection.probability is not None:
        low, high = detection.probability.min(), detection.probability.max()
        expect(low >= 0 and high <= 1, "probability must be 0 to 1", f"{low} to {high}")


def _check_finds_hits(detector, shape, gain, single_pixels, most_false):
    where = f"in {shape} at gain {gain:g}"
    image, hits = flat_image(shape, gain, single_pixels)
    before = image.copy()
    image.flags.writeable = False
    detection = _detected(detector, image, noise_of_gain(gain))
    expect(np.array_equal(image, before), f"the image must not be modified {where}")
    _check_answer(detector, detection, image)
    missed = np.argwhere(hits & ~detection.mask).tolist()
    expect(not missed, f"every hit must be found {where}", f"none at {missed}")
    check_few_false(detection.mask & ~hits, most_false, where)
    if detection.cleaned is not None:
        off = np.abs(detection.cleaned[hits] * gain - SKY).max()
        expect(off < SKY / 2, f"cleaned must be near the sky where there were hits {where}", f"{off:.1f} e off")
        same = np.array_equal(detection.cleaned[~detection.mask], image[~detection.mask])
        expect(same, f"cleaned must be the image where nothing is flagged {where}")


def _check_units(detector):
    image, _ = flat_image((101, 77), 2.5)
    adu = _detected(detector, image, noise_of_gain(2.5))
    electrons = _detected(detector, image * np.float32(2.5), noise_of_gain(2.5, u.electron))
    differ = np.count_nonzero(adu.mask != electrons.mask)
    expect(differ == 0, "an image in electrons must give the mask of that in ADU", f"{differ} other pixels")
    if adu.cleaned is not None:
        same = np.allclose(adu.cleaned * 2.5, electrons.cleaned, rtol=1e-4, atol=1e-3)
        expect(same, "cleaned must be in the unit of the image")


def _check_bad_pixels(detector, most_false):
    image, hits = flat_image((101, 77), 2.5, single_pixels=False)
    bad = np.zeros(image.shape, dtype=bool)
    bad[7, 32] = bad[50:53, 20] = bad[100, 40:60] = True
    dirty = np.where(bad, np.float32(60000), image)
    dirty[80, 10], dirty[81, 40] = np.nan, np.inf
    kept, kept_bad = dirty.copy(), bad.copy()
    detection = _detected(detector, dirty, noise_of_gain(2.5), bad)
    expect(np.array_equal(dirty, kept, equal_nan=True), "NaN and bad pixels of the image must not be modified")
    expect(np.array_equal(bad, kept_bad), "the mask of bad pixels must not be modified")
    _check_answer(detector, detection, dirty)
    unusable = bad | ~np.isfinite(dirty)
    expect(not (detection.mask & unusable).any(), "bad pixels and NaN must never be flagged")
    missed = np.argwhere(hits & ~unusable & ~detection.mask).tolist()
    expect(not missed, "hits beside bad pixels must be found", f"none at {missed}")
    check_few_false(detection.mask & ~hits, most_false, "beside bad pixels")


def _check_nothing_to_find(detector, most_false):
    image, _ = flat_image((101, 77), 1.0, hit=False)
    check_few_false(_detected(detector, image, noise_of_gain(1.0)).mask, most_false, "where there are no hits")
    everything = np.ones(image.shape, dtype=bool)
    detection = _detected(detector, image, noise_of_gain(1.0), everything)
    _check_answer(detector, detection, image)
    expect(not detection.mask.any(), "nothing must be flagged where every pixel is bad")


def _check_noise(detector):
    """Check that a detector finds fainter hits with lower noise."""
    one = noise_of_gain(1.0)
    rng = np.random.default_rng(2)
    image = rng.normal(3, np.sqrt(one.averaged(16).variance(3.0)), (101, 77)).astype(np.float32)
    faint = (rng.integers(5, 95, 40), rng.integers(5, 70, 40))
    image[faint] += 15
    few, many = (_detected(detector, image, noise).mask[faint].sum() for noise in (one, one.averaged(16)))
    expect(
        many > 30 and few < many / 2,
        "fainter hits must be found where the noise is less (a detector that does not use the noise "
        "is checked with uses_noise=False)",
        f"{few} of 40 hits with more noise and {many} with less",
    )
