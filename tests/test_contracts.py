"""One suite over every registered detector and boundary model."""

import astropy.units as u
import numpy as np
import pytest

from crstack import Detection, FittedBoundary, NoiseModel
from crstack._registry import BOUNDARIES, DETECTORS, Registry
from crstack.detectors import TwoPassDetector
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.exceptions import CRStackWarning, InputError, PluginError

DETECTOR_NAMES = DETECTORS.names()
READNOISE = 4.0
HITS = {(0, 0): 3000, (30, 40): 4000, (30, 41): 1500, (62, 70): 2500}
SHAPES = [(63, 71), (101, 77), (15, 400)]


def image_of(shape, gain, seed=0):
    """A flat image in ADU, noise and a few bright hits (those that lie inside)."""
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(60.0, shape) + rng.normal(0, READNOISE, shape)
    hits = np.zeros(shape, bool)
    for (y, x), charge in HITS.items():
        if y < shape[0] and x < shape[1]:
            electrons[y, x] += charge
            hits[y, x] = True
    return (electrons / gain).astype(np.float32), hits


def noise_of(gain, unit=u.adu):
    return NoiseModel(gain * u.electron / u.adu, READNOISE * u.electron, unit)


@pytest.fixture(params=DETECTOR_NAMES)
def detector(request):
    return DETECTORS.get(request.param)()


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_finds_the_hits_and_little_else(detector, gain, shape):
    image, hits = image_of(shape, gain)
    detection = detector.detect(image, noise_of(gain))
    assert isinstance(detection, Detection)
    assert detection.mask.shape == shape
    assert detection.mask.dtype == bool
    assert detection.mask[hits].all()
    assert (detection.mask & ~hits).sum() < 0.003 * hits.size
    assert (detection.cleaned is not None) == detector.cleans
    if detector.cleans:
        assert detection.cleaned.dtype == np.float32
        np.testing.assert_allclose(detection.cleaned[hits] * gain, 60, atol=30)
        np.testing.assert_array_equal(detection.cleaned[~detection.mask], image[~detection.mask])


def test_units_do_not_matter(detector):
    image, _ = image_of((101, 77), 2.5)
    adu = detector.detect(image, noise_of(2.5))
    electrons = detector.detect(image * np.float32(2.5), noise_of(2.5, u.electron))
    np.testing.assert_array_equal(adu.mask, electrons.mask)
    if detector.cleans:
        np.testing.assert_allclose(adu.cleaned * 2.5, electrons.cleaned, rtol=1e-4, atol=1e-3)


def test_an_average_has_less_noise(detector):
    """Told of less noise, a detector finds fainter hits."""
    one = noise_of(1.0)
    rng = np.random.default_rng(2)
    image = rng.normal(3, np.sqrt(one.averaged(16).variance(3.0)), (101, 77)).astype(np.float32)
    faint = (rng.integers(5, 95, 40), rng.integers(5, 70, 40))
    image[faint] += 15
    few, many = (detector.detect(image, noise).mask[faint].sum() for noise in (one, one.averaged(16)))
    assert many > 30
    assert few < many / 2


def test_bad_pixels(detector):
    image, hits = image_of((101, 77), 2.5)
    bad = np.zeros(image.shape, bool)
    bad[30, 42] = bad[50:53, 20] = True
    dirty = image.copy()
    dirty[bad] = 60000
    dirty[80, 10] = np.nan
    before = dirty.copy()
    detection = detector.detect(dirty, noise_of(2.5), bad)
    np.testing.assert_array_equal(dirty, before)
    assert not detection.mask[bad].any()
    assert not detection.mask[80, 10]
    assert detection.mask[hits].all()
    assert (detection.mask & ~hits).sum() < 0.003 * hits.size


def test_input_may_be_read_only(detector):
    image, _ = image_of((63, 71), 1.0)
    image.flags.writeable = False
    detector.detect(image, noise_of(1.0))


def test_detectors_are_frozen_and_comparable(detector):
    assert detector == type(detector)()
    assert hash(detector) == hash(type(detector)())
    assert type(detector).__name__ in repr(detector)
    assert set(detector.parameters()) <= set(vars(detector))
    with pytest.raises(AttributeError):
        setattr(detector, next(iter(detector.parameters())), 3)


@pytest.mark.parametrize("name", DETECTOR_NAMES)
def test_two_detectors_make_two_passes(name):
    cls = DETECTORS.get(name)
    threshold = "sigclip" if name == "lacosmic" else "sigma_det"
    image, hits = image_of((101, 77), 2.5)
    pair = cls(**{threshold: (8.0, 3.0)})
    two = TwoPassDetector(cls(**{threshold: 8.0}), cls(**{threshold: 3.0}))
    one, other = pair.detect(image, noise_of(2.5)), two.detect(image, noise_of(2.5))
    np.testing.assert_array_equal(one.mask, other.mask)
    assert other.mask[hits].all()
    assert two.cleans
    assert two.low.detect(image, noise_of(2.5)).mask.sum() > other.mask.sum()
    np.testing.assert_array_equal(other.cleaned[~other.mask], image[~other.mask])
    with pytest.raises(InputError, match="high must be a Detector; got 'lacosmic'"):
        TwoPassDetector("lacosmic", pair)


@pytest.mark.parametrize("name", BOUNDARIES.names())
def test_boundary_models(name):
    cls = BOUNDARIES.get(name)
    model = cls([(0, 30), (100, 60)]) if name == "piecewise" else cls()
    x_edges, y_edges = np.linspace(-20, 400, 101), np.linspace(0, 150, 101)
    counts = np.where(np.arange(100)[None, :] < 30 + np.arange(100)[:, None] // 3, 50, 0)
    boundary = model.fit(MMDiagram(counts, counts, x_edges, y_edges, DiagramSettings(), u.adu))
    assert isinstance(boundary, FittedBoundary)
    values = boundary(np.array([[-1e6, 0.0], [100.0, 1e6]], dtype=np.float32))
    assert values.shape == (2, 2)
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert type(model).__name__ in repr(boundary)


class Entry:
    def __init__(self, name, value):
        self.name, self.value = name, value

    def load(self):
        raise ImportError("no module named nothing")


def test_broken_plugins_warn_and_the_rest_work(monkeypatch):
    real = Registry("crstack.detectors", "detector")
    entries = {**real._entries(), "broken": Entry("broken", "nothing:Nothing")}
    monkeypatch.setattr(Registry, "_entries", lambda self: entries)
    with pytest.warns(CRStackWarning, match=r"detector 'broken' \(nothing:Nothing\) must be importable"):
        classes = real.load_all()
    assert set(DETECTOR_NAMES) <= set(classes)
    with pytest.raises(PluginError, match="must be importable"):
        real.get("broken")


def test_two_plugins_of_one_name_are_refused(monkeypatch):
    twice = [Entry("one", "a:A"), Entry("one", "b:B")]
    monkeypatch.setattr("crstack._registry.entry_points", lambda group: twice)
    with pytest.raises(PluginError, match="detector names must be unique; got 'one' from both a:A and b:B"):
        Registry("crstack.detectors", "detector").names()
