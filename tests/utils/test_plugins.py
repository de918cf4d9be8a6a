"""Plug-ins: their input, their results, and the report of their errors."""

from dataclasses import dataclass, field, replace

import astropy.units as u
import numpy as np
import pytest

from crstack import (
    BoundaryModel,
    Detection,
    Detector,
    FittedBoundary,
    LACosmicDetector,
    NoiseModel,
    PyCosmicDetector,
    VotingDetector,
)
from crstack.boundaries.base import boundary_values, check_boundary_of, checked_fit
from crstack.detectors import TwoPassDetector
from crstack.detectors.base import checked_detection
from crstack.detectors.choice import as_detector
from crstack.diagram import DiagramSettings, EquivalentSets, MMDiagram
from crstack.exceptions import InputError, PluginError
from crstack.masks import Code
from crstack.methods import Decision, Method
from crstack.testing import check_detector
from crstack.utils.plugins import check_comparable, protected
from crstack.utils.registry import Registry

NOISE = NoiseModel(2 * u.electron / u.adu, 4 * u.electron)
NAN = np.float32(np.nan)


def image_and_bad():
    image = np.random.default_rng(3).normal(100, 5, (20, 24)).astype(np.float32)
    bad = np.zeros(image.shape, bool)
    bad[3, 4] = True
    image[5, 6] = image[3, 4] = 5000
    return image, bad


def over_1000(image, noise, mask):
    return image > 1000


@dataclass(frozen=True)
class Strange(Detector):
    """A detector whose result is that of a function."""

    answer: object = over_1000
    cleans: bool = False

    def detect(self, image, noise, mask=None):
        return self.answer(image, noise, mask)


def writes_into_the_image(image, noise, mask):
    image *= 0.01


def writes_into_the_mask(image, noise, mask):
    mask[:] = False


def writes_into_the_variance(image, noise, mask):
    noise.known_variance[:] = 1


def leaves(image, noise, mask):
    raise SystemExit(0)


def raises(image, noise, mask):
    raise KeyError("k")


def raises_without_a_word(image, noise, mask):
    raise RuntimeError


def nothing(image, noise, mask):
    return None


def detection(mask=None, **others):
    """A function that returns a Detection; ``mask`` and the others are functions of the image."""

    def answer(image, noise, bad):
        made = {name: make(image) for name, make in others.items()}
        return Detection(image > 1000 if mask is None else mask(image), **made)

    return answer


WRONG = {
    writes_into_the_image: "Strange must detect without an error; got ValueError: .*read-only",
    writes_into_the_mask: "got ValueError: .*read-only",
    writes_into_the_variance: "got ValueError: .*read-only",
    leaves: "Strange must detect without an error; got SystemExit: 0",
    raises: "Strange must detect without an error; got KeyError: 'k'",
    raises_without_a_word: "Strange must detect without an error; got RuntimeError$",
    nothing: "detect of Strange must return a Detection; got NoneType",
    over_1000: "detect of Strange must return a Detection; got ndarray",
    detection(lambda image: None): "mask of Strange must be an array of bool; got NoneType",
    detection(lambda image: np.zeros((3, 3), bool)): r"mask of Strange must have the shape \(20, 24\) .* got \(3, 3\)",
    detection(lambda image: (image > 1000).astype(int)): "mask of Strange must be an array of bool; got int64",
    detection(cleaned=lambda image: np.full((2, 2), NAN)): r"cleaned of Strange must have the shape",
    detection(cleaned=lambda image: np.where(image > 1000, NAN, image)): "cleaned of Strange must be finite .* 1 other",
    detection(cleaned=lambda image: image.astype(complex)): "cleaned of Strange must be an array of float32",
    detection(cleaned=lambda image: image.astype(object)): "cleaned of Strange must be an array of float32; got object",
    detection(probability=lambda image: image): "probability of Strange must be 0 to 1; got .* to 5000",
    detection(probability=lambda image: image * NAN): "probability of Strange must be 0 to 1; got nan to nan",
    detection(found_by=lambda image: image > 0): "found_by of Strange must be an array of uint8; got bool",
}


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: WRONG[answer][:40])
def test_wrong_answers_become_an_error_with_the_name_of_the_detector(answer):
    image, bad = image_and_bad()
    noise = NOISE.with_known_variance(np.full(image.shape, 30, np.float32))
    before = image.copy(), bad.copy(), noise.known_variance.copy()
    with pytest.raises(PluginError, match=WRONG[answer]) as caught:
        checked_detection(Strange(answer), image, noise, bad)
    if "without an error" in str(caught.value):
        assert caught.value.__cause__ is not None
    for array, kept in zip((image, bad, noise.known_variance), before, strict=True):
        np.testing.assert_array_equal(array, kept)
        assert array.flags.writeable


def test_right_answers_pass():
    image, bad = image_and_bad()
    found = checked_detection(Strange(detection(cleaned=lambda image: image.astype(float))), image, NOISE, bad)
    assert found.cleaned.dtype == np.float32
    # a bad pixel is not flagged, even if the detector flags it
    assert np.argwhere(found.mask).tolist() == [[5, 6]]
    dirty = np.where(bad, NAN, image)
    found = checked_detection(Strange(detection(cleaned=lambda image: image)), dirty, NOISE)
    assert np.isnan(found.cleaned[3, 4])
    ours = PyCosmicDetector()
    np.testing.assert_array_equal(checked_detection(ours, image, NOISE, bad).mask, ours.detect(image, NOISE, bad).mask)


def test_a_detector_that_cleans_must_return_a_cleaned_image():
    image, bad = image_and_bad()
    with pytest.raises(PluginError, match=r"detect of Strange must return a cleaned image, .* cleans = True; got None"):
        checked_detection(Strange(detection(), cleans=True), image, NOISE, bad)


def test_sentences_of_crstack_and_lack_of_memory_pass():
    image, bad = image_and_bad()

    def refuse(image, noise, mask):
        raise InputError("image must be larger; got 20 x 24")

    def too_large(image, noise, mask):
        raise MemoryError

    with pytest.raises(InputError, match="image must be larger"):
        checked_detection(Strange(refuse), image, NOISE, bad)
    with pytest.raises(MemoryError):
        checked_detection(Strange(too_large), image, NOISE, bad)


@pytest.mark.parametrize(
    "outer",
    [
        lambda one: VotingDetector([PyCosmicDetector(), one]),
        lambda one: TwoPassDetector(PyCosmicDetector(), one),
        lambda one: TwoPassDetector(one, PyCosmicDetector()),
    ],
)
def test_detectors_made_of_detectors_name_the_one_that_fails(outer):
    image, bad = image_and_bad()
    with pytest.raises(PluginError, match="Strange must detect without an error; got SystemExit"):
        outer(Strange(leaves)).detect(image, NOISE, bad)


def test_a_detector_called_on_one_image_is_checked():
    from astropy.nddata import CCDData

    with pytest.raises(PluginError, match="detect of Strange must return a Detection"):
        Strange(nothing)(CCDData(image_and_bad()[0], unit=u.adu), NOISE)


# parameters that a comparison ignores


class Undecorated(Detector):
    """A subclass that its author did not make a dataclass."""

    def __init__(self, level):
        self.level = level

    def detect(self, image, noise, mask=None):
        return Detection(image > self.level)


@dataclass(frozen=True)
class Listed(Detector):
    levels: list = field(default_factory=lambda: [1])

    def detect(self, image, noise, mask=None):
        return Detection(image > self.levels[0])


def test_detectors_whose_parameters_cannot_be_compared_are_refused():
    # it would get the stored masks of another level
    assert Undecorated(5) == Undecorated(50)
    with pytest.raises(PluginError, match=r"Undecorated must be a frozen dataclass .* got level set by other means"):
        as_detector(Undecorated(5))
    with pytest.raises(PluginError, match=r"Listed must be a frozen dataclass .* tuples in place of lists; got unhash"):
        as_detector([Listed(), LACosmicDetector()])
    for one in (LACosmicDetector(), PyCosmicDetector(sigma_det=(5, 3)), VotingDetector([Strange(), Strange(nothing)])):
        check_comparable(one)


def test_protected_arrays_share_memory_but_cannot_be_written():
    noise = NoiseModel(np.full((4, 5), 2.0) * u.electron / u.adu, 4 * u.electron)
    twin = protected(noise)
    for array in (twin.gain, twin.electrons_per_unit):
        with pytest.raises(ValueError, match="read-only"):
            twin.gain[:] = 3 * twin.gain.unit
        assert array.shape == (4, 5)
    assert np.shares_memory(twin.gain, noise.gain)
    assert noise.gain.flags.writeable
    np.testing.assert_array_equal(twin.variance(np.ones((4, 5))), noise.variance(np.ones((4, 5))))


# boundary models


def diagram():
    edges = np.linspace(-20, 400, 101)
    sets = EquivalentSets(NOISE, 3, 2)
    return MMDiagram(np.ones((100, 100)), np.ones((100, 100)), edges, edges + 20, DiagramSettings(), u.adu, sets=sets)


@dataclass(frozen=True)
class Odd(BoundaryModel):
    """A model whose boundary is a function of itself and the diagram."""

    answer: object

    def fit(self, diagram):
        return self.answer(self, diagram)


@dataclass(frozen=True, eq=False, repr=False)
class OddBoundary(FittedBoundary):
    values: object = None

    def __call__(self, min2d):
        return self.values(min2d)


def line(model, low=10.0, high=20.0, x=(0.0, 100.0)):
    return FittedBoundary(model, np.array(x), np.array([low, high]))


def changes_diagram(model, diagram):
    diagram.simulated[:] = 0


def fails(model, diagram):
    return 1 / 0


def exits(model, diagram):
    raise SystemExit


def odd(values):
    return lambda model, diagram: OddBoundary(model, np.array([0.0]), np.array([1.0]), values=values)


def spoils_min2d(min2d):
    min2d[min2d < 0] = 0
    return min2d


WRONG_FITS = {
    changes_diagram: "Odd must fit without an error; got ValueError: .*read-only",
    fails: "Odd must fit without an error; got ZeroDivisionError",
    exits: "Odd must fit without an error; got SystemExit",
    (lambda model, diagram: None): "fit of Odd must return a FittedBoundary; got NoneType",
    (lambda model, diagram: line(model, np.nan)): "y of the boundary of Odd must be a 1-D array of finite numbers",
    (lambda model, diagram: FittedBoundary(model, [0.0], [1.0])): "x of the boundary of Odd must be a 1-D array",
    (lambda model, diagram: line(model, x=(5.0, 1.0))): "x of the boundary of Odd must not decrease",
    odd(spoils_min2d): "Odd must give its boundary without an error; got ValueError: .*read-only",
    odd(lambda min2d: min2d.ravel()): r"boundary of Odd must have the shape \(2, 2\) of min2d; got \(4,\)",
    odd(lambda min2d: 3.0): r"boundary of Odd must have the shape \(2, 2\) of min2d; got float",
    odd(lambda min2d: min2d * NAN): "boundary of Odd must be finite numbers everywhere",
    odd(lambda min2d: np.full(min2d.shape, -3.0)): "boundary of Odd must be finite and 0 or more everywhere",
    odd(lambda min2d: min2d > 0): "boundary of Odd must be finite numbers everywhere; got bool",
}


@pytest.mark.parametrize("answer", WRONG_FITS, ids=lambda answer: WRONG_FITS[answer][:40])
def test_wrong_boundaries_become_an_error_with_the_name_of_the_model(answer):
    given = diagram()
    with pytest.raises(PluginError, match=WRONG_FITS[answer]):
        checked_fit(Odd(answer), given)
    assert (given.simulated == 1).all()


def test_right_boundaries_pass():
    boundary = checked_fit(Odd(lambda model, diagram: line(model)), diagram())
    check_boundary_of(boundary)
    min2d = np.array([[0, 50], [NAN, 200]], np.float32)
    np.testing.assert_array_equal(boundary_values(boundary, min2d)[:, 1], [15, 20])
    assert np.isnan(boundary_values(boundary, min2d)[1, 0])


# imports


class Entry:
    """An entry point."""

    def __init__(self, load):
        self.name, self.value, self.load = "strange", "strange:Strange", load


def exit_at_import():
    raise SystemExit("no licence")


class NeedsMore(Strange):
    def __init__(self, more):
        self.more = more


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (exit_at_import, r"detector 'strange' \(strange:Strange\) must be importable; got SystemExit: no licence"),
        (lambda: over_1000, r"detector 'strange' \(strange:Strange\) must be a subclass of Detector; got <function"),
        (lambda: int, r"detector 'strange' \(strange:Strange\) must be a subclass of Detector; got <class 'int'>"),
        (lambda: NeedsMore, "NeedsMore must be made without an error; got TypeError: .*'more'"),
        (lambda: Detector, "Detector must be made without an error; got TypeError: .*abstract"),
    ],
)
def test_what_cannot_be_imported_or_made(monkeypatch, load, message):
    registry = Registry("crstack.detectors", "detector", "crstack.detectors.base:Detector")
    monkeypatch.setattr(Registry, "_entries", lambda self: {"strange": Entry(load)})
    with pytest.raises(PluginError, match=message):
        registry.make("strange")


def test_a_detector_that_does_not_use_the_noise_learns_what_to_do():
    @dataclass(frozen=True)
    class Deaf(PyCosmicDetector):
        def detect(self, image, noise, mask=None):
            return super().detect(image, NoiseModel(noise.gain, noise.readnoise, noise.unit), mask)

    with pytest.raises(AssertionError, match=r"checked with uses_noise=False\); got \d+ of 40 hits with more noise"):
        check_detector(Deaf())
    with pytest.raises(AssertionError, match="the Detection must have a mask"):
        check_detector(Strange(lambda image, noise, mask: Detection(None)))


# methods


@dataclass(frozen=True)
class Spoiling(Method):
    """A method that writes into its input."""

    what: str

    def decide(self, prepared, detected, rules, progress=None):
        arrays = {
            "exposures": lambda: prepared.exposures.data,
            "given": lambda: prepared.given.data,
            "levelled": lambda: prepared.equalized.exposures.data,
            "statistics": lambda: prepared.statistics.median2d,
            "compared": lambda: prepared.compared.min2d,
            "detected": lambda: detected.prepared.exposures.data,
        }
        arrays[self.what]()[...] = 0


@dataclass(frozen=True)
class Bright(Method):
    """A method that does not write into its input."""

    def decide(self, prepared, detected, rules, progress=None):
        hit = prepared.exposures.data > prepared.statistics.median2d + 200
        return Decision.of_hits(self, hit, prepared, detected, rules)


@pytest.mark.parametrize("what", ["exposures", "given", "levelled", "statistics", "compared", "detected"])
def test_methods_of_others_cannot_change_the_exposures(stack, what):
    before = stack.exposures.data.copy()
    with pytest.raises(PluginError, match=r"Spoiling must decide without an error; got ValueError: .*read-only"):
        stack.detect(Spoiling(what), aux="pycosmic")
    np.testing.assert_array_equal(stack.exposures.data, before)
    assert stack.exposures.data.flags.writeable
    masks = stack.detect(Bright(), aux="pycosmic")
    np.testing.assert_array_equal(masks["CRMASK1"], before[0] > stack.statistics.median2d + 200)
    # no shared result is computed twice
    assert len(stack.prepared._kept["order statistics"]) == 1


@dataclass(frozen=True)
class Coded(Bright):
    """A method with a given code in one pixel."""

    code: int = 99

    def decide(self, prepared, detected, rules, progress=None):
        decision = super().decide(prepared, detected, rules, progress)
        decision.codes["MEANCRT"][2, 3] = self.code
        return decision


def test_codes_that_do_not_exist_are_refused(stack):
    with pytest.raises(PluginError, match=f"codes of MEANCRT of Coded must be uint8 .* 0 to {max(Code)}"):
        stack.detect(Coded(max(Code) + 1), aux=None)
    assert stack.detect(Coded(max(Code)), aux=None).codes["MEANCRT"][2, 3] == max(Code)


@dataclass(frozen=True)
class Certain(Bright):
    """A method whose probability is no array of the shape of the exposures."""

    probability: tuple | float = 0.5

    def decide(self, prepared, detected, rules, progress=None):
        return replace(super().decide(prepared, detected, rules, progress), probability=self.probability)


@pytest.mark.parametrize(("probability", "got"), [(0.5, "float"), ((0.0, 1.0), "tuple")])
def test_a_probability_that_is_no_array_is_refused(stack, probability, got):
    with pytest.raises(PluginError, match=f"probability of Certain must be an array of the shape .*; got {got}"):
        stack.detect(Certain(probability), aux=None)
